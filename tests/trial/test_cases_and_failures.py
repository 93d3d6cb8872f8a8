"""What a trial measures of cases that fail, of wrong partners, and of runs that differ."""

from __future__ import annotations

import io
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from crosslook.errors import (
    CalibrationError,
    InputError,
    MatchError,
    OutputError,
    SettingError,
)
from crosslook.match import engine
from crosslook.match.register import register_with
from crosslook.trial import run as trial_run
from crosslook.trial.answers import Answer, read_run_answers, write_answers
from crosslook.trial.board import compare_trials, leaderboard
from crosslook.trial.cases import CaseMaker, CaseSettings, Task, make_tasks
from crosslook.trial.measures import Resampling, measure, read_rows, strata_of
from crosslook.trial.reach import REACHES
from crosslook.trial.report import print_trial, trial_and_report, write_trial_report
from crosslook.trial.run import open_trial_pairs, plan, run_trial
from crosslook.trial.settings import TrialSettings
from crosslook.trial.verdict import fit_verdict
from crosslook.trial.work import answer_all
from tests.helpers.deadly import Deadly
from tests.helpers.trials import aligned_set

NAMES = [f"scene{at}" for at in range(4)]
QUICK: dict[str, Any] = {
    "matchers": "phase-correlation", "wrong": False, "bootstrap": 100, "processes": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aligned_set(tmp_path_factory.mktemp("set"), NAMES, side=300)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=400)


def test_tones_that_are_swept_have_answers_of_their_own(pairs: Path, tmp_path: Path) -> None:
    settings = TrialSettings(pairs=pairs, out=tmp_path, sweep="tone=log:linear", **QUICK)
    answers = read_run_answers(run_trial(settings, quiet()))
    assert sorted({one.protocol for one in answers}) == ["tone=linear", "tone=log"]
    assert len({one.key for one in answers}) == len(answers) == 2 * len(NAMES)
    plain = settings.model_copy(update={"sweep": "", "model": "affine"})
    swept = settings.model_copy(update={"sweep": "model=affine"})
    keys = {plan(s, open_trial_pairs(s)).runners[0].key for s in (plain, swept)}
    assert len(keys) == 2  # a part names its protocol, so neither may stand for the other


def test_a_value_is_swept_once() -> None:
    with pytest.raises(SettingError, match="twice"):
        TrialSettings(pairs="a", out="b", sweep="gate=3:3")


def test_a_wrong_partner_is_tried_with_the_same_sar_window(pairs: Path) -> None:
    settings = TrialSettings(pairs=pairs, out="x")
    found = open_trial_pairs(settings)
    maker = CaseMaker(found, CaseSettings(128, 0, settings.reading()))
    tasks = make_tasks(found, lambda _: 3, 1, ["near"], 0, wrong=True)
    optical = {}
    for task in tasks:
        if not task.is_wrong:
            optical[task.pair, task.window] = maker.make(task).optical.read().values
    for own, other in zip(tasks[::2], tasks[1::2], strict=True):
        first, second = maker.make(own), maker.make(other)
        assert other.is_wrong
        assert np.array_equal(first.sar.read().values, second.sar.read().values)
        shown = optical[other.partner, other.window]
        assert np.array_equal(second.optical.read().values, shown)


def test_a_bad_file_among_windows_never_loses_the_others(pairs: Path, tmp_path: Path) -> None:
    folder = aligned_set(tmp_path / "set", NAMES, side=300)
    (folder / "optical" / f"{NAMES[0]}.png").write_bytes(b"no image")
    settings = TrialSettings(pairs=folder, out=tmp_path / "run", window=128, windows=2, **QUICK)
    answers = read_run_answers(run_trial(settings, quiet()))
    assert [one.pair for one in answers if one.failure] == [NAMES[0]]
    assert len(answers) == 1 + 2 * (len(NAMES) - 1)
    known = {part for one in answers for part in strata_of(one, {})}
    assert known == {"all", "size=128"}
    assert strata_of(next(one for one in answers if one.failure), {}) == ["all"]


def test_images_turn_about_their_own_centre() -> None:
    shape = (200, 800)
    for seed in range(20):
        moved = REACHES["wide"].draw(np.random.default_rng(seed), shape)
        centre = np.array([shape], np.float64) / 2
        assert np.linalg.norm(moved(centre) - centre) <= 0.1 * 800 + 1e-9


def test_an_error_of_a_matcher_counts_as_no_answer(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = register_with

    def fails(sar: Any, *others: Any) -> Any:
        if NAMES[0] in sar.name:
            raise MatchError("no key points")
        return whole(sar, *others)

    monkeypatch.setattr("crosslook.trial.work.register_with", fails)
    run = run_trial(TrialSettings(pairs=pairs, out=tmp_path, **QUICK), quiet())
    rows = {(r.metric, r.k): r for r in read_rows(run) if r.stratum == "all"}
    within = rows["within", 10.0]
    assert (within.n, within.value) == (4, 0.75)
    assert (rows["failures", 0.0].n, rows["failures", 0.0].value) == (4, 0.25)
    failed = next(one for one in read_run_answers(run) if one.failure)
    assert math.isinf(failed.error_px)
    assert failed.start_error_px > 0
    console = quiet()
    print_trial(run, console)
    assert "failed on 1 case(s): no key points" in console.file.getvalue()  # type: ignore[attr-defined]


def test_chance_of_the_mean_is_that_of_the_cases_it_is_of() -> None:
    head = ("near", "m", "default", False)
    answers = [
        Answer("a", "a", "a", "a", *head, error_px=1.0, start_error_px=4.0),
        Answer("b", "b", "b", "b", *head, error_px=math.inf, start_error_px=100.0),
    ]
    (mean,) = (one for one in measure(answers, Resampling(0, 100)) if one.metric == "mean-error")
    assert (mean.estimate.value, mean.n, mean.chance) == (1.0, 1, 4.0)


def test_cases_that_were_moved_otherwise_are_not_compared(pairs: Path, tmp_path: Path) -> None:
    runs = [
        run_trial(TrialSettings(pairs=pairs, out=tmp_path / str(seed), seed=seed, **QUICK), quiet())
        for seed in (0, 1)
    ]
    with pytest.raises(InputError, match="share no case"):
        compare_trials(runs, None)


def test_windows_of_other_sides_are_not_compared(pairs: Path, tmp_path: Path) -> None:
    as_is = QUICK | {"reaches": "as-is"}  # where every case starts 0 pixels off
    runs = [
        run_trial(TrialSettings(pairs=pairs, out=tmp_path / str(n), window=n, **as_is), quiet())
        for n in (128, 160)
    ]
    with pytest.raises(InputError, match="share no case"):
        compare_trials(runs, None)
    with pytest.raises(InputError, match="other cases"):
        leaderboard(runs)


def test_a_wrong_partner_is_no_larger_than_the_right_one(tmp_path: Path) -> None:
    folder = aligned_set(tmp_path / "set", ["a", "b"], side=200)
    aligned_set(folder, ["c"], side=900)
    settings = TrialSettings(pairs=folder, out="x")
    found = open_trial_pairs(settings)
    maker = CaseMaker(found, CaseSettings(None, 0, settings.reading()))
    for pair, partner in (("a", "c"), ("c", "a")):
        shown = maker.make(Task(pair, partner, pair, 0, "near", 0)).optical
        assert shown.shape == (200, 200)


def test_a_report_is_written_where_pairs_are_gone(pairs: Path, tmp_path: Path) -> None:
    folder = aligned_set(tmp_path / "set", NAMES, side=300)
    settings = TrialSettings(
        pairs=folder, out=tmp_path / "run", **QUICK | {"matchers": "phase-correlation,sift"}
    )
    run = trial_and_report(settings, quiet())
    answers = read_run_answers(run)  # as if one had failed badly, so that images are shown
    write_answers(run, [replace(a, error_px=50.0) if a.matcher == "sift" else a for a in answers])
    assert NAMES[0] + "/0/near/0:" in write_trial_report(run).read_text()
    for kind in ("sar", "optical"):
        (folder / kind / f"{NAMES[0]}.png").unlink()
    aligned_set(folder, [NAMES[1]], side=320)  # and another has changed
    text = write_trial_report(run).read_text()
    assert "2 more cannot be shown" in text
    assert NAMES[0] + "/0/near/0:" not in text
    shutil.rmtree(folder)
    folder.mkdir()
    assert "No images: " in write_trial_report(run).read_text()


def test_the_estimate_says_which_matcher_fails(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise MatchError("no key points")

    monkeypatch.setattr("crosslook.trial.work.register_with", fails)
    console = quiet()
    run_trial(TrialSettings(pairs=pairs, out=tmp_path, estimate=True, **QUICK), console)
    assert "s a case; failed: no key points" in console.file.getvalue()  # type: ignore[attr-defined]


def test_pairs_are_the_clusters_where_groups_are_too_few(tmp_path: Path) -> None:
    for group in ("north", "south"):
        made = aligned_set(tmp_path / group, ["a", "b"])
        for kind in ("sar", "optical"):
            for path in (made / kind).iterdir():
                (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
                path.rename(tmp_path / "set" / kind / f"{group}_{path.name}")
    lines = [f"{g}_{n},{g},sar/{g}_{n}.png,optical/{g}_{n}.png" for g in ("north", "south")
             for n in "ab"]  # fmt: skip
    table = tmp_path / "set" / "pairs.csv"
    table.write_text("\n".join(["id,group,sar,optical", *lines]))
    run = run_trial(TrialSettings(pairs=table, out=tmp_path / "run", **QUICK), quiet())
    record = json.loads((run / "run.json").read_text())
    assert record["clusters"] == 4
    assert "clusters are scenes: 2 group(s) (north, south)" in " ".join(record["notes"])
    row = next(r for r in read_rows(run) if r.metric == "area")
    assert (row.n, row.n_clusters) == (4, 4)


def test_too_few_clusters_to_choose_on_are_refused_before_any_work(
    pairs: Path, tmp_path: Path
) -> None:
    settings = TrialSettings(pairs=pairs, out=tmp_path, limit=2, sweep="gate=1:3", **QUICK)
    with pytest.raises(CalibrationError, match="2 are too few"):
        run_trial(settings, quiet())
    assert not (tmp_path / "answers").exists()


def test_one_cluster_gives_no_verdict(pairs: Path, tmp_path: Path) -> None:
    one = {"pairs": pairs, "out": tmp_path / "run", "limit": 2}
    run = run_trial(TrialSettings(**one, **QUICK), quiet())
    write_answers(run, [replace(a, cluster="here") for a in read_run_answers(run)])
    with pytest.raises(InputError, match="one cluster"):
        fit_verdict(run, "phase-correlation", tmp_path / "v.json")


def test_processes_of_an_estimate_are_those_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_run, "check_device", lambda _: ("cuda", 0))
    settings = TrialSettings(pairs="a", out="b", device="cuda")
    assert trial_run._processes(settings) == 1
    assert trial_run._processes(settings.model_copy(update={"engine": "ray", "workers": 3})) == 3


def test_a_process_that_dies_costs_its_part_alone(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_TRIES", 1)  # a process takes a second to begin
    settings = TrialSettings(pairs=pairs, out=tmp_path, draws=4, **QUICK)
    job = plan(settings, open_trial_pairs(settings))
    assert job.parts == 2
    deadly = replace(job.pairs[0], sar=Deadly())  # type: ignore[arg-type]
    with pytest.raises(OutputError, match=r"1 of 2 parts are not answered.*--processes") as caught:
        answer_all(replace(job, pairs=(deadly, *job.pairs[1:])), 2)
    assert job.tasks[0].name in str(caught.value)
    assert job.missing() == [(0, 0)], "the other part is there"
    answer_all(job, 2)
    assert not job.missing()
