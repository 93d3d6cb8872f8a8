#!/usr/bin/env bash
# Expected: bands of different types (a virtual raster of a float image and its 8-bit mask) are read at
#   once where out_dtype says what they shall become.
# Seen (rasterio 1.4.4): ValueError: more than one 'dtype' found, with out_dtype too.
# Instead: read band by band.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
import numpy as np
import rasterio

for kind in ("float32", "uint8"):
    with rasterio.open(f"{kind}.tif", "w", driver="GTiff", width=8, height=8, count=1, dtype=kind) as f:
        f.write(np.ones((1, 8, 8), kind))
band = """<VRTRasterBand dataType="{}" band="{}"><SimpleSource><SourceFilename relativeToVRT="0">{}
</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>""".replace("\n", "")
text = "".join(band.format(*one) for one in (("Float32", 1, "float32.tif"), ("Byte", 2, "uint8.tif")))
with rasterio.open(f'<VRTDataset rasterXSize="8" rasterYSize="8">{text}</VRTDataset>') as f:
    alone = [f.read(n).mean() for n in (1, 2)]
    try:
        f.read(out_dtype="float32")
    except ValueError as error:
        said = str(error)
    else:
        raise SystemExit("read: the behaviour has changed")
print(f"bands by themselves: {alone}; together: {said}")
assert alone == [1.0, 1.0] and "more than one 'dtype' found" in said
PYTHON
