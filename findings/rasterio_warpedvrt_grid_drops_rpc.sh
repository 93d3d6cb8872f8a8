#!/usr/bin/env bash
# Expected: an image placed by rational polynomials comes out in the same place whether WarpedVRT
#   chooses its grid or is given one.
# Seen (rasterio 1.4.4, GDAL 3.10.3): with transform=, width= and height= the polynomials are left
#   out, SRC_METHOD="RPC" or not. Row and column of the image are taken for degrees: no error, pixels
#   that look like data, of another place.
# Instead: a first WarpedVRT without a grid, a second one of it onto the grid.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
import numpy as np
import rasterio
from rasterio.rpc import RPC
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

LON, LAT = 15.0, 45.0
nothing = [0.0] * 20
rpc = RPC(
    height_off=0, height_scale=500, lat_off=LAT, lat_scale=0.01, long_off=LON, long_scale=0.01,
    line_off=100, line_scale=100, samp_off=100, samp_scale=100,
    line_num_coeff=[0.0, 0.0, -1.0, *nothing[3:]], line_den_coeff=[1.0, *nothing[1:]],
    samp_num_coeff=[0.0, 1.0, *nothing[2:]], samp_den_coeff=[1.0, *nothing[1:]],
)
with rasterio.open("image.tif", "w", driver="GTiff", width=200, height=200, count=1, dtype="uint8") as f:
    f.write(np.tile(np.arange(200, dtype="uint8"), (200, 1)), 1)  # its value is its column
    f.rpcs = rpc
grid = {"transform": from_origin(LON - 0.005, LAT + 0.005, 0.0001, 0.0001), "width": 100, "height": 100}
place = {"src_crs": "EPSG:4326", "crs": "EPSG:4326", "SRC_METHOD": "RPC"}
with rasterio.open("image.tif") as image:
    with WarpedVRT(image, **place) as chosen:
        col, row = ~chosen.transform * (LON, LAT)
        right = int(chosen.read(1)[int(row), int(col)])
        with WarpedVRT(chosen, crs="EPSG:4326", **grid) as twice:
            in_two_steps = int(twice.read(1)[50, 50])
    with WarpedVRT(image, **place, **grid) as given:
        wrong = int(given.read(1)[50, 50])
print(f"column at {LON} E: {right} on a grid of its own, {wrong} on a given one, {in_two_steps} in two steps")
assert abs(right - 100) <= 1 and abs(in_two_steps - 100) <= 1
assert wrong == int(LON), "the behaviour has changed"
PYTHON
