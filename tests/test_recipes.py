"""The recipes of CONTRIBUTING.md, followed to the letter on a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

import crosslook
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import CrosslookError
from crosslook.geo.image import open_image
from tests.helpers.rasters import write

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "crosslook"
STEP = re.compile(
    r"^<!-- recipe (\w+): (new|after|before|replace) ([\w/.]+)(?:: ([^\n]+))? -->\n"
    r"```python\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def follow(recipe: str, package: Path) -> None:
    """Do the steps of a recipe to a package; the line that a step names must be there once."""
    steps = [step for step in STEP.findall(TEXT) if step[0] == recipe]
    assert steps
    for _, how, name, line, code in steps:
        path = package / name
        if how == "new":
            assert not path.exists()
            path.write_text(code, encoding="utf-8")
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (at,) = (number for number, one in enumerate(lines) if one.strip() == line.strip())
        start, end = {"after": (at + 1, at + 1), "before": (at, at), "replace": (at, at + 1)}[how]
        lines[start:end] = [code]
        path.write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, 6, size=256, seed=1)
    return folder


def run(package: Path, *call: object) -> str:
    """Run the command line of a package; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "crosslook", *map(str, call)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(package.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def grown(recipe: str, folder: Path) -> Path:
    package = folder / "crosslook"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    follow(recipe, package)
    return package


def rows_of(run_folder: Path) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, object]] = pq.read_table(run_folder / "results.parquet").to_pylist()
    return rows


QUICK = ("--patch", 64, "--no-structure", "--draws", 100)


def test_every_recipe_has_a_test() -> None:
    named = {step[0] for step in STEP.findall(TEXT)}
    assert named == {
        "extractor", "data", "measure", "scoring", "matcher", "stage", "folder", "format",
    }  # fmt: skip
    assert TEXT.count("<!-- recipe ") == len(STEP.findall(TEXT))


def test_add_a_data_set(tmp_path: Path) -> None:
    package = grown("data", tmp_path)
    for name in ("SO1a", "SO1b", "SO2a", "SO2b"):
        pixels = np.random.default_rng(len(name)).integers(0, 255, (1, 40, 40)).astype(np.uint8)
        write(tmp_path / "set" / f"{name}.png", pixels, None, driver="PNG")
    code = (
        f"import crosslook; print([p.id for p in crosslook.open_pairs({str(tmp_path / 'set')!r})])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(package.parent)},
    )  # fmt: skip
    assert done.stdout.strip() == "['SO1', 'SO2']"


@pytest.mark.slow
def test_add_an_extractor(tmp_path: Path, pairs: Path) -> None:
    package = grown("extractor", tmp_path)
    assert "local-contrast" in run(package, "extractors")
    call = ("--extractors", "local-contrast:cell=8", "--out", tmp_path / "run", *QUICK)
    run(package, "study", pairs, *call)
    assert {row["extractor"] for row in rows_of(tmp_path / "run")} == {"local-contrast:cell=8"}


@pytest.mark.slow
def test_add_a_measure(tmp_path: Path, pairs: Path) -> None:
    package = grown("measure", tmp_path)
    run(package, "study", pairs, "--extractors", "hog:cell=8", "--out", tmp_path / "run", *QUICK)
    added = [r for r in rows_of(tmp_path / "run") if r["metric"] == "dimension-agreement"]
    assert added
    assert all(0.0 < float(str(row["value"])) < 1.0 for row in added)
    report = (tmp_path / "run" / "report.html").read_text()
    assert '<h2 id="agreement">Agreement of dimensions</h2>' in report
    assert "Pearson 1895" in report
    assert report.count("<td>dimension-agreement</td>") == len(added)
    assert "dimension-agreement" in (tmp_path / "run" / "rows.csv").read_text()


@pytest.mark.slow
def test_add_a_scoring(tmp_path: Path, pairs: Path) -> None:
    package = grown("scoring", tmp_path)
    call = ("--scorings", "cosine,mean-corrected", "--extractors", "hog:cell=8")
    run(package, "study", pairs, *call, "--out", tmp_path / "run", *QUICK)
    assert "mean-corrected" in {row["scoring"] for row in rows_of(tmp_path / "run")}


def test_add_a_matcher(tmp_path: Path) -> None:
    package = grown("matcher", tmp_path)
    write_pairs(tmp_path / "pair", 1, size=384, shift=(5.0, -4.0), seed=3)
    images = [tmp_path / "pair" / side / "sim-0000.tif" for side in ("optical", "optical")]
    call = ("register", *images, "--matcher", "keypoints", "--near-only", "--out", tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-m", "crosslook", *map(str, call)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(package.parent)},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr + done.stdout  # no verdict was fitted to it
    match = json.loads((tmp_path / "out" / "match.json").read_text())
    assert match["verdict"] == "uncertain"
    assert match["tie_points"]["inliers"] > 20
    assert abs(match["movement"]["row_px"]) + abs(match["movement"]["col_px"]) < 0.2


@pytest.mark.slow
def test_add_a_matching_stage(tmp_path: Path) -> None:
    package = grown("stage", tmp_path)
    write_pairs(tmp_path / "pair", 1, size=384, shift=(5.0, -4.0), seed=3)
    images = [tmp_path / "pair" / side / "sim-0000.tif" for side in ("sar", "optical")]
    run(package, "register", *images, "--out", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["folder", "format"])
def test_add_a_reader(tmp_path: Path, recipe: str) -> None:
    """Of a folder of two files, and of a format that GDAL does not know."""
    pair = crosslook.make_pair(384, 3, shift=(5.0, -4.0))
    amplitude = np.clip(np.sqrt(pair.sar[None]) * 3000, 1, 65535).astype(np.uint16)
    write(tmp_path / "optical.tif", pair.optical)
    scene = tmp_path / "scene"
    if recipe == "folder":
        for name in ("amplitude", "beams"):
            write(scene / f"{name}.tif", amplitude)
        optical = tmp_path / "optical.tif"
    else:
        scene = tmp_path / "scene.npy"
        np.save(scene, amplitude)
        optical = tmp_path / "optical.png"
        write(optical, pair.optical, None, driver="PNG")
    with pytest.raises(CrosslookError):
        open_image(scene, "sar")
    run(grown(recipe, tmp_path), "register", scene, optical, "--out", tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "aligned.tif") as aligned:
        assert aligned.read(1).any()
