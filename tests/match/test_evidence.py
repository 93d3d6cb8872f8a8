"""The table of evidence: one row a term, from which verdict, errors and sentences are made."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from crosslook.match.evidence import (
    OLD_NAMES,
    TERMS,
    VETOES,
    Evidence,
    Veto,
    explain,
    features,
    fitted_values,
    judge,
    read_evidence,
    sentences,
    terms_of,
    use_of,
    vetoes_of,
)
from crosslook.match.settings import Search

SEARCHES: tuple[Search, ...] = ("initial", "expanded", "requested", "atlas")
OLD: dict[str, dict[str, Any]] = {
    # Parts of what version 0.1.0 wrote, of real pairs.
    "registered": {
        "verdict": "uncertain", "confidence": 0.6768, "working_pixel": 1,
        "transform": {"model": "similarity"}, "notes": ["12 holes were filled"],
        "evidence": {
            "inliers": 26.0, "inlier_fraction": 0.764706, "hull_area": 0.369693,
            "score": 0.0617521, "peak_ratio": 1.41318, "residual": 1.09284, "agreement": 2.38156,
            "information": 3.5632, "relief": 2.71691, "search_score": 0.0, "search_margin": 0.0,
            "excess": 0.74786, "chance": 3.40793, "coverage": 0.975446, "halves": 0.577071,
            "whole": 4.54046, "lead": 1.13635, "poses": 1.0,
        },
    },
    "located": {
        "verdict": "no match", "confidence": 0.1708, "working_pixel": 1,
        "transform": {"model": "affine"}, "notes": ["12 holes were filled"],
        "evidence": {
            "inliers": 29.0, "inlier_fraction": 0.725, "hull_area": 0.127288, "score": 0.0808815,
            "peak_ratio": 1.48388, "residual": 0.887042, "agreement": 1.74339,
            "information": 1.87843, "relief": 8.82655, "search_score": 0.278803,
            "search_margin": 0.0325771, "excess": 0.710804, "chance": 4.56261,
            "coverage": 0.609273, "halves": 0.864754, "whole": 3.82634, "lead": 0.635602,
            "poses": 1.0,
        },
    },
    "hilly": {
        "verdict": "match", "confidence": 0.9617, "working_pixel": 1,
        "transform": {"model": "affine"}, "notes": ["12 holes were filled"],
        "evidence": {
            "inliers": 76.0, "inlier_fraction": 0.460606, "hull_area": 0.417799,
            "score": 0.0621718, "peak_ratio": 2.27668, "residual": 1.80142, "agreement": 16.6755,
            "information": 1.10618, "relief": 12.2765, "search_score": 0.0, "search_margin": 0.0,
            "excess": 0.421987, "chance": 9.42433, "coverage": 0.731782, "halves": 0.734532,
            "whole": 7.52729, "lead": 4.5474, "poses": 1.0,
        },
    },
}  # fmt: skip


def drawn(rng: np.random.Generator, search: Search) -> Evidence:
    """Evidence drawn at random from all that may be."""
    fractions = ("inlier_fraction", "hull_area", "excess_inliers", "coverage", "concentration")
    values = {term.name: float(rng.uniform(0.1, 9.0)) for term in TERMS}
    # Of a logit that floating-point numbers tell from certainty.
    values |= {n: float(rng.uniform(0.1, 2.0)) for n in values if "margin" in n or "z_score" in n}
    values["block_rank"] = float(rng.uniform(0.4, 2.0))
    values |= {name: float(rng.uniform(0.0, 0.6)) for name in fractions}
    values["inliers"] = float(rng.integers(1, 60))
    values["median_ncc"] = float(rng.uniform(-0.1, 0.3))
    values["mi_z_score"], values["peak_margin"] = map(float, rng.uniform(-4.0, 4.0, 2))
    values["frame_like"] = values["repeats"] = 0.0  # so that no veto applies
    values["poses"] = float(rng.integers(1, 2000))
    values["search_score"] = 0.0 if search != "atlas" else float(rng.uniform(0.1, 1.5))
    values["search_margin"] = 0.0 if search != "atlas" else float(rng.uniform(-0.3, 0.5))
    return Evidence(**values)


def logit(evidence: Evidence, search: Search) -> float:
    confidence = judge(evidence, search).confidence
    return float(np.log(confidence / (1.0 - confidence)))


@pytest.mark.parametrize("search", SEARCHES)
def test_contributions_add_up_to_the_confidence(search: Search) -> None:
    rng = np.random.default_rng(0)
    for evidence in (drawn(rng, search) for _ in range(100)):
        explained = explain(evidence, search)
        assert explained.base + sum(one.logit for one in explained.terms) == pytest.approx(
            logit(evidence, search), abs=1e-6
        )
        sizes = [abs(one.logit) for one in explained.terms]
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_sentence_and_the_confidence_change_alike(search: Search) -> None:
    rng = np.random.default_rng(1)
    weights = fitted_values()[search]["weight"]
    for _ in range(100):
        before = drawn(rng, search)
        other = drawn(rng, search)
        for term in TERMS:
            after = replace(before, **{term.name: getattr(other, term.name)})
            old, new = (
                {one.term: one for one in explain(evidence, search).terms}
                for evidence in (before, after)
            )
            change = logit(after, search) - logit(before, search)
            if not weights.get(term.name):
                assert change == 0.0
                assert term.name not in old
                assert old == new
                continue
            assert new[term.name].logit - old[term.name].logit == pytest.approx(change, abs=1e-6)
            raised = term.sign * (getattr(after, term.name) - getattr(before, term.name))
            assert change * raised >= 0.0
            for one in (old[term.name], new[term.name]):
                side = term.supports if one.logit > 0 else term.doubts
                assert one.sentence == side.format(one.value)
            rest = [
                {n: o.sentence for n, o in said.items() if n != term.name} for said in (old, new)
            ]
            assert rest[0] == rest[1]


def test_the_table_and_the_fit_name_the_same_terms() -> None:
    values = fitted_values()
    for search in SEARCHES:
        rows = terms_of(use_of(search))
        assert {term.name for term in rows} == set(values[search]["weight"])
        assert set(values[search]["reference"]) == {term.name for term in rows}
        for term in rows:
            assert term.sign * values[search]["weight"][term.name] >= 0.0
            assert term.supports.format(0.5) != term.doubts.format(0.5)
    for quantile in ("68", "95"):
        weights = values["error"][quantile]["weight"]
        assert set(weights) == {term.name for term in terms_of("error")}
        assert min(weights.values()) >= 0.0


def test_without_inliers_nothing_else_counts() -> None:
    evidence = replace(drawn(np.random.default_rng(2), "initial"), inliers=0.0)
    (only,) = explain(evidence, "initial").terms
    assert judge(evidence, "initial").confidence == 0.0
    assert (only.term, only.logit < -30.0) == ("inliers", True)


SURE = Evidence(
    inliers=60.0, inlier_fraction=1.0, hull_area=0.9, median_ncc=0.3, peak_ratio=3.0,
    residual=1.0, gradient_mi_distance=1.0, mi_z_score=8.0, excess_inliers=1.0, neg_log10_p=40.0,
    coverage=0.9, split_half_distance=1.0, ncc_z_score=12.0, peak_margin=6.0, fine_z_score=12.0,
    fine_margin=6.0, half_margin=6.0, least_half_margin=4.0, jackknife_margin=6.0, block_rank=2.5,
    concentration=0.15, mi_margin=6.0, mi_half_margin=6.0, mi_jackknife_margin=6.0,
    jackknife_distance=0.5, search_score=1.5, search_margin=0.5,
)  # fmt: skip
CONTRADICTIONS: dict[str, dict[str, float]] = {
    "contradiction": {"split_half_distance": 17.0, "gradient_mi_distance": 50.0},
    "next-best place": {"peak_margin": -0.5, "fine_margin": -0.2},
    "small part": {"jackknife_margin": -0.3, "mi_jackknife_margin": -0.1},
    "frame": {"frame_like": 0.9},
    "repeats": {"repeats": 3.0},
}


FAINT = replace(
    SURE, inliers=12.0, neg_log10_p=0.2, median_ncc=0.04, mi_z_score=0.0, ncc_z_score=2.0,
    peak_margin=0.1, fine_z_score=2.5, fine_margin=0.1, half_margin=-0.5, least_half_margin=-1.5,
    jackknife_margin=0.1, block_rank=1.0, concentration=0.3, mi_margin=-1.0, mi_half_margin=-1.5,
    mi_jackknife_margin=-2.0, jackknife_distance=3.0, gradient_mi_distance=6.0,
    split_half_distance=6.0, search_score=0.1, search_margin=0.0, hull_area=0.1,
)  # fmt: skip


def nearly(search: Search) -> Evidence:
    """Evidence between two kinds, which is uncertain, and which no veto holds for."""
    low, high = 0.0, 1.0
    values, none = asdict(SURE), asdict(FAINT)
    for _ in range(40):
        middle = (low + high) / 2
        mixed = {name: none[name] + middle * (values[name] - none[name]) for name in values}
        label = judge(Evidence(**mixed), search).label
        if label == "uncertain":
            return Evidence(**mixed)
        low, high = (low, middle) if label == "match" else (middle, high)
    raise AssertionError("nothing is uncertain")


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("veto", VETOES, ids=[veto.name for veto in VETOES])
def test_a_contradiction_lowers_the_label_and_is_named(veto: Veto, search: Search) -> None:
    evidence = replace(SURE, **CONTRADICTIONS[veto.name])
    assert judge(SURE, search).label == "match"
    assert [one.name for one in vetoes_of(evidence)] == [veto.name]
    verdict = judge(evidence, search)
    assert verdict.label == "uncertain"
    assert verdict.confidence < fitted_values()[search]["thresholds"]["match"]
    explained = explain(evidence, search)
    (taken,) = [one for one in explained.terms if one.term == f"veto: {veto.name}"]
    assert (taken.sign, "{" in taken.sentence) == ("against", False)
    total = explained.base + sum(one.logit for one in explained.terms)
    assert total == pytest.approx(logit(evidence, search), abs=1e-6)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_veto_takes_one_step_and_doubt_may_stay(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vetoed(evidence: Evidence) -> bool:
        return any(one.term.startswith("veto") for one in explain(evidence, search).terms)

    doubt = nearly(search)
    framed, repeated = replace(doubt, frame_like=0.9), replace(doubt, repeats=3.0)
    assert (judge(framed, search).label, vetoed(framed)) == ("uncertain", False)
    assert (judge(repeated, search).label, vetoed(repeated)) == ("uncertain", False)
    faint = replace(FAINT, frame_like=0.9)
    assert judge(faint, search) == judge(FAINT, search)
    assert not vetoed(faint)
    always = (Veto("any", "It contradicts itself.", "always", lambda _: True),)
    monkeypatch.setattr("crosslook.match.evidence.VETOES", always)
    assert (judge(doubt, search).label, vetoed(doubt)) == ("no match", True)


@pytest.mark.parametrize("search", SEARCHES)
def test_the_caps_of_vetoes_belong_to_the_label_that_is_left(search: Search) -> None:
    fitted = fitted_values()[search]
    match, uncertain = (fitted["thresholds"][name] for name in ("match", "uncertain"))
    assert uncertain <= fitted["vetoed"]["match"] < match
    assert fitted["vetoed"]["uncertain"] < uncertain


def test_each_search_is_judged_by_its_own_calibration() -> None:
    rng = np.random.default_rng(3)
    for evidence in (drawn(rng, "initial") for _ in range(20)):
        for search in SEARCHES:
            use, fitted = use_of(search), fitted_values()[search]
            weight = [fitted["weight"][term.name] for term in terms_of(use)]
            expected = float(features(evidence, use) @ weight + fitted["intercept"])
            if abs(expected) < 30.0:
                assert logit(evidence, search) == pytest.approx(expected, abs=1e-3)
                assert judge(evidence, search).search == search


def test_more_poses_make_equal_evidence_less_sure() -> None:
    evidence = nearly("initial")
    near, around = (judge(replace(evidence, poses=n), "initial").confidence for n in (1.0, 15.0))
    everywhere = judge(replace(evidence, poses=112.0), "expanded").confidence
    assert near > max(around, everywhere)
    searches: tuple[Search, ...] = ("initial", "expanded", "requested")
    for search in searches:
        sure = [judge(replace(nearly(search), poses=n), search).confidence for n in (50.0, 500.0)]
        assert sure[0] > sure[1]


@pytest.mark.parametrize("old", OLD.values(), ids=OLD)
def test_an_old_match_is_read_under_its_old_names(old: dict[str, Any]) -> None:
    evidence = read_evidence(old["evidence"])
    for former, name in OLD_NAMES.items():
        assert getattr(evidence, name) == old["evidence"][former]
    assert read_evidence(asdict(evidence)) == evidence
    lines = sentences(old)
    measured = {OLD_NAMES.get(name, name) for name in old["evidence"]}
    assert "half_margin" not in measured
    assert [line["text"] for line in lines if line["sign"] != "note"] == [
        one.sentence for one in explain(evidence, "initial").terms if one.term in measured
    ]
    assert lines[-1] == {"sign": "note", "text": "12 holes were filled.", "logit": 0.0}


def test_a_hint_at_relief_names_the_model_that_follows_it() -> None:
    def hints(**changed: Any) -> list[str]:
        lines = sentences({**OLD["hilly"], "notes": [], **changed})
        return [line["text"] for line in lines if line["sign"] == "note"]

    (hint,) = hints()
    assert "by up to 12 px" in hint
    assert "--model relief" in hint
    for model in ("relief", "tps"):
        assert hints(transform={"model": model}) == []
    assert hints(verdict="uncertain") == []
    assert hints(evidence={**OLD["hilly"]["evidence"], "relief": 5.0}) == []
