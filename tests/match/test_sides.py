"""Images that are not what they were given as: said by the call, in match.json and in a batch."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.write import write_pairs
from crosslook.geo.image import Reading, open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.register import register
from crosslook.match.sides import Kind, check_query, check_sides

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
READING = Reading()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, 2, size=384, relief=0.0, gsd=10.0, shift=(4.0, -3.0))
    return folder


def images(pairs: Path, name: str = "sim-0000") -> tuple[Path, Path]:
    return pairs / "sar" / f"{name}.tif", pairs / "optical" / f"{name}.tif"


def kinds(sar: Path | RasterArray, optical: Path | RasterArray) -> list[Kind]:
    both = open_image(sar, "sar", READING), open_image(optical, "optical", READING)
    return [one.kind for one in check_sides(*both)]


def test_swapped_files_are_noticed(pairs: Path, caplog: pytest.LogCaptureFixture) -> None:
    sar, optical = images(pairs)
    assert kinds(sar, optical) == []
    assert kinds(optical, sar) == ["swapped"]
    with caplog.at_level(logging.WARNING, "crosslook"):
        result = register(optical, sar)
    assert "seem to be swapped" in caplog.text  # before the work
    assert result.warnings[0].kind == "swapped"
    assert result.notes[0].startswith("the two images seem to be swapped: the SAR image")
    assert result.to_dict()["warnings"][0]["kind"] == "swapped"


@pytest.mark.parametrize("nothing", [0.0, np.nan])
def test_images_are_not_identical_by_what_they_do_not_hold(nothing: float) -> None:
    rng, sides = np.random.default_rng(0), []
    for _ in range(2):
        pixels = np.full((1, 1024, 1024), nothing, np.float32)
        pixels[:, 340:440, 50:970] = rng.uniform(1, 255, (1, 100, 920))  # between the samples
        sides.append(RasterArray.of(pixels))
    assert kinds(*sides) == []
    assert kinds(sides[0], sides[0]) == []  # nothing was seen of it


def test_a_grey_image_that_is_stored_three_times_is_no_colour(pairs: Path) -> None:
    made = make_pair(384, 4, relief=0.0)
    sar = RasterArray.of(np.repeat(made.sar[None] if made.sar.ndim == 2 else made.sar, 3, 0))
    optical = RasterArray.of(made.optical)
    assert kinds(sar, optical) == []
    assert kinds(optical, sar) == ["swapped"]


def test_one_band_of_an_optical_image_is_no_sar_image() -> None:
    made = make_pair(384, 4, relief=0.0)
    assert kinds(RasterArray.of(made.sar), RasterArray.of(made.optical[:1])) == []


def test_one_image_on_both_sides_is_noticed(pairs: Path, tmp_path: Path) -> None:
    sar, optical = images(pairs)
    copy = Path(shutil.copy(sar, tmp_path / "copy.tif"))
    assert kinds(sar, sar) == kinds(sar, copy) == kinds(optical, optical) == ["identical"]


def test_two_of_a_kind_are_noticed(pairs: Path) -> None:
    one, other = images(pairs), images(pairs, "sim-0001")
    assert kinds(one[1], other[1]) == ["optical as SAR"]
    assert [w.kind for w in check_query(open_image(one[1], "sar", READING))] == ["optical as SAR"]
    assert check_query(open_image(one[0], "sar", READING)) == ()


def test_the_command_line_says_so_before_and_after(pairs: Path, tmp_path: Path) -> None:
    sar, optical = images(pairs)
    done = CliRunner().invoke(app, ["register", str(optical), str(sar), "--out", str(tmp_path)])
    assert "note: the two images seem to be swapped" in done.output
    written = json.loads((tmp_path / "match.json").read_text())
    assert [one["kind"] for one in written["warnings"]] == ["swapped"]


def test_a_batch_says_so_in_its_table(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    for side, other in (("sar", "optical"), ("optical", "sar")):
        (folder / side).mkdir(parents=True)
        shutil.copy(pairs / other / "sim-0000.tif", folder / side / "sim-0000.tif")
        shutil.copy(pairs / side / "sim-0001.tif", folder / side / "sim-0001.tif")
    done = CliRunner().invoke(app, ["register", str(folder), "--out", str(tmp_path / "out")])
    assert "seem to be swapped" in done.output
    rows = list(csv.DictReader((tmp_path / "out" / "matches.csv").read_text().splitlines()))
    assert [row["warning"] for row in rows] == ["swapped", ""]


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize("name", ["sentinel", "sensors"])
def test_real_pairs_are_told_apart(name: str) -> None:
    """No false alarm, and nine tenths of swapped pairs are noticed."""
    folder, swapped = DATA / name, []
    for sar in sorted((folder / "sar").iterdir())[::6]:
        optical = next((folder / "optical").glob(f"{sar.stem}.*"))
        assert kinds(sar, optical) == [], sar.name
        swapped.append(kinds(optical, sar) == ["swapped"])
    assert np.mean(swapped) >= 0.85
