"""When the two images of a scene were taken, where the data say so."""

from __future__ import annotations

import math
from datetime import date, datetime
from pathlib import Path

from crosslook.data.text_table import read_text_table
from crosslook.errors import InputError
from crosslook.types import Modality


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
            row, col = float(line["row"]), float(line["col"])
        except ValueError:
            row = col = math.nan
        if not (math.isfinite(row) and math.isfinite(col)):
            raise InputError(f"{path}: the shift of scene '{line['scene']}' is no finite number.")
        shifts[line["scene"]] = (row, col)
    return shifts


TABLE = "scenes.csv"
_FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%Y%m%d")


def days_between(pairs: Path) -> dict[str, float]:
    """Read days between SAR and optical image of each scene.

    They stand in ``scenes.csv`` beside the images, in columns ``scene``,
    ``sar_date`` and ``optical_date`` (2020-11-04, 04.11.2020 or 20201104).
    Without that file, or for lines without readable dates, nothing is said.
    """
    days: dict[str, float] = {}
    for scene, dates in _dates(pairs).items():
        sar, optical = dates["sar"], dates["optical"]
        if sar is not None and optical is not None:
            days[scene] = float(abs((sar - optical).days))
    return days


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
        line["scene"]: {
            "sar": _date(line.get("sar_date")),
            "optical": _date(line.get("optical_date")),
        }
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
