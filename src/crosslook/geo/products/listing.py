"""The files of a product: their endings, what their names say, and how they are listed.

A product may be a folder, or an archive that is not unpacked.
"""

from __future__ import annotations

import fnmatch
import re
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePath

from crosslook.errors import InputError
from crosslook.gdal_names import files_of

SUFFIXES = (
    ".tif", ".tiff", ".vrt", ".jp2", ".nc", ".h5", ".ntf", ".nitf", ".img", ".png", ".jpg",
    ".jpeg", ".gpkg", ".webp", ".hdf5", ".he5",
)  # fmt: skip
"""Endings of the rasters that are looked for in a folder."""


_NO_IMAGERY = re.compile(
    r"(?:^|[_.-])(?:masks?|udm2?|browse|preview|ql|quick-?look|thumb(?:nail)?|thm"
    r"|inc(?:idence)?(?:_?(?:map|angle))?|ls_map|linci|lia|localincidenceangle|angles?|nesz|phase"
    r"|scl|cld|aot|wvp|qa_\w+|dem|date)(?=[_.-]|$)",
    re.IGNORECASE,
)


def is_no_imagery(name: str) -> bool:
    """Whether a file's name says that it is a mask, a browse image or a map of angles.

    >>> is_no_imagery("OPERA_L2_RTC-S1_mask.tif"), is_no_imagery("scene_VV.tif")
    (True, False)
    """
    return bool(_NO_IMAGERY.search(PurePath(name).stem))


_MOST_ENTRIES = 100_000
_MOST_TEXT = 64 << 20
_ARCHIVED = (".tif", ".tiff", ".jp2", ".safe")
"""What is looked at in an archive: formats that name no other files."""
_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_HEAD = 4096
_DAMAGED = (OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class Listing:
    """Files below a folder, by their names relative to it with ``/`` between.

    Attributes
    ----------
    name : str
        What messages call it.
    root : str
        The folder as GDAL names it.
    """

    def __init__(self, root: str, name: str = "") -> None:
        self.root = root
        self.name = name or Path(root).name
        self._seen: dict[str, list[str]] = {}

    def find(self, *patterns: str) -> list[str]:
        """Names of the files that match any glob, sorted; upper and lower case are the same."""
        return sorted({name for one in patterns for name in self._below("", one.split("/"))})

    def at(self, name: str) -> str:
        """The file as GDAL names it."""
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes:
        """All of a small file; InputError where it cannot be read."""
        try:
            with Path(self.at(name)).open("rb") as file:
                return file.read(_MOST_TEXT)
        except OSError as error:
            raise InputError(f"cannot read {self.at(name)}: {error.strerror or error}.") from error

    def children(self, folder: str) -> list[str]:
        """Names in one of the folders, empty where there is none."""
        if folder not in self._seen:
            self._seen[folder] = self._look(folder)
        return self._seen[folder]

    def _look(self, folder: str) -> list[str]:
        try:
            inside = Path(self.root, folder).iterdir()
            return [path.name for path in inside if not path.name.startswith(".")]
        except OSError:
            return []

    def _below(self, folder: str, pattern: list[str]) -> list[str]:
        match = re.compile(fnmatch.translate(pattern[0]), re.IGNORECASE).match
        here = [f"{folder}/{n}" if folder else n for n in self.children(folder) if match(n)]
        if len(pattern) == 1:
            return here
        return [name for at in here for name in self._below(at, pattern[1:])]


class Archive(Listing):
    """Files inside a zip archive. It is not trusted: what could name other files is left out."""

    def __init__(self, path: Path, below: str = "") -> None:
        root = f"/vsizip/{path.absolute()}"
        super().__init__(f"{root}/{below}" if below else root, path.name)
        self._path, self._top = path, below
        self._folders = _entries(str(path), path.stat().st_mtime_ns)

    def inner(self) -> Archive | None:
        """The one folder that is all there is, as most archives have it; else None."""
        inside = self.children("")
        below = "/".join(part for part in (self._top, *inside) if part)
        return Archive(self._path, below) if len(inside) == 1 and below in self._folders else None

    def check(self, place: str) -> None:
        """Make sure that a file is what its ending says, so that no other driver of GDAL opens it.

        Raises
        ------
        InputError
            If it is neither TIFF nor JPEG 2000, or cannot be read.
        """
        name = place.removeprefix(f"{self.root}/")
        inside = f"{self._top}/{name}" if self._top else name
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(inside) as file:
                start = file.read(_HEAD)
        except (*_DAMAGED, KeyError, RuntimeError) as error:
            raise InputError(f"cannot read {inside} in {self._path}: {error}.") from error
        if not start.startswith(_STARTS) or b"<VRTDataset" in start:
            raise InputError(f"{name} in {self._path} is neither TIFF nor JPEG 2000. Get it again.")

    def _look(self, folder: str) -> list[str]:
        return self._folders.get("/".join(p for p in (self._top, folder) if p), [])


@lru_cache(maxsize=64)
def _entries(path: str, changed: int) -> dict[str, list[str]]:
    """Names in each folder of an archive; ``changed`` tells one state of it from another."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except _DAMAGED as error:
        raise InputError(f"{path} is no readable zip archive: {error}. Get it again.") from error
    if len(names) > _MOST_ENTRIES:
        raise InputError(f"{path} holds over {_MOST_ENTRIES:,} files: no product. Unpack it.")
    folders: dict[str, dict[str, None]] = {}
    for name in names:
        parts = name.split("/")
        if name.lower().endswith(_ARCHIVED) and not _leaves(parts):
            for depth, part in enumerate(parts):
                folders.setdefault("/".join(parts[:depth]), {})[part] = None
    return {folder: sorted(inside) for folder, inside in folders.items()}


def _leaves(parts: list[str]) -> bool:
    """Whether a name inside an archive leads out of it, or is hidden."""
    return any(part in ("", "..") or part.startswith(".") or "\\" in part for part in parts)


def changed(text: str) -> int:
    """Time of change of a local file or folder: one that is written anew is looked at anew."""
    try:
        return max(Path(file).stat().st_mtime_ns for file in files_of(text))
    except (OSError, ValueError):
        return 0


def is_raster_name(name: str) -> bool:
    """Whether a file is a raster by its ending, and no other file's companion."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")
