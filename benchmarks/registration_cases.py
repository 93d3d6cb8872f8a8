"""The cases of the registration benchmark: windows of real scenes, moved by a known transform."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray

from crosslook.match.transform import Transform, similarity, translation
from crosslook.match.warp import opencv_matrix

WINDOW = 512
INSET = 56  # so that a moved window of SAR lies within the scene, without invented edges
CORNERS = tuple((r, c) for r in (INSET, 1024 - WINDOW - INSET) for c in (INSET, 456))
MAX_SHIFT, MAX_ROTATION, MAX_SCALE = 24.0, 2.0, 0.02
TRUSTED_PX = 1.5
Image = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One pair: ``truth`` maps SAR pixels to optical pixels."""

    scene: str
    corner: tuple[int, int]
    sar: Image
    optical: Image
    truth: Transform


def all_shifts(root: Path) -> dict[str, tuple[float, float]]:
    """Scene to (row, col), the mean of two measures."""
    return {row["scene"]: _shift(row) for row in _alignment(root)}


def trusted_shifts(root: Path) -> dict[str, tuple[float, float]]:
    """The same for scenes where the two measures agree within 1.5 px."""
    rows = _alignment(root)
    return {r["scene"]: _shift(r) for r in rows if float(r["disagreement"]) <= TRUSTED_PX}


def _alignment(root: Path) -> list[dict[str, str]]:
    with (root / "alignment.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _shift(row: dict[str, str]) -> tuple[float, float]:
    return (
        (float(row["mi_row"]) + float(row["grad_row"])) / 2,
        (float(row["mi_col"]) + float(row["grad_col"])) / 2,
    )


def cases(root: Path, seed: int = 0, limit: int | None = None) -> Iterator[Case]:
    """Four windows of every trusted scene; ``limit`` takes that many, evenly spread."""
    shifts = trusted_shifts(root)
    keys = [(k, w) for k in range(len(shifts)) for w in range(len(CORNERS))]
    if limit is not None:
        keys = [keys[i] for i in np.linspace(0, len(keys) - 1, limit).round().astype(int)]
    names = sorted(shifts)
    for number, corner in keys:
        name = names[number]
        yield _case(root, name, shifts[name], corner, np.random.default_rng([seed, number, corner]))


def _case(
    root: Path, scene: str, shift: tuple[float, float], corner: int, rng: np.random.Generator
) -> Case:
    row, col = CORNERS[corner]
    length, angle = MAX_SHIFT * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
    offset = (length * np.sin(angle), length * np.cos(angle))  # even over a disc
    moved = similarity(
        (offset[0], offset[1]),
        rng.uniform(-MAX_ROTATION, MAX_ROTATION),
        rng.uniform(1 - MAX_SCALE, 1 + MAX_SCALE),
        (WINDOW / 2, WINDOW / 2),
    )
    into_scene = Transform(translation(row, col), "shift").compose(moved)
    sar, optical = _read(root / "sar" / f"{scene}.tif"), _read(root / "optical" / f"{scene}.tif")
    window = cv2.warpPerspective(
        sar[0], opencv_matrix(into_scene.inverse), (WINDOW, WINDOW), flags=cv2.INTER_CUBIC
    )
    truth = Transform(translation(shift[0] - row, shift[1] - col), "shift").compose(into_scene)
    cut = optical[:, row : row + WINDOW, col : col + WINDOW]
    return Case(scene, (row, col), window, cut, truth)


def _read(path: Path) -> Image:
    with rasterio.open(path) as file:
        return np.asarray(file.read())
