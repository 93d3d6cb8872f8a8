#!/usr/bin/env bash
# Expected: control points that two SAR missions number alike (line 0, pixel 0 is the centre of the
#   first pixel) reach GDAL alike.
# Seen (rasterio 1.4.4, GDAL 3.10.3): the RS2 driver adds half a pixel to the tie points of
#   RADARSAT-2's product.xml, so that they are on GDAL's count from the corner of a pixel. The points
#   that a GeoTIFF carries, as Sentinel-1's do with the same numbering, are handed on as they are:
#   half a pixel off, 5 m for a GRD of 10 m.
# Instead: add half a pixel to the control points of Sentinel-1's TIFFs.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
from pathlib import Path

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint

at = [(row, col) for row in (0, 32, 63) for col in (0, 32, 63)]
tie = """<imageTiePoint><imageCoordinate><line>{}</line><pixel>{}</pixel></imageCoordinate>
<geodeticCoordinate><latitude units="deg">{}</latitude><longitude units="deg">{}</longitude>
<height units="m">0</height></geodeticCoordinate></imageTiePoint>"""
ties = "".join(tie.format(r, c, 45 - r * 1e-4, 15 + c * 1e-4) for r, c in at)
Path("product.xml").write_text(f"""<?xml version="1.0"?>
<product xmlns="http://www.rsi.ca/rs2/prod/xml/schemas"><sourceAttributes>
<satellite>RADARSAT-2</satellite></sourceAttributes><imageGenerationParameters>
<generalProcessingInformation><productType>SGF</productType></generalProcessingInformation>
</imageGenerationParameters><imageAttributes><rasterAttributes>
<dataType>Magnitude Detected</dataType><bitsPerSample dataStream="Magnitude">16</bitsPerSample>
<numberOfSamplesPerLine>64</numberOfSamplesPerLine><numberOfLines>64</numberOfLines></rasterAttributes>
<geographicInformation><geolocationGrid>{ties}</geolocationGrid></geographicInformation>
<fullResolutionImageData pole="HH">imagery_HH.tif</fullResolutionImageData>
</imageAttributes></product>""")
with rasterio.open(
    "imagery_HH.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="uint16"
) as f:
    f.write(np.ones((1, 64, 64), "uint16"))
with rasterio.open(
    "s1-like.tiff", "w", driver="GTiff", width=64, height=64, count=1, dtype="uint16"
) as f:
    f.write(np.ones((1, 64, 64), "uint16"))
    points = [GroundControlPoint(r, c, 15 + c * 1e-4, 45 - r * 1e-4, 0) for r, c in at]
    f.gcps = (points, rasterio.CRS.from_epsg(4326))


def first(name):
    with rasterio.open(name) as f:
        return f.driver, sorted((p.row, p.col) for p in f.gcps[0])[0]


print("product.xml of RADARSAT-2:", first("product.xml"))
print("control points of a TIFF:", first("s1-like.tiff"))
assert first("product.xml") == ("RS2", (0.5, 0.5))
assert first("s1-like.tiff") == ("GTiff", (0.0, 0.0))
PYTHON
