"""Scene pairs from a folder, a table or a public set.

How paired sets lie on disk: the plain folder and the public sets.

Each layout is one row of ``LAYOUTS``: how to recognise it, and how to list its
pairs. A recogniser looks at few files, so opening a large set stays quick.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from crosslook.data.text_table import check_names, read_text_table
from crosslook.errors import InputError, LayoutError, SettingError, did_you_mean
from crosslook.storage import as_path, is_remote, reaching


@dataclass(frozen=True)
class ScenePair:
    """One SAR image and the optical image of the same ground.

    ``id`` is unique within a set; ``group`` is a coarser unit (tile, season,
    region), read from names such as ``GF3_city_12`` where nothing else tells it,
    and the id itself where none is known.
    """

    id: str
    group: str
    sar: Path
    optical: Path


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
        If a table is there but cannot be read as CSV, or lacks its columns.
    """
    for name in TABLES:
        path = folder / name
        if not path.is_file():
            continue
        columns, rows = read_text_table(path)
        column = next((column for column in COLUMNS if column in columns), None)
        if column is not None and "scene" in columns:
            return {row["scene"]: row[column] for row in rows if row["scene"] and row[column]}
        if name == "groups.csv":
            raise InputError(
                f"{path} has columns {', '.join(columns)}; 'scene' and one of "
                f"{', '.join(COLUMNS)} are needed."
            )
    return {}


def _with_groups(source: Path, pairs: list[ScenePair]) -> list[ScenePair]:
    """Pairs with the groups that tables beside them name; a table of no scene is refused."""
    folder = source if source.is_dir() else source.parent
    known = [pair.id for pair in pairs]
    for name in TABLES:
        path = folder / name
        if path.is_file() and path != source:
            columns, rows = read_text_table(path)
            if "scene" in columns:
                listed = [row["scene"] for row in rows if row["scene"]]
                check_names(path, listed, known, name)
    groups = {} if (folder / TABLES[0]) == source else read_groups(folder)
    return [replace(pair, group=groups.get(pair.id, pair.group)) for pair in pairs]


OPTICAL_NAMES = ("optical", "opt", "rgb", "eo", "s2", "sentinel2", "sentinel-2", "visible")
SAR_NAMES = ("sar", "s1", "radar", "sentinel1", "sentinel-1", "vv", "vh")

Finder = Callable[[Path], list[ScenePair]]


@dataclass(frozen=True)
class Layout:
    """A way in which a set lies on disk."""

    name: str
    shape: str
    recognise: Callable[[Path], bool]
    find: Finder


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
    shapes = "; ".join(f"{layout.name}: {layout.shape}" for layout in LAYOUTS)
    raise LayoutError(f"{folder} holds no pairs in a known layout. Known are {shapes}.")


def _side(folder: Path, names: Iterable[str]) -> Path | None:
    """Find the folder of one modality, by the first of ``names`` that is there."""
    folders = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    return next((folders[name] for name in names if name in folders), None)


def _plain_recognise(folder: Path) -> bool:
    return bool(_side(folder, SAR_NAMES) and _side(folder, OPTICAL_NAMES))


def _plain(folder: Path) -> list[ScenePair]:
    sar, optical = _side(folder, SAR_NAMES), _side(folder, OPTICAL_NAMES)
    if sar is None or optical is None:
        names = SAR_NAMES if sar is None else OPTICAL_NAMES
        raise LayoutError(f"{folder} has no folder named one of: {', '.join(names)}.")
    return pair_up(_by_stem(sar), _by_stem(optical), read_groups(folder))


def _by_stem(folder: Path) -> dict[str, Path]:
    paths = images_in(folder)
    return by_key(paths, [path.stem for path in paths])


_SEN = re.compile(r"^(ROIs\d+_[a-z]+)_(s1|s2)_(\d+)_(p\d+)$")


def _sen_files(folder: Path, suffix: str) -> Iterable[Path]:
    return folder.glob(f"ROIs*/s[12]_*/ROIs*{suffix}")


def _sen(suffix: str) -> Finder:
    """SEN1-2 (png) and SEN12MS, SEN12MS-CR (tif) share their names."""

    def find(folder: Path) -> list[ScenePair]:
        sides: dict[str, dict[str, Path]] = {"s1": {}, "s2": {}}
        groups: dict[str, str] = {}
        for path in sorted(_sen_files(folder, suffix)):
            match = _SEN.match(path.stem)
            if match:  # s2_cloudy of SEN12MS-CR does not match, and is left out
                roi, sensor, number, patch = match.groups()
                key = f"{roi}_{number}_{patch}"
                sides[sensor][key] = path
                groups[key] = f"{roi}_{number}"
        return pair_up(sides["s1"], sides["s2"], groups)

    return find


def _has(pattern: str) -> Callable[[Path], bool]:
    return lambda folder: any(True for _ in islice(folder.glob(pattern), 1))


def _two_folders(sar: str, optical: str) -> Finder:
    def find(folder: Path) -> list[ScenePair]:
        return pair_up(_by_stem(folder / sar), _by_stem(folder / optical))

    return find


_OS = re.compile(r"^(sar|opt)(\d+)$")


def _osdataset(folder: Path) -> list[ScenePair]:
    sides: dict[str, dict[str, Path]] = {"sar": {}, "opt": {}}
    for path in images_in(folder, "**/*"):
        match = _OS.match(path.stem)
        if match:
            below = path.parent.relative_to(folder).as_posix()
            prefix = "" if below == "." else f"{below}/"
            sides[match.group(1)][prefix + match.group(2)] = path
    return pair_up(sides["sar"], sides["opt"])


_SPACENET = re.compile(r"^(.*)_(SAR-Intensity|PS-RGB)_(.*tile_\d+)$")


def _spacenet6(folder: Path) -> list[ScenePair]:
    sides: dict[str, dict[str, Path]] = {"SAR-Intensity": {}, "PS-RGB": {}}
    groups: dict[str, str] = {}
    for kind, files in sides.items():
        for path in sorted(folder.glob(f"**/{kind}/*.tif")):
            match = _SPACENET.match(path.stem)
            if match and match.group(2) == kind:
                key = f"{match.group(1)}_{match.group(3)}"
                files[key] = path
                # The tiles of one acquisition share its time stamp.
                groups[key] = key.rpartition("_tile_")[0]
    return pair_up(sides["SAR-Intensity"], sides["PS-RGB"], groups)


def _sar2opt(folder: Path) -> list[ScenePair]:
    sar: dict[str, Path] = {}
    optical: dict[str, Path] = {}
    groups: dict[str, str] = {}
    for split in ("train", "test"):
        for side, paths in (("A", sar), ("B", optical)):
            for path in images_in(folder / f"{split}{side}"):
                # Both sides carry the same name, in some releases with _A and _B.
                key = f"{split}/{re.sub(r'_[AB]$', '', path.stem)}"
                paths[key] = path
                groups[key] = split
    return pair_up(sar, optical, groups)


LAYOUTS: tuple[Layout, ...] = (
    Layout("sen1-2", "ROIs*/s1_*/*.png", _has("ROIs*/s1_*/ROIs*.png"), _sen(".png")),
    Layout(
        "sen12ms-cr",
        "as sen12ms, with s2_cloudy_*",
        _has("ROIs*/s2_cloudy_*/ROIs*.tif"),
        _sen(".tif"),
    ),
    Layout("sen12ms", "ROIs*/s1_*/*.tif", _has("ROIs*/s1_*/ROIs*.tif"), _sen(".tif")),
    Layout(
        "qxs-saropt",
        "sar_256_oc_0.2/ and opt_256_oc_0.2/",
        _has("sar_256_oc_0.2"),
        _two_folders("sar_256_oc_0.2", "opt_256_oc_0.2"),
    ),
    Layout("spacenet6", "**/SAR-Intensity/ and PS-RGB/", _has("**/SAR-Intensity"), _spacenet6),
    Layout("sar2opt", "trainA, trainB, testA, testB", _has("t*[tn]A"), _sar2opt),
    Layout(
        "optical-sar-dataset",
        "dataset/sar/ and dataset/opt/",
        _has("dataset/opt"),
        lambda folder: _plain(folder / "dataset"),
    ),
    Layout("folders", "sar/ and optical/ (or synonyms)", _plain_recognise, _plain),
    Layout("osdataset", "sar1.png and opt1.png", _has("**/sar[0-9]*.png"), _osdataset),
)


SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt"})


def open_pairs(source: str | Path, layout: str = "auto") -> list[ScenePair]:
    """List the scene pairs of a source, sorted by id.

    Parameters
    ----------
    source : path or address
        A CSV or Parquet table with columns ``sar``, ``optical`` and optionally
        ``id`` and ``group``, or a folder in one of the layouts of
        :mod:`crosslook.data.pairs`. Relative paths of a table are relative
        to it and stay below its folder; what lies elsewhere is named by an
        absolute path. Other columns are left alone. All of it may lie in an
        object store (``s3://bucket/prefix``).
    layout : str
        The name of a layout, or ``auto`` to recognise it.

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
            pairs = find_layout(source, layout)(source)
        elif source.is_file():
            pairs = _read_table(source)
        else:
            raise LayoutError(f"{source} does not exist; give a folder, a CSV or a Parquet table.")
    if not pairs:
        raise LayoutError(f"no pairs in {source}; it needs SAR and optical files of equal stem.")
    with reaching(source):
        pairs = _with_groups(source, pairs)
    return _with_regions(sorted(pairs, key=lambda pair: pair.id))


_NUMBERED = re.compile(r"^(.*[^\W\d_].*?|\d+)[_-](?:p|patch|tile|crop)?\d+$", re.IGNORECASE)
_FEWEST_REGIONS = 3


def region_of(name: str) -> str | None:
    """The region in the name of a patch cut beforehand: all before its last number.

    >>> region_of("GF3_city_12"), region_of("0031_p7"), region_of("scene7")
    ('GF3_city', '0031', None)
    """
    match = _NUMBERED.match(name)
    return match.group(1) if match else None


def _with_regions(pairs: list[ScenePair]) -> list[ScenePair]:
    """Group pairs by the region in their names, where no group is known.

    Only where every name has one, three or more differ, and regions hold two
    pairs or more on average: ``img_1 ... img_900`` says nothing of where.
    """
    if any(pair.group != pair.id for pair in pairs):
        return pairs
    regions = [region_of(pair.id) for pair in pairs]
    known = {region for region in regions if region is not None}
    if None in regions or not _FEWEST_REGIONS <= len(known) <= len(pairs) / 2:
        return pairs
    return [
        replace(pair, group=region or pair.id) for pair, region in zip(pairs, regions, strict=True)
    ]


def pair_up(
    sar: dict[str, Path], optical: dict[str, Path], groups: dict[str, str] | None = None
) -> list[ScenePair]:
    """Pair files by key.

    Raises
    ------
    LayoutError
        If a key is on one side only; names the first few.
    """
    alone = sorted(set(sar) ^ set(optical))
    if alone and (sar or optical):
        missing = [f"{k} ({'optical' if k in sar else 'sar'} is missing)" for k in alone]
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise LayoutError(
            f"{len(missing)} file(s) without a partner: {', '.join(missing[:3])}{more}. "
            "Both sides need files of equal stem; add or remove the odd ones."
        )
    return [ScenePair(k, (groups or {}).get(k, k), sar[k], optical[k]) for k in sorted(sar)]


def images_in(folder: Path, pattern: str = "*") -> list[Path]:
    """List the raster files of a folder, sorted, hidden ones left out."""
    return sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def by_key(paths: Sequence[Path], keys: Sequence[str]) -> dict[str, Path]:
    """Map keys to paths.

    Raises
    ------
    LayoutError
        If two files have the same key.
    """
    by_name: dict[str, Path] = {}
    for key, path in zip(keys, paths, strict=True):
        if key in by_name:
            raise LayoutError(f"{by_name[key]} and {path} both stand for '{key}'; remove one.")
        by_name[key] = path
    return by_name


def _read_table(path: Path) -> list[ScenePair]:
    rows = _table_rows(path)
    pairs = []
    for number, row in enumerate(rows):
        sar, optical = (_below(path, number + 1, row[side]) for side in ("sar", "optical"))
        name = str(row.get("id") or sar.stem)
        pairs.append(ScenePair(name, str(row.get("group") or name), sar, optical))
        for side in (sar, optical):
            if not side.is_file():
                raise LayoutError(f"{path}, row {number + 1}: {side} is not a file.")
    twice = [name for name, count in Counter(p.id for p in pairs).items() if count > 1]
    if twice:
        raise LayoutError(f"{path}: id '{min(twice)}' stands in more than one row; make it unique.")
    return pairs


def _below(table: Path, number: int, cell: Any) -> Path:
    if cell is None or not str(cell).strip():
        raise LayoutError(f"{table}, row {number}: a path is empty; name both files.")
    text = str(cell).strip()
    if is_remote(text):
        return as_path(text)
    given = Path(text)
    if ".." in given.parts and not given.is_absolute():
        raise LayoutError(
            f"{table}, row {number}: {given} leaves the folder of the table; "
            "write an absolute path for files that lie elsewhere."
        )
    return table.parent / str(given)


def _table_rows(path: Path) -> list[dict[str, str]]:
    columns, rows = read_text_table(path)
    missing = {"sar", "optical"} - set(columns)
    if missing:
        raise LayoutError(
            f"{path} has columns {', '.join(columns)}; {' and '.join(sorted(missing))} are missing."
        )
    return rows
