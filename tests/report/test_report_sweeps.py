"""One table and one figure for a model that was read at several depths."""

from __future__ import annotations

from pathlib import Path

from crosslook.report.retrieval import find_sweeps, sweep_section
from crosslook.report.section import Results
from crosslook.types import Row


def rows_of(spec: str, recall: float, distance: float) -> list[Row]:
    def row(calibration: str, scoring: str, measure: str, metric: str, value: float) -> Row:
        direction, k = ("sar->optical", 1) if measure == "retrieval" else ("", 0)
        head = ("set", spec, "r", "flatten", calibration, scoring, "held-out", measure)
        low, high = value - 0.1, value + 0.05
        return Row(*head, direction, metric, k, value, low, high, 80, 80, 0.0125)

    return [
        row("none", "cosine", "retrieval", "recall", recall / 2),
        row("chosen", "chosen", "retrieval", "recall", recall),
        row("none", "cosine", "gap", "pair-distance", distance),
    ]


def test_depths_of_one_model_stand_together() -> None:
    specs = [
        "dinov2:layer=10", "dinov2:layer=2", "sd-unet:t=0,block=0", "sd-unet:t=0,block=1",
        "sd-unet:t=50,block=0", "sam2:level=4", "hog:cell=8", "hog", "dinov2",
        "dinov2:layer=2+hog", "untrained:dinov2:layer=2",
    ]  # fmt: skip
    sweeps = find_sweeps(specs)
    assert list(sweeps) == ["dinov2", "sd-unet"]  # one level of sam2 is no sweep, cells are none
    assert [one.value for one in sweeps["dinov2"]] == [2, 10]
    unet = [(one.others, one.value) for one in sweeps["sd-unet"]]
    assert unet == [("t=0", 0), ("t=0", 1), ("t=50", 0)]


def test_the_section_draws_recall_and_gap_against_depth() -> None:
    values = {"dinov2:layer=1": (0.4, 0.3), "dinov2:layer=2": (0.7, 0.5), "hog": (0.9, 0.2)}
    rows = [row for spec, pair in values.items() for row in rows_of(spec, *pair)]
    [section] = sweep_section(Results(Path(), rows, {"splits": []}))
    drawn, table = section.parts
    assert drawn.figure is not None
    recall, gap = drawn.figure["data"]
    assert (recall["x"], recall["y"]) == ([1, 2], [0.4, 0.7])
    assert (gap["x"], gap["y"]) == ([1, 2], [0.3, 0.5])
    assert recall["line"]["dash"] == "solid"
    assert gap["line"]["dash"] == "dot"
    assert table.table is not None
    assert table.table.lines[0] == [
        "–", "1", "0.400", "0.300 to 0.450", "0.200", "0.100 to 0.250", "0.300", "0.200 to 0.350",
    ]  # fmt: skip
    assert len(table.table.lines) == 2
    assert sweep_section(Results(Path(), rows_of("hog", 0.9, 0.2), {})) == []
