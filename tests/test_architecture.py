"""The one-way flow, file sizes, and what may be imported at start."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "crosslook"
ORDER = ["data", "extract", "compare", "measure", "match", "atlas", "report"]
COMPOSE = ["pipeline", "cli"]
LEAVES = {"types", "errors", "atomic", "progress", "scratch", "storage", "ray_work"}
FILES = sorted(SOURCE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level parts of crosslook that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("crosslook"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("crosslook.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_folder_imports_only_from_folders_above(path: Path) -> None:
    part = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if part in LEAVES:
        allowed = LEAVES
    elif part in ORDER:
        allowed = LEAVES | set(ORDER[: ORDER.index(part) + 1]) | {"__version__"}
    elif part in ("__init__", "__main__"):
        return
    else:
        assert part in COMPOSE, f"{part} is in no known layer"
        allowed = LEAVES | set(ORDER) | set(COMPOSE) | {"__version__"}
    assert imported(path) <= allowed


def test_files_stay_small() -> None:
    long = {
        str(p.relative_to(SOURCE)): n for p in FILES if (n := len(p.read_text().splitlines())) > 280
    }
    assert not long


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, crosslook.cli; "
        "heavy = {'numpy', 'torch', 'rasterio', 'pyarrow', 'sklearn', 'cv2', 'scipy', 'pydantic'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_import_of_the_package_is_light() -> None:
    code = "import sys, crosslook; print('numpy' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("call", "budget"),
    [
        (["-c", "import crosslook"], 0.25),
        (["-m", "crosslook", "--help"], 0.5),
        (["-m", "crosslook", "locate", "--help"], 0.5),
    ],
)
def test_start_up_stays_within_its_budget(call: list[str], budget: float) -> None:
    """Seconds of the processor, the best of three: a busy machine does not lengthen them much."""
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, *call], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        spent.append(
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )
    assert min(spent) < budget
