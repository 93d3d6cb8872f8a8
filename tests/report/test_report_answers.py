"""The first screen of a report: three questions and the advice, in sentences with figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crosslook.report.answers import answers
from crosslook.report.html import _headline
from crosslook.report.retrieval import recall_dots
from crosslook.report.section import Results, all_rows
from crosslook.report.structure import separability_charts
from crosslook.report.tables import BEST
from crosslook.types import Row
from tests.report.test_paper_figures import NAMES, RECORD, content, row


def rows() -> list[Row]:
    pair = "sam2:side=64+hog"
    more = [
        row("raw", "gap", "pair-auroc", 0, 0.55, direction="", chance=0.5),
        row("raw", "structure", "kmeans-ari/modality", 0, 0.1, direction=""),
        row("hog", "structure", "fisher-ratio", 0, 2.5, direction=""),
    ]
    for k in (5, 10):
        values = {"gain-over-fine-alone": -0.1, "gain-over-coarse-alone": 0.2}
        more += [
            replace(row(pair, "two-stage", name, k, value), ci_high=value + 0.02)
            for name, value in values.items()
        ]
    return [*content(), *more]


def test_each_question_is_answered_in_a_sentence_with_figures() -> None:
    found = answers(Results(Path(), rows(), RECORD))
    assert [one.section for one in found] == ["gap", "retrieval", "structure", "two-stage"]
    gap, retrieval, structure, advice = (one.text for one in found)
    assert gap.startswith("raw brings pairs closest: their mean cosine distance is 0.200 (0.160")
    assert "AUROC of 0.550" in gap
    assert "sam2:side=64 finds 0.300 (0.260 to 0.360) of the partners at rank 1" in retrieval
    assert "raw, the closest, finds 0.100" in retrieval
    assert "chance 0.0250" in retrieval
    assert "hog separates places best: Fisher's ratio is 2.500" in structure
    assert "not what discriminates best" in structure
    assert "It does not pay. Difference in recall: against hog alone -0.100" in advice


def test_what_intervals_leave_open_is_not_decided() -> None:
    def answer(mixed: dict[str, float], ratio: dict[str, float]) -> str:
        own = [row(n, "structure", "kmeans-ari/modality", 0, v) for n, v in mixed.items()]
        own += [row(n, "structure", "fisher-ratio", 0, v) for n, v in ratio.items()]
        (one,) = answers(Results(Path(), own, RECORD))
        return one.text.rpartition(". ")[2]

    one, other, undecided = "One extractor does both.", "What ignores the sensor most", "Intervals"
    assert answer({"raw": 0.1, "hog": 0.5}, {"raw": 2.5, "hog": 1.4}) == one
    assert answer({"raw": 0.1, "hog": 0.5}, {"raw": 1.4, "hog": 2.5}).startswith(other)
    assert answer({"raw": 0.1, "hog": 0.15}, {"raw": 1.4, "hog": 2.5}).startswith(undecided)
    assert answer({"raw": 0.1, "hog": 0.5}, {"raw": 2.5, "hog": 2.45}).startswith(undecided)
    # What could not be measured is the least of nothing.
    assert answer({"raw": 0.1, "hog": float("nan")}, {"raw": 2.5, "hog": 1.4}) == one


def test_a_setup_picked_on_the_measured_queries_is_marked() -> None:
    kinds = {"none": 0.1, "standardize": 0.4}
    own = [row("raw", "retrieval", "recall", 1, v, calibration=c) for c, v in kinds.items()]
    picked = Results(Path(), own, RECORD)
    text = answers(picked)[0].text
    assert f"0.400 (0.360 to 0.460) of the partners at rank 1 calibrated ({BEST})" in text
    assert BEST in recall_dots(picked).text


def test_uncalibrated_recall_is_not_shown_as_calibrated() -> None:
    plain = Results(Path(), [row("raw", "retrieval", "recall", 1, 0.1)], RECORD)
    (line,) = _headline(plain).lines
    assert line[1:6] == ["0.100", "0.060 to 0.160", "–", "", "uncalibrated"]
    assert answers(plain)[0].text.startswith("raw finds 0.100 (0.060 to 0.160) of the partners at "
                                             "rank 1 uncalibrated, among")  # fmt: skip
    figure = recall_dots(plain).figure
    assert figure is not None
    traces = {t["name"]: t["x"] for t in figure["data"]}
    assert traces["uncalibrated"] == [0.1]
    assert traces["calibrated"] == []


def test_a_run_without_a_measure_leaves_its_question_out() -> None:
    few = [one for one in rows() if one.measure in ("gap", "retrieval")]
    assert [one.section for one in answers(Results(Path(), few, RECORD))] == ["gap", "retrieval"]
    assert answers(Results(Path(), [], RECORD)) == []


def test_the_headline_has_the_order_asked_for_and_the_uncalibrated_first() -> None:
    table = _headline(Results(Path(), rows(), RECORD))
    assert [line[0] for line in table.lines] == list(NAMES)
    assert table.columns.index("uncalibrated") < table.columns.index("calibrated")
    assert set(table.hints) <= set(table.columns)


def test_charts_show_chance_and_intervals_beside_each_other() -> None:
    head, *charts = separability_charts(Results(Path(), rows(), RECORD))
    assert head.title == "Clustering and separability"
    assert len(charts) == 2
    for chart in charts:
        assert chart.small
        assert chart.figure is not None
        names = [trace["name"] for trace in chart.figure["data"]]
        assert names == ["uncalibrated", "standardize", "chance"]
        assert all("error_x" in trace for trace in chart.figure["data"][:2])
    assert all_rows("structure", rows()).folded
