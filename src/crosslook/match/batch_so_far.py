"""What is done of a batch that is under way: one that was killed goes on after that."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from crosslook._version import __version__
from crosslook.atomic import sweep, write_text
from crosslook.errors import CrosslookError
from crosslook.geo.raster import RasterFile
from crosslook.match.batch_page import Thumbnails
from crosslook.match.files import MATCH_FILE, WRITTEN
from crosslook.storage import Place, as_place, is_remote, state_of

PARTIAL = "matches.partial"
"""Folder of what is known of the images that are done; gone when all are."""

_FORMAT = 1
"""Raise it whenever a file of a match changes: what a stopped batch had done is redone."""

_NAME = re.compile(r"[0-9a-f]{32}\.json")


@dataclass(frozen=True)
class Item:
    """One result of a batch: what it is called, where its files go, and of what it is made.

    Attributes
    ----------
    name : str
        Unique in its batch.
    folder : Path
    images : tuple of Place
        A pair, or a query alone.
    """

    name: str
    folder: Path
    images: tuple[Place, ...]


@dataclass(frozen=True)
class Done:
    """What the table, the page and the terminal say of a result.

    Attributes
    ----------
    row : dict
        As ``matches.csv`` has it, but for the folder.
    words : tuple of str
        Lines for the terminal.
    thumbnails : Thumbnails or None
    """

    row: dict[str, Any]
    words: tuple[str, ...]
    thumbnails: Thumbnails | None


class MatchesSoFar:
    """The results of a batch that are written, each known by a file of the batch's folder.

    Keyed by what changes a result: files, settings and versions. What is made of an image that
    was replaced, or whose results were changed since, is matched again.

    Parameters
    ----------
    out : Path
        Folder of the batch.
    items : sequence of Item
    common : sequence
        What changes all results, besides the version of crosslook; written as JSON.
    overwrite : bool
        Use nothing of an earlier run.

    Attributes
    ----------
    done : dict of str to Done
        What an earlier run has done, by name, if the files are as they were written.
    """

    def __init__(
        self,
        out: Path,
        items: Sequence[Item],
        common: Sequence[object],
        *,
        overwrite: bool = False,
    ) -> None:
        self._folder = out / PARTIAL
        known, states = [_FORMAT, __version__, *common], _States()
        # All before the first image is read: a file that changes meanwhile has another key then.
        self._keys = {one.name: _key(known, one, states) for one in items}
        if overwrite:
            self.finish()
        found = ((one.name, self._get(one)) for one in items)
        self.done = {name: done for name, done in found if done is not None}

    def _get(self, item: Item) -> Done | None:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            values = json.loads((self._folder / self._keys[item.name]).read_bytes())
            if values["files"] == _written(item) and MATCH_FILE in values["files"]:
                drawn = values["thumbnails"]
                thumbs = None if drawn is None else Thumbnails(**drawn)
                row = {**values["row"], "folder": item.folder}
                return Done(row, tuple(map(str, values["words"])), thumbs)
        return None  # a damaged file costs time, no more

    def add(self, item: Item, done: Done) -> None:
        """Save a result whose files are written: from the next line of code on it is not lost."""
        values = asdict(replace(done, row={**done.row, "folder": None}))
        values["files"] = _written(item)
        write_text(self._folder / self._keys[item.name], json.dumps(values))

    def finish(self) -> None:
        """Remove what was saved, and nothing else: every image is matched."""
        if not self._folder.is_dir():
            return
        sweep(self._folder, below=False)
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # not ours alone
            self._folder.rmdir()


def _written(item: Item) -> dict[str, list[int]]:
    """The files of a result: size and time of each."""
    found = {}
    for file in WRITTEN:
        with suppress(OSError):
            found[file] = list(state_of(item.folder / file))
    return found


def _key(common: Sequence[object], item: Item, states: _States) -> str:
    """File of a result."""
    parts = [*common, item.name, *map(states.of, item.images)]
    text = json.dumps(parts, sort_keys=True, default=str)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


class _States:
    """What tells one image from another; of one that many results share it is asked once."""

    def __init__(self) -> None:
        self._known: dict[str, list[object]] = {}

    def of(self, place: Place) -> list[object]:
        """Name, size and time of all local files that an image lies in."""
        name = str(place)
        if name not in self._known:
            self._known[name] = [name, *map(file_state, _files_of(place))]
        return self._known[name]


def _files_of(place: Place) -> Sequence[str]:
    """The place itself, and what a product or a virtual raster lies in."""
    if is_remote(place):
        return (str(place),)
    with suppress(CrosslookError):  # a folder of several files; or it fails as it is matched
        return (str(place), *RasterFile(as_place(place)).parts())
    return (str(place),)


def file_state(name: str) -> list[object]:
    """Size and time of a local file or folder; what lies elsewhere is known by its name alone."""
    try:
        return [name, *state_of(Path(name))]
    except OSError:
        return [name]
