"""Two stages on real pairs, with and without an offset between the sensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from crosslook.extract.registry import open_extractor
from crosslook.retrieval.stage_spec import TwoStage
from crosslook.retrieval.stages import evaluate_two_stage
from crosslook.types import FeatureMap, FloatArray, Indices

pytestmark = pytest.mark.slow

SIZE, OFFSET = 256, 16


def read(path: Path, corners: list[tuple[int, int]]) -> FloatArray:
    with rasterio.open(path) as source:
        windows = [Window(col, row, SIZE, SIZE) for row, col in corners]
        images = np.stack([source.read(window=w) for w in windows]).astype(np.float32) / 255
    return np.ascontiguousarray(np.broadcast_to(images, (len(images), 3, SIZE, SIZE)))


def moved(corners: list[tuple[int, int]], rng: np.random.Generator) -> list[tuple[int, int]]:
    """Corners shifted by up to ``OFFSET``, mirrored where they would leave the scene."""
    shift = rng.integers(-OFFSET, OFFSET + 1, size=(len(corners), 2))
    start = np.array(corners)
    inside = (start + shift >= 0) & (start + shift <= 1024 - SIZE)
    return [(int(r), int(c)) for r, c in np.where(inside, start + shift, start - shift)]


@pytest.fixture(scope="module")
def maps(sentinel: Path) -> tuple[FeatureMap, FeatureMap, FeatureMap]:
    """Optical maps, aligned sar maps, sar maps of moved patches; 16 a scene."""
    hog = open_extractor("hog")
    corners = [(r, c) for r in range(0, 1024, SIZE) for c in range(0, 1024, SIZE)]
    rng = np.random.default_rng(0)
    parts: list[list[FeatureMap]] = [[], [], []]
    for optical in sorted((sentinel / "optical").glob("*.tif")):
        sar = sentinel / "sar" / optical.name
        parts[0].append(hog.extract(read(optical, corners)))
        parts[1].append(hog.extract(read(sar, corners)))
        parts[2].append(hog.extract(read(sar, moved(corners, rng))))
    joined = [FeatureMap(np.concatenate([m.values for m in part]), 16.0) for part in parts]
    return joined[0], joined[1], joined[2]


def evaluate(sar: FeatureMap, optical: FeatureMap) -> dict[tuple[str, int], float]:
    scenes = np.repeat(np.arange(len(sar) // 16), 16)
    chosen = np.random.default_rng(0).permutation(scenes.max() + 1)[:9]
    fits = np.isin(scenes, chosen)

    def read(_: str, at: Indices) -> tuple[FeatureMap, FeatureMap]:
        return FeatureMap(sar.values[at], sar.stride), FeatureMap(optical.values[at], sar.stride)

    sets = np.flatnonzero(fits), np.flatnonzero(~fits)
    result = evaluate_two_stage(TwoStage.parse("hog:grid=8+hog"), read, scenes, *sets, draws=100)
    return {
        (m.metric, m.k): m.estimate.value for m in result.metrics if m.direction == "sar->optical"
    }


@pytest.mark.sentinel
def test_aligned_pairs_are_found(maps: tuple[FeatureMap, FeatureMap, FeatureMap]) -> None:
    optical, aligned, _ = maps
    result = evaluate(aligned, optical)
    assert result["final", 100] >= 0.92
    assert result["final", 100] > result["coarse-alone", 1]


@pytest.mark.sentinel
def test_pairs_up_to_16_px_apart_are_found(
    maps: tuple[FeatureMap, FeatureMap, FeatureMap],
) -> None:
    optical, _, shifted = maps
    result = evaluate(shifted, optical)
    assert result["final", 200] >= 0.85
    assert result["final", 200] > result["coarse-alone", 1] + 0.08
