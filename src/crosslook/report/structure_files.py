"""The files of a run folder that show structure: embeddings and heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crosslook.report.run_folder import read_table, write_table
from crosslook.types import FloatArray

_EMBEDDING = "embedding.parquet"
_HEAT_MAPS = "heat_maps.parquet"


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Plane coordinates of pairs; ``sar`` and ``optical`` are float32 (n, 2).

    ``index`` (n,) points into the patches; ``method`` is ``pca`` or ``umap``.
    """

    extractor: str
    calibration: str
    method: str
    index: NDArray[np.int64]
    sar: FloatArray
    optical: FloatArray


@dataclass(frozen=True, eq=False)
class HeatTable:
    """Mean cosines of blocks of SAR (rows) and optical (columns), (b, b).

    ``borders`` are the places, in blocks, where the next scene or cluster begins.
    """

    extractor: str
    calibration: str
    order_by: str
    values: FloatArray
    borders: NDArray[np.float64]


def write_embeddings(run: Path, tables: Sequence[EmbeddingTable]) -> None:
    """Write ``embedding.parquet``, one line per pair of every embedding."""
    _write(
        run / _EMBEDDING,
        [
            {
                **_same(t, ("extractor", "calibration", "method"), len(t.index)),
                "index": t.index,
                "sar_x": t.sar[:, 0],
                "sar_y": t.sar[:, 1],
                "optical_x": t.optical[:, 0],
                "optical_y": t.optical[:, 1],
            }
            for t in tables
        ],
    )


def read_embeddings(run: Path) -> list[EmbeddingTable]:
    """Read ``embedding.parquet``; nothing where the run has none."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for line in _lines(run / _EMBEDDING):
        key = (line["extractor"], line["calibration"], line["method"])
        found.setdefault(key, []).append(line)
    return [
        EmbeddingTable(
            *key,
            np.array([line["index"] for line in lines], np.int64),
            np.array([[line["sar_x"], line["sar_y"]] for line in lines], np.float32),
            np.array([[line["optical_x"], line["optical_y"]] for line in lines], np.float32),
        )
        for key, lines in found.items()
    ]


def write_heat_maps(run: Path, tables: Sequence[HeatTable]) -> None:
    """Write ``heat_maps.parquet``, one line per row of blocks of every map."""
    _write(
        run / _HEAT_MAPS,
        [
            {
                **_same(t, ("extractor", "calibration", "order_by"), len(t.values)),
                "block": np.arange(len(t.values)),
                "values": list(t.values),
                "borders": [t.borders] * len(t.values),
            }
            for t in tables
        ],
    )


def read_heat_maps(run: Path) -> list[HeatTable]:
    """Read ``heat_maps.parquet``; nothing where the run has none."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for line in _lines(run / _HEAT_MAPS):
        key = (line["extractor"], line["calibration"], line["order_by"])
        found.setdefault(key, []).append(line)
    return [
        HeatTable(
            *key,
            np.array([line["values"] for line in lines], np.float32),
            np.array(lines[0]["borders"], np.float64),
        )
        for key, lines in found.items()
    ]


def _same(table: object, names: Sequence[str], count: int) -> dict[str, list[str]]:
    return {name: [getattr(table, name)] * count for name in names}


def _write(path: Path, parts: Sequence[dict[str, Any]]) -> None:
    if parts:
        write_table(path, pa.concat_tables([pa.table(part) for part in parts]))
    else:  # what an earlier run into the same folder left would be shown as this one's
        path.unlink(missing_ok=True)


def _lines(path: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = read_table(path).to_pylist() if path.is_file() else []
    return lines
