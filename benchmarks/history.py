"""Figures of benchmarks, kept: a line of JSON each in ``benchmarks/history/NAME.jsonl``.

A line has date, machine, commit (with ``+`` where the tree had changes), name and figures.
Figures whose names end in ``_s``, ``_ms``, ``_mib`` or ``_times`` are the better the smaller they
are, and those alone are compared. ``CROSSLOOK_BENCH_HISTORY`` names another folder.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "CROSSLOOK_BENCH_HISTORY"
SMALLER_IS_BETTER = ("_s", "_ms", "_mib", "_times")


def record(name: str, figures: Mapping[str, float]) -> None:
    """Append a line of figures.

    Parameters
    ----------
    name : str
        What was measured, with what changes it: ``search 8192``. The first word is
        the name of the file.
    figures : dict of str to float
        One that is not finite was not measured, and is left out.
    """
    line = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": commit_of(ROOT),
        "name": name,
        "figures": {
            key: float(f"{value:.6g}") for key, value in figures.items() if math.isfinite(value)
        },
    }
    folder = history_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name.split()[0]}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def history_folder() -> Path:
    """Where lines are kept."""
    return Path(os.environ.get(FOLDER) or ROOT / "benchmarks" / "history")


def read_history(folder: Path) -> list[dict[str, Any]]:
    """All lines of a folder, the oldest first."""
    lines = [
        json.loads(line)
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    return sorted(lines, key=lambda line: line["date"])


def machine() -> str:
    """Processor and count of cores: what times depend on, and nothing of whose machine it is."""
    model = platform.processor() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = next(
            line.partition(":")[2].strip()
            for line in text.splitlines()
            if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass  # no Linux, or a processor that says no more of itself
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def commit_of(tree: Path) -> str:
    """The commit of a tree, with ``+`` where something was changed since; empty without git."""
    try:
        commit = _git(tree, "rev-parse", "--short=12", "HEAD")
        # Lines that benchmarks append here change nothing that is measured.
        changed = _git(tree, "status", "--porcelain", "--", ".", ":!benchmarks/history")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+" if changed else "")


def _git(tree: Path, *words: str) -> str:
    call = ["git", "-C", str(tree), *words]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()
