"""Two images of one place, and how those of a set are brought together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from crosslook.data.layouts.sides import Match, Sides, match_keys, table_of
from crosslook.data.layouts.words import SPLITS
from crosslook.errors import LayoutError
from crosslook.geo.products.images import is_no_imagery
from crosslook.storage import Place
from crosslook.types import MODALITIES, Modality


@dataclass(frozen=True)
class ScenePair:
    """One SAR image and the optical image of the same ground.

    ``id`` is unique within a set; ``group`` is a coarser unit (tile, season,
    region), read from folders and names such as ``GF3_city_12`` where nothing else
    tells it, and the id itself where none is known. An image is a path, an
    address or a name that GDAL knows.
    """

    id: str
    group: str
    sar: Place
    optical: Place


class Pairs(list[ScenePair]):
    """Pairs of a set, sorted by id.

    Attributes
    ----------
    notes : tuple of str
        What was left out of the set, and why.
    """

    def __init__(self, pairs: Iterable[ScenePair], notes: Iterable[str] = ()) -> None:
        super().__init__(pairs)
        self.notes = tuple(notes)


def pair_up(sides: Sides, *, skip: bool = False) -> Pairs:
    """Pair the images of both sides.

    Raises
    ------
    LayoutError
        If an image has no partner and is not to be skipped; names the first few.
    """
    matches, alone = match_keys(sides)
    alone, aside = _set_aside(alone)
    missing = [f"{key} ({_other(side)} is missing)" for side in MODALITIES for key in alone[side]]
    if missing and not (skip and matches):
        raise LayoutError(_without_partner(sides, matches, alone, missing))
    pairs = []
    for match in matches:
        sar, optical = sides.sar[match.sar], sides.optical[match.optical]
        group = sides.groups.get(match.sar) or match.id
        pairs.append(ScenePair(match.id, group, sar, optical))
    notes = [f"{len(aside)} file(s) are no images by their names: {some_of(aside)}"]
    return Pairs(pairs, [*(notes if aside else ()), *_left_out(missing, len(matches))])


def _set_aside(
    alone: Mapping[Modality, Sequence[str]],
) -> tuple[dict[Modality, list[str]], list[str]]:
    """What has no partner, apart from masks, previews and the like that lie beside images."""
    others = {
        side: [key for key in keys if not is_no_imagery(f"{key}.tif")]
        for side, keys in alone.items()
    }
    aside = [key for side, keys in alone.items() for key in keys if key not in others[side]]
    return others, aside


def _other(side: Modality) -> Modality:
    return "optical" if side == "sar" else "sar"


def _without_partner(
    sides: Sides,
    matches: Sequence[Match],
    alone: Mapping[Modality, Sequence[str]],
    missing: Sequence[str],
) -> str:
    """Say what has no partner, and the ways out: leave it out, or name the pairs in a table."""
    keys = {side: [*(getattr(m, side) for m in matches[:1]), *alone[side]] for side in MODALITIES}
    shown = [
        _shown(sides.of(side)[keys[side][0]]) if keys[side] else f"{side}/a.tif"
        for side in MODALITIES
    ]
    table = table_of(*shown)
    skipping = "leave them out with --skip-incomplete, " if matches else ""
    return (
        f"{len(missing)} file(s) without a partner: {some_of(missing)}. Files of both sides pair "
        "by equal names, words such as s1, s2, sar or rgb left out; add the missing ones, "
        f"{skipping}or give {table}."
    )


def _shown(place: Place) -> str:
    """Folder and name of an image, as a table beside the folder names it."""
    return "/".join(str(place).split("/")[-2:])


def some_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _left_out(missing: Sequence[str], kept: int) -> list[str]:
    if not missing:
        return []
    what = f"left out {len(missing)} file(s) without a partner, {kept} pairs remain"
    return [f"{what}: {some_of(missing)}"]


_NUMBERED = re.compile(r"^(.*[^\W\d_].*?|\d+)[_-](?:p|patch|tile|crop)?\d+$", re.IGNORECASE)
_FEWEST_REGIONS = 3


def region_of(name: str) -> str | None:
    """The region in the name of a patch cut beforehand: all before its last number.

    >>> region_of("GF3_city_12"), region_of("0031_p7"), region_of("scene7")
    ('GF3_city', '0031', None)
    """
    match = _NUMBERED.match(name)
    return match.group(1) if match else None


def grouped(pairs: list[ScenePair]) -> list[ScenePair]:
    """Group pairs by what their ids say, where no group is known.

    By the folders that they lie in; else by the region in their names, only
    where every name has one, three or more differ, and regions hold two pairs
    or more on average (``img_1 ... img_900`` says nothing of where); else by
    the split, as train and test.
    """
    if any(pair.group != pair.id for pair in pairs):
        return pairs
    ids = [pair.id.split("/") for pair in pairs]
    folders = ["/".join(p for p in one[:-1] if p.lower() not in SPLITS) for one in ids]
    splits = [next((p for p in one[:-1] if p.lower() in SPLITS), "") for one in ids]
    regions = [region_of(one[-1]) or "" for one in ids]
    known = len(set(regions))
    if len(set(folders)) > 1:
        groups = folders
    elif all(regions) and _FEWEST_REGIONS <= known <= len(pairs) / 2:
        groups = regions
    else:
        groups = splits
    return [
        replace(pair, group=group or pair.id) for pair, group in zip(pairs, groups, strict=True)
    ]
