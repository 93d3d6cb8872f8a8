"""Checked weights, the article's models in one word, and what is said of missing ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.errors import WeightsError
from crosslook.extract import check, fetch
from crosslook.extract.check import WeightsCheck, check_weights, synthetic_patches
from crosslook.extract.weights import missing, what_is_missing
from crosslook.retrieval.plan import plan_models
from crosslook.retrieval.settings import StudySettings

pytest.importorskip("torch", reason="the models extra is not installed")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_bundled_patches_are_synthetic_and_whole() -> None:
    sar, optical = synthetic_patches()
    assert sar.shape == optical.shape == (8, 3, 256, 256)
    assert 0 <= sar.min() < sar.max() <= 1
    assert len({patch.tobytes() for patch in optical}) == 8


@pytest.mark.slow
def test_pretrained_weights_are_the_librarys_and_beat_random_ones() -> None:
    found = check_weights("efficientnet-lite0")
    assert found.difference < 1e-4
    assert found.trained > found.untrained
    assert found.verdict == "ok"


@pytest.mark.parametrize(
    "spec", ["dinov2", "dinov2:layer=2", "clip", "sam2:side=64", "sd-vae:taesd"]
)
def test_small_checkpoints_agree_with_a_direct_call(models: Any, spec: str) -> None:
    name = spec if spec == "sd-vae:taesd" else spec.partition(":")[0]
    family = name.partition(":")[0]
    weights = {name: models.folder(name)}
    assert check._difference(spec, family, "", weights) < 1e-4


def test_other_features_than_the_librarys_are_found(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = check.REFERENCES["dinov2"]
    monkeypatch.setitem(check.REFERENCES, "dinov2", lambda e, i: reference(e, i.flip(2)))
    monkeypatch.setattr(check, "_auroc", lambda *_: 0.9)
    weights = {"dinov2": models.folder("dinov2")}
    found = check_weights("dinov2", weights)
    assert not found.agrees
    ran = CliRunner().invoke(
        app, ["weights", "check", "dinov2", "--weights", f"dinov2={weights['dinov2']}"]
    )
    assert "other features than the library's" in ran.output
    assert isinstance(ran.exception, WeightsError)


def test_words_of_a_check() -> None:
    assert WeightsCheck("a", 1e-6, 0.9, 0.7).verdict == "ok"
    assert WeightsCheck("a", math.nan, 0.7, 0.9).verdict == "doubtful: no better than untrained"
    assert "no library to compare with" in str(WeightsCheck("a", math.nan, 0.7, 0.9))
    with pytest.raises(WeightsError, match="no trained weights"):
        check_weights("hog")
    with pytest.raises(WeightsError, match="no trained weights"):
        check_weights("untrained:dinov2")


def test_the_article_is_one_word() -> None:
    five = fetch.expand(["article", "sd-vae:taesd"])
    assert five == ["sd-vae", "sd-unet", "dinov2", "clip", "sam2", "sd-vae:taesd"]
    assert fetch.size_of(five[:5]) == 6814
    ran = CliRunner().invoke(app, ["weights", "fetch", "article"])
    assert "5 models, 6.8 GB to fetch" in ran.output
    for repository in ("stabilityai/sd-vae-ft-mse", "facebook/sam2.1-hiera-tiny"):
        assert repository in ran.output  # one that fails does not stop the others
    assert isinstance(ran.exception, WeightsError)


def test_missing_weights_are_one_table_and_one_command(tmp_path: Path) -> None:
    settings = StudySettings(pairs=tmp_path, out=tmp_path / "o", preset="article")
    with pytest.raises(WeightsError) as caught:
        plan_models(settings)
    said = str(caught.value)
    for words in ("openai/clip-vit-large-patch14", "4.27", "CreativeML Open RAIL-M", "repository"):
        assert words in said
    assert "crosslook weights fetch article  (6.8 GB)" in said
    assert "--skip-missing" in said
    lines = [line for line in said.splitlines() if line.startswith("  ")]
    assert len(lines) == 6
    assert len({line.index("GB") if "GB" in line else 0 for line in lines}) <= 2
    two = what_is_missing(missing(["dinov2", "sd-vae:taef2"]))
    assert "crosslook weights fetch dinov2  (0.3 GB)" in two
    assert "taef2_encoder.pth" in two  # on no hub: its own line says where it is


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_no_repository_is_cut(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    ran = CliRunner().invoke(app, ["weights", "status"])
    assert ran.exit_code == 0
    for item in fetch.weights_status():
        assert item.model in ran.output


def test_simulated_patches_are_the_same_everywhere() -> None:
    np.testing.assert_array_equal(synthetic_patches()[0], synthetic_patches()[0])
