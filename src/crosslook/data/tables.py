"""Tables that people write beside their images: pairs, groups, shifts, dates.

They are read as text: a name keeps its zeros. ``0007``, ``1e5`` and ``NA`` are
names of scenes like any other. A reader that takes them for numbers or for
nothing loses the scene.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

from crosslook.errors import InputError
from crosslook.types import MODALITIES, Modality

Row = dict[str, str]


def read_text_table(path: Path) -> tuple[tuple[str, ...], list[Row]]:
    """Read a CSV or Parquet table: its columns, and a row of texts each by column.

    Blanks around a text are left out; an empty cell, or one of a Parquet table
    that holds nothing, is ``""``. Whole numbers of a Parquet table become text
    as they are written.

    Raises
    ------
    InputError
        If the file cannot be read, or rows differ in length.
    """
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    try:
        data = path.read_bytes()
        if is_parquet:
            return _read_parquet(data)
        return _read_csv(_decoded(data))
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's errors are ValueErrors
        kind = "CSV or Parquet" if is_parquet else "CSV"
        said = " ".join(str(error).split()).rstrip(" .")
        raise InputError(f"{path} is not a {kind} table: {said}.") from error


def _decoded(data: bytes) -> str:
    # UTF-16 has zero bytes too; its mark in front tells it from pixels.
    head = data[:4096]
    is_wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in head and not is_wide:
        raise ValueError("it holds pixels or other binary data, no text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("its text is not in UTF-8; save it as CSV in UTF-8") from None


def _read_csv(text: str) -> tuple[tuple[str, ...], list[Row]]:
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    if not lines:
        raise ValueError("it is empty")
    head = tuple(cell.strip() for cell in lines[0])
    if len(head) == 1 and (";" in head[0] or "\t" in head[0]):
        raise ValueError("its columns are not separated by commas; save it with commas")
    for name in head:
        if head.count(name) > 1:
            raise ValueError(f"two of its columns are named '{name}'")
    rows = []
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(head):
            raise ValueError(
                f"row {number} has {len(line)} cells, the first line {len(head)}; mend the row"
            )
        rows.append({name: cell.strip() for name, cell in zip(head, line, strict=True)})
    return head, rows


def _read_parquet(data: bytes) -> tuple[tuple[str, ...], list[Row]]:
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(data))
    rows = [{name: _text(cell) for name, cell in row.items()} for row in table.to_pylist()]
    return tuple(table.column_names), rows


def _text(cell: Any) -> str:
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():  # whole numbers beside empty cells
        return str(int(cell))
    return (cell.decode("utf-8") if isinstance(cell, bytes) else str(cell)).strip()


def check_names(path: Path, listed: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuse a table beside the images that names none of their scenes, or lost their zeros.

    Parameters
    ----------
    path : Path
        Of the table, for the message.
    listed, known : iterable of str
        The scenes that it names, and those that there are.
    what : str
        What the table is, as ``the alignment``.

    Raises
    ------
    InputError
        If there is no scene in both, or a spreadsheet made ``7`` of ``007``; it shows one of each.
    """
    listed, known = list(listed), set(known)
    if not listed or not known:
        return
    if known.intersection(listed):
        check_zeros(str(path), listed, known)
        return
    raise InputError(
        f"{path} names no scene of the pairs: {what} has '{listed[0]}', the pairs have "
        f"'{min(known)}'. Write its column 'scene' as the pairs are named (the name of the files "
        "without their ending), or take the file away."
    )


def check_zeros(table: str, listed: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that are those of scenes but for zeros, as spreadsheets leave them.

    Parameters
    ----------
    table : str
        What names them, for the message.
    listed, known : iterable of str
        The scenes that it names, and those that there are.

    Raises
    ------
    InputError
        If one is so; it shows both.
    """
    listed, known = set(listed), set(known)
    numbers = {name.lstrip("0"): name for name in known - listed if name.startswith("0")}
    for name in sorted(listed - known):
        if name.isdecimal() and (whole := numbers.get(name.lstrip("0"))):
            raise InputError(
                f"{table} names '{name}', the pairs have '{whole}': its zeros were lost, as "
                "spreadsheets do to numbers. Write its column 'scene' as text."
            )


def read_alignment(path: Path) -> dict[str, tuple[float, float]]:
    """Read a CSV with columns ``scene``, ``row`` and ``col``.

    SAR pixel (r, c) shows the ground that the optical image has at
    (r + row, c + col). Other columns are left alone.

    Raises
    ------
    InputError
        If the file cannot be read, a column is missing or a shift is no
        finite number.
    """
    columns, rows = read_text_table(path)
    missing = {"scene", "row", "col"} - set(columns)
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    shifts: dict[str, tuple[float, float]] = {}
    for line in rows:
        try:
            shift = float(line["row"]), float(line["col"])
        except ValueError:
            shift = math.nan, math.nan
        if not all(map(math.isfinite, shift)):
            raise InputError(f"{path}: the shift of scene '{line['scene']}' is no finite number.")
        shifts[line["scene"]] = shift
    return shifts


TABLE = "scenes.csv"
_FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%Y%m%d")


def days_between(pairs: Path) -> dict[str, float]:
    """Read days between SAR and optical image of each scene.

    They are in ``scenes.csv`` beside the images, in columns ``scene``,
    ``sar_date`` and ``optical_date`` (2020-11-04, 04.11.2020 or 20201104).
    Without that file, or for lines without readable dates, nothing is said.
    """
    return {
        scene: float(abs((dates["sar"] - dates["optical"]).days))
        for scene, dates in _dates(pairs).items()
        if dates["sar"] is not None and dates["optical"] is not None
    }


def acquisition_dates(pairs: Path) -> dict[str, dict[Modality, str]]:
    """When each image was taken, by scene and modality, as ``20201104T000000``; empty where unsaid.

    From the same file as :func:`days_between`.
    """
    return {
        scene: {m: "" if day is None else f"{day:%Y%m%d}T000000" for m, day in dates.items()}
        for scene, dates in _dates(pairs).items()
    }


def _dates(pairs: Path) -> dict[str, dict[Modality, date | None]]:
    path = pairs / TABLE if pairs.is_dir() else pairs.with_name(TABLE)
    if not path.is_file():
        return {}
    _, lines = read_text_table(path)
    return {
        line["scene"]: {side: _date(line.get(f"{side}_date")) for side in MODALITIES}
        for line in lines
        if line.get("scene")
    }


def _date(text: str | None) -> date | None:
    for form in _FORMATS:
        try:
            return datetime.strptime((text or "").strip(), form).date()
        except ValueError:
            continue
    return None
