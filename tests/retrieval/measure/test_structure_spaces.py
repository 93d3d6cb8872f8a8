"""Structure of constructed spaces whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from crosslook.errors import InputError
from crosslook.retrieval.measure import structure as measuring
from crosslook.retrieval.measure.definitions import define
from crosslook.retrieval.measure.embedding import embed_pca
from crosslook.retrieval.measure.separability import fisher_ratio
from crosslook.retrieval.measure.structure import Structure, measure_structure
from crosslook.types import Estimate, FloatArray

SCENES = np.repeat(np.arange(10), 12)
SIZE = len(SCENES)
WIDTH = 40


@pytest.fixture(autouse=True)
def umap_is_slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn, and nothing is measured in it: other tests draw principal axes twice."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(measuring, "embed_umap", lambda reduced, seed: embed_pca(reduced))


def cloud(seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(SIZE, WIDTH)).astype(np.float32)


def look(sar: FloatArray, optical: FloatArray) -> tuple[Structure, dict[str, Estimate]]:
    structure = measure_structure(sar, optical, SCENES, seed=3)
    return structure, {m.metric + m.direction: m.estimate for m in structure.metrics}


def chance_of(structure: Structure, name: str) -> float:
    return next(m.chance for m in structure.metrics if m.metric == name)


@pytest.mark.slow
def test_two_identical_clouds_differ_in_no_way() -> None:
    same = cloud(0)
    structure, metrics = look(same, same.copy())
    assert metrics["fisher-ratio"].value == np.inf
    assert abs(metrics["silhouette/modality"].value) < 0.02
    assert abs(metrics["kmeans-ari/modality"].value) < 0.01
    assert metrics["effective-rank/sar"] == metrics["effective-rank/optical"]
    np.testing.assert_allclose(structure.pca.sar, structure.pca.optical, atol=1e-4)
    apart = np.linalg.norm(structure.umap.sar - structure.umap.optical, axis=1)
    assert np.median(apart) < 0.2 * np.ptp(structure.umap.sar, axis=0).max()
    np.testing.assert_allclose(np.diagonal(structure.by_unit.values), 1.0, atol=1e-5)
    again, _ = look(same, same.copy())
    np.testing.assert_array_equal(structure.umap.sar, again.umap.sar)


def test_two_shifted_clouds_are_told_apart_by_sensor() -> None:
    shift = np.zeros(WIDTH, np.float32)
    shift[0] = 40.0
    place = cloud(1)
    structure, metrics = look(place + shift, place - shift)
    assert metrics["silhouette/modality"].value > 0.9
    assert metrics["silhouette/modality"].low > chance_of(structure, "silhouette/modality")
    assert metrics["kmeans-purity/modality"].value == 1.0
    assert metrics["density-ari/modality"].value > 0.9
    assert metrics["fisher-ratio"].value < 0.1  # the shift is not agreement of pairs
    assert metrics["anisotropy/sar"].value > 0.9
    gap = structure.pca.sar[:, 0] - structure.pca.optical[:, 0]
    assert np.all(gap > 0) or np.all(gap < 0)


def test_a_shuffled_pairing_is_at_chance() -> None:
    place = cloud(2)
    noise = [0.2 * cloud(seed) for seed in (3, 4)]
    sar, optical = place + noise[0], place + noise[1]
    _, paired = look(sar, optical)
    shuffled = np.random.default_rng(0).permutation(SIZE)
    structure, metrics = look(sar, optical[shuffled])
    assert paired["fisher-ratio"].low > 10
    assert metrics["fisher-ratio"].value == pytest.approx(1.0, abs=0.1)
    assert chance_of(structure, "fisher-ratio") == pytest.approx(1.0, abs=0.05)
    # What does not look at pairs does not notice the shuffle.
    assert metrics["silhouette/modality"].value == pytest.approx(
        paired["silhouette/modality"].value, abs=1e-6
    )


def test_one_cluster_per_place_is_found() -> None:
    centres = np.random.default_rng(5).normal(size=(10, WIDTH)).astype(np.float32) * 5
    sar = centres[SCENES] + 0.2 * cloud(6)
    optical = centres[SCENES] + 0.2 * cloud(7)
    structure, metrics = look(sar, optical)
    for method in ("kmeans", "density"):
        for score in ("ari", "nmi", "purity"):
            assert metrics[f"{method}-{score}/unit"].value == pytest.approx(1.0)
        assert abs(metrics[f"{method}-ari/modality"].value) < 0.02
        assert metrics[f"{method}-purity/modality"].value == 0.5
        assert metrics[f"{method}-clusters"].value == 10
    assert metrics["silhouette/unit"].value > 0.9
    assert chance_of(structure, "silhouette/unit") < 0.05
    blocks = structure.by_unit.values.reshape(10, 12, 10, 12).mean(axis=(1, 3))
    assert np.diagonal(blocks).min() > 0.9
    assert (blocks - np.diag(np.diagonal(blocks))).max() < 0.7
    np.testing.assert_allclose(structure.by_unit.borders, np.arange(12, SIZE, 12))


def test_equal_seeds_give_equal_results_and_a_sample_is_said() -> None:
    sar, optical = cloud(8), cloud(9)
    first, _ = look(sar, optical)
    second, _ = look(sar, optical)
    assert repr(first.metrics) == repr(second.metrics)
    part = measure_structure(sar, optical, SCENES, seed=3, most=50)
    assert part.sampled
    assert not first.sampled
    assert len(part.items) == len(part.pca.sar) == len(part.umap.optical) == 50
    assert all(m.n_gallery <= 100 for m in part.metrics)


def test_labels_beside_the_scene_are_scored() -> None:
    label = np.array(["field", "town"])[(np.arange(SIZE) // 3) % 2]
    towards = np.where(label == "town", 30.0, -30.0)[:, None] * np.eye(1, WIDTH)
    sar = (cloud(10) + towards).astype(np.float32)
    optical = (cloud(11) + towards).astype(np.float32)
    metrics = {
        m.metric: m.estimate.value
        for m in measure_structure(sar, optical, SCENES, seed=0, groups=label).metrics
    }
    assert metrics["silhouette/label"] > 0.9
    for metric in metrics:
        definition = define("structure", metric)
        assert definition.low <= metrics[metric] <= definition.high
    assert metrics["kmeans-purity/label"] == 1.0
    assert "silhouette/label" not in {m.metric for m in look(sar, optical)[0].metrics}


def test_unfit_input_is_refused() -> None:
    good = cloud(0)
    broken = good.copy()
    broken[3, 4] = np.nan
    cases: list[tuple[FloatArray, FloatArray, NDArray[np.int64]]] = [
        (good, good[:-1], SCENES),
        (good, broken, SCENES),
        (good[:3], good[:3], SCENES[:3]),
    ]
    for sar, optical, scenes in cases:
        with pytest.raises(InputError):
            measure_structure(sar, optical, scenes, seed=0)


def test_the_fisher_ratio_of_three_pairs_worked_by_hand() -> None:
    # On the circle: partners 0.2 radians apart, places a third of a turn apart.
    angle = np.arange(3) * 2 * np.pi / 3
    sar = np.column_stack([np.cos(angle - 0.1), np.sin(angle - 0.1)]).astype(np.float32)
    optical = np.column_stack([np.cos(angle + 0.1), np.sin(angle + 0.1)]).astype(np.float32)
    between = 2 * 3 * np.cos(0.1) ** 2 / 2
    within = (2 * np.sin(0.1)) ** 2 / 2
    assert fisher_ratio(sar, optical) == pytest.approx(between / within, rel=1e-4)
