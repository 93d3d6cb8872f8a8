"""What every registered measure keeps to: defined metrics, in their range, the same each time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.similarity import fit_scoring, normalise
from crosslook.retrieval.measure.base import Measure, Pairs
from crosslook.retrieval.measure.difference import Plain, TwoModels
from crosslook.retrieval.measure.perturbations import PERTURBATIONS
from crosslook.retrieval.measure.registry import MEASURES, find_measure, measure_all
from crosslook.retrieval.measure.retrieval import Ranking
from crosslook.retrieval.measure.robustness import Subject
from crosslook.retrieval.measure.structure import Space
from crosslook.retrieval.measure.two_stage import Stages, StageScores
from crosslook.types import Estimate, FloatArray, Metric

COUNT = 40
CLUSTERS = np.arange(COUNT) // 4


def sides(seed: int = 0) -> tuple[FloatArray, FloatArray]:
    place, *noise = np.random.default_rng(seed).normal(size=(3, COUNT, 6))
    one, other = (normalise((place + 0.5 * n).astype(np.float32)) for n in noise)
    return one, other


def pairs() -> Pairs:
    return Pairs(*sides(), CLUSTERS, 0, draws=100)


def ranking() -> Ranking:
    ranks = np.random.default_rng(0).integers(1, COUNT + 1, COUNT)
    return Ranking(ranks, CLUSTERS, COUNT, "sar->optical", 0, 100, np.full(COUNT, 2), tolerant=True)


def two_models() -> TwoModels:
    hits = np.random.default_rng(1).random((2, COUNT)) < 0.5
    one, other = (Plain.of(*sides(n), np.where(own, 1, 2)) for n, own in enumerate(hits))
    return TwoModels(one, other, "clip", CLUSTERS, 0, 100)


def stages() -> Stages:
    scores = [StageScores((a @ b.T).astype(np.float32), 0.3, 10) for a, b in map(sides, (0, 1))]
    first, second = scores
    return Stages(first, second, (second, first), (5, 10), CLUSTERS, 0, 100)


def subject() -> Subject:
    sar, optical = sides()
    calibration = fit_calibration("none", sar, optical)

    def read(_: str, indices: np.ndarray) -> FloatArray:
        rows = np.zeros((len(indices), 3, 32, 32), np.float32)
        rows[:, 0, 12, 12:18] = sar[indices]
        return rows

    return Subject(
        describe=lambda images: images[:, 0, 12, 12:18] + np.float32(1e-3),
        read=read,
        read_context=lambda indices, margin: np.pad(
            read("sar", indices), ((0, 0), (0, 0), (margin, margin), (margin, margin))
        ),
        fit=np.arange(COUNT),
        measured=np.arange(COUNT),
        clusters=CLUSTERS,
        scenes=[str(cluster) for cluster in CLUSTERS],
        size=32,
        calibration=calibration,
        scoring=fit_scoring("cosine", sar, optical),
        sar=sar,
        optical=optical,
        seed=0,
        draws=100,
        days={"0": 2.0},
        perturbations={name: PERTURBATIONS[name] for name in ("gain", "offset")},
    )


VIEWS: dict[type[Any], Callable[[], Any]] = {
    Pairs: pairs,
    Ranking: ranking,
    TwoModels: two_models,
    Space: lambda: Space(*sides(), CLUSTERS, 0, groups=np.arange(COUNT) % 2),
    Stages: stages,
    Subject: subject,
}
"""A view of every kind; a measure that sees another one adds it here."""

every_measure = pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)


@pytest.fixture(scope="module")
def measured() -> dict[str, list[Metric]]:
    return {measure.name: measure(VIEWS[measure.sees]()) for measure in MEASURES}


def test_names_are_told_apart() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", name) for name in names)
    assert find_measure(names[-1]) is MEASURES[-1]


@every_measure
def test_definitions_say_what_a_reader_needs(measure: Measure[Any]) -> None:
    assert measure.title
    assert measure.how.endswith(".")
    for definition in measure.definitions.values():
        assert all((definition.title, definition.formula, definition.source))
        assert definition.reading.endswith(".")
        assert definition.low < definition.high
        assert math.isnan(definition.chance) or (
            definition.low <= definition.chance <= definition.high
        )


@every_measure
def test_metrics_are_defined_and_in_their_range(
    measure: Measure[Any], measured: dict[str, list[Metric]]
) -> None:
    metrics = measured[measure.name]
    assert metrics
    for metric in metrics:
        definition = measure.define(metric.metric)
        estimate = metric.estimate
        assert metric.measure == measure.name
        assert definition.low <= estimate.value <= definition.high, metric
        assert math.isnan(estimate.low) or estimate.low <= estimate.value <= estimate.high, metric
        assert math.isnan(metric.chance) or definition.low <= metric.chance <= definition.high
        assert 0 < metric.n_query <= 2 * COUNT
    keys = [(m.metric, m.direction, m.k) for m in metrics]
    assert len(set(keys)) == len(keys), "a row is told by metric, direction and k"


@every_measure
def test_the_same_view_gives_the_same_metrics(
    measure: Measure[Any], measured: dict[str, list[Metric]]
) -> None:
    assert repr(measure_all(VIEWS[measure.sees]())) == repr(measured[measure.name])


def test_an_undefined_metric_is_refused() -> None:
    with pytest.raises(KeyError, match="no-such-metric"):
        find_measure("gap").metric("no-such-metric", Estimate(0.5, 0.4, 0.6), COUNT)
