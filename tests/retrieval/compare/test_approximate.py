"""Approximate indexes: the same scores, the same run twice, and a loss that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faiss", reason="the faiss extra is not installed")

from crosslook.errors import InputError, SettingError
from crosslook.retrieval.compare.approximate import (
    DEPTH,
    ApproximateIndex,
    rank_shortlists,
    rank_through_index,
)
from crosslook.retrieval.compare.similarity import (
    Offsets,
    Ranks,
    fit_scoring,
    normalise,
    rank_partners,
)
from crosslook.types import FloatArray, Indices

KINDS = ("hnsw", "ivf-pq")


def sides(count: int = 3000, noise: float = 0.5, shift: float = 0.0) -> tuple[FloatArray, ...]:
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(count, 48))
    query = gallery + noise * rng.normal(size=gallery.shape) + shift
    return normalise(query.astype(np.float32)), normalise(gallery.astype(np.float32))


def indexed(
    kind: str,
    query: FloatArray,
    gallery: FloatArray,
    offsets: Offsets | None = None,
    accept: list[Indices] | None = None,
) -> Ranks:
    """Ranks of partners that have the same number."""
    how = None if offsets is None else [offsets]
    [[ranks]] = rank_through_index(kind, query, gallery, np.arange(len(query)), how, [accept])
    return ranks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scoring", ["cosine", "csls", "inverted-softmax"])
def test_ranks_that_are_found_are_the_exact_ones(kind: str, scoring: str) -> None:
    query, gallery = sides()
    offsets = fit_scoring(scoring, query[:300], gallery[:300]).offsets(query, gallery)
    partner = np.arange(len(query))
    exact = rank_partners(query, gallery, partner, offsets)
    ranks = indexed(kind, query, gallery, offsets)
    assert ranks.depth is not None
    known = ranks.rank <= ranks.depth
    assert known.mean() > (0.97 if kind == "hnsw" else 0.6)
    # A shortlist may lack items that stand before the partner, never add one.
    assert (ranks.rank[known] <= exact.rank[known]).all()
    assert (ranks.rank[known] == exact.rank[known]).mean() > 0.9
    np.testing.assert_allclose(ranks.partner_score[known], exact.partner_score[known], atol=2e-5)
    assert (ranks.rank[~known] == ranks.depth + 1).all()
    np.testing.assert_allclose(ranks.partner_score, exact.partner_score, atol=2e-5)


def test_a_full_shortlist_is_exact_search() -> None:
    query, gallery = sides(90)
    partner = np.arange(90)
    exact = rank_partners(query, gallery, partner)
    ranks = indexed("hnsw", query, gallery)
    np.testing.assert_array_equal(ranks.rank, exact.rank)
    np.testing.assert_array_equal(ranks.top_indices, exact.top_indices)


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_with_too_few_proposals_is_searched_exactly(kind: str) -> None:
    query, gallery = sides(5000)
    index = ApproximateIndex(kind, gallery)
    if kind == "ivf-pq":
        index._index.nprobe = 1  # a list holds fewer items than are asked for
    indices, _ = index.search(query[:50], 100)
    assert indices.min() >= 0
    assert all(len(set(row)) == 100 for row in indices.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_gallery_gives_the_same_shortlists(kind: str) -> None:
    query, gallery = sides(2000)
    first, second = (ApproximateIndex(kind, gallery).search(query[:100]) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_quantised_search_loses_queries_of_another_distribution() -> None:
    near, far = sides(4000, noise=0.2), sides(4000, noise=0.2, shift=2.0)
    partner = np.arange(4000)
    recall = []
    for query, gallery in (near, far):
        ranks = indexed("ivf-pq", query, gallery)
        exact = rank_partners(query, gallery, partner)
        recall.append((exact.rank == 1).mean() - (ranks.rank == 1).mean())
    assert recall[1] > recall[0]


def test_accepted_neighbours_count() -> None:
    query, gallery = sides(200)
    accept = [np.array([i, (i + 1) % 200]) for i in range(200)]
    exact = rank_partners(query, gallery, np.arange(200), accept=accept)
    ranks = indexed("hnsw", query, gallery, accept=accept)
    assert ranks.depth is not None
    known = ranks.rank <= ranks.depth
    np.testing.assert_array_equal(ranks.rank[known], exact.rank[known])


def test_what_is_refused() -> None:
    _, gallery = sides(100)
    with pytest.raises(SettingError, match="unknown index 'hnws'; allowed are: exact, hnsw"):
        ApproximateIndex("hnws", gallery)
    with pytest.raises(InputError, match="gallery is empty"):
        ApproximateIndex("hnsw", gallery[:0])


def test_offsets_of_one_query_do_not_reach_another() -> None:
    query, gallery = sides(500)
    offsets = Offsets(1.0, np.arange(500, dtype=np.float32), np.zeros(500, np.float32))
    ranks = indexed("hnsw", query, gallery, offsets)
    exact = rank_partners(query, gallery, np.arange(500), offsets)
    np.testing.assert_allclose(ranks.top_scores[7], exact.top_scores[7], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_study_through_an_index_says_what_it_loses(kind: str, tmp_path: Path) -> None:
    import pandas as pd

    from crosslook import study
    from crosslook.data.simulate.write import write_pairs

    write_pairs(tmp_path / "pairs", 5, size=256, seed=1)
    run = study(
        tmp_path / "pairs", tmp_path / "run", extractors=("hog:cell=8",), patch=64, stride=32,
        calibrations=("standardize",), scorings=("csls",), structure=False, draws=100, index=kind,
    )  # fmt: skip
    rows = pd.read_parquet(run / "results.parquet").query("measure == 'retrieval'")
    names = set(rows.metric)
    assert {f"recall/{kind}", f"tolerant-recall/{kind}", f"recall-loss/{kind}"} <= names
    assert not names & {"recall", "mrr", "median-rank"}, "exact names stand for exact search"
    nearest = rows[rows.metric == f"nearest-found/{kind}"].value
    assert nearest.between(0.5, 1.0).all()
    report = (run / "report.html").read_text()
    assert "What the index loses" in report
    assert f"retrieval went through {kind}" in report


@pytest.mark.slow
def test_a_fusion_is_compared_with_exact_members(tmp_path: Path) -> None:
    """Members ranked through an index once made every fusion look better than it was."""
    import pandas as pd

    from crosslook import study
    from crosslook.data.simulate.write import write_pairs

    write_pairs(tmp_path / "pairs", 5, size=256, seed=1)
    gains = []
    for kind in ("exact", "ivf-pq"):
        run = study(
            tmp_path / "pairs", tmp_path / kind, extractors=("raw", "hog:cell=8"), patch=64,
            stride=32, calibrations=("standardize",), scorings=("csls",), structure=False,
            draws=100, fusion=("raw+hog:cell=8",), index=kind,
        )  # fmt: skip
        rows = pd.read_parquet(run / "results.parquet")
        gains.append(rows[rows.metric == "gain-over-best-member"].value.tolist())
    assert gains[0]
    assert gains[0] == gains[1]


def test_a_missing_faiss_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from crosslook import study
    from crosslook.data.simulate.write import write_pairs
    from crosslook.errors import MissingExtraError

    write_pairs(tmp_path / "pairs", 3, size=128, seed=1)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match="or use --index exact"):
        study(tmp_path / "pairs", tmp_path / "run", patch=64, index="hnsw")
    assert not (tmp_path / "run").exists()


def test_work_of_ranking_does_not_grow_with_the_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = sides(2000)
    sizes: list[int] = []
    real = np.full

    def counted(shape: Any, *rest: Any, **named: Any) -> Any:
        sizes.append(int(np.prod(shape)))
        return real(shape, *rest, **named)

    index = ApproximateIndex("ivf-pq", gallery)
    monkeypatch.setattr(np, "full", counted)
    [ranks] = rank_shortlists(index, query, np.arange(len(query)))
    assert ranks.depth == DEPTH
    assert max(sizes, default=0) <= len(query) * DEPTH
