"""What a feature sees: PCA colours of a pair's maps, and the response of one cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.errors import InputError
from crosslook.types import FloatArray

RGBImage = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class MapScale:
    """Mean and standard deviation of each channel over cells and patches, per modality.

    All are float32 ``(C, 1, 1)``.
    """

    sar_mean: FloatArray
    sar_std: FloatArray
    optical_mean: FloatArray
    optical_std: FloatArray

    def sar(self, values: FloatArray) -> FloatArray:
        """Standardise sar maps (..., C, h, w)."""
        return np.asarray((values - self.sar_mean) / self.sar_std, np.float32)

    def optical(self, values: FloatArray) -> FloatArray:
        """Standardise optical maps (..., C, h, w)."""
        return np.asarray((values - self.optical_mean) / self.optical_std, np.float32)


def fit_map_scale(sar: FloatArray, optical: FloatArray) -> MapScale:
    """Fit the per-channel calibration on maps (N, C, h, w) of calibration patches.

    Raises
    ------
    InputError
        If there is no map, or the channels differ.
    """
    if sar.ndim != 4 or optical.ndim != 4 or len(sar) == 0 or sar.shape[1] != optical.shape[1]:
        raise InputError(
            f"maps of shape {sar.shape} and {optical.shape}: (N, C, h, w) with equal channels "
            "and at least one patch are needed."
        )
    return MapScale(*_moments(sar), *_moments(optical))


def pca_colours(sar_map: FloatArray, optical_map: FloatArray) -> tuple[RGBImage, RGBImage]:
    """Colour the cells of a pair by their first three principal directions.

    The directions are fitted over the cells of both maps together, and both
    are stretched by the same 2nd and 98th percentiles: equal colours mean equal
    features, whichever sensor saw them.

    Parameters
    ----------
    sar_map, optical_map : float32 arrays, shapes (C, h, w) and (C, h', w')
        Calibrated per channel (:class:`MapScale`).

    Returns
    -------
    sar, optical : uint8 arrays, shapes (h, w, 3) and (h', w', 3)
        Red, green and blue; with fewer than three directions the rest is grey.
    """
    _check_pair(sar_map, optical_map)
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

    Raises
    ------
    InputError
        If the channels differ or the cell is outside.
    """
    _check_pair(sar_map, optical_map)
    row, col = cell
    if not (0 <= row < sar_map.shape[1] and 0 <= col < sar_map.shape[2]):
        raise InputError(
            f"cell ({row}, {col}) is outside the map of {sar_map.shape[1]} x {sar_map.shape[2]}."
        )
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


def _moments(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = values.mean(axis=(0, 2, 3), dtype=np.float64)[:, None, None]
    std = values.std(axis=(0, 2, 3), dtype=np.float64)[:, None, None]
    return mean.astype(np.float32), np.maximum(std, 1e-6).astype(np.float32)


def _check_pair(sar_map: FloatArray, optical_map: FloatArray) -> None:
    if sar_map.ndim != 3 or optical_map.ndim != 3 or len(sar_map) != len(optical_map):
        raise InputError(
            f"maps of shape {sar_map.shape} and {optical_map.shape}: (C, h, w) each, with "
            "equal channels, are needed."
        )
