"""``dense:R``: maps compared over shifts, alone and in fusions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crosslook.errors import SettingError
from crosslook.retrieval.compare.fusion import FusedScores, Member, fit_fusions
from crosslook.retrieval.compare.pooling import Shifts, dense_shifts, pool
from crosslook.retrieval.compare.similarity import fit_scoring, normalise, rank, rank_partners
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.evaluate import choose_setup
from crosslook.retrieval.run_folder import read_rows
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.setup import Setup
from crosslook.retrieval.stage_spec import Stage
from crosslook.retrieval.study import run_study
from crosslook.types import FeatureMap, FloatArray
from tests.helpers.pairs import write_pairs

SHAPE = (3, 6, 6)
HOW = Shifts(SHAPE, 1)


def offset_maps(count: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Flat unit maps of the same places, the second ones a row and a column further."""
    places = np.random.default_rng(seed).normal(size=(count, 3, 7, 7)).astype(np.float32)
    first, second = places[:, :, :6, :6], places[:, :, 1:, 1:]
    return normalise(first.reshape(count, -1)), normalise(second.reshape(count, -1))


def test_partners_a_cell_apart_are_found_over_shifts_alone() -> None:
    query, gallery = offset_maps(80)
    partner = np.arange(80)
    assert (rank_partners(query, gallery, partner).rank == 1).mean() < 0.2
    shifted = rank_partners(query, gallery, partner, shifts=HOW)
    assert (shifted.rank == 1).all()
    np.testing.assert_allclose(shifted.partner_score, 1.0, atol=1e-5)


def test_corrections_are_made_of_shifted_scores_too() -> None:
    query, gallery = offset_maps(40)
    bank_q, bank_g = offset_maps(30, seed=1)
    offsets = fit_scoring("csls", bank_q, bank_g, neighbours=3, shifts=HOW).offsets(query, gallery)

    def best(a: FloatArray, b: FloatArray) -> FloatArray:
        """The greatest cosine over shifts, by plain loops."""
        scores = np.full((len(a), len(b)), -1.0)
        for row in (-1, 0, 1):
            for col in (-1, 0, 1):
                rows = slice(max(0, row), 6 + min(0, row)), slice(max(0, -row), 6 + min(0, -row))
                cols = slice(max(0, col), 6 + min(0, col)), slice(max(0, -col), 6 + min(0, -col))
                one = a.reshape(-1, *SHAPE)[:, :, rows[0], cols[0]].reshape(len(a), -1)
                two = b.reshape(-1, *SHAPE)[:, :, rows[1], cols[1]].reshape(len(b), -1)
                scores = np.maximum(scores, normalise(one) @ normalise(two).T)
        return scores.astype(np.float32)

    def nearest(scores: FloatArray) -> FloatArray:
        mean: FloatArray = np.sort(scores, axis=1)[:, -3:].mean(axis=1)
        return mean

    np.testing.assert_allclose(offsets.query, nearest(best(query, bank_g)), atol=1e-5)
    np.testing.assert_allclose(offsets.gallery, nearest(best(gallery, bank_q)), atol=1e-5)


def test_a_fusion_takes_maps_and_descriptors_together() -> None:
    units = np.repeat(np.arange(20), 5)
    fit, measured = np.arange(40), np.arange(40, 100)
    maps = Member("maps", *offset_maps(100), HOW)
    rng = np.random.default_rng(3)
    place, noise = rng.normal(size=(2, 100, 12))
    sar, optical = (normalise(x.astype(np.float32)) for x in (place, place + 2.0 * noise))
    other = Member("flat", sar, optical)
    _, fused = fit_fusions([maps, other], fit, units)
    [[ranks]] = rank(FusedScores([fused], measured), np.arange(len(measured)))
    assert (ranks.rank == 1).all()
    assert fused.weights[0] > 0.5


def test_the_setup_is_chosen_by_the_scores_that_are_ranked() -> None:
    sar, optical = offset_maps(60)
    units = [f"u{i // 6}" for i in range(60)]
    described = Descriptors(Setup("hog", "dense:1"), sar, optical, HOW)
    setup = choose_setup(described, np.arange(60), units, ("none", "whiten"), ("cosine",), 0)
    assert setup is not None
    assert setup[1] == "cosine"


def test_poolings_that_do_not_fit_are_refused() -> None:
    features = FeatureMap(np.zeros((1, 2, 4, 4), np.float32), 8.0)
    assert pool(features, "dense:2").shape == (1, 32)
    assert dense_shifts("dense:2", (1, 2, 4, 4)) == Shifts((2, 4, 4), 2)
    assert dense_shifts("grid:2", (1, 2, 4, 4)) is None
    for wrong in ("dense:3", "dense:0.5", "dense"):
        with pytest.raises(SettingError):
            pool(features, wrong)
    with pytest.raises(SettingError, match="several cells"):
        pool(FeatureMap(np.zeros((1, 2, 1, 4), np.float32), 8.0), "dense:1")


def test_members_name_their_pooling() -> None:
    assert str(Stage.parse("hog:cell=8,pool=dense:2").pooling) == "dense:2"
    assert Stage.parse("hog:cell=8,pool=dense:2").extractor == "hog:cell=8"
    assert Stage.parse("hog:cell=8").pooling is None


def test_a_study_compares_maps_over_shifts(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs", scenes=5)
    fusion = "hog:cell=8,pool=dense:1+raw"
    run = run_study(
        StudySettings(
            pairs=pairs, out=tmp_path / "run", patch=64, extractors=("hog:cell=8", "raw"),
            draws=100, fusion=(fusion,), structure=False, calibrations=("standardize",),
            scorings=("csls",), pooling="dense:2",
        )
    )  # fmt: skip
    rows = [r for r in read_rows(run) if r.metric == "recall" and r.k == 1]
    assert {r.pooling for r in rows} == {"dense:2", "fusion (equal)", "fusion (fitted)"}
    assert {r.extractor for r in rows} == {"hog:cell=8", "raw", fusion}
    assert all(r.value > 5 * r.chance for r in rows if r.extractor == "hog:cell=8")
