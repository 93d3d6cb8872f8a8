#!/usr/bin/env bash
# Expected: a virtual raster made of a file has its control points.
# Seen (rasterio 1.4.4, GDAL 3.10.3): their columns and rows are rounded to four decimals, x and y to
#   eleven. Points whose pixels are fractions (a grid of points thinned, or of an image reduced by 3) move.
# Instead: write the <GCP> elements in full, after the copy.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.shutil import copy

points = [GroundControlPoint(r / 3, c / 7, 15 + c / 7e6, 45 - r / 3e6) for r in range(3) for c in range(3)]
with rasterio.open("a.tif", "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8") as f:
    f.write(np.ones((1, 8, 8), "uint8"))
    f.gcps = points, rasterio.CRS.from_epsg(4326)
copy("a.tif", "a.vrt", driver="VRT")


def last(path):
    with rasterio.open(path) as f:
        point = f.gcps[0][-1]
        return point.row, point.col, point.x, point.y


print("file:          ", last("a.tif"))
print("virtual raster:", last("a.vrt"))
(row, col, x, y), (row2, col2, x2, y2) = last("a.tif"), last("a.vrt")
assert abs(x - x2) < 1e-10 and abs(y - y2) < 1e-10
assert row == 2 / 3 and col == 2 / 7
assert row2 == round(row, 4) != row and col2 == round(col, 4) != col, "the behaviour has changed"
PYTHON
