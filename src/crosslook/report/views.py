"""Views of feature maps: kept with the run, shown side by side."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crosslook.report.run_folder import read_patches, read_table, write_table
from crosslook.report.sections import Part, Picture, Section, ShownMatch
from crosslook.report.thumbnails import SIDE, read_thumbnails
from crosslook.types import FloatArray

Colours = NDArray[np.uint8]
_FILE = "feature_views.parquet"


@dataclass(frozen=True, eq=False)
class FeatureView:
    """The maps of one extractor on one patch pair.

    Attributes
    ----------
    sar, optical : uint8 arrays, shape (h, w, 3)
        Cells coloured by their principal directions, shared by both sensors.
    cell : tuple of int
        Row and column of the SAR cell whose response is shown.
    response : float32 array, shape (h, w)
        Cosine of that cell with every optical cell, -1..1.
    """

    extractor: str
    index: int
    cell: tuple[int, int]
    sar: Colours
    optical: Colours
    response: FloatArray


def write_views(run: Path, views: list[FeatureView]) -> None:
    """Write ``feature_views.parquet``; a run without views keeps none of an earlier one."""
    if not views:
        (run / _FILE).unlink(missing_ok=True)
        return
    columns = {
        "extractor": [view.extractor for view in views],
        "index": [view.index for view in views],
        "row": [view.cell[0] for view in views],
        "col": [view.cell[1] for view in views],
        "sar": pa.array([_encode(view.sar) for view in views], pa.binary()),
        "optical": pa.array([_encode(view.optical) for view in views], pa.binary()),
        "response": pa.array([_encode(_response(view)) for view in views], pa.binary()),
    }
    write_table(run / _FILE, pa.table(columns))


def views_section(run: Path) -> list[Section]:
    """Show every view: both patches, both maps, and the response of one cell."""
    if not (run / _FILE).is_file():
        return []
    patches, thumbnails = read_patches(run), read_thumbnails(run)
    lines = read_table(run / _FILE).to_pylist()
    parts = []
    for name in dict.fromkeys(line["extractor"] for line in lines):
        shown = []
        for line in (one for one in lines if one["extractor"] == name):
            own = thumbnails.get(line["index"], {})
            pictures = [("SAR", own.get("sar")), ("optical", own.get("optical"))]
            pictures += [
                ("SAR map", line["sar"]),
                ("optical map", line["optical"]),
                ("response", line["response"]),
            ]
            text = f"{patches[line['index']].id}, SAR cell ({line['row']}, {line['col']})"
            kept = [Picture(title, _text(data)) for title, data in pictures if data]
            shown.append(ShownMatch(kept, text))
        parts.append(Part(name, matches=shown))
    how = (
        "Equal colours in both maps mean equal features, whichever sensor saw them. The response "
        "is the cosine of one SAR cell (white square) with every optical cell: a feature that "
        "finds its place is brightest inside the square, and dark elsewhere."
    )
    return [Section("views", "What a feature sees", how, parts)]


def _response(view: FeatureView) -> Colours:
    grey = ((np.clip(view.response, -1, 1) + 1) * 127.5).round().astype(np.uint8)
    colours = cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
    large = _enlarge(np.ascontiguousarray(colours))
    rows, cols = large.shape[0] / grey.shape[0], large.shape[1] / grey.shape[1]
    row, col = view.cell
    corners = [(round(c * cols), round(r * rows)) for r, c in ((row, col), (row + 1, col + 1))]
    cv2.rectangle(large, corners[0], corners[1], (255, 255, 255), 1)
    return large


def _enlarge(colours: Colours) -> Colours:
    factor = max(1, round(SIDE / max(colours.shape[:2])))
    return np.asarray(np.kron(colours, np.ones((factor, factor, 1), np.uint8)), np.uint8)


def _encode(colours: Colours) -> bytes:
    large = colours if max(colours.shape[:2]) >= SIDE // 2 else _enlarge(colours)
    picture = np.ascontiguousarray(large[:, :, ::-1])
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
