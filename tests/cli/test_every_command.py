"""Every command once, one after the other, as someone types them who works with the tool."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_options import commands

# What is typed, the exit code, words of the answer, and files that are there afterwards.
LINES: list[tuple[str, int, str, list[str]]] = [
    ("simulate --out pairs --count 6 --size 320", 0, "pairs", ["pairs/sar", "pairs/optical"]),
    (
        "simulate --out off --count 1 --size 320 --shift 5 -7 --origin 0 3200",
        0,
        "off",
        ["off/sar", "off/optical"],
    ),
    ("extractors", 0, "hog", []),
    ("extractors hog", 0, "cell", []),
    ("weights status", 0, "dinov2", []),
    ("weights check efficientnet-lite0", 0, "ok", []),
    ("weights where dinov2", 0, "dinov2", []),
    ("weights fetch dinov2", 1, "HF_HUB_OFFLINE is set", []),
    (
        "study pairs --extractors raw,hog --patch 64 --draws 200 --no-structure --out one",
        0,
        "recall at 1",
        ["one/results.parquet", "one/report.html"],
    ),
    (
        "study pairs --extractors hog:cell=4 --patch 64 --draws 200 --no-structure --out two",
        0,
        "recall at 1",
        ["two/results.parquet"],
    ),
    ("compare one two --out differences.csv", 0, "hog", ["differences.csv"]),
    ("leaderboard one two --out board", 0, "leaderboard.csv", ["board/leaderboard.csv"]),
    ("export one --to table", 0, "table", ["table"]),
    ("report one", 0, "report.html", ["one/report.html"]),
    ("matchers", 0, "template", []),
    (
        "trial pairs --matchers phase-correlation,sift --window 128 --draws 1 --out tried",
        0,
        "phase-correlation",
        ["tried/results.parquet", "tried/report.html"],
    ),
    ("verdict fit tried --matcher sift --out sift.json", 1, "", []),
    ("audit pairs --out audit", 0, "relief over 6 px", ["audit/audit.csv"]),
    ("register off/sar/*.tif off/optical/*.tif --out match", 0, "match", ["match/match.json"]),
    ("apply match/match.json off/sar/*.tif --out applied", 0, "applied", ["applied"]),
    ("atlas build pairs/optical --out atlas", 0, "blocks", ["atlas/atlas.json"]),
    ("atlas info atlas", 0, "sim-0000.tif", []),
    ("locate pairs/sar/*0.tif --atlas atlas --out found", 0, "match", ["found"]),
    ("plan 1000 --costs costs.json", 0, "storage", ["costs.json"]),
    ("demo --out demo", 0, "report.html", ["demo"]),
]
ELSEWHERE = {"explore"}  # the tests of the explorer start it as a process of its own


def test_no_command_is_missing() -> None:
    typed = [shlex.split(line) for line, *_ in LINES]
    called = {" ".join(words[:number]) for words in typed for number in (1, 2)}
    assert {name for name, _ in commands()} - called == ELSEWHERE


def _words(line: str, folder: Path) -> list[str]:
    """As a shell splits them, the files that a star stands for in their order."""
    out: list[str] = []
    for word in shlex.split(line):
        found = sorted(str(path.relative_to(folder)) for path in folder.glob(word))
        out += found if "*" in word else [word]
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_does_its_work(tmp_path: Path) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    for line, code, words, files in LINES:
        done = subprocess.run(
            [sys.executable, "-m", "crosslook", *_words(line, tmp_path)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{line}\n{said}"
        assert "Traceback" not in said, line
        assert words in said, f"{line}\n{said}"
        for name in files:
            assert (tmp_path / name).exists(), f"{line}: {name}"
