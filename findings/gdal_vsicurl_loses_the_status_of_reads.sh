#!/usr/bin/env bash
# Expected: where the signature of an address runs out between opening an image and reading its
#   pixels, the error says 403, as it does when the image is opened.
# Seen (rasterio 1.4.4, GDAL 3.10.3): the error of the read names a failing TIFF strip or tile and no
#   HTTP status, so a refusal looks like a damaged file.
# Instead: ask the server for one byte before a remote file is called damaged.
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 numpy==2.3.5
"$python" -W ignore - <<'PYTHON'
import http.server
import io
import re
import threading
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError


class Server(http.server.SimpleHTTPRequestHandler):
    refuses = False

    def send_head(self):
        if type(self).refuses:
            self.send_error(403)
            return None
        ranged = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        data = Path("a.tif").read_bytes()
        if not ranged:
            self.send_response(200)
            self.send_header("Accept-Ranges", "bytes")
        else:
            start, end = int(ranged[1]), int(ranged[2] or len(data) - 1)
            whole, data = len(data), data[start : end + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{whole}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return io.BytesIO(data)

    def log_message(self, *_):
        pass


noise = np.random.default_rng(0).integers(0, 255, (1, 1024, 1024)).astype("uint8")
with rasterio.open(
    "a.tif", "w", driver="GTiff", width=1024, height=1024, count=1, dtype="uint8", tiled=True
) as f:
    f.write(noise)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}/a.tif"
with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), rasterio.open(address) as image:
    Server.refuses = True
    try:
        image.read(1, window=rasterio.windows.Window(768, 768, 256, 256))
        raise SystemExit("read in spite of the refusal")
    except RasterioIOError as error:
        said = f"{error} {error.__cause__}"
try:
    rasterio.open(address + "?again")
    opened = ""
except RasterioIOError as error:
    opened = str(error)
server.shutdown()
print("opening:", opened)
print("reading:", said)
assert "403" in opened
assert "403" not in said, "the behaviour has changed"
PYTHON
