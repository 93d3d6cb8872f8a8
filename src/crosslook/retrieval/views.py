"""Images kept with a run, so that a report needs no data: patches, and what a feature sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crosslook.retrieval.clusters import Division
from crosslook.retrieval.descriptors import Features
from crosslook.retrieval.run_folder import read_table, write_table
from crosslook.types import MODALITIES, FloatArray, Indices, Modality

Colours = NDArray[np.uint8]
VIEWS_FILE = "feature_views.parquet"
THUMBNAILS_FILE = "thumbnails.parquet"

SIDE = 96
"""Side of a thumbnail in pixels at most."""
SHOWN = 3
_FITTED_ON = 32


class ReadsPatches(Protocol):
    """What a patch set offers for thumbnails."""

    def read(self, modality: Modality, indices: Sequence[int]) -> FloatArray:
        """Images (n, 3, p, p) in 0..1."""


def write_thumbnails(run: Path, patches: ReadsPatches, indices: Iterable[int]) -> None:
    """Write both sides of these patches as JPEG, one patch in memory at a time."""
    wanted = sorted(set(indices))
    thumbnails: dict[str, list[bytes]] = {m: [] for m in MODALITIES}
    for index in wanted:
        for modality in MODALITIES:
            thumbnails[modality].append(_thumbnail(patches.read(modality, [index])[0]))
    columns = {"index": pa.array(wanted, pa.int64())}
    columns |= {m: pa.array(thumbnails[m], pa.binary()) for m in MODALITIES}
    write_table(run / THUMBNAILS_FILE, pa.table(columns))


def read_thumbnails(run: Path) -> dict[int, dict[str, bytes]]:
    """Read the JPEG bytes of both sides, by patch index; none of a run that was not finished."""
    if not (run / THUMBNAILS_FILE).is_file():
        return {}
    table = read_table(run / THUMBNAILS_FILE).to_pylist()
    return {line["index"]: {m: line[m] for m in MODALITIES} for line in table}


def _thumbnail(image: FloatArray) -> bytes:
    """Encode (3, p, p) in 0..1 as a JPEG of at most ``SIDE`` pixels."""
    pixels = (image.transpose(1, 2, 0)[:, :, ::-1] * 255).round().astype(np.uint8)
    return _jpeg(_shrunk(np.ascontiguousarray(pixels), SIDE), 80)


def shrink(data: bytes, side: int = 64) -> bytes:
    """Encode a JPEG again with at most ``side`` pixels, to keep a report small."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return _jpeg(_shrunk(np.asarray(pixels, np.uint8), side), 70)


def _shrunk(pixels: Colours, side: int) -> Colours:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(pixels: Colours, quality: int) -> bytes:
    """Encode blue, green and red (h, w, 3)."""
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


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
    lines = [
        {"extractor": v.extractor, "index": v.index, "row": v.cell[0], "col": v.cell[1]}
        | view_images(v)
        for v in views
    ]
    write_table(run / VIEWS_FILE, pa.Table.from_pylist(lines))


def feature_views(spec: str, features: Features, division: Division) -> list[FeatureView]:
    """Make the views of patches spread evenly over the measured ones.

    Channels are standardised per sensor on patches of the calibration set.
    A map of a single cell has nothing to show and gives no view.
    """
    places = np.linspace(0, len(division.test_set) - 1, SHOWN + 2)[1:-1].round().astype(int)
    chosen = sorted({int(division.test_set[place]) for place in places})
    return views_of(spec, features, division.calibration_set, chosen)


def views_of(
    spec: str, features: Features, fit: Indices, chosen: Sequence[int]
) -> list[FeatureView]:
    """Make the views of chosen patches; ``fit`` are the patches of the calibration set."""
    few = fit[:: max(1, len(fit) // _FITTED_ON)].tolist()
    maps = [(features.maps(spec, m, chosen), features.maps(spec, m, few)) for m in MODALITIES]
    sar, optical = (standardised(shown.values, fitted.values) for shown, fitted in maps)
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
    images = {"sar": view.sar, "optical": view.optical, "response": _response(view)}
    return {name: _encode(image) for name, image in images.items()}


def standardised(maps: FloatArray, fitted_on: FloatArray) -> FloatArray:
    """Standardise the channels of maps (n, C, h, w) by those of the calibration set."""
    mean = fitted_on.mean(axis=(0, 2, 3), dtype=np.float64)[:, None, None].astype(np.float32)
    std = fitted_on.std(axis=(0, 2, 3), dtype=np.float64)[:, None, None].astype(np.float32)
    return np.asarray((maps - mean) / np.maximum(std, 1e-6), np.float32)


def pca_colours(sar_map: FloatArray, optical_map: FloatArray) -> tuple[Colours, Colours]:
    """Colour the cells of a pair by their first three principal directions.

    The directions are fitted over the cells of both maps together, and both
    are stretched by the same 2nd and 98th percentiles: equal colours mean equal
    features, whichever sensor saw them.

    Parameters
    ----------
    sar_map, optical_map : float32 arrays, shapes (C, h, w) and (C, h', w')
        Calibrated per channel (:func:`standardised`).

    Returns
    -------
    sar, optical : uint8 arrays, shapes (h, w, 3) and (h', w', 3)
        Red, green and blue; with fewer than three directions the rest is grey.
    """
    channels = len(sar_map)
    cells = [values.reshape(channels, -1).T.astype(np.float64) for values in (sar_map, optical_map)]
    joint = np.concatenate(cells)
    centred = joint - joint.mean(axis=0)
    vectors = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :3]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    scores = centred @ (vectors * np.where(largest < 0, -1.0, 1.0))
    low, high = np.percentile(scores, [2, 98], axis=0)
    wide = high - low > 1e-9
    shown = np.full((len(joint), 3), 0.5)
    span = np.where(wide, high - low, 1.0)
    shown[:, : scores.shape[1]] = np.where(wide, (scores - low) / span, 0.5)
    colours = (np.clip(shown, 0, 1) * 255).round().astype(np.uint8)
    split = len(cells[0])
    return (
        colours[:split].reshape(*sar_map.shape[1:], 3),
        colours[split:].reshape(*optical_map.shape[1:], 3),
    )


def cell_response(
    sar_map: FloatArray, optical_map: FloatArray, cell: tuple[int, int]
) -> FloatArray:
    """Cosine of one sar cell with every optical cell.

    Parameters
    ----------
    sar_map, optical_map : float32 arrays, shapes (C, h, w) and (C, h', w')
        Calibrated per channel.
    cell : tuple of int
        Row and column in the sar map.

    Returns
    -------
    float32 array, shape (h', w')
        In -1..1; a feature that finds its place peaks at the same cell.
    """
    row, col = cell
    wanted = sar_map[:, row, col]
    product = np.tensordot(wanted, optical_map, axes=1)
    length = np.linalg.norm(wanted) * np.linalg.norm(optical_map, axis=0)
    cosine = np.divide(product, length, out=np.zeros_like(product), where=length > 1e-12)
    return np.asarray(np.clip(cosine, -1, 1), np.float32)


def telling_cell(sar_map: FloatArray) -> tuple[int, int]:
    """Row and column of the cell that differs most from the map's mean: one to show."""
    apart = np.linalg.norm(sar_map - sar_map.mean(axis=(1, 2), keepdims=True), axis=0)
    row, col = np.unravel_index(int(apart.argmax()), apart.shape)
    return int(row), int(col)


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
    return _jpeg(np.ascontiguousarray(large[:, :, ::-1]), 90)
