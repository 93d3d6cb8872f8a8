"""Two stages on constructed pairs: ceilings, final recall, costs, recommendation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crosslook.errors import MatchError, SpecError
from crosslook.extract.spec import split_specs
from crosslook.retrieval import stages
from crosslook.retrieval.compare.pooling import Pooling, coarse_pooling
from crosslook.retrieval.measure.registry import find_measure
from crosslook.retrieval.measure.two_stage import (
    final_hits,
    judged_length,
    partner_ranks,
    rank_fusion_hits,
    recommend,
)
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.stage_spec import Fusion, TwoStage
from crosslook.retrieval.stages import (
    TwoStageResult,
    answer,
    evaluate_two_stage,
)
from crosslook.types import FeatureMap, FloatArray, Indices

COUNT, SIDE = 90, 12
SCENES = np.repeat(np.arange(15), 6)
FIT, MEASURED = np.arange(30), np.arange(30, 90)


def images_of(seed: int, noise: float, offset: int) -> tuple[FloatArray, FloatArray]:
    """Smooth maps (4 channels) whose sar side is moved by up to ``offset`` cells."""
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=(COUNT, 4, SIDE + 4, SIDE + 4)).astype(np.float32)
    optical = wide[:, :, 2:-2, 2:-2]
    moved = rng.integers(-offset, offset + 1, size=(COUNT, 2)) + 2
    sar = np.stack(
        [w[:, r : r + SIDE, c : c + SIDE] for w, (r, c) in zip(wide, moved, strict=True)]
    )
    return (3 * sar + noise * rng.normal(size=sar.shape) + 5).astype(np.float32), optical


def run(text: str, sar: FloatArray, optical: FloatArray) -> TwoStageResult:
    """Two stages of the same maps, whatever their extractors are called."""

    def read(_: str, at: Indices) -> tuple[FeatureMap, FeatureMap]:
        return FeatureMap(sar[at], 8.0), FeatureMap(optical[at], 8.0)

    return evaluate_two_stage(TwoStage.parse(text), read, SCENES, FIT, MEASURED)


def evaluate(offset: int, noise: float = 3.0, radius: float = 16.0) -> TwoStageResult:
    return run(f"a:grid=4+a:ks=5:20:60:100,radius={radius}", *images_of(0, noise, offset))


def table(result: TwoStageResult, direction: str = "sar->optical") -> dict[tuple[str, int], float]:
    return {(m.metric, m.k): m.estimate.value for m in result.metrics if m.direction == direction}


def test_two_stages_survive_an_offset_that_one_does_not() -> None:
    moved = table(evaluate(offset=2))
    assert moved["coarse-alone", 1] < 0.5
    assert moved["fine-alone", 1] > 0.9
    assert moved["final", 60] > 0.9
    blind = table(evaluate(offset=2, radius=0))
    assert blind["final", 60] < 0.5


@pytest.mark.parametrize("direction", ["sar->optical", "optical->sar"])
def test_the_rows_agree_with_each_other(direction: str) -> None:
    result = evaluate(offset=1)
    rows = table(result, direction)
    assert 100 not in {k for name, k in rows if name == "final"}  # beyond the gallery
    assert rows["ceiling", 60] == 1.0
    assert rows["final", 60] == rows["fine-alone", 1]
    for k in (5, 20, 60):
        assert rows["final", k] <= rows["ceiling", k]
        assert rows["fused-sum", k] <= rows["ceiling", k]
        assert rows["fused-rank", k] <= rows["ceiling", k]
        assert rows["reversed-final", k] <= rows["reversed-ceiling", k]
    per_pair = rows["cost", 20] - rows["cost", 5]
    assert rows["cost", 60] - rows["cost", 20] == pytest.approx(per_pair / 15 * 40)
    assert rows["cost", 5] == 60 * 4 * 16 + per_pair / 3
    assert rows["fine-alone-cost", 0] == per_pair / 15 * 60
    best = result.recommended[direction]
    assert rows["recommended-k", best] == best
    answers = result.answers[direction]
    assert (answers.rank == 1).mean() == pytest.approx(rows["final", best])
    right = answers.top_indices[:, 0] == np.arange(60)
    assert right[answers.rank == 1].all()
    assert (answers.rank[~right] > 1).all()
    for k in (5, 20, 60):
        gain = rows["final", k] - rows["fine-alone", 1]
        assert rows["gain-over-fine-alone", k] == pytest.approx(gain)
        gain = rows["final", k] - rows["reversed-final", k]
        assert rows["gain-over-reversed", k] == pytest.approx(gain)
    for metric in result.metrics:
        e = metric.estimate
        assert e.low <= e.value <= e.high
        definition = find_measure(metric.measure).define(metric.metric)
        assert definition.low <= e.value <= definition.high
        assert metric.n_gallery == 60


def test_a_coarse_search_radius_lifts_the_ceiling() -> None:
    images = images_of(1, 2.0, 2)
    plain, wide = (table(run(text, *images)) for text in ("a+a", "a:pool=dense:2+a"))
    assert wide["ceiling", 5] > plain["ceiling", 5] + 0.2


def test_a_stage_without_cells_can_only_be_coarse() -> None:
    sar, optical = images_of(2, 1.0, 0)
    result = run("a:pool=mean+b", sar, optical)
    assert not any(m.metric.startswith("reversed") for m in result.metrics)
    assert "No reversed order" in result.notes[0]
    with pytest.raises(MatchError, match="keeps no map"):
        run("a+b", sar[:, :, :1, :1], optical[:, :, :1, :1])


def test_more_pairs_than_wanted_are_sampled_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MOST", 25)
    result = run("a+a:ks=5", *images_of(3, 1.0, 0))
    assert len(result.items) == 25
    assert set(result.items) <= set(MEASURED)
    assert "25 of 60" in result.notes[0]


def test_hits_by_hand() -> None:
    coarse = np.array([[1, 9, 8], [0, 5, 1], [7, 8, 6]], np.float32)
    fine = np.array([[9, 1, 2], [5, 5, 5], [1, 2, 3]], np.float32)
    assert partner_ranks(coarse).tolist() == [3, 1, 3]
    hits = final_hits(coarse, fine, (1, 2, 3))
    # Query 1's partner ties with the second one, which counts against it.
    assert [h.tolist() for h in hits] == [
        [False, True, False],
        [False, False, False],
        [True, False, True],
    ]
    fused = rank_fusion_hits(coarse, fine, (1, 3))
    assert fused[0].tolist() == [False, True, False]
    # Ranks of query 0: partner 3 + 1, item 1 at 1 + 3: the same sum, and the fine score decides.
    assert fused[1][0]
    # Query 2: the partner is last of both.
    assert not fused[1][2]
    answers = answer(coarse, fine, 3)
    assert answers.top_indices[:, 0].tolist() == [0, 0, 2]  # of equal ones the lower index
    assert answers.rank.tolist() == [1, 3, 1]  # ties of query 1 stand before its partner
    assert answer(coarse, fine, 2).rank.tolist() == [3, 2, 3]  # coarse ranks beyond the shortlist
    assert partner_ranks(np.ones((4, 4), np.float32)).tolist() == [4] * 4


def test_the_smallest_k_near_the_best_is_recommended() -> None:
    assert recommend((5, 10, 20), [0.7, 0.896, 0.90]) == 10
    assert recommend((5, 10, 20), [0.7, 0.894, 0.90]) == 20
    assert recommend((5, 10), [0.9, 0.8]) == 5


def test_a_coarse_stage_is_pooled_unless_it_says_otherwise() -> None:
    """Whole maps of 256 x 64 x 64 would cost 1,048,576 an item; verifying shortlists costs less."""
    assert str(coarse_pooling((1, 256, 64, 64))) == "grid:4"
    assert str(coarse_pooling((1, 4, 32, 32))) == "grid:8"
    assert str(coarse_pooling((1, 1280, 16, 16))) == "grid:1"
    images = images_of(4, 1.0, 0)
    rows = table(run("a+a", *images))
    assert rows["coarse-alone-cost", 0] == 60 * 4 * 8 * 8
    assert rows["reversed-cost", 5] < rows["fine-alone-cost", 0]
    bare = run("a+a:reverse=no", *images)
    assert not any("reversed" in m.metric for m in bare.metrics)
    assert bare.notes == []


def test_the_judged_shortlist_does_not_look_at_the_results() -> None:
    assert judged_length((5, 10, 20, 50), 400) == 20
    assert judged_length((5, 10, 20, 50), 40) == 5


def test_stages_are_parsed() -> None:
    spec = TwoStage.parse("hog:grid=8+hog:cell=8")
    assert [(s.extractor, str(s.how)) for s in spec.stages] == [
        ("hog", "grid:8"),
        ("hog:cell=8", "flatten"),
    ]
    assert (spec.ks[0], spec.radius, spec.reverse) == (5, 24.0, True)
    stages = TwoStage.parse("sd-unet:t=261,pool=mean,block=1+untrained:dinov2:vits14,grid=4").stages
    assert [(s.extractor, str(s.how)) for s in stages] == [
        ("sd-unet:t=261,block=1", "mean"),
        ("untrained:dinov2:vits14", "grid:4"),
    ]
    (text,) = split_specs("sam2+sd-vae,ks=50:5,radius=16,reverse=no")
    spec = TwoStage.parse(text)
    assert str(spec.coarse.pooling) == "auto"
    assert (spec.ks, spec.radius, spec.reverse) == ((5, 50), 16.0, False)
    assert str(spec) == text
    assert TwoStage.parse("a+b:ks=1..3,reverse=false").ks == (1, 2, 3)
    assert Pooling.parse("grid:8").cells == 8
    assert Pooling.parse("flatten").cells == 0


@pytest.mark.parametrize("pool", ["auto", "flatten", "grid:2", "mean", "gem", "gem:2.5", "dense:1"])
def test_every_pooling_of_a_study_is_one_of_a_stage(pool: str) -> None:
    coarse = TwoStage.parse(f"a:pool={pool}+b").coarse
    assert coarse == Fusion.parse(f"a:pool={pool}+b").members[0]
    assert StudySettings(pairs=Path("p"), out=Path("o"), pooling=pool).pooling == coarse.pooling
    assert table(run(f"a:pool={pool}+b", *images_of(2, 1.0, 0)))["coarse-alone", 10] > 10 / 60


def test_a_fine_stage_says_by_how_many_cells_it_searches() -> None:
    images = images_of(0, 3.0, 2)
    by_pixels, by_cells = (
        table(run(text, *images))
        for text in ("a:grid=4+b:radius=16,reverse=no", "a:grid=4+b:pool=dense:2,reverse=no")
    )
    assert by_pixels == by_cells


@pytest.mark.parametrize(
    "text",
    [
        "hog",
        "hog+",
        "a+b+c",
        "hog:grid=0+hog",
        "hog:pool=max+hog",
        "hog:grid=2,pool=mean+a",
        "hog+hog:ks=0:5",
        "hog+hog:ks=five",
        "hog+hog:radius=-1",
        "hog+hog:radius=far",
        "hog+hog:reverse=maybe",
        "hog+hog:pool=mean",
        "hog+hog:grid=1",
        "hog+hog:pool=dense:2,radius=9",
    ],
)
def test_bad_stages_are_refused(text: str) -> None:
    with pytest.raises(SpecError):
        TwoStage.parse(text)
