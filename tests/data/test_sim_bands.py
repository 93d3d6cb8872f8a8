"""Scenes in bands of rows: the pixels of the whole, in memory that does not grow with the size."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from crosslook.data.simulate import sar, write
from crosslook.data.simulate.scene import SceneSettings, make_pair

SETTINGS: list[dict[str, Any]] = [
    {"uncorrected": True, "look": "west"},
    {"rotation": 33.0, "scale": 1.3, "shift": (5.5, -7.25), "sun_elevation": 20.0},
    {"rotation": -3.0, "uncorrected": True, "gsd": 2.0, "looks": 1.0},
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made at once, small, so that small scenes are made in parts too."""
    monkeypatch.setattr(write, "_TILE", 64)
    monkeypatch.setattr(write, "_BAND_PIXELS", 6000)
    monkeypatch.setattr(write, "_WHOLE_PIXELS", 0)
    monkeypatch.setattr(sar, "_WORK_BYTES", 4 << 20)


@pytest.mark.parametrize("options", SETTINGS)
def test_bands_are_the_pixels_of_the_whole(options: dict[str, Any]) -> None:
    pair = make_pair(130, 4, origin=(-40, 900), **options)
    for made, whole in (
        (write.optical_bands(pair.settings, 5), pair.optical),
        (write.sar_bands(pair.settings, 5), pair.sar[None]),
    ):
        parts = list(made)
        assert len(parts) > 2
        assert all(top % 5 == 0 for top, _ in parts)
        joined = np.concatenate([part for _, part in parts], axis=1)
        if whole.dtype == np.uint8 or "rotation" not in options:
            np.testing.assert_array_equal(joined, whole)
        else:  # positions are counted from another corner: a rounding
            np.testing.assert_allclose(joined, whole, rtol=1e-3)


@pytest.mark.parametrize("options", SETTINGS[:2])
def test_memory_does_not_grow_with_the_size(options: dict[str, Any]) -> None:
    """A band of 1,024 pixels takes little more than one of 256; the whole took 1.2 GB."""
    for make in (write.optical_bands, write.sar_bands):
        peaks = []
        for size in (256, 1024):
            tracemalloc.start()
            next(iter(make(SceneSettings(size=size, seed=1, **options), 1)))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 2 * peaks[0] + 2e6
        assert peaks[1] < 40e6
