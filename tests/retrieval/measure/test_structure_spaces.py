"""Structure of constructed spaces whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from crosslook.retrieval.measure import structure
from crosslook.retrieval.measure.structure import Space, Structure, embed_pca
from crosslook.types import FloatArray, Metric

SCENES = np.repeat(np.arange(10), 12)
SIZE = len(SCENES)
WIDTH = 40


@pytest.fixture(autouse=True)
def umap_is_slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn, and nothing is measured in it: other tests draw principal axes twice."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(structure, "embed_umap", lambda reduced, seed: embed_pca(reduced))


def cloud(seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(SIZE, WIDTH)).astype(np.float32)


def look(
    sar: FloatArray, optical: FloatArray, groups: NDArray[np.str_] | None = None
) -> tuple[Space, dict[str, Metric]]:
    space = Space(sar, optical, SCENES, seed=3, groups=groups)
    return space, {m.metric + m.direction: m for m in Structure()(space)}


@pytest.mark.slow
def test_two_identical_clouds_differ_in_no_way() -> None:
    same = cloud(0)
    space, metrics = look(same, same.copy())
    assert metrics["fisher-ratio"].estimate.value == np.inf
    assert abs(metrics["silhouette/modality"].estimate.value) < 0.02
    assert abs(metrics["kmeans-ari/modality"].estimate.value) < 0.01
    ranks = [metrics[f"effective-rank/{modality}"].estimate for modality in ("sar", "optical")]
    assert ranks[0] == ranks[1]
    planes, (by_cluster, _) = space.embeddings(), space.heat_maps()
    np.testing.assert_allclose(*planes["pca"], atol=1e-4)
    apart = np.linalg.norm(planes["umap"][0] - planes["umap"][1], axis=1)
    assert np.median(apart) < 0.2 * np.ptp(planes["umap"][0], axis=0).max()
    np.testing.assert_allclose(np.diagonal(by_cluster.values), 1.0, atol=1e-5)
    again, _ = look(same, same.copy())
    np.testing.assert_array_equal(planes["umap"][0], again.embeddings()["umap"][0])


def test_two_shifted_clouds_are_told_apart_by_sensor() -> None:
    shift = np.zeros(WIDTH, np.float32)
    shift[0] = 40.0
    place = cloud(1)
    space, metrics = look(place + shift, place - shift)
    assert metrics["silhouette/modality"].estimate.value > 0.9
    assert metrics["silhouette/modality"].estimate.low > metrics["silhouette/modality"].chance
    assert metrics["kmeans-purity/modality"].estimate.value == 1.0
    assert metrics["density-ari/modality"].estimate.value > 0.9
    assert metrics["fisher-ratio"].estimate.value < 0.1  # the shift is not agreement of pairs
    assert metrics["anisotropy/sar"].estimate.value > 0.9
    sar, optical = space.embeddings()["pca"]
    gap = sar[:, 0] - optical[:, 0]
    assert np.all(gap > 0) or np.all(gap < 0)


def test_a_shuffled_pairing_is_at_chance() -> None:
    place = cloud(2)
    noise = [0.2 * cloud(seed) for seed in (3, 4)]
    sar, optical = place + noise[0], place + noise[1]
    _, paired = look(sar, optical)
    shuffled = np.random.default_rng(0).permutation(SIZE)
    _, metrics = look(sar, optical[shuffled])
    assert paired["fisher-ratio"].estimate.low > 10
    assert metrics["fisher-ratio"].estimate.value == pytest.approx(1.0, abs=0.1)
    assert metrics["fisher-ratio"].chance == pytest.approx(1.0, abs=0.05)
    # What does not look at pairs does not notice the shuffle.
    assert metrics["silhouette/modality"].estimate.value == pytest.approx(
        paired["silhouette/modality"].estimate.value, abs=1e-6
    )


def test_one_cluster_per_place_is_found() -> None:
    centres = np.random.default_rng(5).normal(size=(10, WIDTH)).astype(np.float32) * 5
    sar = centres[SCENES] + 0.2 * cloud(6)
    optical = centres[SCENES] + 0.2 * cloud(7)
    space, metrics = look(sar, optical)
    for method in ("kmeans", "density"):
        for score in ("ari", "nmi", "purity"):
            assert metrics[f"{method}-{score}/unit"].estimate.value == pytest.approx(1.0)
        assert abs(metrics[f"{method}-ari/modality"].estimate.value) < 0.02
        assert metrics[f"{method}-purity/modality"].estimate.value == 0.5
        assert metrics[f"{method}-clusters"].estimate.value == 10
    assert metrics["silhouette/unit"].estimate.value > 0.9
    assert metrics["silhouette/unit"].chance < 0.05
    by_cluster, _ = space.heat_maps()
    blocks = by_cluster.values.reshape(10, 12, 10, 12).mean(axis=(1, 3))
    assert np.diagonal(blocks).min() > 0.9
    assert (blocks - np.diag(np.diagonal(blocks))).max() < 0.7
    np.testing.assert_allclose(by_cluster.borders, np.arange(12, SIZE, 12))


def test_equal_seeds_give_equal_results_and_a_sample_is_drawn() -> None:
    sar, optical = cloud(8), cloud(9)
    first, second = (look(sar, optical)[1] for _ in range(2))
    assert repr(first) == repr(second)
    part = Space(sar, optical, SCENES, seed=3, most=50)
    planes = part.embeddings()
    assert len(part.items) == len(planes["pca"][0]) == len(part.clusters) == 50
    assert all(m.n_gallery <= 100 for m in Structure()(part))


def test_labels_beside_the_scene_are_scored() -> None:
    label = np.array(["field", "town"])[(np.arange(SIZE) // 3) % 2]
    towards = np.where(label == "town", 30.0, -30.0)[:, None] * np.eye(1, WIDTH)
    sar = (cloud(10) + towards).astype(np.float32)
    optical = (cloud(11) + towards).astype(np.float32)
    metrics = look(sar, optical, label)[1]
    assert metrics["silhouette/label"].estimate.value > 0.9
    assert metrics["kmeans-purity/label"].estimate.value == 1.0
    assert "silhouette/label" not in look(sar, optical)[1]
