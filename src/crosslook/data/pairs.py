"""Scene pairs from a folder, a table or a public set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from crosslook.data.layouts.images import stem_of
from crosslook.data.layouts.public import LAYOUTS, Finder
from crosslook.data.layouts.sides import table_of
from crosslook.data.pairing import Pairs as Pairs
from crosslook.data.pairing import ScenePair as ScenePair
from crosslook.data.pairing import grouped, pair_up, some_of
from crosslook.data.pairing import region_of as region_of
from crosslook.errors import InputError, LayoutError, SettingError, did_you_mean
from crosslook.storage import Place, as_path, as_place, is_remote, reaching
from crosslook.types import MODALITIES

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
        If a table is there but cannot be read as CSV.
    """
    import pyarrow as pa
    from pyarrow import csv

    for name in TABLES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                table = csv.read_csv(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} is not a CSV table: {error}.") from error
        column = next((column for column in COLUMNS if column in table.column_names), None)
        if column is None or "scene" not in table.column_names:
            continue
        scenes, groups = table["scene"].to_pylist(), table[column].to_pylist()
        return {
            str(scene): str(group)
            for scene, group in zip(scenes, groups, strict=True)
            if group is not None
        }
    return {}


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
        ``id`` and ``group``, or a folder in one of the layouts of
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
            pairs = pair_up(sides, read_groups(sides.folder or source), skip=skip_incomplete)
        elif source.is_file():
            pairs = _read_table(source, skip=skip_incomplete)
        else:
            raise LayoutError(f"{source} does not exist; give a folder, a CSV or a Parquet table.")
    if not pairs:
        raise LayoutError(
            f"no pairs in {source}; it needs SAR and optical files of equal stem, or give "
            f"{table_of('sar/a.tif', 'optical/a.tif')}."
        )
    return Pairs(grouped(sorted(pairs, key=lambda pair: pair.id)), pairs.notes)


def _read_table(path: Path, *, skip: bool) -> Pairs:
    """Read a table of pairs; rows that lack an image are left out where that is asked for."""
    pairs: list[ScenePair] = []
    lacking: list[str] = []
    rows = _table_rows(path)
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        cells = [str(row[side] or "").strip() for side in MODALITIES]
        places = [_below(path, where, cell) for cell in cells]
        lost = next(
            (cell for cell, at in zip(cells, places, strict=True) if not _is_there(at)), None
        )
        if lost is not None:
            lacking.append(f"row {number} ({lost or 'an empty path'})")
            if not skip:
                raise LayoutError(
                    f"{where}: {lost} is not a file or the folder of a product; mend the row, or "
                    "leave all such out with --skip-incomplete."
                    if lost
                    else f"{where}: a path is empty; name both files, or leave all such rows out "
                    "with --skip-incomplete."
                )
            continue
        name = str(row.get("id") or stem_of(places[0]))
        _check_id(where, name)
        pairs.append(ScenePair(name, str(row.get("group") or name), *places))
    twice = [name for name, count in Counter(p.id for p in pairs).items() if count > 1]
    if twice:
        raise LayoutError(f"{path}: id '{min(twice)}' stands in more than one row; make it unique.")
    notes = [f"left out {len(lacking)} of {len(rows)} rows that lack an image: {some_of(lacking)}"]
    return Pairs(pairs, notes if lacking else [])


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


def _table_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        is_parquet = path.suffix.lower() in (".parquet", ".pq")
        with path.open("rb") as file:
            table = parquet.read_table(file) if is_parquet else csv.read_csv(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a CSV or Parquet table: {error}.") from error
    missing = {"sar", "optical"} - set(table.column_names)
    if missing:
        raise LayoutError(
            f"{path} has columns {', '.join(table.column_names)}; "
            f"{' and '.join(sorted(missing))} are missing."
        )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
