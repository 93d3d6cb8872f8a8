"""The pairs of a batch that is under way: one that was killed goes on after what is done."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosslook._version import __version__
from crosslook.atomic import sweep, write_text
from crosslook.errors import CrosslookError
from crosslook.geo.raster import RasterFile
from crosslook.match.batch_page import Thumbnails
from crosslook.match.files import MATCH_FILE, WRITTEN
from crosslook.match.matchers import open_tools, revision_of
from crosslook.match.settings import RegisterCall, RegisterSettings
from crosslook.options import record
from crosslook.storage import Place, as_place, is_remote, state_of

if TYPE_CHECKING:
    from crosslook.data.pairs import ScenePair

PARTIAL = "matches.partial"
"""Folder of what is known of the pairs that are done; gone when all are."""

_FORMAT = 1
"""Raise it whenever a file of a match changes: pairs of a batch that was stopped are redone."""

_NAME = re.compile(r"[0-9a-f]{32}\.json")


@dataclass(frozen=True)
class Done:
    """What the table, the page and the terminal say of a pair.

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
    """The pairs of a batch that are matched and written, each a file of the batch's folder.

    Keyed by what changes a result: files, settings and versions. A pair whose image was
    replaced, or whose results were changed since, is matched again.

    Parameters
    ----------
    out : Path
        Folder of the batch; that of a pair is inside, under the pair's id.
    pairs : sequence of ScenePair
    settings : RegisterCall
        With ``overwrite`` nothing of an earlier run is used.

    Attributes
    ----------
    done : dict of str to Done
        Pairs that an earlier run has done, by id, if their files are as they were written.
    """

    def __init__(self, out: Path, pairs: Sequence[ScenePair], settings: RegisterCall) -> None:
        self._out, self._folder = out, out / PARTIAL
        common, states = _common(settings), _States()
        # All before the first pair is read: a file that changes meanwhile has another key then.
        self._keys = {one.id: _key(common, one, states) for one in pairs}
        if settings.overwrite:
            self.finish()
        found = ((one.id, self._get(one.id)) for one in pairs)
        self.done = {name: done for name, done in found if done is not None}

    def _get(self, name: str) -> Done | None:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            values = json.loads((self._folder / self._keys[name]).read_bytes())
            if values["files"] == self._written(name) and MATCH_FILE in values["files"]:
                drawn = values["thumbnails"]
                thumbs = None if drawn is None else Thumbnails(**drawn)
                row = {**values["row"], "folder": self._out / name}
                return Done(row, tuple(map(str, values["words"])), thumbs)
        return None  # a damaged file costs time, no more

    def add(self, name: str, done: Done) -> None:
        """Save a pair whose files are written: from the next line of code on it is not lost."""
        values = asdict(replace(done, row={**done.row, "folder": None}))
        values["files"] = self._written(name)
        write_text(self._folder / self._keys[name], json.dumps(values))

    def finish(self) -> None:
        """Remove what was saved, and nothing else: every pair is matched."""
        if not self._folder.is_dir():
            return
        sweep(self._folder, below=False)
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # not ours alone
            self._folder.rmdir()

    def _written(self, name: str) -> dict[str, list[int]]:
        """The files of a pair's result: size and time of each."""
        found = {}
        for file in WRITTEN:
            with suppress(OSError):
                found[file] = list(state_of(self._out / name / file))
        return found


def _common(settings: RegisterCall) -> list[object]:
    """What changes the results of all pairs."""
    extractor, matcher = open_tools(settings)
    revision = revision_of(settings.matcher, matcher, extractor.revision)
    features = str(extractor.key)
    extractor.close()
    given = (settings.mask, settings.optical_mask, settings.points, settings.verdict, settings.dem)
    files = [None if one is None else _state(str(one)) for one in given]
    known = record(settings, RegisterSettings) | {"weights": None}  # the revision names them
    return [_FORMAT, __version__, known, settings.force, revision, features, files]


def _key(common: Sequence[object], pair: ScenePair, states: _States) -> str:
    """File of a pair."""
    parts = [*common, pair.id, states.of(pair.sar), states.of(pair.optical)]
    text = json.dumps(parts, sort_keys=True, default=str)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


class _States:
    """What tells one image from another; of one that many pairs share it is asked once."""

    def __init__(self) -> None:
        self._known: dict[str, list[object]] = {}

    def of(self, place: Place) -> list[object]:
        """Name, size and time of all local files that an image lies in."""
        name = str(place)
        if name not in self._known:
            self._known[name] = [name, *map(_state, _files_of(place))]
        return self._known[name]


def _files_of(place: Place) -> Sequence[str]:
    """The place itself, and what a product or a virtual raster lies in."""
    if is_remote(place):
        return (str(place),)
    with suppress(CrosslookError):  # a folder of several files; or it fails as it is matched
        return (str(place), *RasterFile(as_place(place)).parts())
    return (str(place),)


def _state(name: str) -> list[object]:
    """Size and time of a local file or folder; what lies elsewhere is known by its name alone."""
    try:
        return [name, *state_of(Path(name))]
    except OSError:
        return [name]
