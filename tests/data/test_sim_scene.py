"""What the simulated images must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslook.data.simulate import sar
from crosslook.data.simulate.geometry import truth_matrix
from crosslook.data.simulate.ground import (
    BUILDING,
    CLASSES,
    MAX_OBJECT_HEIGHT,
    YARD,
    Ground,
    LandCover,
    Terrain,
    make_ground,
)
from crosslook.data.simulate.noise import mix, uniform
from crosslook.data.simulate.optical import render_optical
from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.settings import Look, SceneOptions
from crosslook.errors import SettingError
from crosslook.types import Window


def test_hashes_are_uniform_and_uncorrelated() -> None:
    values = uniform(mix(5, np.arange(256)[:, None], np.arange(256)[None, :]))
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert values.var() == pytest.approx(1 / 12, abs=0.003)
    for step in ((0, 1), (1, 0), (1, 1)):
        moved = np.roll(values, step, (0, 1))
        assert abs(np.corrcoef(values.ravel(), moved.ravel())[0, 1]) < 0.02


def test_same_seed_same_bytes_other_seed_other_world() -> None:
    first, again, other = make_pair(96, 3), make_pair(96, 3), make_pair(96, 4)
    assert np.array_equal(first.optical, again.optical)
    assert np.array_equal(first.sar, again.sar)
    assert not np.array_equal(first.optical, other.optical)
    assert first.optical.dtype == np.uint8
    assert first.optical.shape == (3, 96, 96)
    assert first.sar.dtype == np.float32
    assert np.isfinite(first.sar).all()
    assert first.sar.min() > 0


@settings(max_examples=8, deadline=None)
@given(
    row=st.integers(-3000, 3000),
    col=st.integers(-3000, 3000),
    gsd=st.sampled_from([3.0, 10.0]),
    look=st.sampled_from(["east", "west"]),
)
def test_a_tile_equals_its_part_of_a_larger_one(row: int, col: int, gsd: float, look: str) -> None:
    whole = make_pair(128, 9, gsd=gsd, origin=(row, col), look=look)
    part = make_pair(48, 9, gsd=gsd, origin=(row + 37, col + 61), look=look)
    at = np.s_[..., 37 : 37 + 48, 61 : 61 + 48]
    assert np.array_equal(whole.optical[at], part.optical)
    assert np.array_equal(whole.sar[at], part.sar)


@settings(max_examples=8, deadline=None)
@given(
    shift=st.tuples(st.floats(-12, 12), st.floats(-12, 12)),
    rotation=st.floats(-15, 15),
    scale=st.floats(0.9, 1.1),
)
def test_truth_takes_sar_pixels_to_their_ground(
    shift: tuple[float, float], rotation: float, scale: float
) -> None:
    options: dict[str, Any] = {"seed": 2, "looks": math.inf, "relief": 0.0}
    moved = make_pair(96, shift=shift, rotation=rotation, scale=scale, **options)
    aligned = make_pair(192, origin=(-48, -48), **options).sar
    points = np.array([(r, c) for r in (20.5, 48.5, 75.5) for c in (20.5, 48.5, 75.5)])
    at = np.c_[points, np.ones(len(points))] @ moved.truth.T
    for (r, c), (row, col, _) in zip(points, at, strict=True):
        # Bilinear by hand, from pixel centres, in the aligned image.
        y, x = row + 48 - 0.5, col + 48 - 0.5
        i, j = math.floor(y), math.floor(x)
        weights = np.outer([i + 1 - y, y - i], [j + 1 - x, x - j])
        expected = (weights * aligned[i : i + 2, j : j + 2]).sum()
        assert moved.sar[int(r), int(c)] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_truth_matrix_is_a_similarity_about_the_centre() -> None:
    pair = make_pair(64, shift=(3, -2), rotation=90, scale=1.5)
    assert pair.truth @ [32, 32, 1] == pytest.approx([35, 30, 1])
    # One row down in the SAR image is 1.5 columns right in the optical one.
    assert pair.truth @ [33, 32, 1] == pytest.approx([35, 31.5, 1])
    assert np.array_equal(truth_matrix(make_pair(64).settings), np.eye(3))


@pytest.mark.parametrize("looks", [1.0, 4.0, 12.5])
def test_speckle_has_its_number_of_looks(looks: float) -> None:
    smooth = make_pair(256, 1, looks=math.inf, rotation=2.0)
    rough = make_pair(256, 1, looks=looks, rotation=2.0)
    speckle = rough.sar / smooth.sar
    assert speckle.mean() == pytest.approx(1.0, abs=0.02)
    assert speckle.mean() ** 2 / speckle.var() == pytest.approx(looks, rel=0.05)
    neighbours = np.corrcoef(speckle[:, 1:].ravel(), speckle[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.02, "speckle was smoothed"


def one_house(monkeypatch: pytest.MonkeyPatch, height: float = 30.0) -> None:
    """A flat yard with a house of 10 x 10 pixels whose upper left is at (20, 20)."""

    def flat(scene: SceneOptions, window: Window, *, later: bool = False) -> Ground:
        shape = (window.height, window.width)
        label, objects = np.full(shape, YARD, np.uint8), np.zeros(shape, np.float32)
        house = np.s_[20 - window.row : 30 - window.row, 20 - window.col : 30 - window.col]
        label[house], objects[house] = BUILDING, height
        zero, dry = np.zeros(shape, np.float32), np.zeros(shape, bool)
        bits = np.full(shape, 1 << 31, np.uint32)
        return Ground(Terrain(zero, dry, dry), LandCover(label, bits, objects), zero, bits)

    monkeypatch.setattr(sar, "make_ground", flat)
    monkeypatch.setattr("crosslook.data.simulate.optical.make_ground", flat)


@pytest.mark.parametrize(("look", "flip"), [("east", False), ("west", True)])
def test_wall_facing_the_sensor_is_bright_the_other_side_dark(
    monkeypatch: pytest.MonkeyPatch, look: Look, flip: bool
) -> None:
    one_house(monkeypatch)
    scene = SceneOptions(look=look, incidence=45.0)
    image = sar.render_backscatter(scene, Window(0, 0, 50, 50))
    row = image[25, ::-1] if flip else image[25]
    ground = image[5, 5]
    assert row[19] > 20 * ground, "double bounce at the foot of the wall"
    # 30 m at 45 degrees: wall and roof answer up to three pixels before the house ...
    assert (row[17:20] > 1.2 * ground).all()
    assert row[16] == pytest.approx(ground)
    # ... and the ground lies in shadow for three pixels behind it.
    assert (row[30:32] < 0.2 * ground).all()
    assert row[33] == pytest.approx(ground)
    assert image[15] == pytest.approx(np.full(50, ground))


def test_the_sun_casts_a_shadow_away_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    one_house(monkeypatch)
    monkeypatch.setattr("crosslook.data.simulate.optical._NOISE", 0.0)
    scene = SceneOptions(sun_azimuth=180.0, sun_elevation=45.0)
    image = render_optical(scene, Window(0, 0, 50, 50))[1].astype(float)
    assert image[18, 25] < 0.6 * image[5, 5], "north of the house"
    assert image[32, 25] == pytest.approx(image[5, 5], abs=2), "south of it"


def test_land_cover_has_every_class() -> None:
    ground = make_ground(SceneOptions(seed=1), Window(0, 0, 768, 768))
    fractions = np.bincount(ground.cover.label.ravel(), minlength=7) / 768**2
    assert (fractions > 0.005).all(), dict(zip(CLASSES, fractions, strict=True))
    assert ground.cover.height.max() <= MAX_OBJECT_HEIGHT


def test_water_is_dark_and_edges_are_shared() -> None:
    pair = make_pair(512, 1, looks=math.inf)
    label = make_ground(SceneOptions(seed=1), Window(0, 0, 512, 512)).cover.label
    decibel = 10 * np.log10(pair.sar)
    assert np.median(decibel[label == 0]) < np.median(decibel[label == 1]) - 5
    steps = [np.abs(np.diff(band, axis=1)) for band in (decibel, pair.optical[1].astype(float))]
    edge = np.diff(label.astype(int), axis=1) != 0
    for step in steps:
        assert step[edge].mean() > 2 * step[~edge].mean()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size", 8),
        ("seed", -1),
        ("gsd", 0.0),
        ("looks", 0.0),
        ("looks", math.nan),
        ("shift", (60.0, 0.0)),
        ("rotation", 181.0),
        ("scale", 0.1),
        ("look", "up"),
        ("incidence", 5.0),
        ("relief", -1.0),
        ("origin", (2**40, 0)),
        ("colour", 1),
    ],
)
def test_settings_out_of_range_are_refused(option: str, value: object) -> None:
    options: dict[str, Any] = {"size": 64, option: value}
    with pytest.raises(SettingError, match=option):
        make_pair(**options)
