"""A simulated place to try everything on: an atlas, chips from it, a run and an audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rich.console import Console

from crosslook.atlas.build import build_atlas
from crosslook.atomic import atomic_path, write_text
from crosslook.data.pairs import open_pairs
from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.write import (
    NORTH,
    WEST,
    profile_of,
    tags_of,
    write_basemap,
    write_pairs,
)
from crosslook.match.audit import audit
from crosslook.progress import stage
from crosslook.report.html import write_report
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.study import run_study

SIZE, SEED, RELIEF = 1536, 11, 20.0
CHIP = 256
CHIPS = ((612, 1044), (1180, 380), (260, 300))
"""First pixels (row, column) of the chips in the atlas."""
OFF = (-2600.0, 3400.0)
"""Metres south and east by which the georeference of a chip is off."""
_SCENES, _SCENE, _PATCH = 6, 384, 64
_TRUTH = "truth.json"
FOLDERS = ("demo-atlas", "demo-run", "demo-audit", "demo-pairs")
PARTS = {
    "demo": ("the simulated atlas", f"chips/{_TRUTH}"),
    "demo-study": ("the simulated study", "demo-audit/audit.csv"),
}
"""The jobs that make the demo: title, and the file that each writes last."""


def demo_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the atlas and the chips, or what is missing of them."""
    out = Path(work["demo"])
    basemap = out / "basemap.tif"
    if not basemap.is_file():
        stage("simulating a basemap")
        write_basemap(basemap, SIZE, SEED, relief=RELIEF)
    if not (out / "demo-atlas" / "atlas.json").is_file():
        stage("building its atlas")
        build_atlas([basemap], out / "demo-atlas")
    stage("simulating chips")
    write_chips(out / "chips")
    return {}


def demo_study_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the pairs, the run and the audit, or what is missing of them."""
    out = Path(work["demo"])
    pairs = out / "demo-pairs"
    stage("simulating pairs")
    write_pairs(pairs, _SCENES, size=_SCENE, seed=SEED, relief=RELIEF)
    if not (out / "demo-run" / "report.html").is_file():
        stage("a small study")
        settings = StudySettings(
            pairs=pairs,
            out=out / "demo-run",
            extractors=("hog:cell=8",),
            calibrations=("none", "standardize"),
            patch=_PATCH,
        )
        run_study(settings, Console(quiet=True))
        stage("writing the report")
        write_report(out / "demo-run")
    if not (out / "demo-audit" / "audit.csv").is_file():
        audit(open_pairs(pairs), out=out / "demo-audit")
    return {}


def write_chips(folder: Path) -> None:
    """SAR chips of the world of the atlas whose georeference is kilometres off, and the truth."""
    truth = {}
    for number, origin in enumerate(CHIPS, 1):
        name = f"demo-chip-{number}.tif"
        if not (folder / name).is_file():
            _write_chip(folder / name, origin)
        truth[name] = {"row": origin[0], "col": origin[1], "size": CHIP}
    write_text(folder / _TRUTH, json.dumps(truth, indent=1) + "\n")


def _write_chip(path: Path, origin: tuple[int, int]) -> None:
    pair = make_pair(CHIP, SEED, origin=origin, relief=RELIEF)
    gsd = pair.settings.gsd
    west, north = (WEST + origin[1] * gsd + OFF[1], NORTH - origin[0] * gsd - OFF[0])
    with (
        atomic_path(path) as temporary,
        rasterio.open(
            temporary, "w", height=CHIP, width=CHIP, **profile_of((west, north), gsd, 1, "float32")
        ) as file,
    ):
        file.write(np.asarray(pair.sar, np.float32)[None])
        file.update_tags(**tags_of(pair.settings))
