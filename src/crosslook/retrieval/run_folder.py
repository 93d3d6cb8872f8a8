"""The files of a run folder that show structure: embeddings and heat maps.

The files of a run folder, written and read in one place.

Every file is written whole. The Parquet files hold no time and are sorted, so
the same run gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from crosslook.atomic import atomic_path, write_text
from crosslook.errors import InputError, StoreError
from crosslook.json_text import json_object
from crosslook.retrieval.setup import Setup
from crosslook.types import Direction, FloatArray, Indices, Patch, Row, Window


@dataclass(frozen=True)
class MatchTable:
    """Where every query's partner stands; indices point into the patches."""

    setup: Setup
    direction: Direction
    query_index: Indices
    rank: Indices
    top_indices: Indices
    top_scores: FloatArray
    partner_score: FloatArray


@dataclass(frozen=True)
class CurveTable:
    """A cumulative match curve: ``values[k - 1]`` is recall at k."""

    setup: Setup
    direction: Direction
    values: NDArray[np.float64]


@dataclass(frozen=True)
class HistogramTable:
    """Counts of the cosines of pairs and of non-pairs over the same bins."""

    setup: Setup
    edges: NDArray[np.float64]
    pairs: Indices
    non_pairs: Indices


def picked_queries(table: MatchTable, best: bool) -> list[int]:
    """Positions of the ten best or worst queries: by rank, then by margin over the best other."""
    is_partner = table.top_indices == table.query_index[:, None]
    other = np.where(is_partner, -np.inf, table.top_scores).max(axis=1)
    margin = table.partner_score - other
    order = np.lexsort((-margin, table.rank)) if best else np.lexsort((margin, -table.rank))
    return [int(at) for at in order[:SHOWN_MATCHES]]


SHOWN_MATCHES = 10
FORMAT = 3
"""Raise it whenever a column or what it means changes: 2 has ``splits``, rows of chosen setups
and of differences, and the same ground in other files counted as a partner; 3 has the bounds of
patches, and images of what is shown alone in large sets."""

_BOUNDS = ("left", "bottom", "right", "top")
_NAMES = ("extractor", "pooling", "calibration", "scoring", "direction")


def write_rows(run: Path, rows: Sequence[Row]) -> None:
    """Write ``results.parquet``, columns in the order of :class:`Row`, sorted."""
    names = [one.name for one in fields(Row)]
    # NaN compares with nothing, so values stay out of the sort key.
    keys = [n for n in names if n not in ("value", "ci_low", "ci_high", "chance")]
    ordered = sorted(rows, key=lambda row: tuple(getattr(row, key) for key in keys))
    columns = {name: [getattr(row, name) for row in ordered] for name in names}
    write_table(run / "results.parquet", pa.table(columns))


def read_rows(run: Path) -> list[Row]:
    """Read ``results.parquet``."""
    return [Row(**line) for line in read_table(run / "results.parquet").to_pylist()]


def write_run(run: Path, content: dict[str, Any]) -> None:
    """Write ``run.json``."""
    write_text(run / "run.json", json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_run(run: Path) -> dict[str, Any]:
    """Read ``run.json``."""
    path = run / "run.json"
    try:
        return json_object(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); is {run} the folder of a study?"
        ) from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); run the study again.") from error


def write_patches(run: Path, patches: Sequence[Patch]) -> None:
    """Write ``patches.parquet``, one line per patch in order."""
    columns = {
        "id": [p.id for p in patches],
        "scene": [p.scene for p in patches],
        "group": [p.group for p in patches],
        **{
            name: [getattr(p.window, name) for p in patches]
            for name in ("row", "col", "height", "width")
        },
        "x": pa.array([p.position[0] if p.position else None for p in patches], pa.float64()),
        "y": pa.array([p.position[1] if p.position else None for p in patches], pa.float64()),
        "crs": pa.array([p.crs for p in patches], pa.string()),
        **{
            name: pa.array([p.bounds[at] if p.bounds else None for p in patches], pa.float64())
            for at, name in enumerate(_BOUNDS)
        },
    }
    write_table(run / "patches.parquet", pa.table(columns))


def read_patches(run: Path) -> list[Patch]:
    """Read ``patches.parquet``; that of an earlier version has no bounds."""
    return [
        Patch(
            line["id"],
            line["scene"],
            line["group"],
            Window(line["row"], line["col"], line["height"], line["width"]),
            None if line["x"] is None else (line["x"], line["y"]),
            line["crs"],
            None if line.get("left") is None else tuple(line[name] for name in _BOUNDS),
        )
        for line in read_table(run / "patches.parquet").to_pylist()
    ]


def write_matches(run: Path, tables: Sequence[MatchTable]) -> None:
    """Write ``matches.parquet``, one line per query of every table."""
    parts = [
        pa.table(
            {
                **_same(t, _NAMES, len(t.rank)),
                "query_index": t.query_index,
                "rank": t.rank,
                "top_indices": _lists(t.top_indices),
                "top_scores": _lists(t.top_scores),
                "partner_score": t.partner_score,
            }
        )
        for t in tables
    ]
    if parts:
        write_table(run / "matches.parquet", pa.concat_tables(parts))


def read_matches(run: Path) -> list[MatchTable]:
    """Read ``matches.parquet``."""
    tables = []
    for setup, named, table in _split(read_table(run / "matches.parquet")):
        columns = {c: table[c] for c in table.column_names if c not in _NAMES}
        tables.append(
            MatchTable(
                setup,
                **named,
                query_index=columns["query_index"].to_numpy(),
                rank=columns["rank"].to_numpy(),
                top_indices=_square(columns["top_indices"]),
                top_scores=_square(columns["top_scores"]),
                partner_score=columns["partner_score"].to_numpy(),
            )
        )
    return tables


def write_curves(run: Path, tables: Sequence[CurveTable]) -> None:
    """Write ``curves.parquet``: recall at every k."""
    parts = [
        pa.table(
            {
                **_same(t, _NAMES, len(t.values)),
                "k": np.arange(1, len(t.values) + 1),
                "value": t.values,
            }
        )
        for t in tables
    ]
    if parts:
        write_table(run / "curves.parquet", pa.concat_tables(parts))


def read_curves(run: Path) -> list[CurveTable]:
    """Read ``curves.parquet``."""
    table = read_table(run / "curves.parquet")
    return [
        CurveTable(setup, **named, values=part["value"].to_numpy())
        for setup, named, part in _split(table)
    ]


def write_histograms(run: Path, tables: Sequence[HistogramTable]) -> None:
    """Write ``histograms.parquet``: counts of pairs and non-pairs per bin."""
    parts = [
        pa.table(
            {
                **_same(t, _NAMES[:4], len(t.pairs)),
                "low": t.edges[:-1],
                "high": t.edges[1:],
                "pairs": t.pairs,
                "non_pairs": t.non_pairs,
            }
        )
        for t in tables
    ]
    if parts:
        write_table(run / "histograms.parquet", pa.concat_tables(parts))


def read_histograms(run: Path) -> list[HistogramTable]:
    """Read ``histograms.parquet``."""
    tables = []
    for setup, _, part in _split(read_table(run / "histograms.parquet"), _NAMES[:4]):
        edges = np.append(part["low"].to_numpy(), part["high"].to_numpy()[-1:])
        tables.append(
            HistogramTable(
                setup,
                edges=edges,
                pairs=part["pairs"].to_numpy(),
                non_pairs=part["non_pairs"].to_numpy(),
            )
        )
    return tables


def _split(
    table: pa.Table, names: Sequence[str] = _NAMES
) -> list[tuple[Setup, dict[str, Any], pa.Table]]:
    """Cut a table where the named columns change: the setup, the other names, and the part."""
    changes = np.zeros(len(table), bool)
    changes[:1] = True
    for name in names:
        codes = table[name].combine_chunks().dictionary_encode().indices.to_numpy()
        changes[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changes)
    ends = np.append(starts[1:], len(table))
    parts = []
    for a, b in zip(starts.tolist(), ends.tolist(), strict=True):
        named = {name: table[name][a].as_py() for name in names}
        setup = Setup(**{name: named.pop(name) for name in _NAMES[:4]})
        parts.append((setup, named, table.slice(a, b - a)))
    return parts


def _lists(values: NDArray[Any]) -> pa.ListArray:
    """Rows of a matrix as a column of lists, without an object for each."""
    count, width = values.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).ravel()))


def _square(column: pa.ChunkedArray) -> NDArray[Any]:
    """The matrix behind a column of lists of one length."""
    flat: NDArray[Any] = column.combine_chunks().flatten().to_numpy()
    return flat.reshape(len(column), -1)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table whole, the number of its format in its metadata."""
    known = table.schema.metadata or {}
    table = table.replace_schema_metadata({**known, "crosslook_format": str(FORMAT)})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path) -> pa.Table:
    """Read a table of a run folder.

    Raises
    ------
    InputError
        If it is missing.
    StoreError
        If it is damaged, or of a later format.
    """
    try:
        table = pq.read_table(path)
        table.validate(full=True)  # offsets and texts too, which are looked at late otherwise
        written = int((table.schema.metadata or {}).get(b"crosslook_format", b"1"))
        if written > FORMAT:
            raise StoreError(
                f"{path} has format {written} and this version reads up to {FORMAT}; "
                "read it with the version that wrote it, or a newer one."
            )
        return table
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; is {path.parent} the folder of a study?") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"{path} is damaged ({error}); run the study again.") from error


_EMBEDDING = "embedding.parquet"
_HEAT_MAPS = "heat_maps.parquet"


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Plane coordinates of pairs; ``sar`` and ``optical`` are float32 (n, 2).

    ``index`` (n,) points into the patches; ``method`` is ``pca`` or ``umap``.
    """

    setup: Setup
    method: str
    index: NDArray[np.int64]
    sar: FloatArray
    optical: FloatArray


@dataclass(frozen=True, eq=False)
class HeatTable:
    """Mean cosines of blocks of SAR (rows) and optical (columns), (b, b).

    ``borders`` are the places, in blocks, where the next unit or cluster begins;
    ``order`` (n,) the patches in the order of the map before they were averaged,
    block b those from ``b * n // blocks`` on; empty in runs that did not keep it.
    """

    setup: Setup
    order_by: str
    values: FloatArray
    borders: NDArray[np.float64]
    order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def members(self, block: int) -> NDArray[np.int64]:
        """The patches that were averaged in a block; none where the run did not keep them."""
        count, blocks = len(self.order), len(self.values)
        return self.order[block * count // blocks : (block + 1) * count // blocks]


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
    grouped: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for line in _lines(run / _EMBEDDING):
        key = (line["extractor"], line["calibration"], line["method"])
        grouped.setdefault(key, []).append(line)
    return [
        EmbeddingTable(
            Setup(key[0], calibration=key[1]),
            key[2],
            np.array([line["index"] for line in lines], np.int64),
            np.array([[line["sar_x"], line["sar_y"]] for line in lines], np.float32),
            np.array([[line["optical_x"], line["optical_y"]] for line in lines], np.float32),
        )
        for key, lines in grouped.items()
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
                "members": [t.members(block) for block in range(len(t.values))],
            }
            for t in tables
        ],
    )


def read_heat_maps(run: Path) -> list[HeatTable]:
    """Read ``heat_maps.parquet``; nothing where the run has none."""
    grouped: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for line in _lines(run / _HEAT_MAPS):
        key = (line["extractor"], line["calibration"], line["order_by"])
        grouped.setdefault(key, []).append(line)
    return [
        HeatTable(
            Setup(key[0], calibration=key[1]),
            key[2],
            np.array([line["values"] for line in lines], np.float32),
            np.array(lines[0]["borders"], np.float64),
            np.array([i for line in lines for i in line.get("members", [])], np.int64),
        )
        for key, lines in grouped.items()
    ]


def _same(
    table: MatchTable | CurveTable | HistogramTable | EmbeddingTable | HeatTable,
    names: Sequence[str],
    count: int,
) -> dict[str, pa.Array]:
    """Columns that say the same on every line."""
    setup = table.setup
    values = {name: getattr(setup if hasattr(setup, name) else table, name) for name in names}
    return {name: pa.repeat(pa.scalar(value), count) for name, value in values.items()}


def _write(path: Path, parts: Sequence[dict[str, Any]]) -> None:
    if parts:
        write_table(path, pa.concat_tables([pa.table(part) for part in parts]))
    else:  # what an earlier run into the same folder left would be shown as this one's
        path.unlink(missing_ok=True)


def _lines(path: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = read_table(path).to_pylist() if path.is_file() else []
    return lines
