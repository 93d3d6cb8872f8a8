"""The one-way flow, file sizes, and what may be imported at start."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "crosslook"
ORDER = [
    "geo",
    "data",
    "extract",
    "retrieval",
    "match",
    "atlas",
    "report",
    "trial",
    "explore",
    "cli",
]
WINGS = {"retrieval", "report"}, {"match", "atlas"}
"""The study and matching share the folders above them, and know nothing of each other."""

LEAVES = {
    "_version",
    "arrays",
    "compiled",
    "types",
    "options",
    "errors",
    "gdal_names",
    "heap",
    "json_text",
    "atomic",
    "console",
    "notebook",
    "progress",
    "scratch",
    "spec",
    "storage",
    "written",
    "memory_limit",
    "threads",
}
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST_FUNCTION, LONGEST_FILE = 60, 800
MOST_PARAMETERS = 6
"""Of a function of matching; what belongs together is one argument there."""


def imported(path: Path) -> set[str]:
    """Top-level parts of crosslook that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("crosslook"):
            parts = (node.module or "").split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("crosslook.")}
    return names


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(("crosslook", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def modules_imported(path: Path) -> set[str]:
    """Modules of crosslook that a file imports, anywhere in it, for types too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("crosslook"):
            base = node.module or ""
            below = {f"{base}.{alias.name}" for alias in node.names} & MODULES.keys()
            names |= below or {base}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names if a.name.startswith("crosslook")}
    return names


MODULES = {module_of(path): path for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_folder_imports_only_from_folders_above(path: Path) -> None:
    part = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if part in LEAVES:
        allowed = LEAVES
    elif part in ("__init__", "__main__"):
        return
    else:
        assert part in ORDER, f"{part} is in no known layer"
        allowed = LEAVES | set(ORDER[: ORDER.index(part) + 1])
        other = next((wing for wing in WINGS if part not in wing), set())
        allowed -= other if any(part in wing for wing in WINGS) else set()
    assert imported(path) <= allowed


def test_no_imports_go_in_circles() -> None:
    graph = {
        name: modules_imported(path) & MODULES.keys()
        for name, path in MODULES.items()
        if name != "crosslook"  # the public names point everywhere, each imported on first use
    }
    left = dict(graph)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"these import each other: {sorted(left)}"


def test_files_and_functions_stay_short() -> None:
    long = {}
    for path in FILES:
        text = path.read_text()
        if (lines := len(text.splitlines())) > LONGEST_FILE:
            long[str(path.relative_to(SOURCE))] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long[f"{path.relative_to(SOURCE)}:{node.name}"] = lines
    assert not long


def test_functions_of_matching_have_few_parameters() -> None:
    many = {}
    for path in (p for p in FILES if p.relative_to(SOURCE).parts[0] in ("match", "atlas")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                args = node.args
                names = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
                if len(set(names) - {"self", "cls"}) > MOST_PARAMETERS:
                    many[f"{path.relative_to(SOURCE)}:{node.lineno}"] = names
    assert not many


@pytest.mark.parametrize(
    "call",
    [
        ("-c", "import crosslook"),
        ("-m", "crosslook", "--help"),
        ("-m", "crosslook", "locate", "--help"),
    ],
    ids=lambda call: " ".join(call),
)
def test_start_and_help_import_nothing_heavy(call: tuple[str, ...]) -> None:
    """What is imported decides how long a start takes; seconds would depend on the machine."""
    heavy = {"numpy", "torch", "rasterio", "pyarrow", "sklearn", "cv2", "scipy", "pydantic"}
    assert not heavy & modules_of(*call)


def test_register_opens_its_files_before_it_imports_what_computes() -> None:
    """What is wrong with a file is said at once, and a start costs less."""
    late = {"scipy", "numba", "boto3", "torch", "pyarrow", "sklearn", "rich", "yaml", "matplotlib"}
    call = (
        "from crosslook.match.register import register\n"
        "from crosslook.errors import RasterError\n"
        "try:\n    register('none.tif', 'none.tif')\nexcept RasterError:\n    import this\n"
    )
    modules = modules_of("-c", call)
    assert "this" in modules, "no file was opened"
    assert not (late | {"crosslook.data.pairs"}) & modules


def modules_of(*call: str) -> set[str]:
    """All modules that a Python process imports."""
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", *call], capture_output=True, text=True, check=True
    )
    modules = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert "crosslook" in modules, "what is imported is listed"
    return modules
