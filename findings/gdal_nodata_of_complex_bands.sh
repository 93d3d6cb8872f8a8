#!/usr/bin/env bash
# Expected: with nodata 0 a complex pixel is no data where it is 0+0j.
# Seen (rasterio 1.4.4, GDAL 3.10.3): the mask compares the real part alone. Every pixel whose phase is
#   90 or 270 degrees is no data.
# Instead: compare the complex numbers themselves; leave nodata undeclared in complex files.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
import numpy as np
import rasterio

with rasterio.open(
    "a.tif", "w", driver="GTiff", width=4, height=1, count=1, dtype="complex64", nodata=0
) as f:
    f.write(np.array([[0, 1j, -2j, 1 + 1j]], "complex64"), 1)
with rasterio.open("a.tif") as f:
    mask = f.read_masks(1)[0].tolist()
print("mask of 0, 1j, -2j, 1+1j:", mask)
assert mask == [0, 0, 0, 255], "the behaviour has changed"
PYTHON
