"""Scene pairs from a folder, a table or a public set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosslook.errors import InputError, LayoutError
from crosslook.storage import as_path, is_remote, reaching

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt"})


@dataclass(frozen=True)
class ScenePair:
    """One SAR image and the optical image of the same ground.

    ``id`` is unique within a set; ``group`` is a coarser unit (tile, season,
    region), the id itself where none is known.
    """

    id: str
    group: str
    sar: Path
    optical: Path


def open_pairs(source: str | Path, layout: str = "auto") -> list[ScenePair]:
    """List the scene pairs of a source, sorted by id.

    Parameters
    ----------
    source : path or address
        A CSV or Parquet table with columns ``sar``, ``optical`` and optionally
        ``id`` and ``group``, or a folder in one of the layouts of
        :mod:`crosslook.data.layouts`. Relative paths of a table are relative
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
    from crosslook.data.layouts import find_layout

    source = as_path(source)
    with reaching(source):
        if source.is_dir():
            found = find_layout(source, layout)(source)
        elif source.is_file():
            found = _read_table(source)
        else:
            raise LayoutError(f"{source} does not exist; give a folder, a CSV or a Parquet table.")
    if not found:
        raise LayoutError(f"no pairs in {source}; it needs SAR and optical files of equal stem.")
    return sorted(found, key=lambda pair: pair.id)


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
    found: dict[str, Path] = {}
    for key, path in zip(keys, paths, strict=True):
        if key in found:
            raise LayoutError(f"{found[key]} and {path} both stand for '{key}'; remove one.")
        found[key] = path
    return found


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
