"""The curves: on images whose answer is known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from crosslook.errors import SettingError
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.compare.similarity import fit_scoring, normalise
from crosslook.retrieval.measure.definitions import define
from crosslook.retrieval.measure.patch_size import measure_patch_size
from crosslook.retrieval.measure.perturbations import PERTURBATIONS
from crosslook.retrieval.measure.robustness import (
    Gallery,
    Robustness,
    measure_date_gap,
    measure_robustness,
    parse_level,
)
from crosslook.types import FeatureMap, FloatArray

SIZE, SIDE, SCENES = 32, 192, 8


class Ground:
    """Eight scenes of smooth noise; 36 patches each, optical is dimmer SAR."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        blurred = [
            cv2.GaussianBlur(rng.random((SIDE, SIDE)).astype(np.float32), (0, 0), 2.5)
            for _ in range(SCENES)
        ]
        self.sar = np.stack([(b - b.min()) / np.ptp(b) for b in blurred]).astype(np.float32)
        steps = range(0, SIDE, SIZE)
        self.places = [(s, r, c) for s in range(SCENES) for r in steps for c in steps]
        self.scenes = np.array([s for s, _, _ in self.places])

    def context(self, indices: np.ndarray, margin: int) -> FloatArray:
        wide = np.pad(
            self.sar, ((0, 0), (margin, margin), (margin, margin)), constant_values=np.nan
        )
        side = SIZE + 2 * margin
        cut = [
            wide[s, r : r + side, c : c + side] for s, r, c in map(self.places.__getitem__, indices)
        ]
        return np.repeat(np.stack(cut)[:, None], 3, axis=1)

    def read(self, modality: str, indices: np.ndarray) -> FloatArray:
        images = self.context(indices, 0)
        return images if modality == "sar" else images * np.float32(0.5)


def describe(images: FloatArray) -> FloatArray:
    cells = images[:, :1].reshape(len(images), 1, images.shape[2] // 4, 4, images.shape[3] // 4, 4)
    return pool(FeatureMap(cells.mean(axis=(3, 5)).astype(np.float32), 4.0), "flatten")


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground()


def gallery_of(ground: Ground, measured: np.ndarray) -> Gallery:
    everything = np.arange(len(ground.places))
    sar = describe(ground.read("sar", everything))
    optical = describe(ground.read("optical", everything))
    calibration = fit_calibration("standardize", sar[:72], optical[:72])
    bank = [
        normalise(calibration.apply(sar[:72], "sar")),
        normalise(calibration.apply(optical[:72], "optical")),
    ]
    unit = normalise(calibration.apply(optical[measured], "optical"))
    return Gallery(unit, ground.scenes[measured], calibration, fit_scoring("csls", *bank))


def run(ground: Ground, **options: Any) -> Robustness:
    measured = np.arange(72, len(ground.places))
    gallery = gallery_of(ground, measured)
    return measure_robustness(
        ground.context, describe, gallery, measured, SIZE, 3, draws=100, **options
    )


def test_curves_fall_from_one_as_queries_are_disturbed(ground: Ground) -> None:
    result = run(ground)
    assert not result.left_out
    recall = {
        parse_level(m.metric)[1:]: m for m in result.metrics if m.metric.startswith("recall@1")
    }
    assert set(recall) == {(n, level) for n, p in PERTURBATIONS.items() for level in p.levels}
    for name, perturbation in PERTURBATIONS.items():
        assert recall[name, perturbation.levels[0]].estimate.value == 1.0
    assert recall["offset", 16].estimate.value < 0.3 < 0.9 < recall["offset", 2].estimate.value
    assert recall["rotation", 20].estimate.value < recall["rotation", 1].estimate.value + 1e-9
    assert all(m.n_gallery == 216 and m.n_query <= 200 for m in result.metrics)
    cosine = {m.metric: m.estimate.value for m in result.metrics}
    assert cosine["pair-cosine/offset=0"] > 0.999 > cosine["pair-cosine/offset=2"]
    assert cosine["pair-cosine/looks=16"] > cosine["pair-cosine/looks=1"]


def test_only_patches_with_their_context_are_drawn(ground: Ground) -> None:
    drawn = run(ground, perturbations={"offset": PERTURBATIONS["offset"]}, sample=1000)
    # 32 px of context: the inner four by four of six by six patches.
    assert {m.n_query for m in drawn.metrics} == {6 * 16}
    everything = run(ground, perturbations={"gain": PERTURBATIONS["gain"]}, sample=1000)
    assert {m.n_query for m in everything.metrics} == {216}


def test_same_seed_same_rows_and_sampling(ground: Ground) -> None:
    some = {"looks": PERTURBATIONS["looks"]}
    first, again = (run(ground, perturbations=some, sample=40) for _ in range(2))
    assert [m.estimate for m in first.metrics] == [m.estimate for m in again.metrics]
    assert {m.n_query for m in first.metrics} == {40}


def test_scenes_of_one_patch_leave_geometry_out_and_say_so(ground: Ground) -> None:
    def bare(indices: np.ndarray, margin: int) -> FloatArray:
        images = ground.context(indices, margin)
        if margin:
            images[:, :, :margin] = np.nan
        return images

    measured = np.arange(72, 288)
    gallery = gallery_of(ground, measured)
    result = measure_robustness(bare, describe, gallery, measured, SIZE, 0, sample=20, draws=100)
    assert set(result.left_out) == {"offset", "rotation", "scale"}
    assert "larger scenes" in result.left_out["offset"]
    assert {parse_level(m.metric)[1] for m in result.metrics} == {"looks", "gain", "gamma"}


def test_patch_sizes_down_to_the_least(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, measured = np.arange(72), np.arange(72, 288)
    scenes = ground.scenes[measured]
    result = measure_patch_size(ground.read, describe, fit, measured, scenes, SIZE, 0, draws=100)
    assert [(m.k, m.estimate.value) for m in result.metrics] == [(32, 1.0)]

    def picky(images: FloatArray) -> FloatArray:
        if images.shape[-1] < SIZE:
            raise SettingError("too small a map")
        return describe(images)

    monkeypatch.setattr("crosslook.retrieval.measure.patch_size.LEAST_SIZE", 8)
    many = measure_patch_size(ground.read, describe, fit, measured, scenes, SIZE, 0)
    few = measure_patch_size(ground.read, picky, fit, measured, scenes, SIZE, 0)
    assert [m.k for m in many.metrics] == [32, 16, 8]
    assert many.metrics[2].estimate.value < 1.0
    assert [m.k for m in few.metrics] == [32]
    assert few.left_out == {"patch=16": "too small a map"}


def test_date_gaps_fall_into_bins_and_unknown_ones_out() -> None:
    scenes = ["a", "a", "b", "b", "c", "d"]
    ranks = np.array([1, 1, 1, 2, 5, 1])
    rows = measure_date_gap(ranks, scenes, {"a": 0, "b": -3, "c": 20}, 100, 0, draws=100)
    assert [(m.k, m.estimate.value, m.n_query) for m in rows] == [
        (1, 1.0, 2),
        (3, 0.5, 2),
        (30, 0.0, 1),
    ]
    assert measure_date_gap(ranks, scenes, {}, 100, 0) == []


def test_every_metric_is_defined(ground: Ground) -> None:
    result = run(ground, sample=5)
    for metric in result.metrics:
        assert define("robustness", metric.metric).title
