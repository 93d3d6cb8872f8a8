"""The truth of every place is where the images really show it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from scipy.ndimage import gaussian_filter, map_coordinates

from crosslook.data.pairs import open_pairs
from crosslook.data.simulate import write
from crosslook.data.simulate.dense import LAND, STATES, STEP, DenseTruth, dense_truth
from crosslook.data.simulate.geometry import wander_at
from crosslook.data.simulate.scene import SimulatedPair, make_pair
from crosslook.data.simulate.settings import SceneOptions
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import SettingError
from crosslook.types import Array, FloatArray, Window

BENT: dict[str, Any] = {
    "size": 384, "width": 520, "seed": 3, "relief": 0.0, "looks": math.inf,
    "shift": (3.5, -2.25), "wander": 6.0, "seam": (5, -4),
}  # fmt: skip


def truth_of(pair: SimulatedPair) -> DenseTruth:
    return dense_truth(pair.settings, Window.whole(pair.settings.shape))


def middles(shape: tuple[int, ...]) -> Array:
    """Positions of the middle pixels of cells, shape (h, w, 2)."""
    rows, cols = (np.arange(n) * STEP + STEP // 2 + 0.5 for n in shape)
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)


def at(image: FloatArray, positions: Array) -> FloatArray:
    where = np.moveaxis(positions, -1, 0) - 0.5
    return np.asarray(map_coordinates(image, where, order=1, mode="nearest"), np.float32)


def likeness(one: FloatArray, other: FloatArray) -> float:
    return float(np.corrcoef(np.log(one), np.log(other))[0, 1])


def test_the_sar_image_shows_each_place_where_the_truth_says() -> None:
    """Wander, seam and shift together; half a pixel beside, the images agree less."""
    still = {"shift": (0, 0), "wander": 0, "seam": (0, 0)}
    pair, world = make_pair(**BENT), make_pair(**BENT | still)
    sar, plain = (gaussian_filter(image, 0.7) for image in (pair.sar, world.sar))
    truth = truth_of(pair)
    places = middles(truth.state.shape)
    ground, seen = places.copy(), places + truth.displacement
    second = places[..., 1] > 520 * 0.65  # surely east of the seam, then surely west
    ground[second] -= pair.settings.seam
    for side in (second, places[..., 1] < 520 * 0.35):
        inside = side & (truth.state == LAND)
        wanted = at(plain, ground)[inside]
        here = likeness(at(sar, seen)[inside], wanted)
        assert here > 0.97
        for step in (-0.5, 0.5):
            assert likeness(at(sar, seen + np.full(2, step))[inside], wanted) < here - 0.015


def test_the_optical_image_shows_the_ground_moved_beyond_the_seam() -> None:
    pair, world = make_pair(**BENT), make_pair(**BENT | {"seam": (0, 0)})
    west = np.s_[:, 10:-10, 10:150]
    assert np.array_equal(pair.optical[west], world.optical[west])
    down, right = BENT["seam"]
    moved = np.roll(world.optical, (down, right), (1, 2))[:, 10:-10, 350:-10].astype(int)
    assert np.abs(pair.optical[:, 10:-10, 350:-10] / 1.06 - moved).mean() < 0.7


def test_relief_is_the_displacement_of_the_terrain() -> None:
    options: dict[str, Any] = {"size": 300, "seed": 3, "relief": 60.0, "gsd": 10.0}
    for look in ("east", "west"):
        pair = make_pair(uncorrected=True, look=look, **options)
        truth, known = truth_of(pair), pair.displacement
        cells = np.s_[STEP // 2 :: STEP, STEP // 2 :: STEP]
        bare = truth.state == LAND
        error = (truth.displacement[..., 1] + known.columns[cells])[bare]
        assert np.mean(np.abs(error) < 1e-3) > 0.4, "houses and trees are displaced further"
        assert np.abs(error).max() < 6
        assert not truth.displacement[..., 0].any()


def test_wander_is_smooth_and_as_large_as_asked_for() -> None:
    scene = SceneOptions(size=3000, wander=6.0, seed=1)
    sway = wander_at(scene, np.arange(3000, dtype=np.float64))
    assert np.hypot(*sway.T).max() == pytest.approx(6.0, abs=0.01)
    assert np.abs(np.diff(sway, axis=0)).max() < 0.05
    assert np.abs(sway.mean(axis=0)).max() < 0.05


@pytest.mark.parametrize(("area", "state"), [("sea", 2), ("clouds", 3), ("changed", 4)])
def test_areas_take_the_fraction_asked_for(area: str, state: int) -> None:
    plain = make_pair(400, 6, gsd=20.0, looks=math.inf)
    pair = make_pair(400, 6, gsd=20.0, looks=math.inf, **{area: 0.3})
    found = truth_of(pair).state == state
    extra = {"sea": 0.02, "clouds": 0.2, "changed": 0.0}[area]  # lakes; shadows
    assert 0.22 < found.mean() < 0.34 + extra
    land = truth_of(pair).state == LAND
    cells = np.s_[STEP // 2 :: STEP, STEP // 2 :: STEP]
    changed_in = {"sea": "both", "clouds": "optical", "changed": "sar"}[area]
    optical = np.abs(pair.optical.astype(int) - plain.optical).sum(axis=0)[cells]
    radar = np.abs(np.log(pair.sar / plain.sar))[cells]
    for name, difference in (("optical", optical), ("sar", radar)):
        if changed_in in (name, "both"):
            assert difference[found].mean() > 4 * max(difference[land].mean(), 1e-3)
        else:
            assert not difference.any()


def test_files_hold_the_truth_and_a_pair_folder_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_TILE", 32)
    options: dict[str, Any] = {"size": 200, "width": 260, "seed": 2, "wander": 3.0, "clouds": 0.2}
    (name,) = write_pairs(tmp_path, 1, **options)
    truth = truth_of(make_pair(**options))
    with rasterio.open(tmp_path / "displacement" / f"{name}.tif") as file:
        assert file.descriptions == ("rows", "columns")
        assert file.res == (30.0, 30.0)
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, -1), truth.displacement)
    with rasterio.open(tmp_path / "ground" / f"{name}.tif") as file:
        np.testing.assert_array_equal(file.read(1), truth.state)
        assert file.tags(1)["3"] == STATES[3]
    with rasterio.open(tmp_path / "heights" / f"{name}.tif") as file:
        assert np.ptp(file.read(1)) > 20
    with rasterio.open(tmp_path / "optical" / f"{name}.tif") as file:
        assert file.shape == (200, 260)
    assert [pair.id for pair in open_pairs(tmp_path)] == [name]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/*.tif")}
    gone = tmp_path / "ground" / f"{name}.tif"
    (tmp_path / "truth.csv").unlink()  # killed before its end
    kept = gone.read_bytes()
    gone.unlink()
    write_pairs(tmp_path, 1, **options)
    assert gone.read_bytes() == kept
    assert all(p.stat().st_mtime_ns == t for p, t in before.items() if p != gone)


def test_a_seam_too_wide_is_refused() -> None:
    with pytest.raises(SettingError, match="seam"):
        SceneOptions(seam=(0, 65))


def test_flat_houses_and_trees_leave_the_displacement_of_the_terrain_alone() -> None:
    pair = make_pair(size=300, seed=3, relief=60.0, uncorrected=True, objects=0.0)
    cells = np.s_[STEP // 2 :: STEP, STEP // 2 :: STEP]
    truth = truth_of(pair)
    bare = truth.state == LAND
    error = (truth.displacement[..., 1] + pair.displacement.columns[cells])[bare]
    assert np.abs(error).max() < 1e-3
