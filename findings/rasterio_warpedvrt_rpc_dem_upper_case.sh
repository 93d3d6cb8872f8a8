#!/usr/bin/env bash
# Expected: WarpedVRT(..., RPC_DEM=path) rectifies over the elevation model at that path, as
#   rasterio.warp.reproject(..., RPC_DEM=path) does.
# Seen (rasterio 1.4.4, GDAL 3.10.3): the path reaches GDAL in capital letters. On file systems that
#   keep cases apart it is not found; a model whose whole path is in capitals works.
# Instead: reproject() into a file.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
from pathlib import Path

import numpy as np
import rasterio
from rasterio.rpc import RPC
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject

LON, LAT = 15.0, 45.0


def terms(**at):
    numbers = [0.0] * 20
    for place, value in at.items():
        numbers[{"one": 0, "lon": 1, "lat": 2, "height": 3}[place]] = value
    return numbers


rpc = RPC(
    height_off=0, height_scale=500, lat_off=LAT, lat_scale=0.01, long_off=LON, long_scale=0.01,
    line_off=100, line_scale=100, samp_off=100, samp_scale=100,
    line_num_coeff=terms(lat=-1), line_den_coeff=terms(one=1),
    samp_num_coeff=terms(lon=1, height=0.2), samp_den_coeff=terms(one=1),
)
with rasterio.open("image.tif", "w", driver="GTiff", width=200, height=200, count=1, dtype="uint8") as f:
    f.write(np.tile(np.arange(200, dtype="uint8"), (200, 1)), 1)
    f.rpcs = rpc
grid = from_origin(LON - 0.02, LAT + 0.02, 0.0005, 0.0005)
with rasterio.open(
    "heights.tif", "w", driver="GTiff", width=80, height=80, count=1, dtype="float32",
    crs="EPSG:4326", transform=grid,
) as f:
    f.write(np.full((80, 80), 400, "float32"), 1)
path = str(Path("heights.tif").resolve())

with rasterio.open("image.tif") as image:
    out = np.zeros((80, 80), "uint8")
    reproject(
        image.read(1), out, src_crs="EPSG:4326", rpcs=image.rpcs,
        dst_transform=grid, dst_crs="EPSG:4326", RPC_DEM=path,
    )
    at_centre = int(out[40, 40])
    print("reproject: column", at_centre, "(100 without heights, 116 at 400 m)")
    assert abs(at_centre - 116) <= 5
    try:
        with WarpedVRT(image, src_crs="EPSG:4326", crs="EPSG:4326", RPC_DEM=path) as view:
            view.read(1)
    except Exception as error:
        print("WarpedVRT:", error)
        assert path.upper() in str(error)
    else:
        raise SystemExit("WarpedVRT found the model: the behaviour has changed")
PYTHON
