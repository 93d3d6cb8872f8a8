"""What a run leaves behind, apart from its numbers: how to get them again."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crosslook._version import __version__
from crosslook.data.patches import PatchSet
from crosslook.progress import Timer
from crosslook.retrieval.clusters import Clusters, Duplicates
from crosslook.retrieval.descriptors import Features
from crosslook.retrieval.evaluate import Evaluator, Findings
from crosslook.retrieval.plan import StudyPlan
from crosslook.retrieval.run_folder import (
    CurveTable,
    EmbeddingTable,
    HeatTable,
    HistogramTable,
    MatchTable,
    picked_queries,
    write_patches,
    write_rows,
    write_run,
)
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.views import THUMBNAILS_FILE, VIEWS_FILE, write_thumbnails, write_views
from crosslook.types import MODALITIES
from crosslook.written import has_keys, is_marked

_VERSIONS_OF = (
    "numpy", "scipy", "scikit-learn", "rasterio", "opencv-python-headless", "pyarrow",
    "umap-learn", "torch", "transformers", "diffusers",
)  # fmt: skip

ALL_SHOWN = 2000
"""A set of so many patches has an image of each; a larger one of those that are shown."""


def describe_run(
    settings: StudySettings,
    plan: StudyPlan,
    features: Features,
    clusters: Clusters,
    duplicates: Duplicates,
    evaluators: Sequence[Evaluator],
    timer: Timer,
) -> dict[str, Any]:
    """Build the content of ``run.json``, but for its notes."""
    patches = features.patches
    return {
        "crosslook": __version__,
        "dataset": patches.name,
        "synthetic": patches.synthetic,
        "settings": settings.model_dump(mode="json", exclude={"overwrite"}),
        "extractors": {spec: features.revisions.get(spec, "") for spec in plan.specs},
        "features": {
            spec: {modality: one.folder.name for modality, one in sets.items()}
            for spec, sets in features.sets.items()
        },
        "skipped": plan.skipped,
        "patches": len(patches.patches),
        "scenes": len({patch.scene for patch in patches.patches}),
        "dropped": patches.dropped,
        "radiometry": patches.describe_radiometry(),
        "stretched": describe_stretch(patches),
        "fingerprint": {modality: patches.fingerprint(modality) for modality in MODALITIES},
        "units": {"kind": clusters.kind, "count": clusters.count},
        "same_ground": [list(ids) for ids in duplicates.sets],
        "splits": [
            {
                "split": e.division.split,
                "seed": e.settings.seed,
                "calibration_units": list(e.division.calibration_clusters),
                "chosen": e.findings.chosen,
            }
            for e in evaluators
        ],
        "versions": _versions(),
        "hardware": {n: getattr(platform, n)() for n in ("machine", "system")}
        | {"cores": os.cpu_count()},
        "timings": timer.seconds,
    }


def describe_stretch(patches: PatchSet) -> dict[str, str]:
    """What was done to the pixels before any extractor, in words, by modality.

    Limits fitted to each scene already remove some of what calibration removes,
    so 'uncalibrated' must say what it means.
    """
    words: dict[str, str] = {}
    for modality in MODALITIES:
        limits = {scene.sides[modality].stretch for scene in patches.scenes.values()}
        if patches.reading.of(modality).per == "scene" and len(limits) > 1:
            words[modality] = "stretched per scene, between limits fitted to each"
        elif len(limits) == 1:
            words[modality] = "stretched per set, between the same limits for every scene"
        else:
            words[modality] = (
                f"stretched per set, between the same limits for every scene of one kind "
                f"({len(limits)} kinds)"
            )
    return words


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _VERSIONS_OF:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


WRITTEN = {
    "run.json": has_keys("crosslook", "settings"),
    **dict.fromkeys(
        (
            *("patches.parquet", THUMBNAILS_FILE, VIEWS_FILE, "results.parquet"),
            *(MatchTable.FILE, CurveTable.FILE, HistogramTable.FILE),
            *(EmbeddingTable.FILE, HeatTable.FILE),
        ),
        is_marked,
    ),
}
"""The tables of a run, and how each tells that crosslook wrote it."""


def write_folder(run: Path, patches: PatchSet, findings: Findings, record: dict[str, Any]) -> None:
    """Write the files of a run, each whole; the rows come last."""
    write_patches(run, patches.patches)
    if record["complete"]:
        write_thumbnails(run, patches, shown_patches(len(patches.patches), findings))
    MatchTable.write(run, findings.matches)
    CurveTable.write(run, findings.curves)
    HistogramTable.write(run, findings.histograms)
    EmbeddingTable.write(run, findings.embeddings)
    HeatTable.write(run, findings.heat_maps)
    write_views(run, findings.views)
    write_run(run, record)
    write_rows(run, findings.rows)


def shown_patches(count: int, findings: Findings) -> list[int]:
    """The patches that a report may show, of ``count``: all of a small set.

    Of a large one those of the embeddings and the views, and the best and worst
    queries of every comparison with what they found.
    """
    if count <= ALL_SHOWN:
        return list(range(count))
    shown = {view.index for view in findings.views}
    for embedding in findings.embeddings:
        shown |= set(embedding.index.tolist())
    for table in findings.matches:
        for best in (True, False):
            at = picked_queries(table, best)
            shown |= set(table.query_index[at].tolist())
            shown |= set(table.top_indices[at, 0].tolist())
    return sorted(shown)
