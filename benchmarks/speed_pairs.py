"""The files that ``speed.py`` reads: aligned Sentinel pairs of any size, with wrong partners.

Windows are cut from whole scenes as they are published. What is larger than a
scene is a mosaic of four: such that touch first, then any four in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from registration_cases import SCENE

RELIEF = "T11SLT_047"
"""A scene that its hills bend, so that the model of relief is taken."""
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Files:
    """One SAR image, the optical image of the same place and that of another one."""

    name: str
    sar: Path
    optical: Path
    wrong: Path


def pair_files(root: Path, side: int, count: int, folder: Path) -> list[Files]:
    """Pairs of one size, written into a folder as GeoTIFFs in strips, which SimpleITK reads too."""
    names = sorted(path.stem for path in (root / "sar").glob("*.tif"))
    places = _mosaics(root, names) if side > SCENE else [[name] for name in names]
    numbers = np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)
    out = []
    for number in numbers:
        here, other = places[number], places[(number + len(places) // 2) % len(places)]
        corner = np.random.default_rng([side, number]).integers(0, max(SCENE - side, 0) + 1, 2)
        pictures = {
            "sar": _picture(root / "sar", here, side, corner),
            "optical": _picture(root / "optical", here, side, corner),
            "wrong": _picture(root / "optical", other, side, corner),
        }
        target = folder / f"{here[0]}-{side}-{number}"
        target.mkdir()
        paths = {kind: target / f"{kind}.tif" for kind in pictures}
        for kind, bands in pictures.items():
            _write(paths[kind], bands, root / "sar" / f"{here[0]}.tif", corner)
        out.append(Files(here[0], **paths))
    return out


def relief_files(root: Path, folder: Path) -> list[Files]:
    """The scene of relief alone, and with its three neighbours to the right and below."""
    block = next(four for four in touching(root) if four[0] == RELIEF)
    out = []
    for names, side in (([RELIEF], SCENE), (block, 2 * SCENE)):
        paths = {kind: folder / f"{kind}-{side}.tif" for kind in ("sar", "optical")}
        corner = np.zeros(2, np.int64)
        for kind, path in paths.items():
            bands = _picture(root / kind, names, side, corner)
            _write(path, bands, root / "sar" / f"{RELIEF}.tif", corner)
        out.append(Files(f"{RELIEF}, {side} px", wrong=paths["optical"], **paths))
    return out


def touching(root: Path) -> list[list[str]]:
    """Scenes of which four form a square: upper left, upper right, lower left, lower right."""
    cells = {}
    for path in sorted((root / "sar").glob("*.tif")):
        with rasterio.open(path) as file:
            at = np.array([-file.transform.f, file.transform.c]) / (file.transform.a * SCENE)
        cells[tuple(np.round(at, 1))] = path.stem
    squares = []
    for row, col in cells:
        corners = [(row, col), (row, col + 1), (row + 1, col), (row + 1, col + 1)]
        names = [
            name
            for at in corners
            for cell, name in cells.items()
            if np.abs(np.subtract(at, cell)).max() < 0.2
        ]
        if len(names) == len(corners):
            squares.append(names)
    return squares


def _mosaics(root: Path, names: list[str]) -> list[list[str]]:
    squares = touching(root)
    return squares + [names[first : first + 4] for first in range(0, len(names) - 3, 2)]


def _picture(folder: Path, names: list[str], side: int, corner: NDArray[np.int64]) -> Image:
    """The bands (B, side, side) of one scene, or of four as a square."""
    scenes = []
    for name in names:
        with rasterio.open(folder / f"{name}.tif") as file:
            scenes.append(file.read())
    if len(scenes) == 1:
        row, col = corner
        return np.asarray(scenes[0][:, row : row + side, col : col + side])
    rows = [np.concatenate(two, axis=2) for two in (scenes[:2], scenes[2:])]
    return np.concatenate(rows, axis=1)


def _write(path: Path, bands: Image, like: Path, corner: NDArray[np.int64]) -> None:
    """A GeoTIFF where the window of a scene lies."""
    with rasterio.open(like) as scene:
        at, crs = scene.transform @ Affine.translation(int(corner[1]), int(corner[0])), scene.crs
    shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    how = {"driver": "GTiff", "dtype": "uint8", "compress": "deflate", "crs": crs, "transform": at}
    with rasterio.open(path, "w", **shape, **how) as out:
        out.write(bands)
