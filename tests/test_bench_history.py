"""Benchmarks keep their figures, and ``bench-compare`` says what became slower."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
ONE = """
from history import record
from speed import SECONDS
record("one", {"work_s": SECONDS, "recall": 0.5 / SECONDS, "size_mib": 10.0})
"""
QUICK = """
from pathlib import Path
HERE = Path(__file__).resolve().parent
def quick():
    return [("one.py",)]
"""


@pytest.fixture
def modules() -> Iterator[tuple[ModuleType, ModuleType]]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import compare
        import history

        yield history, compare
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in ("history", "compare", "quick"):
            sys.modules.pop(name, None)


def git(tree: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    call = ["git", "-C", str(tree), *who, *words]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one benchmark, whose seconds stand in the code that it measures."""
    folder = tmp_path / "tree"
    (folder / "benchmarks").mkdir(parents=True)
    (folder / "src").mkdir()
    for name in ("history.py", "compare.py"):
        shutil.copy(BENCHMARKS / name, folder / "benchmarks" / name)
    (folder / "benchmarks" / "one.py").write_text(ONE)
    (folder / "benchmarks" / "quick.py").write_text(QUICK)
    (folder / "src" / "speed.py").write_text("SECONDS = 1.0\n")
    (folder / ".gitignore").write_text("__pycache__/\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def compare_in(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, str(tree / "benchmarks" / "compare.py"), "--rounds", "2", *options]
    environment = {n: v for n, v in os.environ.items() if n != "CROSSLOOK_BENCH_HISTORY"}
    return subprocess.run(call, capture_output=True, text=True, env=environment, check=False)


def test_a_line_says_what_where_and_when(
    modules: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, _ = modules
    monkeypatch.setenv("CROSSLOOK_BENCH_HISTORY", str(tmp_path / "kept"))
    history.record("search 10 x 2", {"ranked_s": 0.123456789, "unseen": float("nan")})
    history.record("search 20 x 2", {"ranked_s": 2})
    (path,) = (tmp_path / "kept").iterdir()
    assert path.name == "search.jsonl"
    first, second = history.read_history(tmp_path / "kept")
    assert first["name"] == "search 10 x 2"
    assert first["figures"] == {"ranked_s": 0.123457}
    assert second["figures"] == {"ranked_s": 2.0}
    assert set(first) == {"date", "machine", "commit", "name", "figures"}
    assert "cores" in first["machine"]
    assert first["date"] <= second["date"]


def test_what_is_slower_than_the_base_is_said_as_a_ratio(tree: Path) -> None:
    (tree / "src" / "speed.py").write_text("SECONDS = 2.0\n")
    done = compare_in(tree)
    assert done.returncode == 1, done.stderr
    (slower,) = [line for line in done.stdout.splitlines() if "SLOWER" in line]
    assert slower.split()[:5] == ["one", "work_s", "1", "2", "2.00"]
    assert "1 of 2 figures" in done.stdout  # a recall is no time
    assert not (tree / "benchmarks" / "history").exists()  # a comparison leaves no line
    assert git(tree, "worktree", "list").count("\n") == 0

    (tree / "src" / "speed.py").write_text("SECONDS = 0.25\n")
    assert compare_in(tree).returncode == 0


def test_the_base_is_the_last_commit_of_the_history(
    tree: Path, modules: tuple[ModuleType, ModuleType]
) -> None:
    history, compare = modules
    kept = tree / "benchmarks" / "history"
    assert compare.last_commit(kept, tree) == "HEAD"
    first = history.commit_of(tree)
    kept.mkdir()
    lines = [
        {"date": "2026-01-02", "commit": f"{first}+", "name": "one", "figures": {}},
        {"date": "2026-01-03", "commit": "feedfeedfeed", "name": "one", "figures": {}},
        {"date": "2026-01-01", "commit": "", "name": "one", "figures": {}},
    ]
    (kept / "one.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert compare.last_commit(kept, tree) == first  # one that git does not know is passed over
    assert history.commit_of(tree) == first  # lines of the history are no change of the tree
    (tree / "src" / "speed.py").write_text("SECONDS = 3.0\n")
    assert history.commit_of(tree) == f"{first}+"


def test_rounds_that_differ_hide_what_is_no_larger(
    modules: tuple[ModuleType, ModuleType],
) -> None:
    _, compare = modules
    work, size = ("one", "work_s"), ("one", "size_mib")
    base = {work: [1.0, 1.5], size: [10.0, 10.0], ("one", "gone_s"): [1.0]}
    changes = compare.changes(base, {work: [1.4, 1.6], size: [11.5, 12.0]})
    assert [(change.figure, round(change.ratio, 2)) for change in changes] == [
        (work, 1.4), (size, 1.15)
    ]  # fmt: skip
    assert [change.is_slower(1.1) for change in changes] == [False, True]
    assert compare.report([], 1.1) == 2
