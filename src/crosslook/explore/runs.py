"""A run folder as the page asks for it: setups, figures, queries, their nearest, feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.atomic import write_bytes
from crosslook.errors import NotFoundError, SettingError
from crosslook.explore.images import png_of
from crosslook.progress import stage
from crosslook.report.tables import headlines, interval, number, pair_distances
from crosslook.retrieval.clusters import find_clusters
from crosslook.retrieval.descriptors import Features
from crosslook.retrieval.run_folder import (
    EmbeddingTable,
    HeatTable,
    MatchTable,
    read_patches,
    read_rows,
    read_run,
)
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.study import open_patches
from crosslook.retrieval.views import read_thumbnails, view_images, views_of
from crosslook.types import Modality, Row

_MOST_LINES = 500
_TAKEN = ("dataset", "synthetic", "extractors", "notes", "skipped")


class Run:
    """The tables of a run, read when they are first asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = read_run(path)
        self.patches = read_patches(path)
        self.rows = read_rows(path)
        self.matches = MatchTable.read(path)
        self.embeddings = EmbeddingTable.read(path)
        self.heat_maps = HeatTable.read(path)
        self.thumbnails = read_thumbnails(path)

    def describe(self) -> dict[str, Any]:
        """Dataset, headline rows, and what there is to look at."""
        lead = headlines(self.rows, self.record)
        gaps = pair_distances(self.rows)
        return {
            **{name: self.record[name] for name in _TAKEN},
            "patches": len(self.patches),
            "scenes": sorted({patch.scene for patch in self.patches}),
            "headlines": [
                {
                    "extractor": line.name,
                    "how": line.how,
                    "recall": number(line.row.value),
                    "at_5": self._recall(line.row, 5),
                    "at_10": self._recall(line.row, 10),
                    "uncalibrated": "" if line.plain is None else number(line.plain.value),
                    "gap": number(gaps[line.setup.extractor].value)
                    if line.setup.extractor in gaps
                    else "",
                    "interval": interval(line.row),
                    "gallery": line.row.n_gallery,
                    "chance": number(line.row.chance, 4),
                }
                for line in lead
            ],
            "setups": [setup_name(table) for table in self.matches],
            "embeddings": [[*_short(table), table.method] for table in self.embeddings],
            "heat_maps": [[*_short(table), table.order_by] for table in self.heat_maps],
            "best": self._best(),
        }

    def _recall(self, first: Row, k: int) -> str:
        """Recall at k of the setup of a row; empty where it was not measured."""
        same = ("extractor", "pooling", "calibration", "scoring", "split", "direction", "metric")
        for row in self.rows:
            alike = all(getattr(row, name) == getattr(first, name) for name in same)
            if row.measure == "retrieval" and row.k == k and alike:
                return number(row.value)
        return ""

    def rows_as_json(self) -> list[dict[str, Any]]:
        """All rows of ``results.parquet``; what is not a number there is null."""
        lines = [asdict(row) for row in self.rows]
        return [{n: None if v != v else v for n, v in line.items()} for line in lines]

    def _best(self) -> int:
        """Number of the setup that finds most; for what is shown first."""
        first = [
            (t.rank == 1).mean() if t.direction == "sar->optical" else -1 for t in self.matches
        ]
        return int(np.argmax(first)) if first else 0

    def embedding(self, number_: int) -> dict[str, Any]:
        """Points of an embedding, by its number."""
        table = _at(self.embeddings, number_, "embedding")
        return {
            "index": table.index.tolist(),
            "sar": np.round(table.sar.astype(float), 4).tolist(),
            "optical": np.round(table.optical.astype(float), 4).tolist(),
            "scene": [self.patches[i].scene for i in table.index],
            "cluster": [self.patches[i].group for i in table.index],
            "id": [self.patches[i].id for i in table.index],
        }

    def heat_map(self, number_: int) -> dict[str, Any]:
        """A heat map with the patches of each of its blocks."""
        table = _at(self.heat_maps, number_, "heat map")
        return {
            "values": np.round(table.values.astype(float), 4).tolist(),
            "borders": table.borders.tolist(),
            "members": [table.members(block).tolist() for block in range(len(table.values))],
        }

    def queries(
        self, setup: int, scene: str, lowest: int, highest: int, worst: bool
    ) -> dict[str, Any]:
        """The queries of a setup by rank of their partner, filtered by scene and rank."""
        table = _at(self.matches, setup, "setup")
        lines = [
            {
                "index": int(query),
                "id": self.patches[query].id,
                "scene": self.patches[query].scene,
                "rank": int(rank),
                "partner_score": round(float(partner), 4),
                "first": int(top[0]),
                "first_score": round(float(scores[0]), 4),
            }
            for query, rank, partner, top, scores in zip(
                table.query_index, table.rank, table.partner_score,
                table.top_indices, table.top_scores, strict=True,
            )
            if lowest <= rank <= highest and (not scene or self.patches[query].scene == scene)
        ]  # fmt: skip
        lines.sort(key=lambda line: (-line["rank"] if worst else line["rank"], line["index"]))
        return {"count": len(lines), "lines": lines[:_MOST_LINES]}

    def patch(self, index: int, setup: int) -> dict[str, Any]:
        """A patch, the rank of its partner and the ten nearest under a setup."""
        patch = _at(self.patches, index, "patch")
        table = _at(self.matches, setup, "setup")
        rows = np.flatnonzero(table.query_index == index)
        shown: dict[str, Any] = {
            "index": index,
            **{n: getattr(patch, n) for n in ("id", "scene", "group", "position", "crs")},
            "setup": setup_name(table),
            "thumbnail": index in self.thumbnails,
            "rank": None,
            "nearest": [],
        }
        if len(rows):
            at = int(rows[0])
            shown["rank"] = int(table.rank[at])
            shown["partner_score"] = round(float(table.partner_score[at]), 4)
            shown["nearest"] = [
                {
                    "index": int(other),
                    "id": self.patches[other].id,
                    "score": round(float(score), 4),
                    "partner": int(other) == index,
                    "thumbnail": int(other) in self.thumbnails,
                }
                for other, score in zip(table.top_indices[at], table.top_scores[at], strict=True)
            ]
        return shown

    def thumbnail(self, index: int, modality: Modality) -> bytes:
        """JPEG of one side of a patch; NotFoundError where the run kept none."""
        if index not in self.thumbnails:
            raise NotFoundError(f"the run keeps no image of patch {index}.")
        return bytes(self.thumbnails[index][modality])


def setup_name(table: MatchTable) -> dict[str, str]:
    """What was compared, and how."""
    names = ("extractor", "pooling", "calibration", "scoring")
    return {**{n: getattr(table.setup, n) for n in names}, "direction": table.direction}


def _short(table: EmbeddingTable | HeatTable) -> tuple[str, str]:
    return table.setup.extractor, table.setup.calibration


def _at(items: Sequence[Any], number_: int, what: str) -> Any:
    if not 0 <= number_ < len(items):
        raise NotFoundError(f"there is no {what} {number_}; the run has {len(items)}.")
    return items[number_]


def open_run(path: Path) -> Run:
    """A run, read again when its rows have changed."""
    try:
        changed = (path / "results.parquet").stat().st_mtime_ns
    except OSError as error:
        raise NotFoundError(f"the run {path.name} is not there any more.") from error
    return _opened(path, changed)


@lru_cache(maxsize=4)
def _opened(path: Path, changed: int) -> Run:
    return Run(path)


_OPEN: dict[str, Any] = {}


def maps_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw both patches and their maps under one extractor, as the report does for a few."""
    stage("reading the pairs of the run")
    run = Path(work["run"])
    record = read_run(run)
    fields = StudySettings.model_fields  # a run of an earlier version may hold more
    known = {name: value for name, value in record["settings"].items() if name in fields}
    settings = StudySettings(**{**known, "out": str(run), "engine": "local"})
    if work["extractor"] not in record["extractors"]:
        raise SettingError(
            f"the run has no extractor '{work['extractor'][:64]}'; it has: "
            f"{', '.join(record['extractors'])}."
        )
    patches = _patches_of(run, settings)
    index = int(work["index"])
    patch = _at(patches.patches, index, "patch")
    units = find_clusters(patches.patches, settings.split_by)
    fitted = set(record["splits"][0]["calibration_units"])
    fit = np.flatnonzero([name in fitted for name in units.names])
    stage("feature maps")
    for modality in ("sar", "optical"):
        colours = patches.read(modality, [index])[0]
        pixels = (np.clip(colours, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
        whole = np.ones(pixels.shape[:2], np.bool_)
        write_bytes(folder / "view" / f"patch-{modality}.png", png_of(pixels, whole))
    views = views_of(work["extractor"], Features(patches, settings), fit, [index])
    for view in views:
        for name, data in view_images(view).items():
            write_bytes(folder / "view" / f"map-{name}.jpg", data)
    return {
        "index": index,
        "id": patch.id,
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
