#!/usr/bin/env bash
# Expected: a file opened with "r+" and closed again is as it was, and build_overviews adds overviews or
#   raises.
# Seen (rasterio 1.4.4, GDAL 3.10.3): JPEG 2000 has no update, so "r+" copies the file into memory and
#   writes it anew at closing, with the default options of the driver. These are lossy: a lossless file
#   has other pixels afterwards, though nothing was written. build_overviews works on the copy in
#   memory. The file gets no overview of its own, and no error or warning says so.
# Instead: open such files with "r" alone; with GDAL's gdaladdo -ro overviews go into a file beside it.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W error - <<'PYTHON'
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import Affine

row, col = np.mgrid[:512, :512]
noise = np.random.default_rng(0).integers(0, 20, (512, 512))
pixels = ((row + col) // 8 + noise).astype("uint8")
how = {"driver": "JP2OpenJPEG", "dtype": "uint8", "count": 1, "height": 512, "width": 512,
       "crs": "EPSG:32633", "transform": Affine(10, 0, 0, 0, -10, 0)}


def look(when):
    with rasterio.open("a.jp2") as file:
        changed = float((file.read(1) != pixels).mean())
        found = file.overviews(1)
    size, files = Path("a.jp2").stat().st_size, sorted(path.name for path in Path(".").glob("a.jp2*"))
    print(f"{when}: {size} bytes, {changed:.2f} of pixels changed, overviews {found}, files {files}")
    return changed, found, files


with rasterio.open("a.jp2", "w", QUALITY=100, REVERSIBLE="YES", **how) as file:
    file.write(pixels, 1)
changed, before, files = look("written without loss")
assert changed == 0, "the behaviour has changed"
with rasterio.open("a.jp2", "r+") as file:
    kind = type(file).__name__
changed, _, _ = look(f"opened with r+ ({kind}) and closed")
assert changed > 0.5, "the behaviour has changed"
with rasterio.open("a.jp2", "r+") as file:
    file.build_overviews([8, 16], Resampling.average)
    inside = file.overviews(1)
_, after, files_after = look(f"build_overviews made {inside}")
assert inside == [8, 16] and (after, files_after) == (before, files), "the behaviour has changed"
PYTHON
