"""Which files of a folder crosslook wrote: they may be replaced, and no others.

A file tells it by itself: by a mark in its metadata, by the header of its
table, by the keys of its JSON. So a folder can be moved, copied and packed,
and a command that was stopped or killed goes on in it. Where a format has
no room for a mark, the file lies beside one of the same command that has one.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from crosslook.errors import OutputError

MARK = "written by crosslook"
"""What a file of pixels, text or figures says in its metadata."""

TAGS = ("ALIGNED_TO", "VERDICT")
"""Tags of a raster that was brought onto an optical image."""

_LOOKED_AT = 65_536  # bytes at the beginning, of a PDF at the end, that hold the mark
Recogniser = Callable[[Path], bool]


def refuse_foreign(folder: Path, files: Mapping[str, Recogniser], *, overwrite: bool) -> None:
    """See that no file that a command is about to write is there and of other origin.

    Parameters
    ----------
    folder : Path
        Need not be there.
    files : mapping of str to callable
        How each name below ``folder`` tells that crosslook wrote it.
    overwrite : bool
        Replace them all the same.

    Raises
    ------
    OutputError
        If one is of other origin, or a folder is in the way; it names the first.
    """
    for name, is_own in files.items():
        path = folder / name
        if path.is_dir():
            raise OutputError(f"{path} is a folder; remove it or choose another place.")
        if not overwrite and (path.exists() or path.is_symlink()) and not is_own(path):
            raise foreign(str(path))


def foreign(name: str) -> OutputError:
    """What is said of a file that is in the way."""
    return OutputError(
        f"{name} is there and was not written by crosslook. "
        "Choose another folder, or replace it with --overwrite."
    )


def has_header(columns: Sequence[str]) -> Recogniser:
    """Tell a CSV table by its first line."""

    def is_own(path: Path) -> bool:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return next(csv.reader(file), None) == list(columns)
        except (OSError, ValueError, csv.Error):
            return False

    return is_own


def has_keys(*keys: str) -> Recogniser:
    """Tell a JSON file by keys of its object."""

    def is_own(path: Path) -> bool:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(values, dict) and set(keys) <= values.keys()

    return is_own


def beside(name: str, is_own: Recogniser) -> Recogniser:
    """Tell a file by another one in its folder, which is always written first."""
    return lambda path: is_own(path.with_name(name))


def is_marked(path: Path) -> bool:
    """Whether the metadata of a raster, table, image, figure or text bear the mark."""
    suffix = path.suffix.lower()
    try:
        if suffix in (".tif", ".tiff"):
            return set(TAGS) <= tags_of(path).keys()
        if suffix == ".parquet":
            from pyarrow import parquet

            keys = parquet.read_schema(path).metadata or {}
            return any(bytes(key).startswith(b"crosslook") for key in keys)
        with path.open("rb") as file:
            if suffix == ".pdf":  # says who wrote it at its end
                file.seek(max(0, path.stat().st_size - _LOOKED_AT))
            return MARK.encode() in file.read(_LOOKED_AT)
    except (OSError, ValueError):  # pyarrow's errors are ValueErrors
        return False


def tags_of(path: Path) -> dict[str, str]:
    """The tags of a raster; none where it cannot be opened."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as file:
            return dict(file.tags())
    except RasterioError:
        return {}
