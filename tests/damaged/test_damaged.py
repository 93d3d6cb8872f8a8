"""Damaged files of every kind: an error in words and exit code 1 or 2, never more, never a hang."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.damaged.bases import BASES
from tests.damaged.make import Case, make_cases
from tests.damaged.run import LIMIT_SECONDS

ALL, FEW = 500, 40
RIGHT = {0, 1, 2, 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def problems(folder: Path, cases: list[Case]) -> list[str]:
    """What is wrong with the answers to some cases."""
    asked, answered = folder / "cases.json", folder / "answers.json"
    asked.write_text(json.dumps([asdict(case) for case in cases]))
    subprocess.run([sys.executable, "-m", "tests.damaged.run", asked, answered], check=True)
    answers = json.loads(answered.read_text())
    wrong = [_wrong(case, answer) for case, answer in zip(cases, answers, strict=True)]
    return [text for text in wrong if text]


def _wrong(case: Case, answer: dict[str, object]) -> str:
    code, said = answer["code"], str(answer["said"])
    what = f"{case.name}: {' '.join(case.command)}: {said.strip()[-400:]}"
    if code is None:
        return f"over {LIMIT_SECONDS:g} s: {what}"
    if code not in RIGHT:
        return f"exit code {code}: {what}"
    if "Traceback" in said or "report it" in said:
        return f"traceback: {what}"
    if case.tells and code in (0, 3):
        return f"an answer from a damaged file: {what}"
    return ""


def test_one_of_every_kind(folder: Path) -> None:
    assert len(BASES) <= FEW
    assert problems(folder, make_cases(folder, FEW)) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_hundred(folder: Path) -> None:
    assert problems(folder, make_cases(folder, ALL - FEW, first=FEW)) == []


def test_the_same_seed_gives_the_same_bytes(folder: Path) -> None:
    count = len(BASES)
    one = make_cases(folder, count, first=10_000)
    before = {p: p.read_bytes() for p in folder.glob("case1*/**/*") if p.is_file()}
    for path in folder.glob("case1*"):
        path.rename(folder / f"old{path.name}")
    assert make_cases(folder, count, first=10_000) == one
    after = {p: p.read_bytes() for p in folder.glob("case1*/**/*") if p.is_file()}
    assert before == after
