"""A Sentinel-1 product on a folder of Sentinel-2 products, both as they are delivered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.simulate.settings import SimulateOptions
from crosslook.data.simulate.write import write_pairs
from crosslook.geo.grid import to_map
from crosslook.match.result import grid_of

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
OFF = (90.0, -140.0)
"""Metres east and north by which the orbit is wrong."""


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one radar product, and one with four optical ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        from safe import optical_products, radar_product
    folder = tmp_path_factory.mktemp("delivered")
    options = SimulateOptions(size=480, width=640, seed=5, rotation=9.0, relief=20.0)
    write_pairs(folder / "pair", 1, options)
    radar_product(folder, folder / "pair/sar/sim-0000.tif", options, OFF)
    optical_products(folder / "sentinel-2", folder / "pair/optical/sim-0000.tif", 330)
    return folder


def test_the_command_of_the_readme(delivered: Path, tmp_path: Path) -> None:
    (radar,) = delivered.glob("S1A*.SAFE")
    assert len(list((delivered / "sentinel-2").iterdir())) == 4
    call = ["register", str(radar), str(delivered / "sentinel-2"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    match = json.loads((tmp_path / "out" / "match.json").read_text())
    sar, optical = (grid_of(match["images"][name]) for name in ("sar", "optical"))
    assert optical.shape == (480, 640)
    rows = np.genfromtxt(tmp_path / "out" / "tie_points.csv", delimiter=",", names=True)
    inlier = rows["inlier"] > 0
    here, there = (
        np.column_stack([rows[f"{side}_row"], rows[f"{side}_col"]])[inlier]
        for side in ("sar", "optical")
    )
    off = np.median(_on(sar, optical, here) - to_map(optical, there), axis=0)
    assert off == pytest.approx(OFF, abs=10.0)
    with rasterio.open(tmp_path / "out" / "aligned.tif") as file:
        assert file.count == 2, "both polarisations"
        assert file.crs == "EPSG:32633"
        assert file.dtypes == ("uint16", "uint16")


def _on(grid: object, other: object, points: object) -> np.ndarray:
    """Positions on a grid in the coordinates of the map of another."""
    from crosslook.geo.grid import between

    return np.asarray(to_map(other, between(grid, other, points)))  # type: ignore[arg-type]


def test_the_annotation_tells_incidence_and_range(delivered: Path) -> None:
    from crosslook.geo.grid import make_grid
    from crosslook.geo.image import open_image
    from crosslook.geo.sensor_view import sensor_view

    (radar,) = delivered.glob("S1A*.SAFE")
    view = sensor_view(open_image(radar, "sar"))
    assert view is not None
    with rasterio.open(delivered / "pair/optical/sim-0000.tif") as file:
        grid = make_grid(str(file.crs), file.transform, file.height, file.width)
        metres = file.transform.a
    row, col = view.per_metre(grid, np.array([[240.0, 320.0]]))[0]
    options = SimulateOptions()
    size = 1.0 / np.tan(np.radians(options.incidence)) / metres
    assert np.hypot(row, col) == pytest.approx(size, rel=2e-3)
    assert abs(np.degrees(np.arctan2(row, col))) == pytest.approx(9.0, abs=0.1)


def test_the_border_of_zeros_is_no_ground(delivered: Path) -> None:
    from crosslook.geo.image import open_image

    (radar,) = delivered.glob("S1A*.SAFE")
    seen = open_image(radar, "sar").read()
    with rasterio.open(next((radar / "measurement").glob("*-vv-*.tiff"))) as file:
        stored = file.read(1)
        assert len(file.gcps[0]) == 210
    assert not stored[:, :40].any()
    assert abs(int(seen.valid.sum()) - int((stored > 0).sum())) < 0.03 * stored.size
