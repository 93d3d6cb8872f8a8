"""A trial from pairs to rows: what is measured, what it costs to be stopped, and its report."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from crosslook.cli import app
from crosslook.errors import InputError, SettingError
from crosslook.match.transform import Transform
from crosslook.match.warp import opencv_matrix
from crosslook.retrieval.run_folder import read_table
from crosslook.trial.answers import read_run_answers
from crosslook.trial.board import leaderboard
from crosslook.trial.cases import CaseMaker, CaseSettings, make_tasks
from crosslook.trial.measures import TrialRow, read_rows
from crosslook.trial.protocol import Protocol, read_sweep
from crosslook.trial.report import trial_and_report
from crosslook.trial.run import open_trial_pairs, run_trial
from crosslook.trial.settings import TrialSettings
from tests.helpers.kinds import save
from tests.helpers.textured import textured_pair
from tests.helpers.trials import SIDE, aligned_set
from tests.match.test_matchers import TEN_LINES, install, site

__all__ = ["site"]

NAMES = [f"{sensor}_{ground}_{at}" for sensor in ("GF3", "RCM") for ground in ("city", "hills")
         for at in range(2)]  # fmt: skip
QUICK: dict[str, Any] = {"matchers": "phase-correlation,efolki", "bootstrap": 100, "processes": 1}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aligned_set(tmp_path_factory.mktemp("set"), NAMES)


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    settings = TrialSettings(pairs=pairs, out=out, reaches="near,as-is", **QUICK)
    return trial_and_report(settings, quiet())


def rows_of(rows: list[TrialRow], **wanted: Any) -> list[TrialRow]:
    return [r for r in rows if all(getattr(r, name) == value for name, value in wanted.items())]


def test_numbers_are_those_of_a_plain_computation(run: Path) -> None:
    rows, answers = read_rows(run), read_run_answers(run)
    own = [
        a
        for a in answers
        if (a.matcher, a.reach, a.is_wrong) == ("phase-correlation", "near", False)
    ]
    assert len(own) == len(NAMES)
    errors = np.array([a.error_px for a in own])
    starts = np.array([a.start_error_px for a in own])
    assert errors.max() < 1.0 < starts.mean()
    one = {"matcher": "phase-correlation", "reach": "near", "stratum": "all"}
    (within,) = rows_of(rows, metric="within", k=3.0, **one)
    assert (within.value, within.n, within.n_clusters) == ((errors <= 3).mean(), 8, 4)
    assert within.chance == (starts <= 3).mean()
    assert within.ci_low < within.value == within.ci_high == 1.0  # of four clusters, all right
    (area,) = rows_of(rows, metric="area", **one)
    fine = np.linspace(0, 10, 10001)
    curve = (errors[:, None] <= fine).mean(axis=0)
    assert area.value == pytest.approx(np.trapezoid(curve, fine) / 10, abs=1e-3)
    (mean,) = rows_of(rows, metric="mean-error", **one)
    assert mean.value == pytest.approx(errors.mean())
    (difference,) = rows_of(rows, metric="area-difference/phase-correlation", reach="near")
    other = [a for a in answers if (a.matcher, a.reach, a.is_wrong) == ("efolki", "near", False)]
    gain = np.maximum(0, 1 - np.array([a.error_px for a in other]) / 10).mean() - area.value
    assert difference.value == pytest.approx(gain)
    (sensor,) = rows_of(rows, metric="within", k=5.0, stratum="sensor=GF3", reach="near",
                        matcher="efolki")  # fmt: skip
    assert sensor.n == 4
    assert rows_of(rows, stratum="ground=hills")
    assert not rows_of(rows, stratum="size=256")  # all cases have one size


def test_pairs_as_they_are_lie_where_they_are(run: Path) -> None:
    answers = [a for a in read_run_answers(run) if a.reach == "as-is" and not a.is_wrong]
    assert all(a.start_error_px == 0.0 for a in answers)
    assert all(a.error_px < 1.0 for a in answers)
    wrong = [a for a in read_run_answers(run) if a.is_wrong]
    assert len(wrong) == len(read_run_answers(run)) / 2
    assert all(np.isnan(a.error_px) and a.pair[:5] != a.partner[:5] for a in wrong)


def test_the_report_shows_tables_curves_and_pictures(run: Path) -> None:
    text = (run / "report.html").read_text()
    for words in ("left where they are", "phase-correlation", "Within 5 px by sensor", "How near"):
        assert words in text
    assert (run / "figures" / "accuracy-01.svg").is_file()
    record = json.loads((run / "run.json").read_text())
    assert record["kind"] == "trial"
    assert record["matchers"]["efolki"]["revision"].startswith("crosslook ")


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_that_was_killed_goes_on_to_the_same_rows(
    run: Path, pairs: Path, tmp_path: Path, processes: int
) -> None:
    again = tmp_path / "again"
    shutil.copytree(run, again)
    settings = TrialSettings(pairs=pairs, out=again, reaches="near,as-is", **QUICK)
    parts = sorted((again / "answers").rglob("part-*.parquet"))
    kept = parts[0].stat().st_mtime_ns
    for part in parts[1::4]:
        part.unlink()
    for name in ("results.parquet", "answers.parquet", "run.json"):
        (again / name).unlink()
    run_trial(settings.model_copy(update={"processes": processes}), quiet())
    assert parts[0].stat().st_mtime_ns == kept
    for name in ("results.parquet", "answers.parquet"):
        assert (again / name).read_bytes() == (run / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.timeout(300)  # Ray runs its workers at the lowest priority
def test_ray_gives_the_same_bytes(
    run: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]), prepend=os.pathsep)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        settings = TrialSettings(
            pairs=pairs, out=tmp_path, reaches="near,as-is", engine="ray", workers=2,
            **{key: value for key, value in QUICK.items() if key != "processes"},
        )  # fmt: skip
        made = run_trial(settings, quiet())
    finally:
        ray.shutdown()
    for name in ("results.parquet", "answers.parquet"):
        assert (made / name).read_bytes() == (run / name).read_bytes(), name


def test_one_bad_pair_never_loses_the_others(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(pairs, folder)
    (folder / "sar" / f"{NAMES[0]}.png").write_bytes(b"no image")
    settings = TrialSettings(
        pairs=folder, out=tmp_path / "run", matchers="phase-correlation", bootstrap=100,
        processes=1, wrong=False,
    )  # fmt: skip
    run = run_trial(settings, quiet())
    failed = [a for a in read_run_answers(run) if a.failure]
    assert [a.pair for a in failed] == [NAMES[0]]
    (row,) = rows_of(read_rows(run), metric="within", k=3.0, stratum="all")
    assert row.n == len(NAMES) - 1
    assert json.loads((run / "run.json").read_text())["failures"][0]["cases"] == 1


def test_a_sweep_is_chosen_on_clusters_that_are_not_reported(pairs: Path, tmp_path: Path) -> None:
    settings = TrialSettings(
        pairs=pairs, out=tmp_path, matchers="phase-correlation", wrong=False, bootstrap=100,
        processes=1, sweep="gate=0.3:3", calibration_fraction=0.5,
    )  # fmt: skip
    run = trial_and_report(settings, quiet())
    rows, record = read_rows(run), json.loads((run / "run.json").read_text())
    held = set(record["calibration_clusters"])
    assert len(held) == 2
    answers = read_run_answers(run)
    areas = {
        str(p): np.mean([max(0, 1 - a.error_px / 10) for a in answers
                         if a.protocol == str(p) and a.cluster in held])
        for p in read_sweep(settings.sweep)
    }  # fmt: skip
    assert areas[record["matchers"]["phase-correlation"]["protocol"]] == max(areas.values())
    assert {r.split for r in rows} == {"calibration", "test"}
    tested = rows_of(rows, split="test", metric="area", stratum="all")
    assert len(tested) == 2
    assert all(r.n == 4 for r in tested)
    assert "lowest mean px" in (run / "report.html").read_text()


def test_protocols_are_read_as_they_are_written() -> None:
    protocols = read_sweep("tile=64:whole,model=affine,refine=yes:no")
    assert len(protocols) == 4
    assert [Protocol.parse(str(p)) for p in protocols] == list(protocols)
    assert str(protocols[0]) == "model=affine,tile=64,refine=yes"
    tiling = TrialSettings(pairs="a", out="b").tiling
    options = protocols[0].options(tiling)
    assert (options["tiling"].side, options["tiling"].overlap) == (64, 32)
    assert options["refine"] is True
    for text, words in (
        ("modl=affine", "Did you mean 'model'"),
        ("model=afine", "Did you mean 'affine'"),
        ("gate=0", "0.01 to 64"),
        ("tile=big", "32 to 8192"),
        ("gate=1,gate=2", "no sweep"),
    ):
        with pytest.raises(SettingError, match=words):
            TrialSettings(pairs="a", out="b", sweep=text)


def test_a_warp_puts_the_ground_where_the_truth_says(pairs: Path) -> None:
    found = open_trial_pairs(TrialSettings(pairs=pairs, out="x"))
    settings = TrialSettings(pairs=pairs, out="x")
    maker = CaseMaker(found, CaseSettings(128, 3, settings.reading()))
    tasks = make_tasks(found, lambda _: 1, 3, ["near", "wide"], 3, wrong=False)
    for task in tasks[:6]:
        case = maker.make(task)
        sar = case.sar.read().grey_image("sar")
        optical = case.optical.read().grey_image("optical")
        inside = ((case.there >= 2) & (case.there < 126)).all(axis=1)
        here, there = (np.floor(p[inside]).astype(int) for p in (case.here, case.there))
        one, other = sar.values[tuple(here.T)], optical.values[tuple(there.T)]
        assert np.corrcoef(one, other)[0, 1] > 0.7, task.name
        assert case.error(case.warp) < 1e-6
        assert case.start_error > 0.5


def test_known_shifts_of_scenes_are_part_of_the_truth(pairs: Path, tmp_path: Path) -> None:
    table = tmp_path / "alignment.csv"
    table.write_text("scene,row,col\n" + "".join(f"{name},2.0,-3.0\n" for name in NAMES[:4]))
    settings = TrialSettings(
        pairs=pairs, out=tmp_path / "run", matchers="phase-correlation", reaches="as-is",
        alignment=table, wrong=False, bootstrap=100, processes=1,
    )  # fmt: skip
    answers = read_run_answers(run_trial(settings, quiet()))
    assert sorted(a.pair for a in answers) == NAMES[:4]
    assert all(abs(a.start_error_px - 13**0.5) < 1e-3 for a in answers)
    assert all(abs(a.error_px - 13**0.5) < 0.5 for a in answers)  # it finds what the pixels show


def test_tie_points_are_the_truth_where_they_are(pairs: Path, tmp_path: Path) -> None:
    ties = tmp_path / "ties"
    ties.mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES[:3]:
        points = rng.uniform(20, SIDE - 20, (12, 2))
        lines = [f"{r},{c},{r + 4},{c}" for r, c in points]
        (ties / f"{name}.csv").write_text(
            "sar_row,sar_col,optical_row,optical_col\n" + "\n".join(lines)
        )
    settings = TrialSettings(
        pairs=pairs, out=tmp_path / "run", matchers="phase-correlation", reaches="as-is,near",
        tie_points=ties, wrong=False, bootstrap=100, processes=1,
    )  # fmt: skip
    answers = read_run_answers(run_trial(settings, quiet()))
    assert len(answers) == 6
    assert all(abs(a.error_px - 4.0) < 0.6 for a in answers)
    with pytest.raises(InputError, match="no pair"):
        run_trial(
            settings.model_copy(update={"tie_points": tmp_path, "out": tmp_path / "r"}), quiet()
        )


@pytest.mark.slow
def test_tables_of_several_runs(run: Path, pairs: Path, tmp_path: Path) -> None:
    settings = TrialSettings(
        pairs=pairs, out=tmp_path / "more", matchers="sift", bootstrap=100, processes=1, wrong=False
    )
    more = run_trial(settings, quiet())
    shown = CliRunner().invoke(
        app, ["leaderboard", str(run), str(more), "--out", str(tmp_path / "board")]
    )
    assert shown.exit_code == 0, shown.output
    with (tmp_path / "board" / "leaderboard.csv").open(newline="") as file:
        lines = [one for one in csv.DictReader(file) if one["reach"] == "near"]
    assert {one["matcher"] for one in lines} == {"phase-correlation", "efolki", "sift"}
    areas = [float(one["area"]) for one in lines]
    assert areas == sorted(areas, reverse=True)
    shown = CliRunner().invoke(app, ["compare", str(run), str(more)])
    assert shown.exit_code == 0, shown.output
    assert "efolki minus more: sift, near: area" in shown.output
    shown = CliRunner().invoke(app, ["export", str(run), "--to", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    table = read_table(tmp_path / "out" / "efolki.parquet")
    assert {"error_px", "matrix", "evidence_inliers"} <= set(table.column_names)
    before = (run / "rows.csv").read_bytes()
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0
    assert (run / "rows.csv").read_bytes() == before
    other = run_trial(settings.model_copy(update={"seed": 1, "out": tmp_path / "other"}), quiet())
    with pytest.raises(InputError, match="other cases"):
        leaderboard([run, other])


def test_a_set_in_the_layout_of_spacenet_9_runs_through_its_preset(tmp_path: Path) -> None:
    """Against a plain computation: OpenCV's affine map of the points that the tiles give."""
    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    truth = np.array([[1.01, 0.01, 5.0], [-0.01, 0.99, -4.0], [0.0, 0.0, 1.0]])
    for case, number in (("02", "01"), ("02", "02"), ("03", "01")):
        seed = int(case) + int(number)
        _, optical = textured_pair(Transform(truth, "affine"), seed=seed, side=640)
        seen = cv2.warpPerspective(
            optical.stored[0].astype(np.float32), opencv_matrix(Transform(truth, "affine").inverse),
            (640, 640), borderMode=cv2.BORDER_REFLECT_101,
        )  # fmt: skip
        for kind, pixels in (("sar", seen), ("optical", optical.stored[0])):
            save(folder / f"{case}_{kind}_train_{number}.tif", pixels.astype(np.uint8)[None])
        here = rng.uniform(60, 580, (20, 2))
        there = here @ truth[:2, :2].T + truth[:2, 2]
        lines = ["sar_row,sar_col,optical_row,optical_col"]
        lines += [",".join(f"{v:.4f}" for v in (*a, *b)) for a, b in zip(here, there, strict=True)]
        (folder / f"{case}_tiepoints_train_{number}.csv").write_text("\n".join(lines))
    settings = TrialSettings(
        pairs=tmp_path / "set", out=tmp_path / "run", matchers="phase-correlation",
        preset="spacenet9", bootstrap=100, processes=1,
    )  # fmt: skip
    assert (str(settings.tiling), settings.model) == ("side=512,overlap=256,maximum=1024", "affine")
    answers = read_run_answers(run_trial(settings, quiet()))
    assert [a.task for a in answers] == [
        f"{name}/0/as-is/0" for name in ("02_train_01", "02_train_02", "03_train_01")
    ]
    assert all(a.error_px < 0.6 < a.start_error_px for a in answers)
    assert [a.cluster for a in answers] == [a.pair for a in answers]  # two groups are too few
    one = answers[0]
    matrix = np.array(list(map(float, one.matrix.split()))).reshape(3, 3)
    points = np.loadtxt(folder / "02_tiepoints_train_01.csv", delimiter=",", skiprows=1)
    there = points[:, :2] @ matrix[:2, :2].T + matrix[:2, 2]
    plain = np.hypot(*(there - points[:, 2:]).T).mean()
    assert one.error_px == pytest.approx(plain, abs=1e-3)
    assert one.start_error_px == pytest.approx(
        np.hypot(*(points[:, :2] - points[:, 2:]).T).mean(), abs=1e-3
    )


def test_a_package_of_ten_lines_is_tried_like_any_other(
    site: Path, pairs: Path, tmp_path: Path
) -> None:
    install(site, "tenlines", {"edges": "tenlines:Edges"}, TEN_LINES)
    call = ["trial", str(pairs), "--matchers", "edges,phase-correlation", "--no-wrong",
            "--bootstrap", "100", "--processes", "1", "--limit", "4"]  # fmt: skip
    shown = CliRunner().invoke(app, [*call, "--out", str(tmp_path / "run")])
    assert shown.exit_code == 0, shown.output
    assert "edges" in shown.output
    assert "edges" in (tmp_path / "run" / "report.html").read_text()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["matchers"]["edges"]["revision"] == "tenlines 1.5"
    (tmp_path / "run" / "report.html").unlink()
    shown = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    assert shown.exit_code == 0, shown.output
    assert "edges" in (tmp_path / "run" / "report.html").read_text()
    shown = CliRunner().invoke(app, ["leaderboard", str(tmp_path / "run")])
    assert shown.exit_code == 0, shown.output
    assert "edges" in shown.output


def test_what_is_impossible_is_said_before_any_work(pairs: Path, tmp_path: Path) -> None:
    for more, words in (
        ({"matchers": "sift,sift"}, "once"),
        ({"against": "efolki", "matchers": "sift"}, "not among"),
        ({"windows": 3}, "--window"),
        ({"draws": 2, "reaches": "as-is"}, "--draws"),
        ({"matchers": "sifft"}, "Did you mean 'sift'"),
    ):
        with pytest.raises(SettingError, match=words):
            run_trial(TrialSettings(pairs=pairs, out=tmp_path, **more), quiet())
    preset = TrialSettings(pairs=pairs, out=tmp_path, preset="spacenet9", gate=2.0)
    assert (preset.tiling.side, preset.gate, preset.model) == (512, 2.0, "affine")


def test_the_estimate_answers_nothing(pairs: Path, tmp_path: Path) -> None:
    console = quiet()
    settings = TrialSettings(pairs=pairs, out=tmp_path / "run", estimate=True, **QUICK)
    run_trial(replace_processes(settings), console)
    said = str(console.file.getvalue())  # type: ignore[attr-defined]
    assert "s a case" in said
    assert "min for" in said
    assert not (tmp_path / "run" / "run.json").exists()


def replace_processes(settings: TrialSettings) -> TrialSettings:
    return settings.model_copy(update={"processes": 2})
