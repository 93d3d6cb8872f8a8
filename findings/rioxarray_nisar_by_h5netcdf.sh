#!/usr/bin/env bash
# Expected: a grid laid out as in NISAR's geocoded products, whose layers name a `projection` with its
#   EPSG code and WKT, has its CRS when xarray opens it by h5netcdf and rioxarray asks.
# Seen (xarray 2026.9.0, rioxarray 0.19.0, h5netcdf 1.8.2): the transform is right and the CRS is None;
#   `projection` stays a plain variable, so a chosen layer has lost it. With decode_coords="all" both are
#   right. rioxarray.open_rasterio of the bare file gives neither (GDAL's HDF5 driver is asked).
# Instead: decode_coords="all".
. "$(dirname "$0")/venv.bash" xarray==2026.9.0 rioxarray==0.19.0 h5netcdf==1.8.2 h5py rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
import h5py
import numpy as np
import rioxarray
import xarray as xr
from rasterio.crs import CRS

GROUP = "/science/LSAR/GCOV/grids/frequencyA"
with h5py.File("grid.h5", "w") as file:
    group = file.create_group(GROUP)
    axes = {"x": 5e5 + 10 + 20 * np.arange(64.0), "y": 5e6 - 10 - 20 * np.arange(48.0)}
    for name, values in axes.items():
        axis = group.create_dataset(f"{name}Coordinates", data=values)
        axis.make_scale(f"{name}Coordinates")
        axis.attrs["standard_name"] = f"projection_{name}_coordinate"
        axis.attrs["units"] = "m"
    projection = group.create_dataset("projection", data=np.uint32(32633))
    projection.attrs["epsg_code"] = np.int32(32633)
    projection.attrs["spatial_ref"] = CRS.from_epsg(32633).to_wkt()
    layer = group.create_dataset("HHHH", data=np.ones((48, 64), "f4"))
    layer.attrs["grid_mapping"] = "projection"
    layer.dims[0].attach_scale(group["yCoordinates"])
    layer.dims[1].attach_scale(group["xCoordinates"])

default = xr.open_dataset("grid.h5", engine="h5netcdf", group=GROUP).HHHH.rio
every = xr.open_dataset("grid.h5", engine="h5netcdf", group=GROUP, decode_coords="all").HHHH.rio
bare = rioxarray.open_rasterio("grid.h5").rio
print("default:", default.crs, default.transform()[:6])
print("decode_coords='all':", every.crs, every.transform()[:6])
print("open_rasterio:", bare.crs, bare.transform()[:6])
right = (20.0, 0.0, 5e5, 0.0, -20.0, 5e6)
assert default.crs is None and tuple(default.transform()[:6]) == right
assert every.crs == CRS.from_epsg(32633) and tuple(every.transform()[:6]) == right
assert bare.crs is None and bare.transform().is_identity
PYTHON
