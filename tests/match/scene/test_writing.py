"""The image of a scene, written by windows: exact positions, no seams, memory that is bounded."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import crosslook
from crosslook.geo.grid import make_grid
from crosslook.geo.image import Reading, open_image
from crosslook.match import warped_file
from crosslook.match.apply import Match, read_match
from crosslook.match.lattice import FIELD_FILE, node_grid, write_lattice
from crosslook.match.transform import Affine, LatticeField, Transform, merged, scaling, similarity
from crosslook.match.warp import source_positions
from crosslook.match.warped_file import write_aligned
from crosslook.options import ReadingText
from crosslook.types import Array, FloatArray, Window

SIDE = 700


def field(spacing: float, corner: tuple[float, float] = (-7.0, -13.0)) -> LatticeField:
    count = int(SIDE / spacing) + 3
    rows, cols = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
    values = np.stack([3 * np.sin(cols / 3), 6 * np.cos(rows / 4 + cols)], axis=-1)
    return LatticeField.on_lattice(values, spacing, corner)


def chain(spacing: float = 24.0) -> Transform:
    first = Affine(similarity((3.2, -8.0), 0.2, 1.001, (SIDE / 2, SIDE / 2)).matrix)
    return Transform(merged((first, field(spacing))), "field")


@pytest.mark.parametrize("spacing", [8.0, 24.0, 57.0])
@pytest.mark.parametrize("factor", [1.0, 0.5, 3.0])
def test_pixels_are_where_the_field_says(spacing: float, factor: float) -> None:
    """Nodes of the field are those at which positions are mapped, wherever it begins."""
    transform = scaling(factor) @ chain(spacing)
    rows, cols = source_positions(transform, (SIDE, 400))
    at = np.stack(np.meshgrid(np.arange(0, SIDE, 13), np.arange(0, 400, 7), indexing="ij"), -1)
    exact = transform.inverse(at.reshape(-1, 2) + 0.5)
    found = np.column_stack([part[::13, ::7].ravel() for part in (rows, cols)])
    assert np.abs(found - exact).max() < 1e-3


def test_windows_agree_where_they_meet() -> None:
    whole = np.stack(source_positions(chain(), (SIDE, SIDE)))
    for window in Window.whole((SIDE, SIDE)).tiles(130, 211):
        part = np.stack(source_positions(chain().within(window), window.shape))
        assert np.abs(part - whole[:, *window.slices]).max() < 1e-3


def polarisations(path: Path) -> FloatArray:
    """Two bands that say where they are, in a file without nodata."""
    rows, cols = np.mgrid[:SIDE, :SIDE].astype(np.float32) + 0.5
    bands = np.stack([rows, cols]) + 10
    place = from_origin(3e5, 5.5e6, 10, 10)
    profile: dict[str, Any] = {"count": 2, "dtype": "float32", "crs": "EPSG:32633"}
    with rasterio.open(
        path, "w", driver="GTiff", height=SIDE, width=SIDE, transform=place, **profile
    ) as file:
        file.write(bands)
        file.descriptions = ("VV", "VH")
    return bands


def match_in(folder: Path, transform: Transform) -> Match:
    """A match with its displacement beside it."""
    lattice = transform.lattice
    assert lattice is not None
    place = (10.0, 0.0, 3e5, 0.0, -10.0, 5.5e6)
    image = {"shape": [SIDE, SIDE], "crs": "EPSG:32633", "affine": place, "name": "optical.tif"}
    values = {"verdict": "match", "transform": transform.to_dict()}
    images = {"sar": image, "optical": image}
    (folder / "match.json").write_text(json.dumps({**values, "images": images}))
    optical = make_grid("EPSG:32633", place, SIDE, SIDE)
    nodes = node_grid(optical, lattice.nodes, lattice.values.shape[:2])
    write_lattice(folder / FIELD_FILE, lattice.values, nodes, "match")
    return read_match(folder)


def errors_of(path: Path, transform: Transform) -> Array:
    """How far the positions that a file shows lie from those of the transform, where it has any."""
    with rasterio.open(path) as file:
        shown = file.read().astype(np.float64) - 10
        assert file.descriptions == ("VV", "VH")
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1)
        assert file.profile["tiled"]
    rows, cols = source_positions(transform, (SIDE, SIDE))
    inside = (rows > 1) & (rows < SIDE - 1) & (cols > 1) & (cols < SIDE - 1)
    assert not np.isnan(shown[:, inside]).any()
    assert np.isnan(
        shown[:, (rows < -1) | (cols < -1) | (rows > SIDE + 1) | (cols > SIDE + 1)]
    ).all()
    return np.asarray(np.abs(shown - np.stack([rows, cols]))[:, inside])


def test_all_polarisations_come_along_in_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warped_file, "_STEP", 256)
    polarisations(tmp_path / "sar.tif")
    sar = open_image(tmp_path / "sar.tif", "sar", Reading.parse(ReadingText()))
    write_aligned(tmp_path / "aligned.tif", sar, sar, chain(), "match")
    assert errors_of(tmp_path / "aligned.tif", chain()).max() < 2e-3


def test_other_files_of_the_scene_come_along_through_the_field(tmp_path: Path) -> None:
    polarisations(tmp_path / "other.tif")
    stored = match_in(tmp_path, chain())
    assert stored.transform.lattice is not None
    (done,) = crosslook.apply_match(
        tmp_path, [tmp_path / "other.tif"], out=tmp_path / "out", grid="optical"
    )
    assert isinstance(done, Path), done
    with rasterio.open(done) as file:
        first = ~file.transform * (3e5, 5.5e6)  # of the optical image in what is written
        shown = file.read().astype(np.float64) - 10
    window = Window(-round(first[1]), -round(first[0]), *shown.shape[1:])
    rows, cols = source_positions(chain().within(window), window.shape)
    inside = (rows > 1) & (rows < SIDE - 1) & (cols > 1) & (cols < SIDE - 1)
    assert inside.mean() > 0.9
    assert np.abs(shown - np.stack([rows, cols]))[:, inside].max() < 2e-3


def test_memory_is_that_of_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen times the pixels take little more of Python's memory."""
    monkeypatch.setattr(warped_file, "_STEP", 256)
    peaks = []
    for side in (512, 2048):
        path = tmp_path / f"{side}.tif"
        profile: dict[str, Any] = {"driver": "GTiff", "count": 1, "dtype": "uint8", "tiled": True}
        with rasterio.open(path, "w", height=side, width=side, **profile) as file:
            file.write(np.full((1, side, side), 7, np.uint8))
        sar = open_image(path, "sar", Reading.parse(ReadingText()))
        transform = Transform(merged((Affine(np.eye(3)), field(24.0))), "field")
        write_aligned(tmp_path / "first.tif", sar, sar, transform, "match")
        tracemalloc.start()
        write_aligned(tmp_path / "aligned.tif", sar, sar, transform, "match")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
