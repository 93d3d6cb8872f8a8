"""A list of attacks on a running explorer: kinds, options, sizes, time, queue, names, headers.

Each is harmless in itself: what must not come out is the word in a text file and the
grey of an image that lie beside the explorer's folder. After all of them the server
still answers, has written no traceback, and has kept nothing that it refused.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import psutil
import pytest
import rasterio

from tests.explore.conftest import Served
from tests.helpers.rasters import write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WORD = "kestrel-4711"
GREY = 201
SIDE = 96
_RNG = np.random.default_rng(4)


class Attacked:
    """A server with narrow limits, and what it must not give away."""

    def __init__(self, folder: Path) -> None:
        self.secret = folder / "private" / "secret.txt"
        self.secret.parent.mkdir()
        self.secret.write_text(f"{WORD},1,2,3\n")
        image = np.full((1, SIDE, SIDE), GREY, np.uint8)
        self.image = write(folder / "private" / "image.tif", image)
        self.served = Served(
            folder / "out", "--workers", "1", "--max-upload", "1", "--max-pixels", "2",
            "--max-queued", "4",
        )  # fmt: skip
        pixels = _RNG.integers(1, 120, (2, 1, SIDE, SIDE)).astype(np.uint8)
        good = [write(folder / f"{n}.png", pixels[n], None, driver="PNG") for n in (0, 1)]
        self.good = [self.served.upload(path.read_bytes(), path.name) for path in good]

    def told(self, *answers: object, sent: object = "") -> None:
        """Nothing private in an answer: neither content nor place, but what was ``sent``."""
        text = repr(answers).replace(str(sent), "") if sent else repr(answers)
        for word in (WORD, str(self.secret.parent), str(self.served.out), "Traceback"):
            assert word not in text

    def ended(self, status: int, answer: Any, sent: object = "") -> dict[str, Any]:
        """The job of an answer when it has ended; of a refusal its words."""
        if status == 202:
            answer = self.served.wait(answer["id"])
            assert "unexpected error" not in answer["error"], answer
        else:
            assert 400 <= status < 500, (status, answer)
            assert answer["error"]
        self.told(answer, sent=sent)
        return dict(answer)

    def uploads(self) -> set[str]:
        return {path.name for path in (self.served.out / "uploads").iterdir()}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    one = Attacked(tmp_path_factory.mktemp("attacked"))
    yield one
    assert one.served.ask("/library")[0] == 200
    one.served.stop()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(side: int) -> bytes:
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(side + 1)) for _ in range(side)) + packed.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    )


def _one_tile(side: int) -> bytes:
    """A TIFF of 64 x 64 pixels in one tile of side x side."""
    data = zlib.compress(bytes(4096), 9)
    fields = [(256, 4, 64), (257, 4, 64), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1),
              (322, 4, side), (323, 4, side), (324, 4, 8), (325, 4, len(data))]  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in fields)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data
    return head + struct.pack("<H", len(fields)) + table + bytes(4)


def _virtual(at: Attacked) -> bytes:
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><VRTRasterBand dataType="Byte" '
        f'band="1"><SimpleSource><SourceFilename>{at.image}</SourceFilename>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    ).encode()


def _with_overviews_elsewhere(at: Attacked) -> bytes:
    path = at.image.with_name("names-another.tif")
    with rasterio.open(
        path, "w", driver="GTiff", width=SIDE, height=SIDE, count=1, dtype="uint8"
    ) as file:
        file.write(np.ones((1, SIDE, SIDE), np.uint8))
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(at.image))
    data = path.read_bytes()
    path.unlink()
    return data


KINDS: dict[str, Callable[[Attacked], bytes]] = {
    "nothing": lambda _: b" ",
    "a virtual raster": _virtual,
    "one after the first bytes of a JPEG": lambda at: b"\xff\xd8\xff" + _virtual(at),
    "one after those of a code stream": lambda at: b"\xff\x4f\xff\x51" + _virtual(at),
    "one after those of a PNG": lambda at: b"\x89PNG\r\n\x1a\n" + _virtual(at),
    "one after those of a TIFF": lambda at: b"II*\0" + _virtual(at),
    "one behind an image": lambda at: at.image.read_bytes()[:60] + _virtual(at),
    "an index of tiles": lambda at: (
        f"<GDALTileIndexDataset><IndexDataset>{at.image}</IndexDataset></GDALTileIndexDataset>"
    ).encode(),
    "a web service": lambda _: (
        b'<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/'
        b"</ServerUrl></Service></GDAL_WMS>"
    ),
    "a STAC item": lambda at: json.dumps(
        {"type": "Feature", "assets": {"visual": {"href": str(at.image), "type": "image/tiff"}}}
    ).encode(),
    "the name of a file": lambda at: str(at.image).encode(),
    "an archive": lambda _: b"PK\3\4" + bytes(60),
    "a container": lambda _: b"\x89HDF\r\n\x1a\n" + bytes(600),
    "a page": lambda _: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a TIFF whose overviews lie elsewhere": _with_overviews_elsewhere,
    "half a TIFF": lambda at: at.image.read_bytes()[:3000],
    "a TIFF of one huge tile": lambda _: _one_tile(32_768),
    "a PNG of too many pixels": lambda _: _png(6000),
    "a TIFF of nothing but its first bytes": lambda _: b"II*\0" + b"\xff" * 200,
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_kinds(kind: str, attacked: Attacked) -> None:
    ask = attacked.served.ask
    status, upload = ask("/uploads?name=drop.tif", KINDS[kind](attacked))
    attacked.told(upload)
    if status != 201:
        assert status == 400
        return
    for path, body in (
        ("/inspect", {"image": upload["id"]}),
        ("/inspect", {"image": upload["id"], "modality": "optical"}),
        ("/register", {"sar": upload["id"], "optical": attacked.good[1]}),
        ("/register", {"sar": attacked.good[0], "optical": upload["id"]}),
    ):
        job = attacked.ended(*ask(path, body))
        assert job["state"] == "failed", (path, job)
        assert job["error"]
    assert ask(f"/uploads/{upload['id']}", method="DELETE")[0] == 200


def _forms(secret: Path) -> list[str]:
    where = (secret, secret.with_name("gone.txt"), secret.parent)
    forms = (
        "{}",
        "file://{}",
        "hf:{}",
        "dinov2:{}",
        "bands={}",
        "/vsicurl/file://{}",
        "NETCDF:{}:x",
    )
    return [form.format(place) for place in where for form in forms]


@pytest.mark.parametrize("kind", ["register", "locate"])
def test_options(kind: str, attacked: Attacked) -> None:
    """Every field, also those that are not offered, with places and with values of each type."""
    from crosslook.explore.options import MODELS, offered

    draw = random.Random(7)
    values = [*_forms(attacked.secret), "", "x" * 5000, -1, 0, 1e308, 10**30, True, None, [], {},
              [1, 2], [1e308] * 4, [[1]], {"a": str(attacked.secret)}]  # fmt: skip
    body = dict(zip(("sar", "optical"), attacked.good, strict=True))
    if kind == "locate":
        body = {"query": attacked.good[0], "atlas": "none"}
    for name in MODELS[kind].model_fields:
        for value in draw.sample(values, 12):
            answer = attacked.served.ask(f"/{kind}", {**body, "settings": {name: value}})
            if name not in offered(kind):
                assert answer[0] in (400, 404), (name, value)
            if answer[0] == 202:  # it need not run to its end: it was taken
                attacked.served.ask(f"/jobs/{answer[1]['id']}", method="DELETE")
            else:
                attacked.ended(*answer, sent=value)


@pytest.mark.parametrize("field", ["points", "mask", "optical_mask", "dem", "weights"])
def test_no_option_reads_a_file(field: str, attacked: Attacked) -> None:
    body = dict(zip(("sar", "optical"), attacked.good, strict=True))
    asked = (attacked.secret, attacked.secret.with_name("gone.txt"))
    said = [
        attacked.served.ask("/register", {**body, "settings": {field: str(path)}})
        for path in asked
    ]  # fmt: skip
    assert said[0] == said[1]
    assert said[0][0] == 400
    assert f"{field} may name a file" in said[0][1]["error"]


SIZES: dict[str, tuple[str, object]] = {
    "a long id": ("/inspect", {"image": "a" * 100_000}),
    "a long text": ("/register", {"sar": "x", "optical": "y", "settings": {"bands": "1" * 10**5}}),
    "a long name": ("/register", {"sar": "x", "optical": "y", "settings": {"b" * 10**5: 1}}),
    "many options": ("/inspect", {"image": "x", "settings": {str(n): n for n in range(9999)}}),
    "many points": ("/jobs/x/points", {"points": [[1, 2, 3, 4]] * 9999}),
    "points far off": ("/jobs/x/points", {"points": [[1e300, 2, 3, 4]] * 2}),
    "deep lists": ("/inspect", b"[" * 500_000),
    "deep settings": ("/inspect", b'{"image":"x","settings":' + b'{"a":' * 90_000),
    "a long number": ("/inspect", b'{"image":"x","settings":{"height":' + b"9" * 900_000 + b"}}"),
    "no numbers": ("/jobs/x/points", b'{"points":[[NaN,1,2,3],[1,2,3,Infinity]]}'),
    "over a mebibyte": ("/inspect", b" " * 1_100_000),
    "no JSON": ("/inspect", b"\xff\xfe{"),
    "a file over the limit": ("/uploads?name=x", b"II*\0" + bytes(2_000_000)),
    "a long scene": ("/audits/x/marks", {"scene": "s" * 5000, "mark": "good"}),
    "a far patch": ("/runs/x/maps", {"index": 10**30, "extractor": "hog"}),
}


@pytest.mark.parametrize("size", sorted(SIZES))
def test_sizes(size: str, attacked: Attacked) -> None:
    before, (path, body) = attacked.uploads(), SIZES[size]
    head = {"content-type": "application/json"} if path != "/uploads?name=x" else {}
    status, answer = attacked.served.ask(path, body, headers=head)
    assert 400 <= status < 500, (status, answer)
    assert len(answer["error"]) < 1000
    attacked.told(answer)
    assert attacked.uploads() == before


def test_queue(attacked: Attacked) -> None:
    """Four may wait: of thirty asked for at once most are told to come again."""
    answers = [
        attacked.served.ask("/inspect", {"image": attacked.good[0], "settings": {"height": n}})
        for n in range(30)
    ]
    assert {status for status, _ in answers} <= {202, 429}
    jobs = [answer["id"] for status, answer in answers if status == 202]
    assert all("as many as may" in answer["error"] for status, answer in answers if status == 429)
    for job in jobs:
        attacked.served.wait(job)
    job = attacked.served.ask("/inspect", {"image": attacked.good[0]})[1]
    assert attacked.served.wait(job["id"])["state"] == "done"


NAMES = (
    "..", "../../private/secret.txt", "/etc/passwd", "%00", "a" * 3000, "\u202egpj.exe", "<b>",
    "CON", ".", "~", "job.json", ".scratch", "0" * 16, "\r\nx: y", "-1", "9" * 40, "nan",
)  # fmt: skip


def test_names(attacked: Attacked) -> None:
    """Every address that the API has, with every name in every gap."""
    served = attacked.served
    paths = served.ask("/openapi.json")[1]["paths"]
    asked = 0
    for path, methods in paths.items():
        for method, about in methods.items():
            gaps = [p["name"] for p in about.get("parameters", []) if p["in"] == "query"]
            if "{" not in path and not gaps:
                continue
            for name in NAMES:
                at = path
                while "{" in at:
                    start, _, rest = at.partition("{")
                    at = start + quote(name, safe="") + rest.partition("}")[2]
                query = "&".join(f"{gap}={quote(name, safe='')}" for gap in gaps)
                body: object = {} if method == "post" else None
                if path == "/uploads" and method == "post":
                    body = b"GIF89a"
                status, answer = served.ask(f"{at}?{query}", body, method.upper())
                assert status < 500, (method, at, query, status, answer)
                attacked.told(answer)
                asked += 1
    assert asked > 400
    for name in NAMES:
        one = served.upload((served.out.parent / "0.png").read_bytes(), name)
        (kept,) = [u for u in served.ask("/uploads")[1] if u["id"] == one]
        assert len(kept["name"]) <= 120
        assert not set("/\\\0\r\n\u202e") & set(kept["name"])
        assert served.ask(f"/uploads/{one}", method="DELETE")[0] == 200


def _raw(attacked: Attacked, data: bytes, wait: float = 2.0) -> bytes:
    place = urlsplit(attacked.served.address)
    with socket.create_connection((place.hostname, place.port), timeout=wait) as line:
        answer = b""
        with suppress(OSError):  # it hangs up, or waits for more
            line.sendall(data.replace(b"HOST", place.netloc.encode()))
            while part := line.recv(65536):
                answer += part
        return answer


_GET = b"GET /library HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n"
_POST = b"POST /inspect HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n"
HEADERS = {
    "long": _GET + b"x: " + b"a" * 200_000 + b"\r\n\r\n",
    "many": _GET + b"".join(b"x%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
    "a long address": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "another host": b"GET /library HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "two hosts": b"GET /library HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET /library HTTP/1.1\r\n\r\n",
    "a broken host": b"GET /library HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "another page": _POST + b"Origin: http://evil.example\r\nContent-Length: 2\r\n\r\n{}",
    "a page of no origin": _POST + b"Origin: null\r\nContent-Length: 2\r\n\r\n{}",
    "no length": _POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a length below nothing": _POST + b"Content-Length: -2\r\n\r\n{}",
    "two lengths": _POST + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    "length and chunks": _POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a line break in a name": _GET + b"x\ny: z\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "a full address": b"GET http://evil.example/library HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "another method": b"CONNECT evil.example:80 HTTP/1.1\r\nHost: HOST\r\n\r\n",
}


@pytest.mark.parametrize("header", sorted(HEADERS))
def test_headers(header: str, attacked: Attacked) -> None:
    answer = _raw(attacked, HEADERS[header])
    assert not answer or answer[:10] == b"HTTP/1.1 4", answer[:300]
    attacked.told(answer)
    assert attacked.served.ask("/library")[0] == 200


def test_every_answer_is_guarded(attacked: Attacked) -> None:
    for path in (b"/library", b"/jobs/none", b"/", b"/static/none", b"/openapi.json"):
        answer = _raw(attacked, _GET.replace(b"/library", path) + b"\r\n").lower()
        head = answer.partition(b"\r\n\r\n")[0]
        for name in (b"content-security-policy", b"x-content-type-options", b"referrer-policy"):
            assert name in head, (path, head)


def test_an_upload_that_breaks_off_leaves_nothing(attacked: Attacked) -> None:
    before = attacked.uploads()
    place = urlsplit(attacked.served.address)
    for half in (b"", b"II*\0" + bytes(90_000)):
        head = f"POST /uploads?name=half HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 500000"
        line = socket.create_connection((place.hostname, place.port), timeout=5)
        line.sendall(head.encode() + b"\r\n\r\n" + half)
        time.sleep(0.2)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()
    ends = time.monotonic() + 10
    while attacked.uploads() != before and time.monotonic() < ends:
        time.sleep(0.05)
    assert attacked.uploads() == before
    assert attacked.served.ask("/library")[0] == 200


def test_nothing_is_written_of_what_breaks_off(tmp_path: Path) -> None:
    """A server of its own, so that all that it said can be read when it has ended."""
    served = Served(tmp_path / "out", "--workers", "1")
    place = urlsplit(served.address)
    for _ in range(3):
        line = socket.create_connection((place.hostname, place.port), timeout=5)
        head = f"POST /uploads?name=x HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 99999"
        line.sendall(head.encode() + b"\r\n\r\nII*\0")
        time.sleep(0.1)
        line.close()
    served.ask("/inspect", b"[" * 200_000, headers={"content-type": "application/json"})
    assert list((tmp_path / "out" / "uploads").iterdir()) == []
    served.process.send_signal(signal.SIGTERM)
    said = served.process.communicate(timeout=60)[0]
    assert "Traceback" not in said
    assert "unexpected" not in said
    known = ("results: ", "stopped. ")  # how it ends differs with versions of uvicorn
    assert [line for line in said.splitlines() if not line.startswith(known)] == []


def test_workers_end_with_their_server(tmp_path: Path) -> None:
    """Also where it is killed, and they are in the middle of a job."""
    pixels = _RNG.integers(1, 250, (2, 1, 700, 700)).astype(np.uint8)
    paths = [write(tmp_path / f"{n}.png", pixels[n], None, driver="PNG") for n in (0, 1)]
    served = Served(tmp_path / "out", "--workers", "2")
    sar, optical = (served.upload(path.read_bytes()) for path in paths)
    wide = {"rotation": 180.0, "scale": "0.3:3", "flip": True}
    job = served.start("/register", {"sar": sar, "optical": optical, "settings": wide})
    served.wait(job, lambda status: status["stage"] != "")
    children = psutil.Process(served.process.pid).children(recursive=True)
    assert len(children) >= 2
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait(timeout=30)
    ends = time.monotonic() + 30
    while (left := [one.pid for one in children if _is_alive(one)]) and time.monotonic() < ends:
        time.sleep(0.05)
    assert left == []
    if served.process.stdout is not None:
        served.process.stdout.close()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
