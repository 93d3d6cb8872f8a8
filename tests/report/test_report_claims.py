"""The judgement of the published claims, on constructed features whose answer is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from crosslook.report.gap import judge_claims, rank_correlation
from crosslook.retrieval.compare.similarity import normalise, rank_partners
from crosslook.retrieval.measure.difference import (
    Difference,
    Plain,
    TwoModels,
    is_pretrained,
)
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.types import Row

PAIRS, CLUSTERS = 240, np.arange(240) // 12


def head(name: str) -> tuple[str, str, str, str, str, str, str]:
    return ("set", name, "r", "flatten", "none", "cosine", "held-out")


def features(near: float, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit descriptors: ``near`` draws all into one cone, ``noise`` blurs which place it is."""
    rng = np.random.default_rng(seed)
    place, first, second = rng.normal(size=(3, PAIRS, 32))
    cone = np.zeros(32)
    cone[0] = near
    one, other = (normalise((cone + place + noise * n).astype(np.float32)) for n in (first, second))
    return one, other


def measured(**models: tuple[float, float]) -> list[Row]:
    """Rows as a study makes them; each model by (near, noise)."""
    plains, rows = {}, []
    for seed, (name, how) in enumerate(models.items()):
        spec = name.replace("_", "-")
        sar, optical = features(*how, seed)
        ranks = rank_partners(sar, optical, np.arange(PAIRS)).rank
        plain = Plain.of(sar, optical, ranks)
        for measure, direction, metric, k, values in (
            ("gap", "", "pair-distance", 0, plain.distance),
            ("retrieval", "sar->optical", "recall", 1, plain.hits),
        ):
            value = float(values.mean())
            ends = (value, value - 0.1, value + 0.1)
            rows.append(Row(*head(spec), measure, direction, metric, k, *ends, 50, 50, 0.02))
        if is_pretrained(spec):
            plains[spec] = plain
    for spec, other in combinations(plains, 2):
        for m in Difference()(TwoModels(plains[spec], plains[other], other, CLUSTERS, 0, 500)):
            e = m.estimate
            ends = (e.value, e.low, e.high)
            rows.append(Row(*head(spec), m.measure, m.direction, m.metric, m.k, *ends, 50, 50, 0.0))
    return rows


def verdicts(rows: list[Row]) -> list[str]:
    return [claim.verdict for claim in judge_claims(rows)]


def test_all_claims_true() -> None:
    rows = measured(sam2=(60, 4.0), sd_vae=(0, 0.8), dinov2=(6, 1.5))
    assert verdicts(rows) == ["true", "true", "true"]


def test_all_claims_false() -> None:
    rows = measured(sam2=(2, 2.0), sd_vae=(0, 3.0), dinov2=(20, 0.3))
    assert verdicts(rows) == ["false", "false", "false"]


def test_all_claims_undecided() -> None:
    rows = measured(sam2=(3, 1.0), sd_vae=(3, 1.0), dinov2=(3, 1.0))
    assert verdicts(rows) == ["undecided"] * 3


def test_baselines_and_controls_are_not_judged() -> None:
    """A baseline nearer than SAM2 and better than SD-VAE changes no verdict."""
    rows = measured(sam2=(60, 4.0), sd_vae=(0, 0.8), dinov2=(6, 1.5))
    more = measured(
        sam2=(60, 4.0), sd_vae=(0, 0.8), dinov2=(6, 1.5), raw=(900, 9.0), hog=(0, 0.1),
        **{"untrained:dinov2": (0, 0.1)},
    )  # fmt: skip
    assert verdicts(more) == verdicts(rows) == ["true", "true", "true"]
    assert not any("hog" in claim.why or "raw" in claim.why for claim in judge_claims(more))


def test_a_paired_difference_decides_where_intervals_overlap() -> None:
    """The same places, one model a little worse on each: marginal intervals overlap by far."""
    sar, optical = features(3, 1.0, 0)
    rng = np.random.default_rng(9)
    other = normalise((optical + 0.03 * rng.normal(size=optical.shape)).astype(np.float32))
    ranks = np.ones(PAIRS, np.int64)
    plains = {"sam2": Plain.of(sar, optical, ranks), "clip": Plain.of(sar, other, ranks)}
    alone = [bootstrap_mean(plain.distance, CLUSTERS, 0, 500) for plain in plains.values()]
    assert alone[0].high > alone[1].low
    both = TwoModels(plains["sam2"], plains["clip"], "clip", CLUSTERS, 0, 500)
    assert Difference()(both)[0].estimate.high < 0


def test_one_model_alone_is_not_judged() -> None:
    assert judge_claims(measured(hog=(1, 0.5), raw=(1, 0.9), dinov2=(1, 0.4))) == []


def test_rank_correlation_by_hand() -> None:
    def rows(**values: tuple[float, float]) -> list[Row]:
        made = []
        for name, (gap, recall) in values.items():
            for measure, direction, metric, k, v in (
                ("gap", "", "pair-distance", 0, gap),
                ("retrieval", "sar->optical", "recall", 1, recall),
            ):
                made.append(Row(*head(name), measure, direction, metric, k, v, v, v, 9, 9, 0.1))
        return made

    assert rank_correlation(rows(a=(0.1, 0.9), b=(0.2, 0.8), c=(0.3, 0.7))) == pytest.approx(1)
    assert rank_correlation(rows(a=(0.3, 0.9), b=(0.2, 0.8), c=(0.1, 0.7))) == pytest.approx(-1)
    # Ranks 1 2 3 against 1 3 2: 1 - 6 * 2 / (3 * 8).
    assert rank_correlation(rows(a=(0.1, 0.9), b=(0.2, 0.7), c=(0.3, 0.8))) == pytest.approx(0.5)
    assert np.isnan(rank_correlation(rows(a=(0.1, 0.9), b=(0.2, 0.8))))
