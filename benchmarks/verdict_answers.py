"""The rows of evidence.py as answers: what is right, what a fit may see, and what counts as one.

One row is an alignment. An *answer* is what one search of one call comes to: its first match,
else its surest alignment. An *outcome* is what the call as a whole comes to.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crosslook.match.evidence import TERMS, VETOES, Evidence, Use, features, read_evidence
from crosslook.match.settings import Search
from crosslook.types import Array

RIGHT_PX, WRONG_PX = 5.0, 16.0
_FAILED = 900.0
_NOT_FINAL = 0.3  # what a row counts that was not the answer of its search
SEARCHES: tuple[Search, ...] = ("initial", "expanded", "requested", "atlas")
Flags = NDArray[np.bool_]
Names = NDArray[np.str_]
Rows = list[dict[str, str]]


def read_rows(files: list[Path]) -> Rows:
    """All rows with evidence whose error is known, each once."""
    seen: dict[tuple[str, ...], dict[str, str]] = {}
    for file in files:
        with file.open(newline="") as opened:
            for row in csv.DictReader(opened):
                seen[row["key"], row["search"], row["order"]] = row
    return [row for row in seen.values() if _is_known(row)]


def _is_known(row: dict[str, str]) -> bool:
    if float(row["inliers"] or 0) == 0 or row["search"] not in SEARCHES:
        return False
    # What was warped first and not taken has no transform of its own: who knows where it lies?
    unknown = row["warped"] == "1" and row["final"] == "0" and float(row["error"]) > _FAILED
    return not (unknown and row["kind"] != "wrong")


@dataclass(frozen=True, eq=False)
class Answers:
    """Rows as arrays, all of length n, in the order of calls, searches and starts."""

    rows: Rows

    @classmethod
    def read(cls, files: list[Path]) -> Answers:
        """Of CSVs of evidence.py."""
        order = {str(search): n for n, search in enumerate(SEARCHES)}
        rows = read_rows(files)
        return cls(sorted(rows, key=lambda r: (r["key"], order[r["search"]], int(r["order"]))))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def known(self) -> list[Evidence]:
        """The evidence of each."""
        names = {term.name for term in TERMS}
        return [read_evidence({k: v for k, v in row.items() if k in names}) for row in self.rows]

    def forms(self, use: Use) -> Array:
        """Shape (n, terms)."""
        return np.stack([features(one, use) for one in self.known])

    def named(self, column: str) -> Names:
        """A column of the table."""
        return np.array([row[column] for row in self.rows])

    @cached_property
    def error(self) -> Array:
        """Optical pixels; 999 of a wrong partner."""
        return self.named("error").astype(np.float64)

    @cached_property
    def right(self) -> Flags:
        """Within 5 px."""
        return np.asarray(self.error <= RIGHT_PX)

    @cached_property
    def wrong(self) -> Flags:
        """Another place; what lies between is of the right place, and not right."""
        return np.asarray(self.error > WRONG_PX)

    @cached_property
    def search(self) -> Names:
        """What looked for it."""
        return self.named("search")

    @cached_property
    def sensor(self) -> Names:
        """The sensor, also of images that were enlarged."""
        return np.array([row["source"].removesuffix(" enlarged") for row in self.rows])

    @cached_property
    def size(self) -> NDArray[np.int64]:
        """Side of the SAR image, pixels; between two usual sizes, the smaller."""
        usual = np.array([128, 160, 192, 256, 384, 512, 1024, 2048])
        side = self.named("side").astype(int)
        return usual[np.maximum(np.searchsorted(usual, side, side="right") - 1, 0)]

    @cached_property
    def fold(self) -> Names:
        """What is left out together: a sensor, or a region of Sentinel scenes."""
        pairs = zip(self.sensor, self.named("region"), strict=True)
        return np.array([f"sentinel {r}" if s == "sentinel" else s for s, r in pairs])

    def seen_without(self, fold: str) -> Flags:
        """What a fit may see that judges a fold: nothing of it, partners included."""
        other = np.array([f"sentinel {r['other']}" for r in self.rows])
        return np.asarray((self.fold != fold) & (other != fold))

    @cached_property
    def call(self) -> NDArray[np.int64]:
        """Number of the call that each belongs to."""
        return np.asarray(np.unique(self.named("key"), return_inverse=True)[1], np.int64)

    @cached_property
    def answer(self) -> NDArray[np.int64]:
        """Number of the search of a call that each belongs to."""
        both = np.array([f"{row['key']} {row['search']}" for row in self.rows])
        return np.asarray(np.unique(both, return_inverse=True)[1], np.int64)

    @cached_property
    def weight(self) -> Array:
        """Weights of a fit, 1 on average in each search.

        All rows of a sensor and size together count as the root of their number; what was not
        the answer counts less.
        """
        pairs = zip(self.search, self.sensor, self.size, strict=True)
        cell = np.array([f"{a} {b} {c}" for a, b, c in pairs])
        _, number, count = np.unique(cell, return_inverse=True, return_counts=True)
        weight = count[number] ** -0.5 * np.where(self.named("final") == "1", 1.0, _NOT_FINAL)
        for search in np.unique(self.search):
            weight[self.search == search] /= weight[self.search == search].mean()
        return np.asarray(weight, np.float64)

    @cached_property
    def vetoed(self) -> dict[str, Flags]:
        """By the name of each veto, where it holds."""
        return {v.name: np.array([v.holds(one) for one in self.known]) for v in VETOES}

    def subject_to(self, label: str) -> Flags:
        """Where a label is vetoed."""
        mine = [v.name for v in VETOES if label == "match" or not v.leaves_doubt]
        return np.asarray(np.any([self.vetoed[name] for name in mine], axis=0))
