#!/usr/bin/env bash
# Expected: rasterio.Env(GDAL_CACHEMAX=64) keeps 64 MB of decoded blocks, as GDAL does where the
#   environment has an option of that name: small numbers are megabytes there.
# Seen (rasterio 1.4.4): the number goes to GDALSetCacheMax64, so it is 64 bytes and nothing is kept.
#   A strip that is read piece by piece is decoded again for every piece: no error, the same pixels,
#   many times the processor time.
# Instead: give bytes to rasterio.Env, 64 * 2**20.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
cat > read.py <<'PYTHON'
import sys
import time

import rasterio
from rasterio.windows import Window

path, given = sys.argv[1], sys.argv[2]
options = {} if given == "environment" else {"GDAL_CACHEMAX": int(given)}
with rasterio.Env(**options), rasterio.open(path) as file:
    started = time.process_time()
    for col in range(0, 2048, 64):
        file.read(1, window=Window(col, 0, 64, 2048))
    print(time.process_time() - started)
PYTHON
"$python" -W ignore - <<'PYTHON'
import subprocess
import sys

import numpy as np
import rasterio
from rasterio.transform import Affine

pixels = np.random.default_rng(0).integers(0, 8, (2048, 2048), np.uint8)
how = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 2048, "width": 2048}
with rasterio.open("a.tif", "w", compress="deflate", transform=Affine.scale(2.0), **how) as out:
    out.write(pixels, 1)


def seconds(given, environment=None):
    call = [sys.executable, "-W", "ignore", "read.py", "a.tif", given]
    return float(subprocess.run(call, env=environment, capture_output=True, check=True).stdout)


few, many = seconds("64"), seconds(str(64 * 2**20))
named = seconds("environment", {"GDAL_CACHEMAX": "64"})
print(f"Env 64: {few:.3f} s, Env 64 * 2**20: {many:.3f} s, GDAL_CACHEMAX=64 outside: {named:.3f} s")
assert few > 4 * many
assert few > 4 * named
PYTHON
