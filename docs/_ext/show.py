"""Figures of the executed pages: what a cell of a page would repeat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import rasterio
from matplotlib.figure import Figure


def stretched(values: np.ndarray) -> np.ndarray:
    """Bring a band (H, W) to 0..1 for the eye: root of the amplitude, 2nd to 98th percentile."""
    toned = np.sqrt(np.sqrt(np.maximum(values.astype(np.float64), 0)))
    low, high = np.nanpercentile(toned[toned > 0], (2, 98))
    return np.asarray(np.clip(np.nan_to_num((toned - low) / (high - low)), 0, 1))


def read(path: Path | str) -> np.ndarray:
    """Read a file for the eye: SAR of one band as grey (H, W), colours as (H, W, 3)."""
    with rasterio.open(path) as file:
        bands = file.read()
    return bands[:3].transpose(1, 2, 0) if len(bands) >= 3 else stretched(bands[0])


def row(images: Mapping[str, Any], height: float = 3.4) -> Figure:
    """Draw images beside each other, each with its title; arrays or files."""
    figure, axes = plt.subplots(1, len(images), figsize=(height * len(images), height + 0.3))
    for axis, (title, image) in zip(np.atleast_1d(axes), images.items(), strict=True):
        shown = read(image) if isinstance(image, str | Path) else image
        axis.imshow(shown, cmap="gray" if shown.ndim == 2 else None, interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    plt.close(figure)
    return figure


def checkerboard(first: np.ndarray, second: np.ndarray, squares: int = 8) -> np.ndarray:
    """Squares of two images in turn, (H, W, 3): what is aligned goes on over the borders."""
    parts = [
        one if one.ndim == 3 else np.repeat(one[..., None], 3, axis=2) for one in (first, second)
    ]
    parts = [one / 255.0 if one.dtype == np.uint8 else one for one in parts]
    side = max(1, parts[0].shape[0] // squares)
    rows, cols = np.indices(parts[0].shape[:2]) // side
    return np.where(((rows + cols) % 2 == 0)[..., None], *parts)
