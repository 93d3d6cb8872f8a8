"""Scene pairs from a folder, a table or a public set, and how they are brought together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crosslook.data.layouts import LAYOUTS, Finder, stem_of
from crosslook.data.sides import SPLITS, Match, Sides, match_keys, table_of
from crosslook.data.tables import check_names, read_text_table
from crosslook.errors import InputError, LayoutError, SettingError, did_you_mean
from crosslook.geo.products.listing import is_no_imagery
from crosslook.storage import Place, as_path, as_place, is_remote, reaching
from crosslook.types import MODALITIES, Modality


@dataclass(frozen=True)
class ScenePair:
    """One SAR image and the optical image of the same ground.

    ``tie_points`` is a table of positions in both, where the set has one.
    ``id`` is unique within a set; ``group`` is a coarser unit (tile, season,
    region), read from folders and names such as ``GF3_city_12`` where nothing else
    tells it, and the id itself where none is known. An image is a path, an
    address or a name that GDAL knows.
    """

    id: str
    group: str
    sar: Place
    optical: Place
    tie_points: Place | None = None


class Pairs(list[ScenePair]):
    """Pairs of a set, sorted by id.

    Attributes
    ----------
    notes : tuple of str
        What was left out of the set, and why.
    incomplete : tuple of (str, str)
        Images without a partner that were left out: each by its name, and what it lacks.
    """

    def __init__(
        self,
        pairs: Iterable[ScenePair],
        notes: Iterable[str] = (),
        incomplete: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(pairs)
        self.notes = tuple(notes)
        self.incomplete = tuple(incomplete)


def pair_up(sides: Sides, *, skip: bool = False) -> Pairs:
    """Pair the images of both sides.

    Raises
    ------
    LayoutError
        If an image has no partner and is not to be skipped; names the first few.
    """
    matches, alone = match_keys(sides)
    alone, aside = _set_aside(alone)
    lacking = [
        (key, str(other))
        for side, other in zip(MODALITIES, reversed(MODALITIES), strict=True)
        for key in alone[side]
    ]
    missing = [f"{key} ({other} is missing)" for key, other in lacking]
    if missing and not (skip and matches):
        raise LayoutError(_without_partner(sides, matches, alone, missing))
    pairs = []
    for match in matches:
        sar, optical = sides.sar[match.sar], sides.optical[match.optical]
        group = sides.groups.get(match.sar) or match.id
        ties = sides.tie_points.get(match.sar)
        pairs.append(ScenePair(match.id, group, sar, optical, ties))
    notes = []
    if aside:
        notes.append(f"{len(aside)} file(s) are no images by their names: {some_of(aside)}")
    if missing:
        what = f"left out {len(missing)} file(s) without a partner, {len(matches)} pairs remain"
        notes.append(f"{what}: {some_of(missing)}")
    words = {"sar": "SAR", "optical": "optical"}
    return Pairs(pairs, notes, [(k, f"the {words[o]} image is missing") for k, o in lacking])


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


def _without_partner(
    sides: Sides,
    matches: Sequence[Match],
    alone: Mapping[Modality, Sequence[str]],
    missing: Sequence[str],
) -> str:
    """Say what has no partner, and the ways out: leave it out, or name the pairs in a table."""
    keys = {side: [*(getattr(m, side) for m in matches[:1]), *alone[side]] for side in MODALITIES}
    # Folder and name of an image, as a table beside the folder names it.
    shown = [
        "/".join(str(sides.of(side)[keys[side][0]]).split("/")[-2:])
        if keys[side]
        else f"{side}/a.tif"
        for side in MODALITIES
    ]
    skipping = "leave them out with --skip-incomplete, " if matches else ""
    return (
        f"{len(missing)} file(s) without a partner: {some_of(missing)}. Files of both sides pair "
        "by equal names, words such as s1, s2, sar or rgb left out; add the missing ones, "
        f"{skipping}or give {table_of(*shown)}."
    )


def some_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


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


TABLES = ("groups.csv", "scenes.csv")
COLUMNS = ("group", "tile", "region")


def read_groups(folder: Path) -> dict[str, str]:
    """Read ``groups.csv`` or ``scenes.csv`` of a folder of pairs.

    The table has a column ``scene`` (the stem of the files) and one of
    ``group``, ``tile``, ``region``; the first of them that is there counts.

    Returns
    -------
    dict of str to str
        Group per scene; empty where no table names groups. A scene that the
        table does not list is a group of its own.

    Raises
    ------
    InputError
        If a table is there but cannot be read as CSV, lacks its columns or
        names two groups for one scene.
    """
    for name in TABLES:
        path = folder / name
        if not path.is_file():
            continue
        columns, rows = read_text_table(path)
        column = next((column for column in COLUMNS if column in columns), None)
        if column is not None and "scene" in columns:
            return _groups_of(path, rows, column)
        if name == "groups.csv":
            raise InputError(
                f"{path} has columns {', '.join(columns)}; 'scene' and one of "
                f"{', '.join(COLUMNS)} are needed."
            )
    return {}


def _groups_of(path: Path, rows: Sequence[Mapping[str, str]], column: str) -> dict[str, str]:
    groups: dict[str, str] = {}
    for row in rows:
        scene, group = row["scene"], row[column]
        if scene and group and groups.setdefault(scene, group) != group:
            raise InputError(
                f"{path} has scene '{scene}' in two groups, '{groups[scene]}' and '{group}'; "
                "leave one of the rows."
            )
    return groups


def _names_of(pair: ScenePair) -> list[str]:
    """The names by which a table may list a pair: its id, or the stem of either file."""
    stems = (stem_of(place) for place in (pair.sar, pair.optical))
    return [pair.id, pair.id.rpartition("/")[2], *stems]


def _with_groups(source: Path, folder: Path, pairs: Pairs) -> Pairs:
    """Pairs with the groups that tables beside them name; a table of no scene is refused."""
    known = [name for pair in pairs for name in _names_of(pair)]
    for name in TABLES:
        path = folder / name
        if path.is_file() and path != source:
            columns, rows = read_text_table(path)
            if "scene" in columns:
                listed = [row["scene"] for row in rows if row["scene"]]
                if not listed:
                    raise InputError(f"{path} names no scene; write its rows, or take it away.")
                check_names(path, listed, known, name)
    groups = {} if (folder / TABLES[0]) == source else read_groups(folder)
    notes = list(pairs.notes)
    alone = [pair.id for pair in pairs if not groups.keys() & _names_of(pair)]
    if groups and alone:
        notes.append(
            f"the table of groups names none for {len(alone)} of {len(pairs)} pairs, as "
            f"{', '.join(alone[:3])}; neighbours among them are not kept together."
        )
    named = (next((groups[n] for n in _names_of(p) if n in groups), p.group) for p in pairs)
    grouped_pairs = [replace(p, group=group) for p, group in zip(pairs, named, strict=True)]
    return Pairs(grouped_pairs, notes, pairs.incomplete)


def find_layout(folder: Path, name: str = "auto") -> Finder:
    """Return the finder of a layout by name, or of the first one recognised.

    Raises
    ------
    SettingError
        If the name is unknown.
    LayoutError
        If the folder is in no known layout.
    """
    names = [layout.name for layout in LAYOUTS]
    for layout in LAYOUTS:
        if layout.name == name or (name == "auto" and layout.recognise(folder)):
            return layout.find
    if name != "auto":
        raise SettingError(
            f"unknown layout '{name}'; known are: auto, {', '.join(names)}."
            + did_you_mean(name, names)
        )
    raise LayoutError(
        f"{folder} holds no pairs in a known layout: no folders named by sensor, as sar and "
        "optical, s1 and s2, vv and rgb (also inside train and test, or a folder a scene), no "
        "names such as tile0_s1 and tile0_s2, and no public set that --layout knows "
        f"({', '.join(names)}). Give {table_of('a/sar.tif', 'a/optical.tif')}."
    )


def open_pairs(source: str | Path, layout: str = "auto", *, skip_incomplete: bool = False) -> Pairs:
    """List the scene pairs of a source, sorted by id.

    Parameters
    ----------
    source : path or address
        A CSV or Parquet table with columns ``sar``, ``optical`` and optionally
        ``id``, ``group`` and ``tie_points``, or a folder in one of the layouts of
        :mod:`crosslook.data.layouts`. Relative paths of a table are relative
        to it and stay below its folder; what lies elsewhere is named by an
        absolute path, an address or a name that GDAL knows. Other columns are
        left alone. All of it may lie in an object store
        (``s3://bucket/prefix``). An image is whatever is read elsewhere: a
        file, a product's folder, a STAC item.
    layout : str
        The name of a layout, or ``auto`` to recognise it.
    skip_incomplete : bool
        Leave out images without a partner, and name them in ``notes``.

    Returns
    -------
    Pairs
        A list of :class:`ScenePair`, with ``notes``.

    Raises
    ------
    LayoutError
        If there are no pairs, or a partner is missing.
    SettingError
        If the layout is unknown.
    """
    source = as_path(source)
    with reaching(source):
        if source.is_dir():
            sides = find_layout(source, layout)(source)
            pairs = pair_up(sides, skip=skip_incomplete)
            pairs = _with_groups(source, sides.folder or source, pairs)
        elif source.is_file():
            pairs = _read_table(source, skip=skip_incomplete)
            pairs = _with_groups(source, source.parent, pairs)
        else:
            raise LayoutError(f"{source} does not exist; give a folder, a CSV or a Parquet table.")
    if not pairs:
        raise LayoutError(
            f"no pairs in {source}; it needs SAR and optical files of equal stem, or give "
            f"{table_of('sar/a.tif', 'optical/a.tif')}."
        )
    in_order = grouped(sorted(pairs, key=lambda pair: pair.id))
    return Pairs(in_order, pairs.notes, pairs.incomplete)


def _read_table(path: Path, *, skip: bool) -> Pairs:
    """Read a table of pairs; rows that lack an image are left out where that is requested."""
    pairs: list[ScenePair] = []
    lacking: list[str] = []
    incomplete: list[tuple[str, str]] = []
    columns, rows = read_text_table(path)
    if absent := {"sar", "optical"} - set(columns):
        raise LayoutError(
            f"{path} has columns {', '.join(columns)}; {' and '.join(sorted(absent))} are missing."
        )
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        cells = [row[side] for side in MODALITIES]
        places = [_below(path, where, cell) for cell in cells]
        lost = next(
            (cell for cell, at in zip(cells, places, strict=True) if not _is_there(at)), None
        )
        if lost is not None:
            lacking.append(f"row {number} ({lost or 'an empty path'})")
            what = f"{lost} is not a file or a product" if lost else "a path is empty"
            incomplete.append((row.get("id") or f"row-{number}", f"{path}, row {number}: {what}"))
            if not skip:
                raise LayoutError(
                    f"{where}: {lost} is not a file or the folder of a product; mend the row, or "
                    "leave all such out with --skip-incomplete."
                    if lost
                    else f"{where}: a path is empty; name both files, or leave all such rows out "
                    "with --skip-incomplete."
                )
            continue
        name = row.get("id") or stem_of(places[0])
        _check_id(where, name)
        ties = _below(path, where, row["tie_points"]) if row.get("tie_points") else None
        pairs.append(ScenePair(name, row.get("group") or name, places[0], places[1], ties))
    twice = [name for name, count in Counter(p.id for p in pairs).items() if count > 1]
    if twice:
        raise LayoutError(f"{path}: id '{min(twice)}' is in more than one row; make it unique.")
    notes = [f"left out {len(lacking)} of {len(rows)} rows that lack an image: {some_of(lacking)}"]
    return Pairs(pairs, notes if lacking else [], incomplete)


def _check_id(where: str, name: str) -> None:
    """Refuse ids that would name a folder elsewhere: results lie in a folder of each id."""
    if Path(name).is_absolute() or ".." in Path(name).parts or not name.isprintable():
        raise LayoutError(
            f"{where}: the id '{name!a}' is no name for a folder of results; use letters, digits, "
            "hyphens and underscores, or leave the column id out."
        )


def _below(table: Path, where: str, cell: str) -> Place:
    """The place that a cell of a table names; a relative path stays below the table's folder."""
    place = as_place(cell)
    if isinstance(place, str) or is_remote(cell) or place.is_absolute():
        return place
    if ".." in place.parts:
        raise LayoutError(
            f"{where}: {cell} leaves the folder of the table; "
            "write an absolute path for files that lie elsewhere."
        )
    return table.parent / cell if cell else place


def _is_there(place: Place) -> bool:
    """Whether an image is there, where that can be seen before it is opened."""
    return isinstance(place, str) or (place != Path() and place.exists())
