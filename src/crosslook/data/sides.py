"""The files of both sides of a set by key, and which of them are a pair.

Words in the names of files and folders say which sensor they are of.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from crosslook.errors import LayoutError
from crosslook.geo.products.listing import is_no_imagery
from crosslook.storage import Place
from crosslook.types import MODALITIES, Modality

NAMES: dict[Modality, tuple[str, ...]] = {
    "sar": ("sar", "s1", "radar", "sentinel1", "vv", "vh", "hh", "hv", "postevent"),
    "optical": ("optical", "opt", "rgb", "eo", "s2", "sentinel2", "visible", "preevent"),
}
"""Whole names of folders, without hyphens and underscores; the first that is there counts.

Events: BRIGHT has the optical image from before and the SAR image from after.
"""

_SATELLITES: dict[Modality, frozenset[str]] = {
    "sar": frozenset({*NAMES["sar"], "s1a", "s1b", "s1c", "s1d"}),
    "optical": frozenset({*NAMES["optical"], "s2a", "s2b", "s2c"}),
}
_DROPPED: dict[Modality, frozenset[str]] = {
    "sar": _SATELLITES["sar"]
    | {"grd", "slc", "rtc", "intensity", "amplitude"}
    | {"post", "postdisaster"},
    "optical": _SATELLITES["optical"]
    | {"msi", "vis", "ms", "ps", "l1c", "l2a", "tci"}
    | {"pre", "predisaster"},
}
_NOT_IMAGERY = frozenset(
    {"mask", "masks", "label", "labels", "target", "targets", "cloud", "clouds", "cloudy", "dem"}
    | {"udm", "udm2", "preview", "previews", "thumbnail", "thumbnails", "browse", "quicklook"}
)
_NUMBERED = re.compile(r"^(sar|radar|vv|vh|opt|optical|rgb|eo)(\d+)$")
_JOINED = re.compile(r"(sentinel|pre|post)[-_ ](?=[12]\b|[12][-_ ]|event|disaster)", re.IGNORECASE)

SPLITS = frozenset(
    {"train", "training", "trainval", "val", "valid", "validation", "dev", "test", "testing"}
)
"""Folders that say what a scene is used for, and not where it lies."""


def same_name(name: str) -> str:
    """A name without what file systems change: case, and how accents are composed."""
    return unicodedata.normalize("NFC", name).casefold()


def folder_side(name: str) -> tuple[Modality, int] | None:
    """The sensor that the whole name of a folder says, and its place among the names of it.

    >>> folder_side("SAR"), folder_side("pre-event"), folder_side("sar_images")
    (('sar', 0), ('optical', 7), None)
    """
    whole = "".join(_said(name))
    return next(
        ((side, NAMES[side].index(whole)) for side in MODALITIES if whole in NAMES[side]), None
    )


def is_aside(name: str) -> bool:
    """Whether a folder holds something else than images, as masks or labels."""
    return bool({word.casefold() for word in _words(name)} & _NOT_IMAGERY)


def side_of(name: str) -> Modality | None:
    """The sensor that one word of a name says; None where none does, or both do.

    >>> side_of("tile0_s1"), side_of("opt12"), side_of("tile0"), side_of("s1_s2")
    ('sar', 'optical', None, None)
    """
    words = _said(name)
    said = [side for side in MODALITIES if any(_says(word, side) for word in words)]
    return said[0] if len(said) == 1 else None


def without_side(name: str, side: Modality) -> str:
    """A name without the words that say its sensor, joined by underscores.

    >>> without_side("Tile0_S1", "sar"), without_side("sar-17", "sar"), without_side("sar3", "sar")
    ('Tile0', '17', '3')
    """
    kept = []
    for word in _words(name):
        number = _NUMBERED.match(word.casefold())
        if number and number[1] in _DROPPED[side]:
            kept.append(number[2])
        elif word.casefold() not in _DROPPED[side]:
            kept.append(word)
    return "_".join(kept)


def _said(name: str) -> list[str]:
    """The words of a name in small letters; none where it is of something else than images."""
    return [] if is_aside(name) else [word.casefold() for word in _words(name)]


def _says(word: str, side: Modality) -> bool:
    number = _NUMBERED.match(word)
    return (number[1] if number else word) in _SATELLITES[side]


def _words(name: str) -> list[str]:
    joined = _JOINED.sub(r"\1", unicodedata.normalize("NFC", name))
    return [word for word in re.split(r"[\W_]+", joined) if word]


@dataclass(frozen=True)
class Sides:
    """What a layout finds in a folder.

    Attributes
    ----------
    sar, optical : dict of str to place
        Images by key. Those of equal keys are a pair.
    groups : mapping of key to str
        Region, tile or acquisition, where the layout knows it.
    tie_points : mapping of key to place
        Tables of positions in both images, where the set has them.
    folder : Path, optional
        Where ``groups.csv`` may lie, if not in the folder of the set itself.
    """

    sar: dict[str, Place]
    optical: dict[str, Place]
    groups: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    tie_points: Mapping[str, Place] = field(default_factory=dict)

    def of(self, side: Modality) -> dict[str, Place]:
        """The images of one side."""
        return self.sar if side == "sar" else self.optical


def sides_of(listed: Iterable[tuple[Modality, str, Place]], folder: Path) -> Sides:
    """Sort images with their side and key into the sides of a set.

    Raises
    ------
    LayoutError
        If two images of one side have the same key.
    """
    files: dict[Modality, dict[str, Place]] = {side: {} for side in MODALITIES}
    for side, key, path in listed:
        if key in files[side]:
            raise twice(key, files[side][key], path)
        files[side][key] = path
    return Sides(files["sar"], files["optical"], folder=folder)


@dataclass(frozen=True)
class Match:
    """The keys of two images that belong together, and what the pair is called."""

    id: str
    sar: str
    optical: str


def match_keys(sides: Sides) -> tuple[list[Match], dict[Modality, list[str]]]:
    """Pair the images of both sides, and list the keys that have no partner.

    Equal keys come first. Then come keys that differ in case or in how accents
    are composed, and those that are equal without the words that say the sensor
    (``tile0_s1`` and ``tile0_s2``). Last are those that lie alone in a folder of
    their own. Numbers and dates are never left out: two images of
    different days are no pair by their names.

    Raises
    ------
    LayoutError
        If two images of one side have the same key.
    """
    left = {side: sorted(sides.of(side)) for side in MODALITIES}
    matches: list[Match] = []
    counts = _counts_in_folders(sides)
    ways: tuple[_Way, ...] = (
        lambda key, _: key,
        lambda key, _: same_name(key),
        lambda key, side: same_name(_wordless(key, side)),
        lambda key, side: _lone_folder(key, counts[side]) if counts else "",
    )
    for way in ways:
        named = {side: _by_name(left[side], side, way) for side in MODALITIES}
        taken = {match.id for match in matches}
        for name in sorted(named["sar"].keys() & named["optical"].keys()):
            for side in MODALITIES:
                if len(same := named[side][name]) > 1:
                    raise twice(name, *(sides.of(side)[key] for key in same[:2]))
            sar, optical = (named[side][name][0] for side in MODALITIES)
            called = _called(sar, optical)
            matches.append(Match(sar if called in taken else called, sar, optical))
        for side in MODALITIES:
            done = {getattr(match, side) for match in matches}
            left[side] = [key for key in left[side] if key not in done]
    return matches, left


_Way = Callable[[str, Modality], str]


def _by_name(keys: Iterable[str], side: Modality, way: _Way) -> dict[str, list[str]]:
    """Keys by what a way makes of them, where it makes something."""
    found: dict[str, list[str]] = {}
    for key in keys:
        if name := way(key, side):
            found.setdefault(name, []).append(key)
    return found


def _called(sar: str, optical: str) -> str:
    """What a pair is called: its key, or what both keys have in common."""
    if same_name(sar) == same_name(optical):
        return sar
    short = _wordless(sar, "sar")
    if same_name(short) == same_name(_wordless(optical, "optical")):
        return short
    return _common_folder(sar, optical)


def _wordless(key: str, side: Modality) -> str:
    """A key without the words that say the sensor; its folder where nothing else is left."""
    folder, _, name = key.rpartition("/")
    name = without_side(name, side)
    return f"{folder}/{name}" if folder and name else folder or name


def _common_folder(sar: str, optical: str) -> str:
    """The folder, or the name of an image, that two keys begin with."""
    parts = zip(sar.split("/"), optical.split("/"), strict=False)
    return "/".join(
        one for one, _ in takewhile(lambda both: same_name(both[0]) == same_name(both[1]), parts)
    )


def _counts_in_folders(sides: Sides) -> dict[Modality, Counter[str]] | None:
    """How many images of a side each folder holds, deeper ones too; None where one holds two.

    That is: none where a folder is more than one scene.
    """
    keys = {
        side: [key for key in sides.of(side) if not is_no_imagery(f"{key}.tif")]
        for side in MODALITIES
    }
    for listed in keys.values():
        folders = [key.rpartition("/")[0] for key in listed]
        if len(set(folders)) < len(folders):
            return None
    return {side: Counter(up for key in keys[side] for up in _folders_above(key)) for side in keys}


def _folders_above(key: str) -> list[str]:
    """The folders that an image lies in, the outermost first; not those of splits."""
    parts = key.split("/")[:-1]
    above = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    return [name for name in above if name.rpartition("/")[2].lower() not in SPLITS]


def _lone_folder(key: str, counts: Counter[str]) -> str:
    """The outermost folder that holds this image alone; the key itself where there is none."""
    if is_no_imagery(f"{key}.tif"):
        return ""
    return same_name(next((name for name in _folders_above(key) if counts[name] == 1), key))


def twice(key: str, first: Place, second: Place) -> LayoutError:
    """The error for two images of one side with the same key."""
    return LayoutError(
        f"{first} and {second} both have the key '{key}'; remove one, or name the pairs in "
        f"{table_of('sar/a.tif', 'optical/a.tif')}."
    )


def table_of(sar: str, optical: str) -> str:
    """The table that says which images are a pair, with an example of two lines, for errors."""
    return (
        "a table (CSV or Parquet; columns sar, optical, if you like id and group), as pairs.csv "
        f"with the lines 'sar,optical' and '{sar},{optical}'"
    )
