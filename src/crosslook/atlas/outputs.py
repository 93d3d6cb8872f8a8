"""The files of a match, each written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from crosslook.atlas.aligned import write_aligned
from crosslook.atlas.pictures import write_overlay, write_swipe
from crosslook.atlas.result import MatchResult
from crosslook.atlas.tie_point_files import write_csv, write_geojson, write_qgis
from crosslook.atomic import check_writable, write_text
from crosslook.errors import MatchError


def write_match(result: MatchResult, out: Path, *, force: bool = False) -> list[Path]:
    """Write ``match.json`` and, where there is a match, everything it allows.

    ``match.json`` and the tie points are always written. ``aligned.tif``,
    ``overlay.png`` and ``swipe.html`` show a warped image, which misleads
    where it is wrong: they are written for the verdict ``match``, or with
    ``force`` for any transform at all. What an earlier run left under these
    names is removed first, so that a folder never mixes two matches.

    Returns
    -------
    list of Path
        What was written, in order.

    Raises
    ------
    MatchError
        If ``force`` is asked for but no transform was found.
    OutputError
        If the folder cannot be written.
    """
    check_writable(out)
    if force and result.transform is None:
        raise MatchError(
            "there is no transform to warp by: too few tie points agree. "
            "--force can write an uncertain match, not a missing one."
        )
    names = (*_ALWAYS, *_WARPED)
    for name in names:
        (out / name).unlink(missing_ok=True)
    warped = result.transform is not None and (force or result.verdict == "match")
    write_csv(result, out / "tie_points.csv")
    write_geojson(result, out / "tie_points.geojson")
    write_qgis(result, out / "tie_points.points")
    if warped:
        write_aligned(result, out / "aligned.tif")
        write_overlay(result, out / "overlay.png")
        write_swipe(result, out / "swipe.html")
    # Last, so that its presence says that the others are complete.
    write_text(out / "match.json", json.dumps(result.to_dict(), indent=2, default=_plain) + "\n")
    return [out / name for name in names if (out / name).exists()]


_ALWAYS = ("match.json", "tie_points.csv", "tie_points.geojson", "tie_points.points")
_WARPED = ("aligned.tif", "overlay.png", "swipe.html")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written to match.json")
