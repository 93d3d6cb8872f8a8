"""The provider in a real QGIS, headless: it registers, and its results open there."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import crosslook
from crosslook import __version__

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "integrations" / "qgis"
SYSTEM = "/usr/bin/python3"  # the Python that Debian's QGIS is built for
INSIDE = Path(__file__).with_name("in_qgis.py")


def has_qgis() -> bool:
    call = [SYSTEM, "-c", "import qgis.core"]
    return Path(SYSTEM).exists() and subprocess.run(call, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of this tree, as a program that QGIS can call."""
    path = tmp_path_factory.mktemp("bin") / "crosslook"
    path.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT / "src"}" exec "{sys.executable}" -m crosslook "$@"\n'
    )
    path.chmod(0o755)
    return path


def test_the_zip_is_a_plugin(tmp_path: Path) -> None:
    sys.path.insert(0, str(PLUGIN))
    try:
        from pack import pack
    finally:
        sys.path.remove(str(PLUGIN))
    with zipfile.ZipFile(pack(tmp_path)) as archive:
        names = set(archive.namelist())
        metadata = archive.read("crosslook_qgis/metadata.txt").decode()
    here = {f"crosslook_qgis/{p.name}" for p in (PLUGIN / "crosslook_qgis").glob("*.*")}
    assert here <= names
    assert f"version={__version__}\n" in metadata


def test_the_plugin_loads_in_qgis_4(tmp_path: Path) -> None:
    """QGIS 4 wants its version named; Qt 6 knows members by the name of their enumeration."""
    metadata = (PLUGIN / "crosslook_qgis" / "metadata.txt").read_text()
    assert "qgisMaximumVersion=4.99\n" in metadata
    for path in sorted((PLUGIN / "crosslook_qgis").glob("*.py")):
        tree = ast.parse(path.read_text())
        longer = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}  # inner classes
        short = [
            f"{path.name}:{node.lineno}: {node.value.id}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and id(node) not in longer | called
            and isinstance(node.value, ast.Name) and node.value.id.startswith("Qgs")
            and node.attr[0].isupper()
        ]  # fmt: skip
        assert not short


@pytest.mark.slow
@pytest.mark.skipif(not has_qgis(), reason="no QGIS for the Python of this system")
def test_qgis_registers_locates_and_opens_the_results(command: Path, tmp_path: Path) -> None:
    crosslook.write_pairs(tmp_path / "pairs", 2, size=512, shift=(9.0, -6.0), seed=5)
    crosslook.build_atlas([str(tmp_path / "pairs" / "optical")], str(tmp_path / "atlas"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {
        "CROSSLOOK_COMMAND": str(command),
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(tmp_path),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [SYSTEM, str(INSIDE), str(PLUGIN), str(tmp_path)],
        capture_output=True, text=True, env=environment, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["algorithms"] == ["audit", "locate", "register"]
    registered = report["register"]
    assert registered["VERDICT"] == "match"
    assert registered["loaded"] == ["ALIGNED", "FOOTPRINT", "TIE_POINTS"]
    assert registered["aligned"] == {"valid": True, "crs": "EPSG:32633", "size": [512, 512]}
    assert registered["points"] > 20
    # The georeferencer's own transformer, fed with the .points file, moves the image as we do.
    assert registered["georeferenced_px"] < 1.5
    assert report["locate"]["VERDICT"] in ("match", "uncertain")
    assert report["audit"]["scenes"] == 2
    assert max(report["audit"]["progress"]) == 100.0
    assert "was not found" in report["without a command"]
