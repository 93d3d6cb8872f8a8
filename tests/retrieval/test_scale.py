"""What a large set needs: fewer patches, fewer numbers, and nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crosslook.data.pairs import ScenePair
from crosslook.errors import CrosslookError, FeatureError, OutputError, SettingError
from crosslook.extract import run as extraction
from crosslook.extract.store import open_set
from crosslook.report.html import write_report
from crosslook.retrieval import record
from crosslook.retrieval.clusters import draw_evenly
from crosslook.retrieval.compare import calibration, similarity
from crosslook.retrieval.compare.calibration import fit_calibration, fit_directions
from crosslook.retrieval.compare.similarity import (
    Similarities,
    fit_scoring,
    normalise,
    rank,
    rank_partners,
)
from crosslook.retrieval.descriptors import Features
from crosslook.retrieval.measure import resampling
from crosslook.retrieval.measure.resampling import bootstrap_mean, bootstrap_median, draw_clusters
from crosslook.retrieval.run_folder import MatchTable, read_patches, read_rows
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.setup import Setup
from crosslook.retrieval.study import run_study
from crosslook.retrieval.views import read_thumbnails
from crosslook.storage import Folder
from crosslook.types import FeatureMap
from tests.helpers.pairs import write_pairs

QUICK: dict[str, Any] = {
    "patch": 32, "extractors": "raw,hog:cell=8", "draws": 100, "structure": False,
    "calibrations": "none,standardize", "scorings": "cosine,csls",
}  # fmt: skip


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), scenes=6)


def record_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "run.json").read_text())
    return content


def test_items_are_drawn_evenly_over_units() -> None:
    units = ["a"] * 50 + ["b"] * 3 + ["c"] * 10
    chosen = draw_evenly(units, 15, 0)
    counts = {name: sum(units[i] == name for i in chosen) for name in "abc"}
    assert counts == {"a": 6, "b": 3, "c": 6}
    assert len(set(chosen.tolist())) == 15
    np.testing.assert_array_equal(chosen, draw_evenly(units, 15, 0))
    assert not np.array_equal(chosen, draw_evenly(units, 15, 1))
    assert len(draw_evenly(units, 100, 0)) == 63
    assert len({units[i] for i in draw_evenly(list(map(str, range(40))), 7, 0)}) <= 7


@pytest.mark.slow
def test_a_limit_opens_no_more_files_than_patches_are_wanted(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    from crosslook.data import patches as module

    real = module.open_scene

    def counts(pair: ScenePair, *rest: Any) -> Any:
        opened.append(pair.id)
        return real(pair, *rest)

    monkeypatch.setattr(module, "open_scene", counts)
    run = run_study(StudySettings(pairs=pairs, out=tmp_path / "run", limit=5, **QUICK))
    assert len(opened) == 5
    patches = read_patches(run)
    assert len(patches) == 5
    assert len({patch.scene for patch in patches}) == 5
    whole = run_study(StudySettings(pairs=pairs, out=tmp_path / "more", limit=40, **QUICK))
    sizes = np.unique([patch.scene for patch in read_patches(whole)], return_counts=True)[1]
    assert sizes.sum() == 40
    assert sizes.max() - sizes.min() <= 1


def test_draws_are_the_same_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    picked = np.random.default_rng(7).integers(0, 50, size=(300, 50))
    expected = np.zeros((300, 50))
    np.add.at(expected, (np.arange(300)[:, None], picked), 1.0)
    np.testing.assert_array_equal(np.concatenate(list(draw_clusters(50, 300, 7))), expected)
    rng = np.random.default_rng(0)
    values, units = rng.random(400), rng.integers(0, 50, 400)
    before = bootstrap_mean(values, units, 7), bootstrap_median(values, units, 7)
    monkeypatch.setattr(resampling, "_CACHED", 0)
    monkeypatch.setattr(resampling, "_WEIGHTS_AT_ONCE", 1000)
    cut = bootstrap_mean(values, units, 7), bootstrap_median(values, units, 7)
    for one, other in zip(before, cut, strict=True):
        assert one.value == other.value
        assert one.low == pytest.approx(other.low, rel=1e-12)
        assert one.high == pytest.approx(other.high, rel=1e-12)


def test_ranking_by_several_scorings_is_ranking_by_each() -> None:
    rng = np.random.default_rng(1)
    place, noise = rng.normal(size=(2, 300, 20))
    query, gallery = (normalise(x.astype(np.float32)) for x in (place, place + noise))
    partner = np.arange(300)
    accept = [np.array([i, (i + 1) % 300]) for i in range(300)]
    offsets = [
        fit_scoring(name, query[:50], gallery[:50]).offsets(query, gallery)
        for name in ("cosine", "csls", "inverted-softmax")
    ]
    together = rank(Similarities(query, gallery, offsets), partner, [None, accept])
    for how, (strict, loose) in zip(offsets, together, strict=True):
        for ranks, rule in ((strict, None), (loose, accept)):
            alone = rank_partners(query, gallery, partner, how, accept=rule)
            np.testing.assert_array_equal(ranks.rank, alone.rank)
            np.testing.assert_array_equal(ranks.top_indices, alone.top_indices)
            np.testing.assert_array_equal(ranks.top_scores, alone.top_scores)
    back = fit_scoring("csls", gallery[:50], query[:50]).offsets(gallery, query)
    np.testing.assert_array_equal(offsets[1].reversed.query, back.query)
    np.testing.assert_array_equal(offsets[1].reversed.gallery, back.gallery)


def test_a_gpu_ranks_as_the_processor_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """On torch's CPU device, which runs the same code."""
    pytest.importorskip("torch", reason="the models extra is not installed")
    rng = np.random.default_rng(4)
    place, noise = rng.normal(size=(2, 200, 16))
    query, gallery = (normalise(x.astype(np.float32)) for x in (place, place + noise))
    gallery[50] = gallery[10]  # equal scores: the lower index first, and pessimistic ranks
    partner = np.arange(200)
    accept = [np.array([i, (i + 1) % 200]) if i % 3 else np.array([i]) for i in range(200)]
    accept[4] = np.arange(100)  # one row that accepts much
    offsets = [
        fit_scoring(name, query[:50], gallery[:50]).offsets(query, gallery)
        for name in ("cosine", "csls")
    ]
    expected = rank(Similarities(query, gallery, offsets), partner, [None, accept])
    monkeypatch.setattr(similarity, "DEVICE_BLOCK_SCORES", 7000)
    on_device = similarity.OnDevice("cpu", query, gallery, offsets)
    assert on_device.step == 35
    ranks = rank(on_device, partner, [None, accept])
    for ours, theirs in zip(ranks, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.rank, other.rank)
            np.testing.assert_array_equal(one.top_indices, other.top_indices)
            np.testing.assert_allclose(one.top_scores, other.top_scores, atol=1e-5)
            np.testing.assert_allclose(one.partner_score, other.partner_score, atol=1e-5)
    assert similarity.search_device("cpu", gallery.nbytes) is None


def test_no_more_threads_run_than_cores_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is bound to one core of many: two threads would wait for each other."""
    import os

    from threadpoolctl import threadpool_info

    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system binds no processes to cores")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5})
    seen: list[int] = []

    def work(part: slice) -> None:
        # Those that other libraries bring, and that other tests loaded, multiply nothing here.
        mine = [one for one in threadpool_info() if "numpy" in one["filepath"]]
        seen.extend(one["num_threads"] for one in mine if one["user_api"] == "blas")

    similarity._in_threads(work, 1000, 256, 4)
    assert set(seen) == {1}


def test_directions_keep_the_cosines_of_what_lies_in_few_dimensions() -> None:
    rng = np.random.default_rng(2)
    basis = rng.normal(size=(6, 90))
    sar, optical = ((rng.normal(size=(200, 6)) @ basis).astype(np.float32) + 1.5 for _ in range(2))
    directions = fit_directions([sar[:80], optical[:80]], 7)  # six, and the constant
    assert directions.shape == (90, 7)
    np.testing.assert_allclose(directions.T @ directions, np.eye(7), atol=1e-5)
    before = normalise(sar[100:]) @ normalise(optical[100:]).T
    turned = [normalise((x[100:] @ directions).astype(np.float32)) for x in (sar, optical)]
    after = turned[0] @ turned[1].T
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_whitening_of_the_strongest_directions_is_that_of_all_where_no_more_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    low = (rng.normal(size=(300, 12)) * np.geomspace(1, 0.1, 12)) @ rng.normal(size=(12, 60))
    x = low.astype(np.float32)
    exact = fit_calibration("whiten", x, x).apply(x, "sar")
    monkeypatch.setattr(calibration, "MOST_DIRECTIONS", 20)
    capped = fit_calibration("whiten", x, x).apply(x, "sar")
    np.testing.assert_allclose(capped, exact, atol=2e-3 * np.abs(exact).max())


@pytest.mark.slow
def test_a_study_in_few_dimensions_says_so(pairs: Path, tmp_path: Path) -> None:
    run = run_study(StudySettings(pairs=pairs, out=tmp_path / "run", pca=8, **QUICK))
    rows = [r for r in read_rows(run) if r.metric == "recall" and r.k == 1]
    assert {r.pooling for r in rows if r.extractor == "hog:cell=8"} == {"flatten, pca:8"}
    assert max(r.value for r in rows) > 5 * rows[0].chance
    for wrong in ({"robustness": True}, {"pooling": "dense:1"}):
        with pytest.raises(SettingError, match="--pca"):
            StudySettings(pairs=pairs, out=tmp_path / "x", pca=8, **{**QUICK, **wrong})


@pytest.mark.slow
def test_half_precision_takes_half_the_disk_and_changes_little(pairs: Path, tmp_path: Path) -> None:
    sizes, recalls = [], []
    for stored in ("float32", "float16"):
        run = run_study(StudySettings(pairs=pairs, out=tmp_path / stored, stored=stored, **QUICK))
        sizes.append(sum(p.stat().st_size for p in (run / "features").rglob("*.npz")))
        recalls.append([r.value for r in read_rows(run) if r.metric == "recall"])
    assert sizes[1] < 0.6 * sizes[0]
    np.testing.assert_allclose(recalls[1], recalls[0], atol=0.04)


def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    features = open_set(Folder(tmp_path), {"name": "big", "stored": "float16"})
    values = np.zeros((3, 1, 2, 2), np.float32)
    values[1] = 1e6
    with pytest.raises(FeatureError, match="--stored float32") as refused:
        features.write(0, FeatureMap(values, 8.0))
    assert refused.value.index == 1
    assert not features.has(0)


@pytest.mark.slow
def test_pooled_features_give_the_rows_of_whole_maps(pairs: Path, tmp_path: Path) -> None:
    sizes, rows = [], []
    settings = {**QUICK, "pooling": "grid:2", "structure": True, "extractors": "hog:cell=8"}
    for keep in ("maps", "pooled"):
        run = run_study(StudySettings(pairs=pairs, out=tmp_path / keep, keep=keep, **settings))
        sizes.append(sum(p.stat().st_size for p in (run / "features").rglob("*.npz")))
        rows.append(read_rows(run))
        assert (run / "feature_views.parquet").is_file()
    assert sizes[1] < 0.5 * sizes[0]
    assert [r.value for r in rows[0]] == pytest.approx([r.value for r in rows[1]], nan_ok=True)
    for wrong in ({"pooling": "flatten"}, {"two_stage": ("hog+hog:cell=8",)}):
        with pytest.raises(SettingError, match="--keep pooled"):
            StudySettings(pairs=pairs, out=tmp_path / "x", keep="pooled", **{**settings, **wrong})


@pytest.mark.slow
def test_a_run_that_fails_at_the_last_model_keeps_the_others(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = Features.describe

    def fails(self: Features, spec: str, *rest: Any) -> Any:
        if spec.startswith("hog"):
            raise CrosslookError("the last one fails")
        return describe(self, spec, *rest)

    monkeypatch.setattr(Features, "describe", fails)
    out = tmp_path / "run"
    with pytest.raises(CrosslookError, match="the last one fails"):
        run_study(StudySettings(pairs=pairs, out=out, **QUICK))
    assert {row.extractor for row in read_rows(out)} == {"raw"}
    assert record_of(out)["complete"] is False
    write_report(out)
    monkeypatch.undo()
    run_study(StudySettings(pairs=pairs, out=out, **QUICK))
    assert {row.extractor for row in read_rows(out)} == {"raw", "hog:cell=8"}
    assert record_of(out)["complete"] is True


@pytest.mark.slow
def test_a_large_set_has_a_thumbnail_of_every_match_that_is_shown(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "ALL_SHOWN", 0)
    run = run_study(StudySettings(pairs=pairs, out=tmp_path / "run", **QUICK))
    pictured = read_thumbnails(run)
    assert len(pictured) < len(read_patches(run))
    page = write_report(run).read_text()
    # Ten best and ten worst, each with a caption and the same words for who cannot see it.
    assert page.count("SAR query") == page.count("found first") == page.count("true partner") == 40


def test_matches_come_back_as_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tables = [
        MatchTable(
            Setup(name, "flatten"), direction, np.arange(5), rng.integers(1, 9, 5),
            rng.integers(0, 5, (5, 3)), rng.random((5, 3)).astype(np.float32),
            rng.random(5).astype(np.float32),
        )
        for name in ("a", "b")
        for direction in ("sar->optical", "optical->sar")
    ]  # fmt: skip
    MatchTable.write(tmp_path, tables)
    for one, back in zip(tables, MatchTable.read(tmp_path), strict=True):
        assert (one.setup, one.direction) == (back.setup, back.direction)
        for field in ("query_index", "rank", "top_indices", "top_scores", "partner_score"):
            np.testing.assert_array_equal(getattr(one, field), getattr(back, field))


@pytest.mark.slow
def test_what_the_disk_cannot_hold_is_refused(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr(extraction, "SHARD", 16)
    with pytest.raises(OutputError, match="are free"):
        run_study(StudySettings(pairs=pairs, out=tmp_path / "run", **QUICK))
