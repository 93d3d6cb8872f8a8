"""The folder in which the tiles of a scene wait for each other."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from crosslook.atomic import check_writable, is_temporary

PARTIAL = "scene.partial"
"""Folder of the tiles that are done, inside that of the result; gone when all is."""

_TILE = re.compile(r"[0-9a-f]{20}-\d{6}\.npy")


@contextmanager
def tile_store(out: Path | str | None) -> Iterator[Path]:
    """The folder of the tiles: inside that of the result, or a temporary one that goes.

    That of the result stays until the result is written (:func:`forget_tiles`), so that a run
    that was stopped goes on.
    """
    if out is not None:
        folder = Path(out) / PARTIAL
        check_writable(folder)
        yield folder
        return
    folder = Path(mkdtemp(prefix="crosslook-scene-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def forget_tiles(out: Path) -> None:
    """Remove the tiles of a result that is written, and nothing else.

    A worker that was killed in the middle of one, here or on another machine, left it under a
    temporary name.
    """
    folder = out / PARTIAL
    for path in folder.iterdir() if folder.is_dir() else ():
        if _TILE.fullmatch(path.name) or (path.suffix == ".npy" and is_temporary(path)):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # not ours alone
        folder.rmdir()
