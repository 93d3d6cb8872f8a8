"""Files and folders below the root that the explorer was started with: listed, opened, used.

A path of a request is relative to the root. It is resolved, links and all, and refused where
it leaves the root; what begins with a dot is not shown and not taken. Nor is the explorer's
own folder: what strangers uploaded lies there, to be opened by the driver of its kind alone.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosslook.data.pairs import open_pairs
from crosslook.errors import CrosslookError, NotFoundError, SettingError

_IMAGES = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".vrt", ".nc", ".ntf", ".nitf")
_MARKS = (
    ("atlas.json", "atlas"), ("results.parquet", "run"), ("match.json", "match"),
    ("audit.csv", "audit"), ("matches.csv", "matches"),
)  # fmt: skip
_MOST = 2000
_MOST_PATH = 1000


@dataclass(frozen=True)
class Root:
    """The folder below which files may be named; None where none was given.

    ``own`` is the explorer's folder of uploads and results, both resolved.
    """

    folder: Path | None
    own: Path | None = None

    def place(self, relative: str) -> Path:
        """The place of a path of a request.

        Raises
        ------
        SettingError
            If no root was given.
        NotFoundError
            If there is nothing, or it lies elsewhere.
        """
        if self.folder is None:
            raise SettingError(
                "no folder is open to the page: start the explorer with --root FOLDER to name "
                "files below it."
            )
        lost = NotFoundError(f"there is no '{relative[:80]}' below the root.")
        if len(relative) > _MOST_PATH or "\0" in relative or Path(relative).is_absolute():
            raise lost
        if any(part.startswith(".") for part in Path(relative).parts):
            raise lost
        try:
            place = (self.folder / relative).resolve()
            is_there = place.exists()
        except (OSError, ValueError):
            raise lost from None
        if not is_there or not place.is_relative_to(self.folder) or self._is_own(place):
            raise lost
        return place

    def whole(self, relative: str) -> Path:
        """The place of a path of which all that lies below is read.

        Raises
        ------
        SettingError
            If the explorer's own folder is in it.
        """
        place = self.place(relative)
        if self.own is not None and self.own.is_relative_to(place):
            raise SettingError(
                f"the explorer keeps its uploads in '{self.own.name}' below this folder: name "
                "another folder, or start the explorer with --out elsewhere."
            )
        return place

    def _is_own(self, place: Path) -> bool:
        return self.own is not None and place.is_relative_to(self.own)

    def listing(self, relative: str) -> dict[str, Any]:
        """What lies in a folder below the root, folders first, and what the folder itself is."""
        place = self.place(relative)
        if not place.is_dir():
            raise NotFoundError(f"'{relative[:80]}' is no folder.")
        entries = []
        for path in sorted(place.iterdir(), key=lambda one: (not one.is_dir(), one.name.lower())):
            real = path.resolve()
            if path.name.startswith(".") or not real.is_relative_to(self.folder or place):
                continue
            if self._is_own(real):
                continue
            kind = kind_at(path)
            if kind:
                entries.append({"name": path.name, "kind": kind})
        own = kind_at(place)
        scenes = incomplete = 0
        if own == "folder":
            with suppress(CrosslookError):
                self.whole(relative)
                pairs = open_pairs(place, skip_incomplete=True)
                scenes, incomplete = len(pairs), len(pairs.incomplete)
        return {
            "path": relative,
            "kind": "pairs" if scenes else own,
            "scenes": scenes,
            "incomplete": incomplete,
            "entries": entries[:_MOST],
            "more": max(0, len(entries) - _MOST),
        }


def kind_at(path: Path) -> str:
    """What a path is at first sight: ``folder``, ``image``, what a command wrote, or nothing."""
    if not path.is_dir():
        return "image" if path.suffix.lower() in _IMAGES else ""
    with suppress(OSError):
        return next((kind for name, kind in _MARKS if (path / name).is_file()), "folder")
    return ""
