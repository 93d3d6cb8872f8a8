"""Every script and notebook of ``examples/`` runs as it stands, and says what is true."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SOURCE = EXAMPLES.parent / "src"
TRUE: dict[str, Callable[[Any], bool]] = {
    "register_two_images": lambda error: error < 1.5,
    "register_a_folder": lambda v: v["sim-0002"] == "failed" and len(v) == 3,
    "locate_on_a_basemap": lambda off: off < 5,
    "study_extractors": lambda recall: recall["hog:cell=8"] > recall["raw"],
    "audit_a_data_set": lambda content: all(abs(row - 4) < 0.5 for row, _ in content.values()),
    "use_the_features": lambda recall: recall[1] > recall[0],
}


def test_every_script_is_in_the_table_and_in_the_readme() -> None:
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    content = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert scripts == TRUE.keys()
    names = [
        p.relative_to(EXAMPLES).as_posix() for p in EXAMPLES.rglob("*.*") if p.stem != "README"
    ]
    assert all(f"`{name}`" in content for name in names if "__pycache__" not in name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TRUE))
def test_a_script_runs(name: str, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert TRUE[name](module.main(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("notebooks/*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the docs extra is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the docs extra is not installed")
    pytest.importorskip("ipykernel", reason="the docs extra is not installed")
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells), "outputs are not stored"
    kernel = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=500, kernel_name="python3", resources=kernel).execute()
    printed = [o for cell in book.cells for o in cell.get("outputs", [])]
    assert any("text/html" in o.get("data", {}) or o["output_type"] == "stream" for o in printed)
