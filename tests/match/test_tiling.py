"""Tiles cover an image, and what two of them find is one."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from crosslook.errors import SettingError, SpecError
from crosslook.match.matchers.tiled import Correspondences, ImageMatcher
from crosslook.match.settings import RegisterSettings
from crosslook.match.tiling import Tiling, without_duplicates


@pytest.mark.parametrize("text", ["whole", "spacenet9", "side=64,overlap=16", "side=100,overlap=0"])
@pytest.mark.parametrize("shape", [(64, 64), (50, 300), (257, 130), (33, 40)])
def test_tiles_cover_every_pixel_and_share_at_least_the_overlap(
    text: str, shape: tuple[int, int]
) -> None:
    tiling = Tiling.parse(text)
    seen = np.zeros(shape, int)
    tiles = list(tiling.windows(shape))
    for tile in tiles:
        assert tile.clip(shape) == tile
        seen[tile.slices] += 1
    assert seen.min() >= 1
    cols = sorted({tile.col for tile in tiles})
    assert all(a + tiles[0].width - b >= tiling.overlap for a, b in pairwise(cols))
    assert Tiling.parse(str(tiling)) == tiling


def test_what_is_no_tiling_is_refused() -> None:
    with pytest.raises(SpecError, match="Did you mean 'spacenet9'"):
        Tiling.parse("spacenet8")
    with pytest.raises(SettingError, match="below the side"):
        Tiling.parse("side=64,overlap=64")
    with pytest.raises(SettingError):
        Tiling.parse("side=4")


def test_duplicates_are_those_of_a_plain_comparison() -> None:
    rng = np.random.default_rng(3)
    sar = rng.uniform(0, 40, (300, 2))
    optical = sar + rng.choice([0.0, 5.0], (300, 1))
    score = rng.permutation(300).astype(np.float64)
    kept = without_duplicates(sar, optical, score, 1.0)
    plain: list[int] = []
    for one in np.argsort(-score):
        both = [np.r_[sar[k], optical[k]] for k in plain]
        if not any(np.abs(np.r_[sar[one], optical[one]] - other).max() <= 1.0 for other in both):
            plain.append(int(one))
    assert sorted(plain) == kept.tolist()
    assert len(kept) < 300


class Everywhere(ImageMatcher):
    """Says of every 20th pixel of a tile that it lies 2 px down and 1 px left; remembers tiles."""

    def _match(self, sar: Any, optical: Any) -> Correspondences:
        self.shapes = [*getattr(self, "shapes", []), sar.shape]
        rows, cols = np.mgrid[10 : sar.shape[0] : 20, 10 : sar.shape[1] : 20].reshape(2, -1)
        here = np.column_stack([rows, cols]) + 0.5
        return Correspondences(here, here + np.array([2.0, -1.0]), np.ones(len(here)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("whole", [(200, 200)]),
        ("side=120,overlap=40", [(120, 120)] * 4),
        ("side=80,overlap=0,maximum=100", [(80, 80)] * 4),
    ],
)
def test_tiles_are_undone(text: str, expected: list[tuple[int, int]]) -> None:
    matcher = Everywhere(RegisterSettings(tiling=Tiling.parse(text)))
    image = np.random.default_rng(0).random((200, 200)).astype(np.float32)
    found = matcher._in_tiles(image, image)
    assert matcher.shapes == expected
    factor = 0.5 if "maximum" in text else 1.0
    moved = np.array([[2.0, -1.0]]) / factor
    np.testing.assert_allclose(found.optical - found.sar, np.repeat(moved, len(found.sar), axis=0))
    side, tiles = expected[0][0], matcher.settings.tiling.windows((round(200 * factor),) * 2)
    plain = {
        ((row + tile.row + 0.5) / factor, (col + tile.col + 0.5) / factor)
        for tile in tiles
        for row in range(10, side, 20)
        for col in range(10, side, 20)
    }
    assert {tuple(point) for point in found.sar} == plain
