"""Shifts between the two images of a scene, from a file."""

from __future__ import annotations

import math
from pathlib import Path

from crosslook.errors import InputError


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
    import pyarrow as pa
    from pyarrow import csv

    try:
        with path.open("rb") as file:
            table = csv.read_csv(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"cannot read the alignment {path}: {error}.") from error
    missing = {"scene", "row", "col"} - set(table.column_names)
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    shifts: dict[str, tuple[float, float]] = {}
    for line in table.select(["scene", "row", "col"]).to_pylist():
        try:
            row, col = float(line["row"]), float(line["col"])
        except (TypeError, ValueError):
            row = col = math.nan
        if not (math.isfinite(row) and math.isfinite(col)):
            raise InputError(f"{path}: the shift of scene '{line['scene']}' is no finite number.")
        shifts[str(line["scene"])] = (row, col)
    return shifts
