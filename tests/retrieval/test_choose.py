"""A setup chosen where nothing is measured, and the row that stands for an extractor."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from crosslook.report.compare import compare_runs, print_comparison
from crosslook.report.tables import best_setups, headlines, write_latex
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.evaluate import choose_setup
from crosslook.retrieval.run_folder import MatchTable, write_patches, write_run
from crosslook.retrieval.setup import Setup
from crosslook.types import Patch, Row, Window

UNITS = tuple(f"u{i // 10}" for i in range(120))
FIT = np.arange(60)


def descriptors(shift: float, seed: int = 0) -> Descriptors:
    """Places seen by both sensors, moved apart by a shift that only a calibration removes."""
    rng = np.random.default_rng(seed)
    place, first, second = rng.normal(size=(3, 120, 16))
    # The shift is that of a busy place, so that uncalibrated all queries find it.
    sides = place + 0.6 * first + shift * rng.normal(size=16), place + 0.6 * second
    return Descriptors(Setup("hog", "flatten"), *(s.astype(np.float32) for s in sides))


def test_what_a_shift_needs_is_chosen_and_what_nothing_needs_is_not() -> None:
    tried = (("none", "center"), ("cosine",))
    assert choose_setup(descriptors(6.0), FIT, UNITS, *tried, 0) == ("center", "cosine")
    both = ("none", "none"), ("cosine",)
    assert choose_setup(descriptors(0.0), FIT, UNITS, *both, 0) == ("none", "cosine")


def test_the_measured_patches_do_not_matter() -> None:
    """Whatever is measured, the choice stays: it is made on the calibration units alone."""
    first = descriptors(6.0)
    other = Descriptors(Setup("hog", "flatten"), first.sar.copy(), first.optical.copy())
    other.sar[60:] = np.random.default_rng(5).normal(size=(60, 16))
    how = ("none", "center", "standardize", "whiten"), ("cosine", "csls"), 0
    assert choose_setup(first, FIT, UNITS, *how) == choose_setup(other, FIT, UNITS, *how)


def test_one_setup_is_no_choice_and_one_unit_allows_none() -> None:
    d = descriptors(1.0)
    assert choose_setup(d, FIT, UNITS, ("whiten",), ("csls",), 0) == ("whiten", "csls")
    assert choose_setup(d, FIT[:10], UNITS, ("none", "center"), ("cosine",), 0) is None


def row(calibration: str, scoring: str, value: float, extractor: str = "hog") -> Row:
    pooling = "fusion (equal)" if "+" in extractor else "flatten"
    head = ("set", extractor, "r", pooling, calibration, scoring, "held-out", "retrieval")
    return Row(*head, "sar->optical", "recall", 1, value, value - 0.1, value + 0.05, 80, 80, 0.0125)


ROWS = [
    row("none", "cosine", 0.4), row("whiten", "csls", 0.93), row("center", "cosine", 0.88),
    row("chosen", "chosen", 0.88), row("standardize", "csls", 0.9, "hog+raw"),
]  # fmt: skip
RECORD = {
    "splits": [
        {"split": "held-out", "seed": 0,
         "chosen": {"hog": {"pooling": "flatten", "calibration": "center", "scoring": "cosine"}}}
    ]
}  # fmt: skip


def test_the_chosen_row_stands_and_the_best_of_all_is_marked(tmp_path: Path) -> None:
    fused, hog = headlines(ROWS, RECORD)
    assert (fused.name, fused.row.value, fused.optimistic) == (
        "hog+raw, fusion (equal)",
        0.9,
        False,
    )
    assert (hog.row.value, hog.how, hog.optimistic) == (0.88, "center, cosine", False)
    assert hog.setup.calibration == "center"
    assert best_setups(ROWS)[0].calibration == "whiten"
    write_latex(tmp_path, ROWS, RECORD)
    lines = (tmp_path / "rows.tex").read_text().splitlines()
    (chosen,) = [line for line in lines if "center, cosine" in line]
    (best,) = [line for line in lines if "whiten" in line]
    assert r"\dagger" in best
    assert r"\dagger" not in chosen
    assert any("best of all on these queries" in line for line in lines)


def test_without_a_choice_the_best_of_all_is_marked_as_such() -> None:
    (hog,) = headlines(ROWS[:3], {})
    assert hog.optimistic
    assert hog.row.value == 0.93


def run(folder: Path, ranks: dict[str, NDArray[np.int64]], measured: NDArray[np.int64]) -> Path:
    """A run folder whose extractor has ranks by calibration, and chose ``center``."""
    patches = [Patch(f"s{i}/0_0", f"s{i}", f"g{i // 5}", Window(0, 0, 8, 8)) for i in range(50)]
    write_patches(folder, patches)
    top = measured[:, None]
    tables = [
        MatchTable(Setup("hog", "flatten", name), "sar->optical", measured, rank, top,
                   np.ones((len(rank), 1), np.float32), np.ones(len(rank), np.float32))
        for name, rank in ranks.items()
    ]  # fmt: skip
    MatchTable.write(folder, tables)
    write_run(folder, RECORD | {"settings": {"split_by": "auto"}})
    return folder


def test_compare_takes_the_chosen_row_not_the_best_one(tmp_path: Path) -> None:
    measured, ones = np.arange(50), np.ones(50, np.int64)
    half = np.where(np.arange(50) % 2, 1, 9)
    first = run(tmp_path / "a", {"center": half, "whiten": ones}, measured)
    second = run(tmp_path / "b", {"center": ones, "whiten": half}, measured)
    (comparison,) = compare_runs([first, second])
    print_comparison([first, second], tmp_path / "both.csv", console=Console(file=StringIO()))
    with (tmp_path / "both.csv").open(newline="") as file:
        assert "significant" in next(csv.reader(file))
    assert "center" in comparison.first
    assert comparison.difference.value == pytest.approx(0.5)
    assert comparison.significant
    assert comparison.same_gallery


def test_other_galleries_are_marked_and_nothing_is_significant(tmp_path: Path) -> None:
    first = run(tmp_path / "a", {"center": np.full(50, 9)}, np.arange(50))
    second = run(tmp_path / "b", {"center": np.ones(30, np.int64)}, np.arange(30))
    (comparison,) = compare_runs([first, second])
    assert comparison.difference.low > 0
    assert comparison.galleries == (50, 30)
    assert not comparison.same_gallery
    assert not comparison.significant
