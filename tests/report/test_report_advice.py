"""The advice on two stages, judged on constructed maps whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crosslook.report.section import Results
from crosslook.report.two_stage import judge_advice, two_stage_advice, two_stage_section
from crosslook.retrieval.stage_spec import TwoStage
from crosslook.retrieval.stages import evaluate_two_stage
from crosslook.types import FeatureMap, FloatArray, Indices, Row

GROUPS, MEMBERS, FIT = 12, 5, 40
COUNT = FIT + GROUPS * MEMBERS
CLUSTERS = np.r_[np.arange(FIT) // 5, 100 + np.arange(GROUPS * MEMBERS) // MEMBERS]


def maps(what: str, seed: int) -> tuple[FloatArray, FloatArray]:
    """Maps that know the group of a place, its number in the group, or both."""
    rng = np.random.default_rng(seed)
    shape = (4, 12, 12)
    group, member = rng.normal(size=(GROUPS, *shape)), rng.normal(size=(MEMBERS, *shape))
    measured = {
        "group": np.repeat(group, MEMBERS, axis=0),
        "member": np.tile(member, (GROUPS, 1, 1, 1)),
        "both": rng.normal(size=(GROUPS * MEMBERS, *shape)),
    }[what]
    place = np.concatenate([rng.normal(size=(FIT, *shape)), measured])
    sides = (place + 0.3 * rng.normal(size=place.shape) for _ in range(2))
    first, second = (side.astype(np.float32) for side in sides)
    return first, second


def rows(coarse: str, fine: str) -> list[Row]:
    # The same knowledge is the same features: neither order can be better.
    seeds = (0, 0) if coarse == fine else (0, 1)
    known = {"sam2": maps(coarse, seeds[0]), "sd-vae": maps(fine, seeds[1])}

    def read(name: str, at: Indices) -> tuple[FeatureMap, FeatureMap]:
        sar, optical = known[name]
        return FeatureMap(sar[at], 8.0), FeatureMap(optical[at], 8.0)

    spec = TwoStage.parse("sam2:grid=6+sd-vae:grid=6,ks=5:30,radius=8")
    sets = np.arange(FIT), np.arange(FIT, COUNT)
    result = evaluate_two_stage(spec, read, CLUSTERS, *sets, draws=300)
    head = ("set", "sam2+sd-vae", "", "auto+dense", "standardize", "csls", "held-out")
    return [
        Row(*head, m.measure, m.direction, m.metric, m.k, m.estimate.value, m.estimate.low,
            m.estimate.high, m.n_query, m.n_gallery, m.chance)
        for m in result.metrics
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("coarse", "fine", "verdict"),
    [
        ("group", "member", "true"),  # five of a group are shortlisted, one of them is told
        ("member", "group", "false"),  # twelve share a number, and the shortlist holds five
        ("both", "both", "undecided"),
    ],
)
def test_the_advice_is_judged(coarse: str, fine: str, verdict: str) -> None:
    measured = rows(coarse, fine)
    (claim,) = judge_advice(measured)
    (advice,) = two_stage_advice(measured)
    assert claim.verdict == verdict
    assert advice.k == 5
    assert 0 < advice.cost < 1
    assert "against sd-vae alone" in claim.why
    assert "against sam2 alone" in claim.why
    assert "against the swapped order" in claim.why
    (section,) = two_stage_section(Results(Path(), measured, {}))
    assert section.parts[0].table is not None
    assert section.parts[0].table.lines == [[claim.text, claim.verdict, claim.why]]


def test_a_coarse_stage_that_is_right_alone_needs_no_second_one() -> None:
    measured = rows("both", "group")
    alone = next(r.value for r in measured if r.metric == "coarse-alone" and r.k == 1)
    assert alone == 1.0
    (claim,) = judge_advice(measured)
    assert claim.verdict == "false"
    (best,) = [r for r in measured if r.metric == "recommended-k" and r.direction[0] == "s"]
    assert best.value == 1
    (section,) = two_stage_section(Results(Path(), measured, {}))
    assert "the coarse stage alone" in section.parts[1].text


def test_without_the_swapped_order_the_advice_stays_open() -> None:
    kept = [r for r in rows("group", "member") if "reversed" not in r.metric]
    assert [c.verdict for c in judge_advice(kept)] == ["undecided"]
    assert judge_advice([]) == []


def test_two_settings_of_one_model_are_told_apart() -> None:
    name = "hog:grid=4+hog:cell=8,ks=5:20"
    measured = [
        replace(row, extractor=row.extractor.replace("sam2+sd-vae", name))
        for row in rows("group", "member")
    ]
    (claim,) = judge_advice(measured)
    assert claim.text.startswith("Narrow by hog:grid=4, verify by hog:cell=8 (")
    assert "against hog:cell=8 alone" in claim.why
    assert "against hog:grid=4 alone" in claim.why
