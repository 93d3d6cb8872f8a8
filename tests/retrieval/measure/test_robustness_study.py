"""The curves of one extractor on simulated pairs, read from their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crosslook.data.pairs import open_pairs
from crosslook.data.patches import PatchSet
from crosslook.data.simulate.write import write_pairs
from crosslook.extract.registry import open_extractor
from crosslook.geo.image import Reading
from crosslook.geo.radiometry import SarRadiometry
from crosslook.retrieval.clusters import divide, find_clusters
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.measure.perturbations import PERTURBATIONS
from crosslook.retrieval.measure.robustness import (
    Robustness,
    Subject,
    make_subject,
    perturbations_of,
)
from crosslook.retrieval.setup import Setup
from crosslook.types import MODALITIES, Metric


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    write_pairs(out, 5, size=320, seed=3)
    return out


def curves(folder: Path, patch: int) -> tuple[Subject, list[Metric]]:
    patches = PatchSet.open(open_pairs(folder), patch=patch)
    extractor = open_extractor("hog:cell=8")
    everything = range(len(patches.patches))
    sar, optical = (
        pool(extractor.extract(patches.read(m, everything)), "flatten") for m in MODALITIES
    )
    described = Descriptors(Setup("hog:cell=8", "flatten"), sar, optical)
    units = find_clusters(patches.patches)
    division = divide(units, 0.4, 0)
    days = dict.fromkeys(patches.scenes, 2.0)
    subject = make_subject(extractor, described, patches, division, units.names, 0, 100, days)
    return subject, Robustness()(subject)


@pytest.mark.slow
def test_all_curves_of_a_study(folder: Path) -> None:
    subject, measured = curves(folder, 64)
    metrics = {(m.metric, m.k): m for m in measured}
    assert subject.left_out == {}
    for name, perturbation in PERTURBATIONS.items():
        for level in perturbation.levels:
            assert (f"recall@1/{name}={level:g}", 1) in metrics
    # 75 patches; the 3 measured scenes have 9 each with 32 px around them.
    assert {m.n_query for (name, _), m in metrics.items() if "=" in name} == {27}
    assert (
        metrics["recall@1/gallery", 75].estimate.value
        == metrics["recall@1/patch", 64].estimate.value
    )
    assert metrics["recall@1/days-apart", 3].n_query == 75
    values = [metrics["recall@1/offset=0", 1], metrics["recall@1/offset=32", 1]]
    assert values[0].estimate.value > values[1].estimate.value + 0.3
    assert metrics["recall@1/offset=0", 1].estimate.value > 0.6
    assert (
        metrics["recall@1/patch", 32].estimate.value < metrics["recall@1/patch", 64].estimate.value
    )


def test_scenes_no_larger_than_a_patch(folder: Path) -> None:
    subject, metrics = curves(folder, 320)
    assert {"offset", "rotation", "scale"} <= set(subject.left_out)
    assert any(m.metric == "recall@1/looks=1" for m in metrics)


@pytest.mark.slow
def test_speckle_follows_the_radiometry(folder: Path) -> None:
    pairs = open_pairs(folder)
    flat = np.full((1, 3, 128, 128), 0.5, np.float32)

    def std_of(text: str) -> float:
        patches = PatchSet.open(pairs, patch=64, reading=Reading(SarRadiometry.parse(text)))
        looks = perturbations_of(patches)["looks"]
        return float(looks.apply(flat, 128, 16, np.random.default_rng(0)).std())

    # Speckle of 16 looks has 1.1 dB: over 50 dB half of what it is over 25 dB.
    assert std_of("tone=log,clip=-25:0") == pytest.approx(
        2 * std_of("tone=log,clip=-50:0"), rel=0.01
    )
    assert std_of("tone=log,clip=-25:0") == pytest.approx(1.1 / 25, rel=0.05)
    # Of an amplitude 16 looks spread an eighth, here of one in the centre of the limits.
    sides = PatchSet.open(pairs, patch=64, reading=Reading(SarRadiometry.parse("tone=linear")))
    (low,), (high,) = (
        getattr(next(iter(sides.scenes.values())).sides["sar"].stretch, end)
        for end in ("low", "high")
    )
    centre = (low + high) / 2 / (high - low)
    assert std_of("tone=linear") == pytest.approx(centre / 8, rel=0.05)
