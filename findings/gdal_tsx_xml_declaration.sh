#!/usr/bin/env bash
# Expected: a product's XML is the same document with and without the line <?xml version="1.0"?>.
# Seen (rasterio 1.4.4, GDAL 3.10.3): the driver for TerraSAR-X and TanDEM-X looks at the first bytes
#   alone. An annotation that an editor, a catalogue or ElementTree has written again with a
#   declaration is "not recognized as being in a supported file format".
# Instead: write the XML without a declaration, or open the TIFF below IMAGEDATA.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

XML = """<level1Product><productComponents><imageData layerIndex="1"><file><location>
<host>.</host><path>IMAGEDATA</path><filename>IMAGE_HH_SRA_strip_006.tif</filename></location>
</file><polLayer>HH</polLayer></imageData></productComponents><productInfo><productVariantInfo>
<productVariant>GEC</productVariant></productVariantInfo><imageDataInfo>
<imageDataType>DETECTED</imageDataType><imageRaster><numberOfRows>64</numberOfRows>
<numberOfColumns>64</numberOfColumns></imageRaster></imageDataInfo></productInfo></level1Product>"""
Path("IMAGEDATA").mkdir()
with rasterio.open(
    "IMAGEDATA/IMAGE_HH_SRA_strip_006.tif", "w", driver="GTiff", width=64, height=64, count=1,
    dtype="uint16", crs="EPSG:32633", transform=from_origin(5e5, 5e6, 3, 3),
) as f:
    f.write(np.ones((1, 64, 64), "uint16"))
name = "TSX1_SAR__GEC_SE___SM_S_SRA_20240101T000000_20240101T000008"
for ending, text in (("", XML), ("_declared", '<?xml version="1.0" encoding="UTF-8"?>\n' + XML)):
    Path(f"{name}{ending}.xml").write_text(text)
with rasterio.open(f"{name}.xml") as f:
    print("without a declaration:", f.driver, f.shape)
    assert f.driver == "TSX"
try:
    rasterio.open(f"{name}_declared.xml")
except rasterio.errors.RasterioIOError as error:
    print("with a declaration:", str(error).partition(name + "_declared.xml")[2].strip("' "))
    assert "not recognized" in str(error)
else:
    raise SystemExit("opened: the behaviour has changed")
PYTHON
