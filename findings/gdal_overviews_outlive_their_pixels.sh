#!/usr/bin/env bash
# Expected: pixels that are written after overviews were built show in a reduced read, or the overviews
#   go, or a warning comes.
# Seen (rasterio 1.4.4, GDAL 3.10.3): the overviews stay. A reduced read gives the old pixels, black
#   where overviews were built of an empty file, without a word; the read of all pixels is right.
# Instead: build overviews last; read with OVERVIEW_LEVEL="NONE" what others have written.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W error::UserWarning -W error::RuntimeWarning - <<'PYTHON'
import numpy as np
import rasterio
from rasterio.enums import Resampling

with rasterio.open(
    "a.tif", "w", driver="GTiff", width=512, height=512, count=1, dtype="uint8", tiled=True,
    crs="EPSG:32633", transform=rasterio.transform.from_origin(5e5, 5e6, 10, 10),
) as f:
    f.write(np.zeros((1, 512, 512), "uint8"))
with rasterio.open("a.tif", "r+") as f:
    f.build_overviews([2, 4], Resampling.average)
with rasterio.open("a.tif", "r+") as f:
    f.write(np.full((1, 512, 512), 200, "uint8"))
with rasterio.open("a.tif") as f:
    whole, reduced = f.read(1).mean(), f.read(1, out_shape=(128, 128)).mean()
with rasterio.open("a.tif", OVERVIEW_LEVEL="NONE") as f:
    without = f.read(1, out_shape=(128, 128)).mean()
print(f"all pixels {whole}, reduced {reduced}, reduced without overviews {without}")
assert (whole, reduced, without) == (200.0, 0.0, 200.0), "the behaviour has changed"
PYTHON
