"""The judgement of the published claims, in cases where the answer is known."""

from __future__ import annotations

import math

import pytest

from crosslook.report.claims import judge_claims, rank_correlation
from crosslook.types import Row


def rows(half: float = 0.02, **measured: tuple[float, float]) -> list[Row]:
    """Rows of extractors, each (gap, recall) with an interval of +- ``half``."""
    found = []
    for name, (gap, recall) in measured.items():
        head = ("set", name.replace("_", "-"), "r", "flatten", "none", "cosine", "held-out")
        for measure, direction, metric, k, value in (
            ("gap", "", "pair-distance", 0, gap),
            ("retrieval", "sar->optical", "recall", 1, recall),
        ):
            span = (value - half, value + half)
            found.append(Row(*head, measure, direction, metric, k, value, *span, 50, 50, 0.02))
    return found


def verdicts(measured: list[Row]) -> list[str]:
    return [claim.verdict for claim in judge_claims(measured)]


def test_all_claims_true() -> None:
    measured = rows(sam2=(0.1, 0.2), sd_vae=(0.6, 0.5), dinov2=(0.4, 0.3))
    assert verdicts(measured) == ["true", "true", "true"]


def test_all_claims_false() -> None:
    measured = rows(sam2=(0.5, 0.2), sd_vae=(0.6, 0.1), dinov2=(0.1, 0.5))
    assert verdicts(measured) == ["false", "false", "false"]


def test_all_claims_undecided() -> None:
    measured = rows(sam2=(0.30, 0.30), sd_vae=(0.31, 0.31), dinov2=(0.32, 0.32))
    assert verdicts(measured) == ["undecided"] * 3


def test_a_missing_interval_decides_nothing() -> None:
    measured = rows(math.nan, sam2=(0.1, 0.2), sd_vae=(0.6, 0.5))
    assert verdicts(measured) == ["undecided"] * 3


def test_claims_on_models_that_were_not_run_are_left_out() -> None:
    claims = judge_claims(rows(hog=(0.4, 0.5), raw=(0.1, 0.1)))
    assert [claim.verdict for claim in claims] == ["true"]
    assert "raw" in claims[0].why
    assert judge_claims(rows(hog=(0.4, 0.5))) == []


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation(rows(a=(0.1, 0.9), b=(0.2, 0.8), c=(0.3, 0.7))) == pytest.approx(1)
    assert rank_correlation(rows(a=(0.3, 0.9), b=(0.2, 0.8), c=(0.1, 0.7))) == pytest.approx(-1)
    # Ranks 1 2 3 against 1 3 2: 1 - 6 * 2 / (3 * 8).
    assert rank_correlation(rows(a=(0.1, 0.9), b=(0.2, 0.7), c=(0.3, 0.8))) == pytest.approx(0.5)
    assert math.isnan(rank_correlation(rows(a=(0.1, 0.9), b=(0.2, 0.8))))
