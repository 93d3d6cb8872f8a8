"""Every command that writes: files of other origin stay, its own are replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import rasterio
from click.testing import CliRunner, Result

from crosslook.cli import app
from crosslook.cli.outcome import TABLE
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import OutputError
from crosslook.match.audit import WRITTEN as AUDIT
from crosslook.match.files import WRITTEN as MATCH
from crosslook.report.html import WRITTEN as REPORT
from crosslook.retrieval.record import WRITTEN as RUN
from tests.cli.test_options import commands

FOREIGN = "mine"
STUDY = "--extractors raw --patch 64 --draws 100 --no-structure"


def run(line: str, folder: Path) -> Result:
    words = [word.replace("@", f"{folder}/") for word in line.split()]
    return CliRunner().invoke(app, words)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs, and a folder of every kind that a command makes of them."""
    folder = tmp_path_factory.mktemp("made")
    write_pairs(folder / "pairs", 4, size=192)
    lines = (
        f"study @pairs {STUDY} --out @run",
        "register @pairs/sar/sim-0000.tif @pairs/optical/sim-0000.tif --out @match --force",
        "atlas build @pairs/optical/sim-0000.tif --out @atlas",
    )
    for line in lines:
        assert run(line, folder).exit_code in (0, 3), line
    return folder


# What is typed, where it writes, and the files of which any may be in the way.
ONE = "@pairs/sar/sim-0000.tif"
LINES: dict[str, tuple[str, str, list[str]]] = {
    "study": (f"study @pairs {STUDY} --out @out", "out", [*RUN, *REPORT]),
    "register": (f"register {ONE} @pairs/optical/sim-0000.tif --out @out", "out", [*MATCH]),
    "register, a batch": (
        "register @pairs --out @out",
        "out",
        [TABLE, "sim-0001/match.json", "sim-0000/aligned.tif"],
    ),
    "locate": (f"locate {ONE} --atlas @atlas --out @out", "out", [*MATCH]),
    "locate, a batch": (
        f"locate {ONE} @pairs/sar/sim-0001.tif --atlas @atlas --out @out",
        "out",
        [TABLE, "sim-0000/tie_points.points"],
    ),
    "atlas build": (
        "atlas build @pairs/optical/sim-0000.tif --out @out",
        "out",
        ["atlas.json", "build.json"],
    ),
    "apply": (f"apply @match {ONE} --out @out", "out", ["sim-0000.tif"]),
    "apply, virtual": (f"apply @match {ONE} --as vrt --out @out", "out", ["sim-0000.vrt"]),
    "audit": ("audit @pairs --radius 8 --out @out", "out", [*AUDIT]),
    "simulate": ("simulate --count 1 --size 64 --out @out", "out", ["truth.json", "truth.csv"]),
    "demo": ("demo --out @out", "out/run", ["run.json", "report.html"]),
    "compare": ("compare @run @run --out @out/c.csv", "out", ["c.csv"]),
    "leaderboard": (
        "leaderboard @run --out @out",
        "out",
        ["leaderboard.csv", "leaderboard.tex", "leaderboard.html"],
    ),
    "trial": (
        "trial @pairs --matchers phase-correlation --out @out",
        "out",
        ["run.json", "results.parquet", "answers.parquet", "report.html", "rows.csv"],
    ),
    "export": ("export @run --to @out", "out", ["raw-sar.parquet", "raw-optical.parquet"]),
    "report": ("report @run", "run", [*REPORT, "figures/recall.png"]),
}
# These write below names of their own, or where nothing else lies.
NOT_HERE = {"extractors", "weights status", "weights fetch", "weights where", "explore", "plan"}
NOT_HERE |= {"weights check", "matchers"}
NOT_HERE |= {"verdict fit"}  # tests/trial/test_verdict_fit.py, beside a trial that is long enough


def test_no_writing_command_is_missing() -> None:
    known = {name.partition(",")[0] for name in LINES} | NOT_HERE | {"atlas info"}
    assert {name for name, _ in commands()} == known


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    for name in ("pairs", "run", "match", "atlas"):
        if name == "run":
            shutil.copytree(made / name, tmp_path / name)
        else:
            (tmp_path / name).symlink_to(made / name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name, (_, _, files) in LINES.items() for file in files]
)
def test_a_file_of_other_origin_is_in_the_way(name: str, file: str, place: Path) -> None:
    line, out, _ = LINES[name]
    path = place / out / file
    if name == "report" and file.startswith("figures"):
        path = next(path.parent.glob("*.png"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FOREIGN)
    before = {p for p in (place / out).rglob("*") if p.is_file()}
    done = run(line, place)
    assert path.read_text() == FOREIGN
    assert done.exit_code == 1
    said = str(done.exception) if name.partition(",")[0] != "apply" else done.stderr
    assert "--overwrite" in said
    assert str(path) in said or file == "build.json"
    if name != "demo":
        assert {p for p in (place / out).rglob("*") if p.is_file()} == before, "nothing is written"


_QUICK = ("apply", "apply, virtual", "simulate", "compare", "leaderboard", "export", "atlas build")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow)
        for name in LINES
        if name != "demo"
    ],
)
def test_it_is_replaced_on_request_and_what_was_written_without(name: str, place: Path) -> None:
    line, out, files = LINES[name]
    path = place / out / files[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FOREIGN)
    assert run(f"{line} --overwrite", place).exit_code in (0, 3)
    assert not path.is_file() or path.read_bytes() != FOREIGN.encode()
    moved = place / "moved"  # what a folder holds tells it, wherever it lies
    if out == "out":
        shutil.copytree(place / "out", moved, copy_function=shutil.copyfile)
        line = line.replace("@out", "@moved")
    for _ in range(2):
        again = run(line, place)
        assert again.exit_code in (0, 3), again.exception or again.output


def test_a_match_that_was_stopped_between_two_files_goes_on(place: Path) -> None:
    line, _, _ = LINES["register"]
    assert run(f"{line} --force", place).exit_code in (0, 3)
    whole = {path.name for path in (place / "out").iterdir()}
    # Written in this order, the table of tie points first and match.json last.
    for left in ("match.json", "aligned.tif"):
        (place / "out" / left).unlink()
        assert run(f"{line} --force", place).exit_code in (0, 3)
        assert {path.name for path in (place / "out").iterdir()} == whole


def test_a_folder_of_that_name_and_a_raster_of_another_program_are_in_the_way(
    place: Path,
) -> None:
    line, _, _ = LINES["register"]
    (place / "out" / "aligned.tif").mkdir(parents=True)
    assert isinstance(run(f"{line} --overwrite", place).exception, OutputError)
    (place / "out" / "aligned.tif").rmdir()
    with rasterio.open(place / "pairs/sar/sim-0000.tif") as source:
        rasterio.shutil.copy(source, place / "out" / "aligned.tif")
    before = (place / "out" / "aligned.tif").read_bytes()
    assert isinstance(run(line, place).exception, OutputError)
    assert (place / "out" / "aligned.tif").read_bytes() == before
