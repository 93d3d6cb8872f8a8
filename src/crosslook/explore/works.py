"""Long work that the page starts on files below the root: an atlas, a study, a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from crosslook.atlas.build import build_atlas
from crosslook.atomic import write_csv
from crosslook.data.pairs import open_pairs
from crosslook.errors import CrosslookError
from crosslook.match.batch import register_all
from crosslook.match.batch_page import COLUMNS, counted, row_of, thumbnails, write_batch_page
from crosslook.match.result import Failure
from crosslook.match.settings import BatchSettings
from crosslook.progress import stage, within
from crosslook.report.html import write_report
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.study import run_study

MADE = "made"
"""Folder of a job's result, which the explorer shows when the job is done."""


def atlas_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Build an atlas of images or a folder of them."""
    stage("building the atlas")
    atlas = build_atlas([Path(place) for place in work["places"]], folder / MADE / work["name"])
    return {"area_km2": atlas.area_km2()}


def study_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Study a set of pairs, and write its report."""
    out = folder / MADE / work["name"]
    pairs = Path(work["pairs"])
    settings = StudySettings(pairs=pairs, out=out, skip_incomplete=True, **work["settings"])
    stage("studying")
    run_study(settings, Console(quiet=True))
    stage("writing the report")
    write_report(out)
    return {}


def batch_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Register all pairs of a set, each into a folder of its own, with a table and a page."""
    out = folder / MADE / work["name"]
    pairs = open_pairs(Path(work["pairs"]), skip_incomplete=True)
    rows: list[dict[str, object]] = [{"name": name, "error": why} for name, why in pairs.incomplete]
    drawn = {}
    results = register_all(pairs, BatchSettings(**work["settings"]))
    for number, pair in enumerate(pairs):
        with within("registering", number, len(pairs)):
            result = next(results)
            if isinstance(result, Failure):
                rows.append({"name": pair.id, "error": str(result.error)})
                continue
            try:
                result.write(out / pair.id)
                if result.transform is not None:
                    drawn[pair.id] = thumbnails(result.drawn(result.transform))
            except CrosslookError as error:
                rows.append({"name": pair.id, "error": str(error)})
                continue
            rows.append(row_of(pair.id, result, out / pair.id))
    write_csv(out / "matches.csv", COLUMNS, ([row.get(n, "") for n in COLUMNS] for row in rows))
    write_batch_page(out / "index.html", f"{work['name']}: {counted(rows)}", rows, drawn)
    brief = ("name", "verdict", "confidence", "warning", "error")
    return {"counted": counted(rows), "rows": [{n: row.get(n) for n in brief} for row in rows]}
