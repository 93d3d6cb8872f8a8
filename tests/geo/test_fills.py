"""Values that stand for no data though no file says so, several at once too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from crosslook.geo.grid import make_grid
from crosslook.geo.image import open_image
from crosslook.geo.valid import _least_spread, _spread
from crosslook.types import Window
from tests.helpers.kinds import CRS, PLACE, SIDE, ground, save

LEAST, MOST = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)


def filled(kind: str) -> tuple[np.ndarray, np.ndarray, float | None]:
    """An image, which of its pixels are data, and the nodata that it declares."""
    decibels = 20 * np.log10(ground().astype(np.float32) / 300)
    valid = np.ones((SIDE, SIDE), bool)
    valid[:, :40], valid[150:] = False, False
    left, below = np.zeros_like(valid), np.zeros_like(valid)
    left[:, :40], below[150:] = True, True
    below &= ~left
    whole = ground().astype(np.int16)
    made: dict[str, tuple[np.ndarray, float, float, float | None]] = {
        "least and greatest float": (decibels, LEAST, MOST, None),
        "-9999 and -inf": (decibels, -9999, -np.inf, None),
        "-9999 and NaN": (decibels, -9999, np.nan, None),
        "-9999 and 0 of power": ((ground() / 255).astype(np.float32) ** 2, -9999, 0, None),
        "-9999 declared, 1e20 not": (decibels, -9999, 1e20, -9999),
        "NaN declared, -9999 not": (decibels, np.nan, -9999, np.nan),
        "ends of 16 bits": (whole, -32768, 32767, None),
        "-9999 and -32768": (whole, -9999, -32768, None),
        "0 and 65535": ((whole + 3000).astype(np.uint16), 0, 65535, None),
    }
    values, first, second, declared = made[kind]
    values = values.copy()
    values[left], values[below] = first, second
    return values, valid, declared


KINDS = [
    "least and greatest float",
    "-9999 and -inf",
    "-9999 and NaN",
    "-9999 and 0 of power",
    "-9999 declared, 1e20 not",
    "NaN declared, -9999 not",
    "ends of 16 bits",
    "-9999 and -32768",
    "0 and 65535",
]


@pytest.mark.parametrize("kind", KINDS)
def test_two_fills_are_found_on_own_pixels_and_on_another_grid(kind: str, tmp_path: Path) -> None:
    values, valid, declared = filled(kind)
    path = save(tmp_path / "a.tif", values, nodata=declared)
    image = open_image(path, "sar")
    assert (image.read().valid == valid).mean() > 0.995

    # Half a pixel beside its own: a fill that was mixed with data would show.
    moved = make_grid(CRS, PLACE * Affine.translation(0.5, 0.5), SIDE - 1, SIDE - 1)
    there = image.on(moved).read(Window(0, 0, SIDE - 1, SIDE - 1))
    assert there.valid[2:147, 42:].all()
    assert not there.valid[152:].any()
    assert not there.valid[:, :38].any()
    seen = there.values[0][there.valid]
    assert np.isfinite(seen).all()
    assert -0.5 < seen.min() < seen.max() < 1.5


@pytest.mark.parametrize(
    "numbers", [(0, 255), (0, 1), (0, 1, 255), (0, 1, 2, 255), (3, 9), (-1, 0, 1)]
)
def test_images_of_a_few_values_keep_them(numbers: tuple[int, ...], tmp_path: Path) -> None:
    """A scan, a thresholded map, classes: no fill is found that leaves no image."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, len(numbers), (SIDE // 8, SIDE // 8))
    values = np.array(numbers, np.int16)[np.kron(coarse, np.ones((8, 8), int))]
    image = open_image(save(tmp_path / "a.tif", values), "optical").read()
    assert len(np.unique(values[image.valid])) >= 2


@pytest.mark.parametrize("fill", [-9999.0, MOST])
def test_dates_of_a_stack_hold_a_fill_in_different_places(fill: float, tmp_path: Path) -> None:
    """No pixel is the fill in all bands, so the fill is known by what the bands share."""
    decibels = 20 * np.log10(ground().astype(np.float32) / 300)
    stack = np.full((3, SIDE, SIDE), fill, np.float32)
    third = SIDE // 3
    seen = (slice(0, third + 20), slice(third, 2 * third), slice(2 * third, SIDE))
    for band, rows in zip(stack, seen, strict=True):
        band[rows] = decibels[rows]
    image = open_image(save(tmp_path / "a.tif", stack), "sar").read()
    assert image.valid[seen[0]].all()
    assert not image.valid[third + 20 :].any()


def test_saturated_channels_of_a_photograph_stay_data(tmp_path: Path) -> None:
    """Lights may reach the end of one channel far above all else in it."""
    grey = ground() // 2 + 60
    colours = np.stack([grey, grey, grey]).astype(np.uint8)
    colours[0, 20:50, 20:50], colours[1, 60:90, 60:90] = 255, 255
    image = open_image(save(tmp_path / "a.tif", colours), "optical").read()
    assert image.valid.all()


def test_dates_of_power_whose_zeros_lie_apart_are_read_by_the_fullest(tmp_path: Path) -> None:
    """Zeros outside each date's swath, undeclared: no pixel is above zero in all bands."""
    power = (ground().astype(np.float32) / 255) ** 2
    stack = np.zeros((3, *power.shape), np.float32)
    for band, rows in enumerate((slice(0, 80), slice(60, 150), slice(140, None))):
        stack[band, rows] = power[rows]
    image = open_image(save(tmp_path / "stack.tif", stack), "sar")
    assert image.bands == (2,)
    assert image.read().valid[65:145].all()
    assert "hold data in different places; band 2 alone is used (47% of" in " ".join(image.notes)


@pytest.mark.parametrize("kind", ["even", "whole numbers", "two values", "tails", "few", "sorted"])
def test_the_quick_spread_is_never_above_the_true_one(kind: str) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = rng.uniform(0, 1, 5000 + seed).astype(np.float32)
        values = {
            "even": values,
            "whole numbers": np.round(values * 9),
            "two values": (values > 0.985).astype(np.float32),
            "tails": values**40,
            "few": values[: 1 + seed],
            "sorted": np.sort(values),
        }[kind]
        assert _least_spread(values) <= _spread(values) + 1e-6
