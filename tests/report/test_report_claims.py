"""The judgement of the published claims, in cases where the answer is known."""

from __future__ import annotations

import math

import pytest
from scipy.stats import spearmanr

from crosslook.report.claims import judge_claims, pair_distances, rank_correlation
from crosslook.types import Row


def rows(**measured: tuple[float, float]) -> list[Row]:
    """Rows of extractors, each (gap, recall) with an interval of +- 0.02."""
    found = []
    for name, (gap, recall) in measured.items():
        spec = name.replace("_", "-")
        head = ("set", spec, "r", "flatten", "none", "cosine", "held-out")
        for measure, direction, metric, k, value in (
            ("gap", "", "pair-distance", 0, gap),
            ("retrieval", "sar->optical", "recall", 1, recall),
        ):
            span = (value - 0.02, value + 0.02)
            found.append(Row(*head, measure, direction, metric, k, value, *span, 50, 50, 0.02))
    return found


def answers(measured: list[Row]) -> list[str]:
    return [claim.verdict for claim in judge_claims(measured)]


def test_all_claims_true() -> None:
    measured = rows(sam2=(0.1, 0.2), sd_vae=(0.6, 0.5), dinov2=(0.4, 0.3))
    assert answers(measured) == ["true", "true", "true"]


def test_all_claims_false() -> None:
    measured = rows(sam2=(0.5, 0.2), sd_vae=(0.6, 0.1), dinov2=(0.1, 0.5))
    assert answers(measured) == ["false", "false", "false"]


def test_all_claims_undecided() -> None:
    measured = rows(sam2=(0.30, 0.30), sd_vae=(0.31, 0.31), dinov2=(0.32, 0.32))
    found = judge_claims(measured)
    assert [claim.verdict for claim in found] == ["undecided"] * 3
    assert "overlap" in found[0].why


def test_claims_on_models_that_were_not_run() -> None:
    measured = rows(hog=(0.4, 0.2), raw=(0.1, 0.1))
    assert answers(measured) == ["true"]
    assert answers(rows(hog=(0.4, 0.2))) == []


def test_a_missing_interval_decides_nothing() -> None:
    nan = math.nan
    measured = [
        Row(*(row.__dict__ | {"ci_low": nan, "ci_high": nan}).values())
        for row in rows(sam2=(0.1, 0.2), sd_vae=(0.6, 0.5))
    ]
    assert set(answers(measured)) == {"undecided"}


def test_calibrated_and_other_rows_do_not_count() -> None:
    measured = rows(sam2=(0.1, 0.2), sd_vae=(0.6, 0.5))
    calibrated = [
        Row(*(row.__dict__ | {"calibration": "center", "value": 0.0}).values()) for row in measured
    ]
    assert [row.value for row in pair_distances(measured + calibrated).values()] == [0.1, 0.6]


@pytest.mark.parametrize(
    "values",
    [((0.1, 0.5), (0.2, 0.4), (0.3, 0.1)), ((0.1, 0.2), (0.2, 0.2), (0.3, 0.9), (0.3, 0.5))],
)
def test_the_rank_correlation_equals_scipy(values: tuple[tuple[float, float], ...]) -> None:
    measured = rows(**{f"e{i}": pair for i, pair in enumerate(values)})
    expected = spearmanr([-gap for gap, _ in values], [recall for _, recall in values]).statistic
    assert rank_correlation(measured) == pytest.approx(expected)


def test_two_extractors_have_no_rank_correlation() -> None:
    assert math.isnan(rank_correlation(rows(a=(0.1, 0.2), b=(0.2, 0.1))))
