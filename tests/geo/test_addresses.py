"""Images and STAC items on web servers and in object stores, over servers of this machine."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.errors import CrosslookError
from crosslook.geo.basemaps import find_basemaps
from crosslook.geo.image import open_image
from crosslook.geo.raster import RasterFile
from crosslook.match.register import register
from crosslook.types import Window
from tests.helpers.pairs import texture, write_raster

SIGNATURE = "sv=1&sig=a%2Bb"


class Store(SimpleHTTPRequestHandler):
    """Serves ranges, as stores do; what lies in ``signed`` only to who shows the signature."""

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path, _, query = self.path.partition("?")
        file = Path(self.translate_path(path))
        if "/signed/" in path and query != SIGNATURE:
            self.send_error(403)
            return
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        total = len(data)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or total - 1), total - 1)
            data = data[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


def serve(folder: str, tell: Connection) -> None:
    """Show a folder until killed, and say at which port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Store, directory=folder))
    tell.send(server.server_port)
    server.serve_forever()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder and the address of the server that shows it."""
    folder = tmp_path_factory.mktemp("store")
    optical = np.stack([texture(7, 256) * 200 + 20] * 3).astype(np.uint8)
    for name in ("signed", "open"):
        write_raster(folder / name / "map.tif", optical)
        write_raster(folder / name / "sar.tif", optical[:1])
        item = {
            "type": "Feature",
            "assets": {
                "visual": {
                    "href": f"./map.tif{'?' + SIGNATURE if name == 'signed' else ''}",
                    "type": "image/tiff",
                }
            },
        }
        (folder / name / "item.json").write_text(json.dumps(item))
    # In a process of its own: rasterio may hold the interpreter while GDAL waits for an answer.
    spawn = multiprocessing.get_context("spawn")
    port, tell = spawn.Pipe(duplex=False)
    server = spawn.Process(target=serve, args=(str(folder), tell), daemon=True)
    server.start()
    assert port.poll(60), "the server did not start"
    yield folder, f"http://127.0.0.1:{port.recv()}"
    server.kill()
    server.join()


@pytest.fixture
def addresses(store: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Address of the folder ``open`` or ``signed`` by scheme, and how a name ends there."""
    _, server = store
    monkeypatch.setenv("CPL_GS_ENDPOINT", f"{server}/")
    monkeypatch.setenv("GS_NO_SIGN_REQUEST", "YES")
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING",
        f"DefaultEndpointsProtocol=http;AccountName=unused;AccountKey=dGVzdA==;BlobEndpoint={server}",
    )
    return {
        "http": f"{server}/open/{{}}",
        "signed": f"{server}/signed/{{}}?{SIGNATURE}",
        "gs": "gs://open/{}",
        "az": "az://open/{}",
    }


@pytest.mark.parametrize("scheme", ["http", "signed", "gs", "az"])
def test_an_address_gives_the_pixels_of_the_file(
    store: tuple[Path, str], addresses: dict[str, str], scheme: str
) -> None:
    there = open_image(addresses[scheme].format("map.tif"), "optical")
    here = open_image(store[0] / "open" / "map.tif", "optical")
    np.testing.assert_array_equal(there.read().values, here.read().values)


@pytest.mark.parametrize("scheme", ["http", "signed"])
def test_stac_items_of_an_address_are_read_with_their_assets(
    store: tuple[Path, str], addresses: dict[str, str], scheme: str
) -> None:
    there = open_image(addresses[scheme].format("item.json"), "optical")
    here = open_image(store[0] / "open" / "map.tif", "optical")
    np.testing.assert_array_equal(there.read().values, here.read().values)
    place = addresses[scheme].format("item.json")
    assert find_basemaps([place]) == [place]


@pytest.mark.parametrize("scheme", ["http", "signed", "gs", "az"])
def test_images_of_an_address_are_registered(
    addresses: dict[str, str], scheme: str, tmp_path: Path
) -> None:
    result = register(*(addresses[scheme].format(f"{name}.tif") for name in ("sar", "map")))
    assert result.verdict == "match"
    result.write(tmp_path / "out")
    assert SIGNATURE not in (tmp_path / "out" / "match.json").read_text(), "a secret"


def test_what_an_address_refuses_is_one_clear_error(store: tuple[Path, str]) -> None:
    for name, words in (
        ("signed/map.tif?sig=secret", "403.*sign it anew"),
        ("open/nothing.tif?sig=secret", "404.*check the address"),
        ("signed/item.json?sig=secret", "403.*sign it anew"),
        ("open/nothing.json?sig=secret", "404.*check the address"),
        ("signed/collections/c/items/i?sig=secret", "403.*sign it anew"),
    ):
        with pytest.raises(CrosslookError, match=words) as error:
            open_image(f"{store[1]}/{name}", "optical").read()
        assert "secret" not in str(error.value)
        assert name.partition("?")[0].rpartition("/")[2] in str(error.value)


@pytest.mark.parametrize("name", ["a.tif", "item.json", "collections/c/items/i"])
def test_a_server_that_does_not_answer_is_said(name: str) -> None:
    with pytest.raises(CrosslookError, match=r"does not answer.*check the address") as error:
        open_image(f"http://127.0.0.1:9/{name}?sig=secret", "optical")
    assert "secret" not in str(error.value)


def test_an_asset_whose_signature_ran_out_is_named(store: tuple[Path, str]) -> None:
    asset = {"href": "../signed/map.tif?sig=secret", "type": "image/tiff"}
    item = {"type": "Feature", "assets": dict.fromkeys(("red", "green", "blue"), asset)}
    (store[0] / "open" / "expired.json").write_text(json.dumps(item))
    with pytest.raises(CrosslookError, match=r"map\.tif.*403.*sign it anew") as error:
        open_image(f"{store[1]}/open/expired.json", "optical")
    assert "secret" not in str(error.value)


def test_what_is_refused_while_pixels_are_read_is_said_too(store: tuple[Path, str]) -> None:
    path = store[0] / "open" / "short-lived.tif"
    values = np.random.default_rng(0).integers(1, 255, (1, 1024, 1024)).astype(np.uint8)
    write_raster(path, values)
    file = RasterFile(f"{store[1]}/open/short-lived.tif")
    assert file.header.bands == 1
    path.unlink()
    with pytest.raises(CrosslookError, match=r"short-lived\.tif.*404.*check the address"):
        file.read(Window(900, 900, 100, 100), (1,))


def test_an_api_is_recognised_by_what_it_answers(store: tuple[Path, str]) -> None:
    """Its addresses have no ending."""
    folder = store[0] / "stac" / "collections" / "c" / "items"
    folder.mkdir(parents=True)
    asset = {"href": "../../../../open/map.tif", "type": "image/tiff"}
    item = {"type": "Feature", "assets": {"data": asset}}
    (folder / "i").write_text(json.dumps(item))
    (folder / "all").write_text(json.dumps({"type": "FeatureCollection", "features": [item] * 2}))
    place = f"{store[1]}/stac/collections/c/items/i"
    there = open_image(place, "optical")
    assert there.name == "i"
    here = open_image(store[0] / "open" / "map.tif", "optical")
    np.testing.assert_array_equal(there.read().values, here.read().values)
    assert find_basemaps([place]) == [place]
    found = find_basemaps([f"{place.removesuffix('/i')}/all?limit=2"])
    assert len(found) == 2
    assert open_image(found[1], "optical").shape == here.shape
