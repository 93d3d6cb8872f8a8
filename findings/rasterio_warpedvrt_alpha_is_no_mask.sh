#!/usr/bin/env bash
# Expected: WarpedVRT(..., add_alpha=True) has a mask, made of the alpha band, whatever the type.
# Seen (rasterio 1.4.4, GDAL 3.10.3): for uint8 it has. For 16-bit and 32-bit integers, floats and
#   complex numbers the alpha band is right, and read_masks() says that all pixels are valid, also
#   where the warped image does not reach.
# Instead: read the alpha band.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

seen = {}
for kind in ("uint8", "int16", "int32", "float32", "complex64"):
    with rasterio.open(
        f"{kind}.tif", "w", driver="GTiff", width=20, height=20, count=1, dtype=kind,
        crs="EPSG:32633", transform=from_origin(5e5, 5e6, 10, 10),
    ) as f:
        f.write(np.ones((20, 20), kind), 1)
    with rasterio.open(f"{kind}.tif") as f, WarpedVRT(
        f, crs="EPSG:32633", transform=from_origin(5e5 - 100, 5e6, 10, 10), width=30, height=20,
        add_alpha=True,
    ) as view:
        outside = int((view.read(2).real == 0).sum())
        masked = int((view.read_masks(1) == 0).sum())
    seen[kind] = outside, masked
    print(f"{kind}: {outside} pixels outside by alpha, {masked} by the mask")
assert all(outside == 200 for outside, _ in seen.values())
assert seen["uint8"][1] == 200
assert seen["int32"][1] == seen["float32"][1] == seen["complex64"][1] == 0, "the behaviour has changed"
PYTHON
