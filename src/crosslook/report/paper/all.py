"""All printed figures of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from crosslook.report.paper.curves import curve_figures
from crosslook.report.paper.gap import gap_figures
from crosslook.report.paper.retrieval import retrieval_figures
from crosslook.report.paper.structure import structure_figures
from crosslook.report.paper.style import PaperFigure
from crosslook.report.paper.two_stage import two_stage_figures
from crosslook.report.section import Results


def paper_figures(results: Results) -> list[PaperFigure]:
    """Every figure that the run has something for, each under a name of its own."""
    figures = [
        *gap_figures(results),
        *retrieval_figures(results),
        *curve_figures(results),
        *structure_figures(results),
        *two_stage_figures(results),
    ]
    seen: Counter[str] = Counter()
    unique = []
    for figure in figures:  # a:b and a-b give one name of a file
        seen[figure.name] += 1
        count = seen[figure.name]
        unique.append(figure if count == 1 else replace(figure, name=f"{figure.name}-v{count}"))
    return unique
