"""The curves: on images whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from crosslook.errors import SettingError
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.compare.similarity import fit_scoring, normalise
from crosslook.retrieval.measure import robustness
from crosslook.retrieval.measure.perturbations import PERTURBATIONS
from crosslook.retrieval.measure.robustness import Robustness, Subject, parse_level
from crosslook.types import FeatureMap, FloatArray, Metric

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


def subject(ground: Ground, **changed: Any) -> Subject:
    """The last six scenes tried, the first two calibrated on."""
    everything = np.arange(len(ground.places))
    raw = [describe(ground.read(modality, everything)) for modality in ("sar", "optical")]
    calibration = fit_calibration("standardize", raw[0][:72], raw[1][:72])
    sar = normalise(calibration.apply(raw[0], "sar"))
    optical = normalise(calibration.apply(raw[1], "optical"))
    view = Subject(
        describe=describe,
        read=ground.read,
        read_context=ground.context,
        fit=everything[:72],
        measured=everything[72:],
        clusters=ground.scenes[72:],
        scenes=[str(scene) for scene in ground.scenes[72:]],
        size=SIZE,
        calibration=calibration,
        scoring=fit_scoring("csls", sar[:72], optical[:72]),
        sar=sar[72:],
        optical=optical[72:],
        seed=3,
        draws=100,
    )
    return replace(view, **changed)


def disturbed(view: Subject) -> list[Metric]:
    return list(Robustness().disturbed(view))


def test_curves_fall_from_one_as_queries_are_disturbed(ground: Ground) -> None:
    view = subject(ground)
    metrics = disturbed(view)
    assert not view.left_out
    recall = {parse_level(m.metric)[1:]: m for m in metrics if m.metric.startswith("recall@1")}
    assert set(recall) == {(n, level) for n, p in PERTURBATIONS.items() for level in p.levels}
    for name, perturbation in PERTURBATIONS.items():
        assert recall[name, perturbation.levels[0]].estimate.value == 1.0
    assert recall["offset", 16].estimate.value < 0.3 < 0.9 < recall["offset", 2].estimate.value
    assert recall["rotation", 20].estimate.value < recall["rotation", 1].estimate.value + 1e-9
    assert all(m.n_gallery == 216 and m.n_query <= 200 for m in metrics)
    cosine = {m.metric: m.estimate.value for m in metrics}
    assert cosine["pair-cosine/offset=0"] > 0.999 > cosine["pair-cosine/offset=2"]
    assert cosine["pair-cosine/looks=16"] > cosine["pair-cosine/looks=1"]


def test_only_patches_with_their_context_are_drawn(ground: Ground) -> None:
    offset, gain = ({name: PERTURBATIONS[name]} for name in ("offset", "gain"))
    drawn = disturbed(subject(ground, perturbations=offset, most=1000))
    # 32 px of context: the inner four by four of six by six patches.
    assert {m.n_query for m in drawn} == {6 * 16}
    everything = disturbed(subject(ground, perturbations=gain, most=1000))
    assert {m.n_query for m in everything} == {216}


def test_same_seed_same_rows_and_sampling(ground: Ground) -> None:
    some = {"looks": PERTURBATIONS["looks"]}
    first, again = (disturbed(subject(ground, perturbations=some, most=40)) for _ in range(2))
    assert [m.estimate for m in first] == [m.estimate for m in again]
    assert {m.n_query for m in first} == {40}


def test_scenes_of_one_patch_leave_geometry_out_and_say_so(ground: Ground) -> None:
    def bare(indices: np.ndarray, margin: int) -> FloatArray:
        images = ground.context(indices, margin)
        if margin:
            images[:, :, :margin] = np.nan
        return images

    view = subject(ground, read_context=bare, most=20)
    metrics = disturbed(view)
    assert set(view.left_out) == {"offset", "rotation", "scale"}
    assert "larger scenes" in view.left_out["offset"]
    assert {parse_level(m.metric)[1] for m in metrics} == {"looks", "gain", "gamma"}


def test_patch_sizes_down_to_the_least(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(view: Subject) -> list[Metric]:
        return list(Robustness().patch_sizes(view))

    assert [(m.k, m.estimate.value) for m in sizes(subject(ground))] == [(32, 1.0)]

    def picky(images: FloatArray) -> FloatArray:
        if images.shape[-1] < SIZE:
            raise SettingError("too small a map")
        return describe(images)

    monkeypatch.setattr(robustness, "LEAST_SIZE", 8)
    many = sizes(subject(ground))
    view = subject(ground, describe=picky)
    assert [m.k for m in many] == [32, 16, 8]
    assert many[2].estimate.value < 1.0
    assert [m.k for m in sizes(view)] == [32]
    assert view.left_out == {"patch=16": "too small a map"}


def test_date_gaps_fall_into_bins_and_unknown_ones_out(ground: Ground) -> None:
    scenes = ["a", "a", "b", "b", "c", "d"]
    ranks = np.array([1, 1, 1, 2, 5, 1])
    view = subject(
        ground, scenes=scenes, clusters=np.arange(6), days={"a": 0.0, "b": -3.0, "c": 20.0}
    )
    rows = list(Robustness().days_apart(view, ranks))
    assert [(m.k, m.estimate.value, m.n_query) for m in rows] == [
        (1, 1.0, 2),
        (3, 0.5, 2),
        (30, 0.0, 1),
    ]
    assert {m.n_gallery for m in rows} == {216}
    assert list(Robustness().days_apart(replace(view, days={}), ranks)) == []
