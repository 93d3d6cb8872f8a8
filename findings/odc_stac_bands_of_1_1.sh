#!/usr/bin/env bash
# Expected: odc.stac.load(items, bands=["red"]) works for an item of STAC 1.1, where what was
#   `eo:bands` is `bands`, as it does for one of STAC 1.0.
# Seen (odc-stac 0.5.3, pystac 1.15.2): names and common names in `bands` are not read. "red" and
#   "B04" are unknown, only the key of the asset works; type and nodata in `bands` are read.
# Instead: ask for keys of assets, or add `eo:bands` to the item before it is loaded.
. "$(dirname "$0")/venv.bash" odc-stac==0.5.3 odc-geo==0.5.3 odc-loader==0.6.5 pystac==1.15.2 rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
from pathlib import Path

import numpy as np
import odc.stac
import pystac
import rasterio
from rasterio.transform import from_origin

with rasterio.open(
    "a.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="uint16",
    crs="EPSG:32633", transform=from_origin(5e5, 5e6, 10, 10),
) as f:
    f.write(np.full((1, 64, 64), 3000, "uint16"))


def item(version):
    new = version == "1.1.0"
    asset = {"href": str(Path("a.tif").resolve()), "type": "image/tiff; application=geotiff"}
    if new:
        asset["bands"] = [{"name": "B04", "eo:common_name": "red", "data_type": "uint16", "nodata": 0}]
    else:
        asset["eo:bands"] = [{"name": "B04", "common_name": "red"}]
        asset["raster:bands"] = [{"data_type": "uint16", "nodata": 0}]
    schema = "https://stac-extensions.github.io/{}/v{}/schema.json"
    versions = (("eo", "2.0.0"), ("raster", "2.0.0"), ("projection", "2.0.0")) if new else (
        ("eo", "1.1.0"), ("raster", "1.1.0"), ("projection", "1.1.0"))
    place = {"proj:code": "EPSG:32633"} if new else {"proj:epsg": 32633}
    return pystac.Item.from_dict({
        "type": "Feature", "stac_version": version, "id": "a", "links": [],
        "geometry": {"type": "Point", "coordinates": [15, 45]}, "bbox": [14.9, 44.9, 15.1, 45.2],
        "properties": {
            "datetime": "2024-01-01T00:00:00Z", "proj:shape": [64, 64],
            "proj:transform": [10, 0, 5e5, 0, -10, 5e6], **place,
        },
        "stac_extensions": [schema.format(*one) for one in versions],
        "assets": {"visible-4": asset},
    })


def loads(version, name):
    try:
        return int(odc.stac.load([item(version)], bands=[name])[name].values.max()) == 3000
    except ValueError as error:
        assert "No such band/alias" in str(error), error
        return False


seen = {v: {n: loads(v, n) for n in ("visible-4", "red", "B04")} for v in ("1.0.0", "1.1.0")}
print(seen)
assert all(seen["1.0.0"].values())
assert seen["1.1.0"] == {"visible-4": True, "red": False, "B04": False}, "the behaviour has changed"
band = odc.stac.parse_item(item("1.1.0")).collection.meta.bands["visible-4", 1]
assert (band.data_type, band.nodata) == ("uint16", 0)
PYTHON
