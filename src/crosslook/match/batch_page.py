"""The page of a batch: each pair before and after, its verdict, a filter, an order, a way in."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, isnan
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from crosslook.atomic import write_text
from crosslook.match.drawn import Scene, make_panels
from crosslook.match.files import Pixels, checkerboard
from crosslook.match.result import MatchResult

COLUMNS = (
    "name", "verdict", "confidence", "longitude", "latitude", "row", "col",
    "shift_row_px", "shift_col_px", "shift_px", "rotation_degrees", "scale", "model",
    "tie_points", "inliers", "median_residual_px", "expected_error_px", "expected_error_m",
    "reason", "warning", "folder", "error",
)  # fmt: skip
"""Of ``matches.csv``: what each row says of a pair."""

_KINDS = ("match", "uncertain", "no match")
_TEMPLATE = Path(__file__).with_name("batch.html")
_SIDE = 220
_QUALITY = 70


@dataclass(frozen=True)
class Thumbnails:
    """Checkerboards of a pair as data addresses; empty where there is none."""

    before: str = ""
    after: str = ""


def thumbnails(scene: Scene) -> Thumbnails:
    """Draw a pair small, as its georeference and as the match puts it."""
    panels = make_panels(scene, _SIDE)
    drawn = [
        "" if one is None else _address(checkerboard(panels.ground, grey, one.valid))
        for one, grey in ((image, _grey(image)) for image in (panels.before, panels.after))
    ]
    return Thumbnails(*drawn)


def _grey(image: Any) -> Pixels:
    if image is None:
        return np.zeros((1, 1, 3), np.uint8)
    values = np.clip(np.where(image.valid, image.values, 0), 0, 1)
    return np.repeat((values * 255).astype(np.uint8)[..., None], 3, axis=2)


def _address(image: Pixels) -> str:
    data = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1]
    return f"data:image/webp;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def write_batch_page(
    path: Path,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    drawn: Mapping[str, Thumbnails],
) -> None:
    """Write ``index.html`` of a batch: one page whose images are in it, with links to the pairs.

    Parameters
    ----------
    path : Path
    title : str
    rows : sequence of mapping
        As ``matches.csv`` has them.
    drawn : mapping of str to Thumbnails
        By the name of the pair.
    """
    from jinja2 import Template

    lines = []
    for row in rows:
        folder = row.get("folder")
        kind = "failed" if row.get("error") else str(row.get("verdict", ""))
        link = ""
        if folder:
            where = Path(str(folder))
            inside = quote(where.relative_to(path.parent).as_posix())
            files = ("swipe.html", "match.json")
            link = next((f"{inside}/{one}" for one in files if (where / one).is_file()), "")
        lines.append({**row, "kind": kind, "link": link, "thumbs": drawn.get(str(row["name"]))})
    kinds = ("match", "uncertain", "no match", "failed")
    counts = {kind: sum(line["kind"] == kind for line in lines) for kind in kinds}
    text = Template(_TEMPLATE.read_text(encoding="utf-8"), autoescape=True).render(
        title=title, rows=lines, counts=counts
    )
    write_text(path, text + "\n")


def row_of(name: str, result: MatchResult, folder: Path) -> dict[str, object]:
    """The row of a result in ``matches.csv``, whose files lie in a folder."""
    centre, moved, points = result.centre or {}, result.movement or {}, result.tie_points
    longitude, latitude = centre.get("lonlat", ("", ""))
    row, col = (_rounded(value, 2) for value in centre.get("pixel", ("", "")))
    shift = [moved.get(key, "") for key in ("row_px", "col_px")]
    return {
        "name": name,
        "verdict": result.verdict,
        "confidence": "" if isnan(result.confidence) else round(result.confidence, 4),
        "longitude": _rounded(longitude, 7),
        "latitude": _rounded(latitude, 7),
        "row": row,
        "col": col,
        "shift_row_px": _rounded(shift[0], 2),
        "shift_col_px": _rounded(shift[1], 2),
        "shift_px": _rounded(hypot(*map(float, shift)), 2) if moved else "",
        "rotation_degrees": _rounded(moved.get("rotation_degrees", ""), 4),
        "scale": _rounded(moved.get("scale", ""), 6),
        "model": "" if result.transform is None else result.transform.model,
        "tie_points": len(points),
        "inliers": int(points.inlier.sum()),
        "median_residual_px": _rounded(result.median_residual_px, 3),
        "reason": result.reason,
        "expected_error_px": result.expected_error_px,
        "expected_error_m": result.expected_error_m,
        "warning": " ".join(one.kind for one in result.warnings),
        "folder": folder,
        "error": "",
    }


def _rounded(value: object, digits: int) -> object:
    """A number with so many digits behind the point; anything else as it is."""
    return round(value, digits) if isinstance(value, float) else value


def counted(rows: Sequence[Mapping[str, object]]) -> str:
    """How many of each kind, as ``5 match, 2 no match, 1 failed``."""
    counts = {kind: sum(row.get("verdict") == kind for row in rows) for kind in _KINDS}
    counts["failed"] = sum(bool(row["error"]) for row in rows)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
