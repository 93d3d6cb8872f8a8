"""What a run leaves behind, apart from its numbers: how to get them again."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crosslook import __version__
from crosslook.data.patches import PatchSet
from crosslook.progress import Timer
from crosslook.retrieval.evaluate import Findings
from crosslook.retrieval.models import Plan
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.split import Division
from crosslook.types import MODALITIES

_VERSIONS_OF = (
    "numpy", "scipy", "scikit-learn", "rasterio", "opencv-python-headless", "pyarrow",
    "umap-learn", "torch", "transformers", "diffusers",
)  # fmt: skip

MOST_THUMBNAILS = 2000


def describe_run(
    settings: StudySettings,
    plan: Plan,
    patches: PatchSet,
    divisions: Sequence[Division],
    timer: Timer,
) -> dict[str, Any]:
    """Build the content of ``run.json``."""
    return {
        "crosslook": __version__,
        "dataset": patches.name,
        "synthetic": patches.synthetic,
        "settings": settings.model_dump(mode="json"),
        "extractors": {spec: plan.revisions.get(spec, "") for spec in plan.specs},
        "skipped": plan.skipped,
        "notes": plan.notes,
        "patches": len(patches.patches),
        "scenes": len({patch.scene for patch in patches.patches}),
        "dropped": patches.dropped,
        "radiometry": patches.describe_radiometry(),
        "fingerprint": {modality: patches.fingerprint(modality) for modality in MODALITIES},
        "calibration_scenes": {d.split: list(d.fit_scenes) for d in divisions},
        "versions": _versions(),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cores": os.cpu_count(),
        },
        "timings": timer.seconds,
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _VERSIONS_OF:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_folder(run: Path, patches: PatchSet, findings: Findings, told: dict[str, Any]) -> None:
    """Write the files of a run, each whole; the rows come last."""
    from crosslook.retrieval import run_folder
    from crosslook.retrieval.thumbnails import write_thumbnails
    from crosslook.retrieval.views import write_views

    run_folder.write_patches(run, patches.patches)
    write_thumbnails(run, patches, range(min(len(patches.patches), MOST_THUMBNAILS)))
    run_folder.write_matches(run, findings.matches)
    run_folder.write_curves(run, findings.curves)
    run_folder.write_histograms(run, findings.histograms)
    run_folder.write_embeddings(run, findings.embeddings)
    run_folder.write_heat_maps(run, findings.heat_maps)
    write_views(run, findings.views)
    run_folder.write_run(run, told)
    run_folder.write_rows(run, findings.rows)
