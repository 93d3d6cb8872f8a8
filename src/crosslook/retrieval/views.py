"""What a feature sees: maps of a few patches as images, for every extractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crosslook.retrieval.descriptors import Features
from crosslook.retrieval.measure.feature_views import (
    cell_response,
    fit_map_scale,
    pca_colours,
    telling_cell,
)
from crosslook.retrieval.run_folder import write_table
from crosslook.retrieval.split import Division
from crosslook.retrieval.thumbnails import SIDE
from crosslook.types import MODALITIES, FloatArray, Indices

Colours = NDArray[np.uint8]
VIEWS_FILE = "feature_views.parquet"

SHOWN = 3
_FITTED_ON = 32


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
        (run / VIEWS_FILE).unlink(missing_ok=True)
        return
    columns = {
        "extractor": [view.extractor for view in views],
        "index": [view.index for view in views],
        "row": [view.cell[0] for view in views],
        "col": [view.cell[1] for view in views],
    }
    encoded = [view_images(view) for view in views]
    for name in ("sar", "optical", "response"):
        columns[name] = pa.array([one[name] for one in encoded], pa.binary())
    write_table(run / VIEWS_FILE, pa.table(columns))


def feature_views(spec: str, features: Features, division: Division) -> list[FeatureView]:
    """Make the views of patches spread evenly over the measured ones.

    Channels are standardised per sensor on patches of the calibration units.
    A map of a single cell has nothing to show and gives no view.
    """
    places = np.linspace(0, len(division.measured) - 1, SHOWN + 2)[1:-1].round().astype(int)
    chosen = sorted({int(division.measured[place]) for place in places})
    return views_of(spec, features, division.fit, chosen)


def views_of(
    spec: str, features: Features, fit: Indices, chosen: Sequence[int]
) -> list[FeatureView]:
    """Make the views of chosen patches; ``fit`` are the patches of the calibration units."""
    few = fit[:: max(1, len(fit) // _FITTED_ON)].tolist()
    scale = fit_map_scale(*(features.maps(spec, m, few).values for m in MODALITIES))
    sar = scale.sar(features.maps(spec, "sar", chosen).values)
    optical = scale.optical(features.maps(spec, "optical", chosen).values)
    if min(sar.shape[2:]) < 2:
        return []
    views = []
    for index, first, second in zip(chosen, sar, optical, strict=True):
        cell = telling_cell(first)
        colours = pca_colours(first, second)
        views.append(FeatureView(spec, index, cell, *colours, cell_response(first, second, cell)))
    return views


def view_images(view: FeatureView) -> dict[str, bytes]:
    """JPEGs of a view: ``sar``, ``optical`` and ``response``."""
    return {
        "sar": _encode(view.sar),
        "optical": _encode(view.optical),
        "response": _encode(_response(view)),
    }


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
    pixels = np.ascontiguousarray(large[:, :, ::-1])
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])
