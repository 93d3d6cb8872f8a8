"""The files of a run folder, written and read in one place.

Every file is written whole. The Parquet files hold no time and are sorted, so
the same run gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from crosslook.atomic import atomic_path, write_text
from crosslook.errors import InputError, StoreError
from crosslook.json_text import json_object
from crosslook.retrieval.setup import Setup
from crosslook.types import MODALITIES, Direction, FloatArray, Indices, Patch, Row, Window

_SETUP = ("extractor", "pooling", "calibration", "scoring")


@dataclass(frozen=True, eq=False)
class SetupTable:
    """What a file of the run has of one setup: some of its lines.

    Attributes
    ----------
    setup : Setup
    FILE : str
        The file of the run folder that all tables of a kind are written to.
    OPTIONAL : bool
        Whether a run may have none.
    NAMES : tuple of str
        Columns that name the setup.
    """

    setup: Setup

    FILE: ClassVar[str]
    OPTIONAL: ClassVar[bool] = False
    NAMES: ClassVar[tuple[str, ...]] = _SETUP

    def columns(self) -> dict[str, Any]:
        """Its columns; what is text says the same on every line."""
        raise NotImplementedError

    @classmethod
    def from_part(cls, setup: Setup, text: str, part: pa.Table) -> Self:
        """Read it: its setup, what else is text (a direction, a method), and the rest."""
        raise NotImplementedError

    @classmethod
    def write(cls, run: Path, tables: Sequence[Self]) -> None:
        """Write the tables of this kind into one file; without any it is removed."""
        path = run / cls.FILE
        if not tables:  # what an earlier run into the same folder left would be shown as this one's
            path.unlink(missing_ok=True)
            return
        parts = []
        for table in tables:
            own = {n: getattr(table.setup, n) for n in cls.NAMES} | table.columns()
            count = next(len(values) for values in own.values() if not isinstance(values, str))
            columns = {
                name: pa.repeat(pa.scalar(values), count) if isinstance(values, str) else values
                for name, values in own.items()
            }
            parts.append(pa.table(columns))
        write_table(path, pa.concat_tables(parts))

    @classmethod
    def read(cls, run: Path) -> list[Self]:
        """Read all tables of this kind; one ends where a column of text changes."""
        path = run / cls.FILE
        if cls.OPTIONAL and not path.is_file():
            return []
        table = read_table(path)
        texts = [one.name for one in table.schema if pa.types.is_string(one.type)]
        changes = np.zeros(len(table), bool)
        changes[:1] = True
        for name in texts:
            codes = table[name].combine_chunks().dictionary_encode().indices.to_numpy()
            changes[1:] |= codes[1:] != codes[:-1]
        tables = []
        for start, end in pairwise([*np.flatnonzero(changes).tolist(), len(table)]):
            named = {name: table[name][start].as_py() for name in texts}
            setup = Setup(**{n: named.pop(n) for n in _SETUP if n in named})
            part = table.slice(start, end - start)
            tables.append(cls.from_part(setup, "".join(named.values()), part))
        return tables


@dataclass(frozen=True, eq=False)
class MatchTable(SetupTable):
    """The rank of every query's partner; indices point into the patches."""

    FILE = "matches.parquet"
    direction: Direction
    query_index: Indices
    rank: Indices
    top_indices: Indices
    top_scores: FloatArray
    partner_score: FloatArray

    def columns(self) -> dict[str, Any]:
        """One line per query."""
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "setup"}
        return {n: _lists(v) if n.startswith("top_") else v for n, v in own.items()}

    @classmethod
    def from_part(cls, setup: Setup, text: str, part: pa.Table) -> Self:
        """The arrays of the lines."""
        own = {
            name: _square(part[name]) if name.startswith("top_") else part[name].to_numpy()
            for name in ("query_index", "rank", "top_indices", "top_scores", "partner_score")
        }
        return cls(setup, text, **own)  # type: ignore[arg-type]  # as it was written


@dataclass(frozen=True, eq=False)
class CurveTable(SetupTable):
    """A cumulative match curve: ``values[k - 1]`` is recall at k."""

    FILE = "curves.parquet"
    direction: Direction
    values: NDArray[np.float64]

    def columns(self) -> dict[str, Any]:
        """One line per k."""
        ks = np.arange(1, len(self.values) + 1)
        return {"direction": self.direction, "k": ks, "value": self.values}

    @classmethod
    def from_part(cls, setup: Setup, text: str, part: pa.Table) -> Self:
        """The values by k."""
        return cls(setup, text, part["value"].to_numpy())  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class HistogramTable(SetupTable):
    """Counts of the cosines of pairs and of non-pairs over the same bins."""

    FILE = "histograms.parquet"
    edges: NDArray[np.float64]
    pairs: Indices
    non_pairs: Indices

    def columns(self) -> dict[str, Any]:
        """One line per bin."""
        ends = {"low": self.edges[:-1], "high": self.edges[1:]}
        return ends | {"pairs": self.pairs, "non_pairs": self.non_pairs}

    @classmethod
    def from_part(cls, setup: Setup, text: str, part: pa.Table) -> Self:
        """The edges and counts."""
        low, high, *counts = (part[n].to_numpy() for n in ("low", "high", "pairs", "non_pairs"))
        return cls(setup, np.append(low, high[-1:]), *counts)


@dataclass(frozen=True, eq=False)
class EmbeddingTable(SetupTable):
    """Plane coordinates of pairs; ``sar`` and ``optical`` are float32 (n, 2).

    ``index`` (n,) points into the patches; ``method`` is ``pca`` or ``umap``.
    """

    FILE = "embedding.parquet"
    OPTIONAL = True
    NAMES = ("extractor", "calibration")
    method: str
    index: NDArray[np.int64]
    sar: FloatArray
    optical: FloatArray

    def columns(self) -> dict[str, Any]:
        """One line per pair."""
        sides = {
            f"{side}_{axis}": getattr(self, side)[:, at]
            for side in MODALITIES
            for at, axis in enumerate("xy")
        }
        return {"method": self.method, "index": self.index, **sides}

    @classmethod
    def from_part(cls, setup: Setup, text: str, part: pa.Table) -> Self:
        """The coordinates by side."""
        sides = (np.column_stack([part[f"{m}_{axis}"] for axis in "xy"]) for m in MODALITIES)
        return cls(setup, text, part["index"].to_numpy(), *sides)


@dataclass(frozen=True, eq=False)
class HeatTable(SetupTable):
    """Mean cosines of blocks of SAR (rows) and optical (columns), (b, b).

    ``borders`` are the places, in blocks, where the next cluster begins;
    ``order`` (n,) the patches in the order of the map before they were averaged,
    block b those from ``b * n // blocks`` on; empty in runs that did not keep it.
    """

    FILE = "heat_maps.parquet"
    OPTIONAL = True
    NAMES = ("extractor", "calibration")
    order_by: str
    values: FloatArray
    borders: NDArray[np.float64]
    order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def members(self, block: int) -> NDArray[np.int64]:
        """The patches that were averaged in a block; none where the run did not keep them."""
        count, blocks = len(self.order), len(self.values)
        return self.order[block * count // blocks : (block + 1) * count // blocks]

    def columns(self) -> dict[str, Any]:
        """One line per row of blocks."""
        blocks = len(self.values)
        return {
            "order_by": self.order_by,
            "block": np.arange(blocks),
            "values": list(self.values),
            "borders": [self.borders] * blocks,
            "members": [self.members(block) for block in range(blocks)],
        }

    @classmethod
    def from_part(cls, setup: Setup, text: str, part: pa.Table) -> Self:
        """The blocks, and which patches were averaged in each."""
        borders = np.array(part["borders"][0].as_py(), np.float64)
        kept = "members" in part.column_names
        order = [part["members"].combine_chunks().flatten().to_numpy()] if kept else []
        return cls(setup, text, _square(part["values"]), borders, *order)


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
