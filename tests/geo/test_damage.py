"""Files whose format can tell that they are damaged give an error, never an image."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from crosslook.errors import RasterError
from crosslook.geo.image import open_image
from tests.helpers.kinds import ground, save


def chunks(data: bytes) -> list[tuple[int, bytes, int]]:
    """Start, kind and length of the chunks of a PNG."""
    at, found = 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((at, data[at + 4 : at + 8], length))
        at += 12 + length
    return found


def png(path: Path) -> bytearray:
    cv2.imwrite(str(path), ground())
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_png_with_a_flipped_byte_is_refused(part: float, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = png(path)
    start, _, length = next(one for one in chunks(bytes(data)) if one[1] == b"IDAT")
    data[start + 8 + int(part * length)] ^= 1
    path.write_bytes(data)
    with pytest.raises(RasterError, match=r"a\.png"):
        open_image(path, "sar")


def test_a_png_with_a_wrong_checksum_alone_is_refused(tmp_path: Path) -> None:
    """Its pixels would still decode."""
    path = tmp_path / "a.png"
    data = png(path)
    start, _, length = next(one for one in chunks(bytes(data)) if one[1] == b"IDAT")
    data[start + 8 + length] ^= 1
    path.write_bytes(data)
    with pytest.raises(RasterError, match="damaged: the checksum of its part 'IDAT'"):
        open_image(path, "sar")


@pytest.mark.parametrize("part", [0.3, 0.999])
def test_a_png_that_ends_early_is_refused(part: float, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = png(path)
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(RasterError, match=r"a\.png"):
        open_image(path, "sar")


def test_text_in_a_png_and_bytes_after_it_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = bytes(png(path))
    head = chunks(data)[0]
    end = head[0] + 12 + head[2]
    body = b"tEXtComment\0by hand"
    text = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(b"else").to_bytes(4, "big")
    path.write_bytes(data[:end] + text + data[end:] + b"appended")
    assert open_image(path, "sar").read().valid.all()


@pytest.mark.parametrize("compression", ["deflate", "lzw"])
def test_a_tiff_whose_tiles_do_not_decode_is_refused(compression: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", ground(), compress=compression)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = b"\xff" * 64
    path.write_bytes(data)
    with pytest.raises(RasterError, match=r"a\.tif"):
        open_image(path, "sar").read()


def test_a_jpeg_inside_a_tiff_that_ends_early_is_refused(tmp_path: Path) -> None:
    """GDAL only warns of it."""
    path = save(tmp_path / "a.tif", ground(), compress="jpeg", tiled=True)
    data = bytearray(path.read_bytes())
    marks = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xd9"]
    first = marks[-1] - 2000
    data[first : first + 2] = b"\xff\xd9"
    path.write_bytes(data)
    with pytest.raises(RasterError, match="damaged: Corrupt JPEG data"):
        open_image(path, "sar").read()


def test_missing_tiles_of_a_sparse_tiff_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    values = np.zeros((512, 512), np.uint8)
    values[:256] = np.random.default_rng(0).integers(1, 255, (256, 512))
    save(path, values, tiled=True, sparse_ok=True, nodata=0)
    image = open_image(path, "sar").read()
    assert image.valid[:256].all()
    assert not image.valid[256:].any()
