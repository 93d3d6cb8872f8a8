"""The published study in one word, over small checkpoints of its five models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from crosslook.report.gap import judge_claims
from crosslook.report.study import study
from crosslook.report.two_stage import judge_advice
from crosslook.retrieval.measure import structure
from crosslook.retrieval.measure.structure import embed_pca
from crosslook.retrieval.run_folder import MatchTable, read_rows
from crosslook.retrieval.settings import StudySettings

MODELS = ("sd-vae", "sd-unet", "dinov2", "clip", "sam2")
SMALL = ("sd-vae", "sd-unet:noises=2", "dinov2", "clip", "sam2:side=64")
"""The same models in little time: fewer noises, smaller inputs."""
SIDE = 64


def write(folder: Path, scenes: int) -> Path:
    rng = np.random.default_rng(0)
    for scene in range(scenes):
        ground = np.kron(rng.random((16, 16)), np.ones((4, 4)))
        sar = ground * rng.gamma(8, 1 / 8, ground.shape) * 150
        for side, bands in (("sar", sar[None]), ("optical", np.stack([220 - 200 * ground] * 3))):
            path = folder / side / f"place{scene}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            how = {"driver": "GTiff", "height": SIDE, "width": SIDE, "dtype": "uint8"}
            with rasterio.open(path, "w", count=len(bands), **how) as file:
                file.write(bands.clip(1, 255).astype(np.uint8))
    return folder


def test_the_preset_names_what_the_article_ran() -> None:
    settings = StudySettings(pairs=Path("p"), out=Path("o"), preset="article")
    assert tuple(map(str, settings.extractors)) == MODELS
    assert [str(one) for one in settings.two_stage] == ["sam2+sd-vae"]
    assert {"none", "standardize"} <= set(settings.calibrations)
    assert settings.structure
    other = StudySettings(pairs=Path("p"), out=Path("o"), preset="article", extractors=("hog",))
    assert [str(one) for one in other.extractors] == ["hog"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_article_in_one_word(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure, "embed_umap", lambda reduced, seed: embed_pca(reduced))
    weights = {name: models.folder(name) for name in MODELS}
    run = study(
        write(tmp_path / "pairs", 8), tmp_path / "run", preset="article", patch=SIDE,
        extractors=SMALL, two_stage=("sam2:side=64+sd-vae",),
        weights=weights, device="cpu", draws=100, calibration_fraction=0.4,
    )  # fmt: skip
    rows = read_rows(run)
    recall = [r for r in rows if r.measure == "retrieval" and r.metric == "recall" and r.k == 1]
    assert {r.extractor for r in recall} == set(SMALL)
    assert {"none", "standardize", "whiten", "chosen"} <= {r.calibration for r in recall}
    assert {"gap", "structure", "two-stage", "difference"} <= {r.measure for r in rows}
    assert len(judge_claims(rows)) == 3
    (advice,) = judge_advice(rows)
    assert "Narrow by sam2, verify by sd-vae" in advice.text
    assert "sam2:side=64+sd-vae" in {t.setup.extractor for t in MatchTable.read(run)}
    report = (run / "report.html").read_text()
    assert "Narrow by sam2, verify by sd-vae" in report
    assert "SAM2 has the smallest modality gap" in report
