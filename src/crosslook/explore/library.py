"""What the explorer was given to show: atlases, runs, matches, audits, sets of pairs."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from crosslook.atlas.store import Atlas, open_atlas
from crosslook.data.pairs import ScenePair, open_pairs
from crosslook.errors import CrosslookError, InputError, NotFoundError
from crosslook.explore.scene_map import SceneGrids
from crosslook.explore.tiles import Tiles
from crosslook.geo.block_store import NAME
from crosslook.json_text import json_object
from crosslook.match.evidence import Label
from crosslook.storage import open_folder

Kind = Literal["atlas", "run", "match", "audit", "pairs"]
_FILES: tuple[tuple[str, Kind], ...] = (
    ("results.parquet", "run"),
    ("match.json", "match"),
    ("audit.csv", "audit"),
)
_HEADS: dict[Kind, str] = {
    "atlas": "atlases", "run": "runs", "match": "matches", "audit": "audits", "pairs": "pairs"
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """A folder that is shown, under an id used in addresses."""

    id: str
    kind: Kind
    place: str
    synthetic: bool = False
    job: str = ""

    @property
    def path(self) -> Path:
        """The folder; local for all kinds but atlases."""
        return Path(self.place)


class Library:
    """All that is shown; more may come while the server runs."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._shown: dict[str, Shown] = {}
        self._tiles: dict[str, Tiles] = {}
        self._pairs: dict[str, dict[str, ScenePair]] = {}
        self._grids: dict[str, SceneGrids] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.closing = False

    def add(self, place: str, *, synthetic: bool = False, name: str = "", job: str = "") -> Shown:
        """Take in a folder, under its name or a better one; ``job`` is what made it.

        Raises
        ------
        InputError
            If it is nothing that can be shown.
        """
        kind = kind_of(place)
        with self._lock:
            for one in self._shown.values():
                if one.place == place:
                    return one
            shown = Shown(self._new_id(name or place), kind, place, synthetic, job)
            if kind == "atlas":
                atlas = open_atlas(place)
                self._tiles[shown.id] = Tiles(atlas, self._cache)
                about = {"shape": list(atlas.grid.shape), "area_km2": atlas.area_km2()}
                self._about[shown.id] = about
            elif kind == "pairs":
                self._pairs[shown.id] = {
                    pair.id: pair for pair in open_pairs(Path(place), skip_incomplete=True)
                }
                self._about[shown.id] = {"scenes": len(self._pairs[shown.id])}
            elif kind == "match":
                self._about[shown.id] = verdict_of(Path(place))
            self._shown[shown.id] = shown
        if kind == "atlas" and "://" not in place:
            tiles = self._tiles[shown.id]
            tiles.warm_in_background(lambda: self.closing or shown.id not in self._shown)
        return shown

    def drop(self, job: str) -> None:
        """Show no longer what a job has made; its files stay."""
        with self._lock:
            for name in [one.id for one in self._shown.values() if job and one.job == job]:
                for kept in (self._shown, self._tiles, self._pairs, self._grids, self._about):
                    kept.pop(name, None)

    def all(self, kind: Kind | None = None) -> list[Shown]:
        """What is shown, in the order in which it came."""
        return [one for one in list(self._shown.values()) if kind in (None, one.kind)]

    def get(self, kind: Kind, name: str) -> Shown:
        """Find one by its id.

        Raises
        ------
        InputError
            If there is none.
        """
        one = self._shown.get(name)
        if one is None or one.kind != kind:
            known = ", ".join(other.id for other in self.all(kind)) or "none"
            raise NotFoundError(f"there is no {kind} '{name[:64]}' here; {_HEADS[kind]}: {known}.")
        return one

    def id_at(self, kind: Kind, place: str) -> str | None:
        """Under which id a place is shown; None where it is not."""
        return next((one.id for one in self.all(kind) if one.place == place), None)

    def tiles(self, name: str) -> Tiles:
        """The tiles of an atlas."""
        return self._tiles[self.get("atlas", name).id]

    def atlas(self, name: str) -> Atlas:
        """An opened atlas."""
        return self.tiles(name).atlas

    def pair(self, name: str, scene: str) -> ScenePair:
        """A pair of a set; NotFoundError where there is none of that name."""
        pairs = self._pairs[self.get("pairs", name).id]
        if scene not in pairs:
            raise NotFoundError(f"there is no scene '{scene[:64]}' in '{name}'.")
        return pairs[scene]

    def pairs_with(self, scenes: set[str]) -> str | None:
        """Id of the set of pairs that holds most of some scenes; None where none holds half."""
        shared = {name: len(scenes & set(pairs)) for name, pairs in self._pairs.items()}
        best = max(shared, key=lambda name: shared[name], default=None)
        return best if best and 2 * shared[best] >= max(1, len(scenes)) else None

    def grids(self, name: str) -> SceneGrids:
        """Where the scenes of a set of pairs lie; they are read from the first call on."""
        pairs = self._pairs[self.get("pairs", name).id]
        with self._lock:
            if name not in self._grids:
                self._grids[name] = SceneGrids(pairs, lambda: self.closing)
            return self._grids[name]

    def scenes(self, name: str) -> list[str]:
        """The scenes of a set of pairs."""
        return list(self._pairs[self.get("pairs", name).id])

    def describe(self) -> dict[str, Any]:
        """What there is, for the start page."""
        listed: dict[str, Any] = {head: [] for head in _HEADS.values()}
        for one in self.all():
            line = {"id": one.id, "synthetic": one.synthetic, "job": one.job}
            line |= self._about.get(one.id, {})
            if one.kind == "match":
                line["pair"] = one.path.name
            listed[_HEADS[one.kind]].append(line)
        return listed

    def _new_id(self, place: str) -> str:
        name = place.rstrip("/").rpartition("/")[2]
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:48] or "folder"
        names = (plain, *(f"{plain}-{number}" for number in range(2, len(self._shown) + 2)))
        return next(name for name in names if name not in self._shown)


def verdict_of(folder: Path) -> dict[str, Any]:
    """Verdict and confidence of a ``match.json``, which may come from anywhere.

    None where it cannot be read, or has something else there: one such file shall not
    take the list of all others with it.
    """
    try:
        match = json_object((folder / "match.json").read_text(encoding="utf-8"), finite=True)
    except (OSError, ValueError):
        match = {}
    verdict, sure = match.get("verdict"), match.get("confidence")
    return {
        "verdict": verdict if verdict in get_args(Label) else None,
        "confidence": sure if isinstance(sure, int | float) and 0 <= sure <= 1 else None,
    }


def places_in(place: str) -> list[str]:
    """What a place means: the folder of a ``match.json``, or those of a batch of matches."""
    path = Path(place)
    if path.name == "match.json" and path.is_file():
        return [str(path.parent)]
    if (path / "matches.csv").is_file() and not (path / "match.json").is_file():
        return [str(one.parent) for one in sorted(path.glob("*/match.json"))] or [place]
    return [place]


def kind_of(place: str) -> Kind:
    """What a folder holds, by its files.

    Raises
    ------
    InputError
        If it is nothing that can be shown.
    """
    if open_folder(place).has(NAME):
        return "atlas"
    for name, kind in _FILES:
        if (Path(place) / name).is_file():
            return kind
    why = "there is no such folder"
    if Path(place).exists():
        try:
            open_pairs(Path(place), skip_incomplete=True)
        except CrosslookError as error:
            why = f"as pairs it cannot be read either: {error}"
        else:
            return "pairs"
    raise InputError(
        f"'{place}' holds no atlas, run, match or audit ({why.rstrip('.')}). Give a folder that "
        "atlas build, study, locate, register or audit wrote, or a set of pairs."
    )
