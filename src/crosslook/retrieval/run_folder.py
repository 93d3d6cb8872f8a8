"""The files of a run folder, written and read in one place.

Every file is written whole. The Parquet files hold no time and are sorted, so
the same run gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from crosslook.types import MODALITIES, Direction, FloatArray, Indices, Patch, Row, Window


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

    ``borders`` are the places, in blocks, where the next cluster begins;
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
_SETUP = ("extractor", "pooling", "calibration", "scoring")


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
    _write(
        run / "matches.parquet",
        [
            {
                **_names(t.setup),
                "direction": t.direction,
                "query_index": t.query_index,
                "rank": t.rank,
                "top_indices": _lists(t.top_indices),
                "top_scores": _lists(t.top_scores),
                "partner_score": t.partner_score,
            }
            for t in tables
        ],
    )


def read_matches(run: Path) -> list[MatchTable]:
    """Read ``matches.parquet``."""
    return [
        MatchTable(
            setup,
            direction=name,  # type: ignore[arg-type]  # as it was written
            query_index=part["query_index"].to_numpy(),
            rank=part["rank"].to_numpy(),
            top_indices=_square(part["top_indices"]),
            top_scores=_square(part["top_scores"]),
            partner_score=part["partner_score"].to_numpy(),
        )
        for setup, name, part in _read(run / "matches.parquet")
    ]


def write_curves(run: Path, tables: Sequence[CurveTable]) -> None:
    """Write ``curves.parquet``: recall at every k."""
    _write(
        run / "curves.parquet",
        [
            {
                **_names(t.setup),
                "direction": t.direction,
                "k": np.arange(1, len(t.values) + 1),
                "value": t.values,
            }
            for t in tables
        ],
    )


def read_curves(run: Path) -> list[CurveTable]:
    """Read ``curves.parquet``."""
    return [
        CurveTable(setup, name, part["value"].to_numpy())  # type: ignore[arg-type]
        for setup, name, part in _read(run / "curves.parquet")
    ]


def write_histograms(run: Path, tables: Sequence[HistogramTable]) -> None:
    """Write ``histograms.parquet``: counts of pairs and non-pairs per bin."""
    _write(
        run / "histograms.parquet",
        [
            {
                **_names(t.setup),
                "low": t.edges[:-1],
                "high": t.edges[1:],
                "pairs": t.pairs,
                "non_pairs": t.non_pairs,
            }
            for t in tables
        ],
    )


def read_histograms(run: Path) -> list[HistogramTable]:
    """Read ``histograms.parquet``."""
    return [
        HistogramTable(
            setup,
            np.append(part["low"].to_numpy(), part["high"].to_numpy()[-1:]),
            part["pairs"].to_numpy(),
            part["non_pairs"].to_numpy(),
        )
        for setup, _, part in _read(run / "histograms.parquet")
    ]


def write_embeddings(run: Path, tables: Sequence[EmbeddingTable]) -> None:
    """Write ``embedding.parquet``, one line per pair of every embedding."""
    _write(
        run / "embedding.parquet",
        [
            {
                **_names(t.setup, "extractor", "calibration"),
                "method": t.method,
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
    return [
        EmbeddingTable(
            setup,
            method,
            part["index"].to_numpy(),
            *(
                np.column_stack([part[f"{side}_{axis}"].to_numpy() for axis in "xy"])
                for side in MODALITIES
            ),
        )
        for setup, method, part in _read(run / "embedding.parquet", needed=False)
    ]


def write_heat_maps(run: Path, tables: Sequence[HeatTable]) -> None:
    """Write ``heat_maps.parquet``, one line per row of blocks of every map."""
    _write(
        run / "heat_maps.parquet",
        [
            {
                **_names(t.setup, "extractor", "calibration"),
                "order_by": t.order_by,
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
    return [
        HeatTable(
            setup,
            order_by,
            _square(part["values"]),
            np.array(part["borders"][0].as_py(), np.float64),
            part["members"].combine_chunks().flatten().to_numpy()
            if "members" in part.column_names
            else np.empty(0, np.int64),
        )
        for setup, order_by, part in _read(run / "heat_maps.parquet", needed=False)
    ]


def _names(setup: Setup, *names: str) -> dict[str, str]:
    """Columns that name a setup; by default all that a table of comparisons has."""
    return {n: getattr(setup, n) for n in names or _SETUP}


def _write(path: Path, parts: Sequence[Mapping[str, Any]]) -> None:
    """Write parts as one table; what is text says the same on every line of its part."""
    if not parts:  # what an earlier run into the same folder left would be shown as this one's
        path.unlink(missing_ok=True)
        return
    tables = []
    for part in parts:
        count = next(len(values) for values in part.values() if not isinstance(values, str))
        columns = {
            name: pa.repeat(pa.scalar(values), count) if isinstance(values, str) else values
            for name, values in part.items()
        }
        tables.append(pa.table(columns))
    write_table(path, pa.concat_tables(tables))


def _read(path: Path, *, needed: bool = True) -> list[tuple[Setup, str, pa.Table]]:
    """The parts of a table: their setup, what else is text (a direction, a method), and the rest.

    A part ends where a column of text changes.
    """
    if not needed and not path.is_file():
        return []
    table = read_table(path)
    texts = [one.name for one in table.schema if pa.types.is_string(one.type)]
    changes = np.zeros(len(table), bool)
    changes[:1] = True
    for name in texts:
        codes = table[name].combine_chunks().dictionary_encode().indices.to_numpy()
        changes[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changes).tolist()
    parts = []
    for start, end in zip(starts, [*starts[1:], len(table)], strict=True):
        named = {name: table[name][start].as_py() for name in texts}
        known = {n: named.pop(n) for n in _SETUP if n in named}
        parts.append((Setup(**known), "".join(named.values()), table.slice(start, end - start)))
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
