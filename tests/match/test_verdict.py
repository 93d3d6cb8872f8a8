"""Evidence that does not grow with the image; the cause of no match; what may be asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crosslook.errors import SettingError
from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import GreyImage
from crosslook.match.align import Alignment, against_chance
from crosslook.match.evidence import Evidence, Verdict, error_bound, expected_error, judge
from crosslook.match.pair import ImagePair
from crosslook.match.reason import likely_cause, texture
from crosslook.match.settings import DEFAULT_EXTRACTOR, RegisterSettings, factors
from crosslook.match.tie_points import Stage, TiePoints, no_tie_points
from crosslook.match.transform import Transform, identity, similarity

LAST = Stage(template=128.0, radius=12.0, step=32.0, threshold=3.5)
GOOD = Evidence(
    inliers=25.0, inlier_fraction=1.0, hull_area=0.3, median_ncc=0.12, peak_ratio=3.0,
    residual=1.1, gradient_mi_distance=1.0, mi_z_score=3.0, excess_inliers=1.0, neg_log10_p=4.0,
    coverage=0.9, split_half_distance=1.0, ncc_z_score=8.0, peak_margin=4.5, fine_z_score=8.0,
    fine_margin=4.5, half_margin=2.5, least_half_margin=1.5, jackknife_margin=3.0, block_rank=1.8,
    concentration=0.19, mi_margin=2.0, mi_half_margin=1.7, mi_jackknife_margin=1.4,
    jackknife_distance=0.3,
)  # fmt: skip
BAD = Evidence(
    inliers=12.0, inlier_fraction=0.5, hull_area=0.2, median_ncc=0.04, peak_ratio=2.0,
    residual=1.5, gradient_mi_distance=12.0, mi_z_score=0.2, excess_inliers=0.4, neg_log10_p=0.2,
    coverage=0.5, split_half_distance=12.0, ncc_z_score=2.0, peak_margin=-1.0, fine_z_score=2.7,
    fine_margin=-0.2, half_margin=-0.7, least_half_margin=-1.8, jackknife_margin=-1.0,
    block_rank=1.1, concentration=0.2, mi_margin=-1.5, mi_half_margin=-1.6,
    mi_jackknife_margin=-2.4, jackknife_distance=0.6,
)  # fmt: skip


def points(count: int, fraction: float) -> TiePoints:
    """``count`` tie points of which a share are inliers."""
    inlier = np.arange(count) < round(fraction * count)
    return TiePoints(
        np.zeros((count, 2)), np.zeros((count, 2)), np.ones(count), np.ones(count), inlier
    )


@pytest.mark.parametrize("count", [25, 400, 3600])
def test_agreement_by_chance_is_no_evidence_at_any_size(count: int) -> None:
    chance = np.pi * 3.5**2 / 24.0**2
    excess, rarity = against_chance(points(count, chance), LAST)
    assert excess == pytest.approx(0.0, abs=0.05)
    assert rarity < 1.0


def test_agreement_of_many_is_rarer_than_that_of_few() -> None:
    few, many = (against_chance(points(count, 0.8), LAST) for count in (25, 400))
    assert few[0] == pytest.approx(many[0], abs=0.02)
    assert many[1] > few[1] > 1.0
    assert many[1] <= 100.0


def test_the_verdict_tells_clear_cases_and_more_poses_make_it_careful() -> None:
    assert judge(GOOD, "initial").label == "match"
    assert judge(BAD, "initial").label == "no match"
    assert judge(replace(GOOD, inliers=0.0), "initial").label == "no match"
    searched = judge(replace(GOOD, poses=500.0), "initial").confidence
    assert searched <= judge(GOOD, "initial").confidence


@pytest.mark.parametrize(
    "better",
    [
        {"excess_inliers": 0.9},
        {"peak_margin": 3.0},
        {"ncc_z_score": 7.0},
        {"split_half_distance": 1.0},
        {"gradient_mi_distance": 1.0},
        {"half_margin": 2.0},
        {"jackknife_margin": 2.0},
        {"mi_half_margin": 1.0},
        {"concentration": 0.12},
    ],
)
def test_better_evidence_never_lowers_the_confidence(better: dict[str, float]) -> None:
    assert judge(replace(BAD, **better), "initial").confidence >= judge(BAD, "initial").confidence


def test_errors_to_expect_grow_with_what_shows_them() -> None:
    assert expected_error(GOOD) < error_bound(GOOD)
    for worse in (
        {"gradient_mi_distance": 9.0},
        {"split_half_distance": 9.0},
        {"residual": 3.0},
        {"relief": 15.0},
    ):
        doubtful = replace(GOOD, **worse)
        assert expected_error(doubtful) >= expected_error(GOOD)
        assert error_bound(doubtful) >= error_bound(GOOD)
    assert error_bound(Evidence()) <= 50.0


def structured(side: int = 200) -> GreyImage:
    """Squares: contrast that a blur leaves."""
    rows, cols = np.indices((side, side)) // 25
    values = ((rows * 7 + cols * 3) % 5 / 4.0).astype(np.float32)
    return GreyImage(values, np.ones((side, side), np.bool_))


def nothing(
    sar: GreyImage,
    optical: GreyImage,
    start: Transform | None = None,
    evidence: Evidence = BAD,
) -> Alignment:
    """An alignment of two images that led nowhere."""
    pair = ImagePair.of(sar, optical, open_extractor(DEFAULT_EXTRACTOR))
    pair = replace(pair, start=start or identity())
    return Alignment(pair, None, no_tie_points(), evidence, Verdict("no match", 0.0))


def test_texture_is_what_a_blur_leaves() -> None:
    noise = np.random.default_rng(0).uniform(size=(200, 200)).astype(np.float32)
    assert texture(GreyImage(noise, np.ones((200, 200), np.bool_))) < 0.15
    assert texture(structured()) > 0.6


def test_the_likeliest_cause_is_named_with_a_next_step() -> None:
    good = structured()
    noise = np.random.default_rng(0).uniform(size=(200, 200)).astype(np.float32)
    flat = GreyImage(noise, np.ones((200, 200), np.bool_))
    hollow = GreyImage(good.values, np.arange(200)[:, None] + np.zeros((1, 200)) < 30)
    assert "too little texture" in likely_cause(nothing(flat, good), "initial")
    assert "the optical image" in likely_cause(nothing(good, flat), "initial")
    assert "too few valid pixels" in likely_cause(nothing(hollow, good), "expanded")
    assert "--rotation" in likely_cause(nothing(good, good), "initial")
    assert "different places" in likely_cause(nothing(good, good), "expanded")
    assert "may not overlap" in likely_cause(nothing(good, good), "requested")
    alike = nothing(good, good, evidence=replace(BAD, peak_margin=0.5, ncc_z_score=5.0))
    assert "--scale" in likely_cause(alike, "requested")
    far = similarity((500.0, 500.0))
    assert "too few valid pixels" in likely_cause(nothing(good, good, far), "initial")


def test_a_scale_is_a_fraction_or_two_factors() -> None:
    assert factors("") == (1.0, 1.0)
    assert factors("0.25") == (0.8, 1.25)
    assert factors("0.7:1.4") == (0.7, 1.4)
    two_factors: Any = (0.7, 1.4)
    fraction: Any = 0.1
    assert RegisterSettings(scale=two_factors, aspect=two_factors).scale == "0.7:1.4"
    assert RegisterSettings(scale=fraction).is_wide
    assert not RegisterSettings().is_wide
    for wrong in ("wide", "1.5", "1.4:0.7", "0.01:2", "1:2:3"):
        with pytest.raises(SettingError, match=r"0\.7:1\.4"):
            RegisterSettings(scale=wrong)
