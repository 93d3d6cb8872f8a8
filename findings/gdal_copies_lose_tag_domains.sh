#!/usr/bin/env bash
# Expected: a copy of a GeoTIFF, as GeoTIFF or COG, has all of its tags.
# Seen (rasterio 1.4.4, GDAL 3.10.3): tags of the default domain come along. Those of a domain of one's
#   own, which the file itself keeps, are dropped without a word.
# Instead: write them again, or put them into the default domain under a prefix.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
import numpy as np
import rasterio
from rasterio.shutil import copy

with rasterio.open("a.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="uint8") as f:
    f.write(np.ones((1, 64, 64), "uint8"))
    f.update_tags(ORBIT="7")
    f.update_tags(ns="PROCESSING", CHAIN="a")


def tags(path):
    with rasterio.open(path) as f:
        return f.tags().get("ORBIT"), f.tags(ns="PROCESSING").get("CHAIN")


copy("a.tif", "b.tif", driver="GTiff")
copy("a.tif", "c.tif", driver="COG")
print("file", tags("a.tif"), "GeoTIFF", tags("b.tif"), "COG", tags("c.tif"))
assert tags("a.tif") == ("7", "a")
assert tags("b.tif") == tags("c.tif") == ("7", None), "the behaviour has changed"
PYTHON
