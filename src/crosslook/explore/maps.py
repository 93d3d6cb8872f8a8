"""The feature maps of any patch of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crosslook.atomic import write_bytes
from crosslook.errors import NotFoundError, SettingError
from crosslook.explore.images import png_of
from crosslook.progress import stage
from crosslook.retrieval.models import plan_models
from crosslook.retrieval.run_folder import read_run
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.split import find_units
from crosslook.retrieval.study import open_patches
from crosslook.retrieval.views import view_images, views_of

_OPEN: dict[str, Any] = {}


def maps_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw both patches and their maps under one extractor, as the report does for a few."""
    stage("reading the pairs of the run")
    run = Path(work["run"])
    record = read_run(run)
    known = record["settings"]
    settings = StudySettings(**{**known, "out": str(run), "engine": "local"})
    if work["extractor"] not in record["extractors"]:
        raise SettingError(
            f"the run has no extractor '{work['extractor'][:64]}'; it has: "
            f"{', '.join(record['extractors'])}."
        )
    patches = _patches_of(run, settings)
    index = int(work["index"])
    if not 0 <= index < len(patches.patches):
        raise NotFoundError(f"there is no patch {index}; the run has {len(patches.patches)}.")
    units = find_units(patches.patches, settings.split_by)
    fitted = set(record["splits"][0]["calibration_units"])
    fit = np.flatnonzero([name in fitted for name in units.names])
    stage("feature maps")
    for modality in ("sar", "optical"):
        colours = patches.read(modality, [index])[0]
        pixels = (np.clip(colours, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
        whole = np.ones(pixels.shape[:2], np.bool_)
        write_bytes(folder / "view" / f"patch-{modality}.png", png_of(pixels, whole))
    only = settings.model_copy(update={"extractors": (work["extractor"],), "two_stage": (),
                                       "fusion": ()})  # fmt: skip
    views = views_of(work["extractor"], patches, only, plan_models(only), fit, [index])
    for view in views:
        for name, data in view_images(view).items():
            write_bytes(folder / "view" / f"map-{name}.jpg", data)
    return {
        "index": index,
        "id": patches.patches[index].id,
        "extractor": work["extractor"],
        "maps": bool(views),
        "cell": list(views[0].cell) if views else None,
    }


def _patches_of(run: Path, settings: StudySettings) -> Any:
    """The patches of a run, kept for the next click."""
    if str(run) not in _OPEN:
        _OPEN.clear()
        _OPEN[str(run)] = open_patches(settings)
    return _OPEN[str(run)]
