"""Audits as the page shows them: rows, images of both sides, and marks of a person."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.atomic import write_text
from crosslook.data.pairs import open_pairs
from crosslook.errors import InputError, NotFoundError
from crosslook.explore.images import jpeg_of
from crosslook.explore.library import Library, Shown
from crosslook.explore.scene_map import describe_scenes
from crosslook.geo.image import on_optical_grid, open_image
from crosslook.match.audit import audit
from crosslook.match.files import colours_of
from crosslook.match.scene.result import REPORT_FILE
from crosslook.types import Modality

_MOST_SIDE = 512


def audit_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Audit a set of pairs."""
    pairs = open_pairs(Path(work["pairs"]), skip_incomplete=True)
    result = audit(pairs, out=folder / "files")
    summary = {n: None if np.isnan(v) else v for n, v in result.summary().items()}
    return {"summary": summary, "folder": "files"}


def _rows(shown: Shown) -> list[dict[str, Any]]:
    """Rows of an audit as written, the largest shift first."""
    try:
        text = (shown.path / "audit.csv").read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the audit '{shown.id}' cannot be read: {error.strerror}.") from error
    lines = csv.DictReader(io.StringIO(text))
    rows = [{n: v if n == "scene" else _number(v) for n, v in line.items()} for line in lines]
    return sorted(rows, key=lambda row: -float(np.hypot(row["row"] or 0.0, row["col"] or 0.0)))


def map_audit(library: Library, shown: Shown) -> dict[str, Any]:
    """Where the scenes of an audit lie, as far as their files have been looked at."""
    shifts = {
        row["scene"]: (row["row"], row["col"])
        for row in _rows(shown)
        if row["row"] is not None and row["col"] is not None
    }
    pairs = library.pairs_with(set(shifts))
    if pairs is None:
        return {"pairs": None, "scenes": [], "unplaced": [], "ready": 1.0}
    grids, unplaced, ready = library.grids(pairs).known(shifts)
    scenes = describe_scenes(grids, shifts)
    return {"pairs": pairs, "scenes": scenes, "unplaced": unplaced, "ready": ready}


def read_audit(library: Library, shown: Shown, marks: Path) -> dict[str, Any]:
    """Rows of an audit as written, worst first, with marks and where images come from."""
    rows = _rows(shown)
    return {
        "id": shown.id,
        "rows": rows,
        "mapped": [row["scene"] for row in rows if _report_of(shown, str(row["scene"]))],
        "failed": _failed(shown.path / "failed.csv"),
        "pairs": library.pairs_with({str(row["scene"]) for row in rows}),
        "marks": read_marks(marks),
        "synthetic": shown.synthetic,
    }


def map_report(library: Library, name: str, scene: str) -> Path:
    """The page of a scene that was mapped all over; the scene is looked up in the audit."""
    shown = library.get("audit", name)
    known = {str(row["scene"]) for row in _rows(shown)}
    path = _report_of(shown, scene) if scene in known else None
    if path is None:
        raise NotFoundError(f"the audit '{shown.id}' has no map of a scene '{scene[:64]}'.")
    return path


def _report_of(shown: Shown, scene: str) -> Path | None:
    """The report of a scene, below the folder of its audit."""
    path = shown.path / scene / REPORT_FILE
    try:
        inside = path.resolve().is_relative_to(shown.path.resolve())
        return path if inside and path.is_file() else None
    except (OSError, ValueError):  # no name of a folder: too long, or with a zero byte
        return None


def _failed(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_marks(path: Path) -> dict[str, str]:
    """Marks by scene."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def write_mark(path: Path, scene: str, mark: str) -> dict[str, str]:
    """Mark a scene, or take its mark away with an empty one."""
    marks = read_marks(path)
    marks.pop(scene, None)
    if mark:
        marks[scene] = mark
    write_text(path, json.dumps(marks, sort_keys=True) + "\n")
    return marks


def marks_csv(path: Path) -> str:
    """The marks as a table of ``scene,mark``; text that a spreadsheet would run is defused."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["scene", "mark"])
    for scene, mark in sorted(read_marks(path).items()):
        writer.writerow([f"'{scene}" if scene[:1] in "=+-@\t" else scene, mark])
    return out.getvalue()


def scene_preview(library: Library, name: str, scene: str, modality: Modality) -> bytes:
    """JPEG of one side of a pair on the optical grid, its centre where it is large."""
    pair = library.pair(name, scene)
    optical = open_image(pair.optical, "optical")
    image = (
        optical if modality == "optical" else on_optical_grid(open_image(pair.sar, "sar"), optical)
    )
    factor = max(1, -(-max(image.shape) // _MOST_SIDE))
    return jpeg_of(colours_of(image.read(None, factor)))
