"""A verdict fitted to the answers of a trial, and the confidence that register then gives."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from crosslook.cli import app
from crosslook.errors import InputError, OutputError
from crosslook.match.register import register
from crosslook.trial.answers import read_run_answers
from crosslook.trial.run import run_trial
from crosslook.trial.settings import TrialSettings
from crosslook.trial.verdict import _beyond, _errors, _quantile, fit_verdict
from tests.helpers.trials import aligned_set


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aligned_set(tmp_path_factory.mktemp("set"), [f"scene_{n}" for n in range(8)])


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = TrialSettings(
        pairs=pairs, out=tmp_path_factory.mktemp("run"), matchers="phase-correlation", draws=3,
        bootstrap=100, processes=1,
    )  # fmt: skip
    return run_trial(settings, Console(file=io.StringIO()))


def test_a_fitted_verdict_gives_a_confidence_that_tells_right_from_wrong(
    run: Path, pairs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "verdict.json"
    call = ["verdict", "fit", str(run), "--matcher", "phase-correlation", "--out", str(out)]
    shown = CliRunner().invoke(app, call)
    assert shown.exit_code == 0, shown.output
    assert "right and" in shown.output
    values = json.loads(out.read_text())
    assert int(values["initial"]["fitted_on"].split()[-2]) >= 20  # of 24 right partners
    images: Any = [str(pairs / kind / "scene_0.png") for kind in ("sar", "optical")]
    options: Any = {"matcher": "phase-correlation", "near_only": True}
    plain = register(*images, **options)
    assert np.isnan(plain.confidence)
    fitted = register(*images, **options, verdict=out)
    assert fitted.confidence > 0.8
    assert fitted.explanation.terms
    logit = fitted.explanation.base + sum(one.logit for one in fitted.explanation.terms)
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(fitted.confidence, abs=1e-6)
    other = register(images[0], str(pairs / "optical" / "scene_1.png"), **options, verdict=out)
    assert other.confidence < 0.3
    with pytest.raises(InputError, match="fitted to 'phase-correlation'"):
        register(*images, matcher="sift", verdict=out)
    out.write_text("{}")
    with pytest.raises(InputError, match="verdict fit"):
        register(*images, **options, verdict=out)


def test_quantiles_of_the_error_hold_for_clusters_they_have_not_seen() -> None:
    rng, shares = np.random.default_rng(0), []
    for _ in range(40):
        forms = rng.uniform(0, 2, (40, 20))
        log = forms[:, 0] + rng.normal(size=20).repeat(2) + 0.5 * rng.normal(size=40)
        beyond, within = _beyond(forms, log, np.arange(40) // 2 % 5, 0.9)
        shares.append((within.mean(), (beyond <= 0).mean()))
    moved, as_fitted = np.mean(shares, axis=0)
    assert abs(moved - 0.9) < 0.03
    assert as_fitted < 0.85  # a fit that is trusted as it is leaves out more than a tenth
    assert _quantile(np.arange(9.0), 0.5) == 4.0
    assert _quantile(np.arange(9.0), 0.99) == 8.0


def test_the_error_is_fitted_and_checked_where_there_are_matches_enough(run: Path) -> None:
    right = [one for one in read_run_answers(run) if one.error_px < 10]
    assert _errors(right[:19], 0) == (None, [])
    assert _errors([replace(one, cluster="one") for one in right], 0) == (None, [])
    found, covered = _errors(right, 0)
    assert found is not None
    assert found["68"]["intercept"] <= found["95"]["intercept"]
    assert [(one.level, one.matches) for one in covered] == [(0.68, len(right)), (0.95, len(right))]
    assert all(one.within.low < one.within.high for one in covered)


def test_what_cannot_be_fitted_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'phase-correlation'"):
        fit_verdict(run, "phase-corelation", tmp_path / "v.json")


def test_a_file_of_other_origin_is_replaced_on_request_alone(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.json"
    out.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        fit_verdict(run, "phase-correlation", out)
    assert out.read_text() == "mine"
    fit_verdict(run, "phase-correlation", out, overwrite=True)
    fit_verdict(run, "phase-correlation", out)
    assert json.loads(out.read_text())["initial"]
