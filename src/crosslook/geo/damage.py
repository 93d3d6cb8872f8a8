"""What a format itself says of damage, where GDAL reads on without a word."""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crosslook.errors import RasterError

_TAIL_BYTES = 65_536  # what some programs append lies within
_PIECE = 1 << 20
_SIGNATURE = 8
_LENGTH_AT = 342  # of the field FL of a NITF, the length of the file
_UNKNOWN = 999_999_999_999  # of files that are sent while they are made
_LOG = logging.getLogger("rasterio")  # its modules pass on what GDAL warns of


def check_whole(name: str, called: str, driver: str) -> None:
    """Refuse a local PNG, JPEG or NITF that ends too early, and a PNG whose checksums are wrong.

    GDAL reads what is missing as zeros. A format that ends with a mark of its own tells; each
    chunk of a PNG carries a CRC-32.

    Raises
    ------
    RasterError
        If the file is damaged.
    """
    path = Path(name)
    if driver not in ("PNG", "JPEG", "NITF") or not path.is_file():
        return
    if driver == "NITF":
        if _is_shorter_than_said(path):
            raise _cut_short(called)
        return
    if driver == "PNG":
        _check_chunks(path, called)
        return
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        if b"\xff\xd9" not in file.read():
            raise _cut_short(called)


def _check_chunks(path: Path, called: str) -> None:
    """Compare every chunk up to the last one with its checksum."""
    with path.open("rb") as file:
        file.seek(_SIGNATURE)
        while True:
            head = file.read(8)
            if len(head) < 8:
                raise _cut_short(called)
            kind, left = head[4:], int.from_bytes(head[:4], "big")
            checksum = zlib.crc32(kind)
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    raise _cut_short(called)
                checksum = zlib.crc32(piece, checksum)
                left -= len(piece)
            said = file.read(4)
            if len(said) < 4:
                raise _cut_short(called)
            # What may be left out of a PNG, as its text, begins with a small letter.
            if int.from_bytes(said, "big") != checksum and kind[:1].isupper():
                raise RasterError(
                    f"{called} is damaged: the checksum of its '{kind.decode('latin-1')}' data is "
                    "not the one that it carries. Get the file again."
                )
            if kind == b"IEND":
                return


def _is_shorter_than_said(path: Path) -> bool:
    """Whether a NITF file ends before its header says so."""
    with path.open("rb") as file:
        start = file.read(_LENGTH_AT + 12)
    length = start[_LENGTH_AT:]
    if start[:9] not in (b"NITF02.10", b"NSIF01.00") or not length.isdigit():
        return False
    said = int(length)
    return said != _UNKNOWN and path.stat().st_size < said


def _cut_short(called: str) -> RasterError:
    return RasterError(
        f"{called} ends before its image does: it was cut short, as by a download "
        "that broke off. Get the file again."
    )


class _Warnings(logging.Handler):
    """What libjpeg says of one thread's reads; GDAL only warns inside TIFFs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread, self.said = threading.get_ident(), ""

    def emit(self, record: Any) -> None:
        if record.thread == self.thread and "Corrupt JPEG data" in record.getMessage():
            self.said = self.said or record.getMessage().rpartition("JPEGLib:")[2]


@contextmanager
def heeding_warnings(called: str) -> Iterator[None]:
    """Refuse what is read within if the decoder warns that its data are corrupt.

    Raises
    ------
    RasterError
        If it does.
    """
    heard = _Warnings()
    _LOG.addHandler(heard)
    try:
        yield
    finally:
        _LOG.removeHandler(heard)
    if heard.said:
        raise RasterError(f"{called} is damaged: {heard.said.strip()}. Get the file again.")
