#!/usr/bin/env bash
# Expected: a COG in a tiling scheme is the same raster on another grid, as one without is.
# Seen (rasterio 1.4.4, GDAL 3.10.3): with TILING_SCHEME=GoogleMapsCompatible band names, units, tags
#   of the bands and classes (categories, raster attribute table) are gone; scale, offset and tags of
#   the file stay. Numbers of classes are resampled by cubic convolution, so that classes appear that
#   the file does not have.
# Instead: WARP_RESAMPLING=NEAREST for classes, and write names and units again afterwards.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
import numpy as np
import rasterio
from rasterio.shutil import copy
from rasterio.transform import from_origin

classes = np.where(np.add.outer(np.arange(600) // 40, np.arange(600) // 40) % 2, 10, 20).astype("uint8")
with rasterio.open(
    "classes.tif", "w", driver="GTiff", width=600, height=600, count=1, dtype="uint8",
    crs="EPSG:32633", transform=from_origin(5e5, 5e6, 10, 10),
) as f:
    f.write(classes, 1)
    f.descriptions, f.units, f.scales, f.offsets = ("land cover",), ("class",), (2.0,), (1.0,)
    f.update_tags(MADE="2024")
    f.update_tags(1, LEGEND="a")


def described(path):
    with rasterio.open(path) as f:
        return {
            "name": f.descriptions[0], "unit": f.units[0], "band tag": f.tags(1).get("LEGEND"),
            "scale": f.scales[0], "offset": f.offsets[0], "tag": f.tags().get("MADE"),
            "numbers": len(np.unique(f.read(1)[f.read_masks(1) > 0])),
        }


copy("classes.tif", "plain.tif", driver="COG")
copy("classes.tif", "tiles.tif", driver="COG", TILING_SCHEME="GoogleMapsCompatible")
copy("classes.tif", "near.tif", driver="COG", TILING_SCHEME="GoogleMapsCompatible", WARP_RESAMPLING="NEAREST")
plain, tiles, near = map(described, ("plain.tif", "tiles.tif", "near.tif"))
print("COG:                ", plain)
print("with a tiling scheme:", tiles)
assert plain == described("classes.tif")
assert tiles["name"] is None and tiles["unit"] is None and tiles["band tag"] is None
assert (tiles["scale"], tiles["offset"], tiles["tag"]) == (2.0, 1.0, "2024")
assert plain["numbers"] == near["numbers"] == 2 and tiles["numbers"] > 2
PYTHON
