"""Draw the dot plots of ``docs/evidence.md`` from the tables of that page.

python tools/evidence_plots.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from textwrap import fill
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
_VALUE = re.compile(r"(\d\.\d+)(?: \((\d\.?\d*)-(\d\.?\d*)\))?")


@dataclass(frozen=True)
class Dot:
    """One measured fraction: the row and column of its table, value and interval."""

    row: str
    column: str
    value: float
    low: float | None
    high: float | None


def read_table(text: str, after: str) -> list[Dot]:
    """The fractions of the first table behind a line of the page, row by row.

    Raises
    ------
    ValueError
        If the page has no such line or no table behind it.
    """
    lines = iter(text[text.index(after) :].splitlines())
    table: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip().replace("*", "").replace("`", "")
                          for cell in line.strip("|").split("|")])  # fmt: skip
        elif table:
            break
    head, _, *rows = table
    dots = []
    for cells in rows:
        for column, cell in zip(head[1:], cells[1:], strict=True):
            if (found := _VALUE.match(cell)) and "px" not in cell:
                value, low, high = found.groups()
                ends = (None, None) if low is None else (float(low), float(high))
                dots.append(Dot(cells[0], column, float(value), *ends))
    return dots


def main() -> None:
    """Draw both plots as SVG."""
    text = (DOCS / "evidence.md").read_text(encoding="utf-8")
    registration = [
        dot for dot in read_table(text, "**All cases.**") if dot.column in ("within 2 px", "5 px")
    ]
    draw(
        registration,
        {"within 2 px": "within 2 px", "5 px": "within 5 px"},
        "fraction of 60 cases",
        DOCS / "images" / "evidence-registration.svg",
    )
    retrieval = read_table(text, "**The same set over ten splits**")
    draw(
        retrieval,
        {"uncalibrated": "uncalibrated", "calibrated": "calibrated"},
        "recall at 1, gallery 592 (dotted: chance)",
        DOCS / "images" / "evidence-retrieval.svg",
        chance=0.0017,
    )


def draw(
    dots: Sequence[Dot],
    columns: dict[str, str],
    label: str,
    path: Path,
    chance: float | None = None,
) -> None:
    """A dot with its interval per row and column, the first column hollow."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(dot.row for dot in dots))
    with as_file(files("crosslook.report.paper") / "crosslook.mplstyle") as style:
        rules = mpl.rc_params_from_file(style, use_default_template=False)
    with mpl.rc_context({**rules, "figure.facecolor": "white"}):
        canvas: Any = Figure(figsize=(6.4, 0.36 * len(names) + 0.9), layout="constrained")
        axes = canvas.subplots()
        for at, (column, words) in enumerate(columns.items()):
            own = [dot for dot in dots if dot.column == column]
            y = [names.index(dot.row) + 0.26 * (at - 0.5) for dot in own]
            below = [dot.value - dot.low if dot.low is not None else 0 for dot in own]
            above = [dot.high - dot.value if dot.high is not None else 0 for dot in own]
            colour = ("#777777", "#0072B2")[at]
            axes.errorbar(
                [dot.value for dot in own], y, xerr=[below, above], fmt=("s", "o")[at],
                color=colour, mfc=colour if at else "white", ms=4, lw=1, capsize=2, label=words,
            )  # fmt: skip
        if chance is not None:
            axes.axvline(chance, color="#000000", lw=0.8, ls=":")
        axes.set_yticks(range(len(names)), [fill(name, 36) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(label)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        canvas.legend(loc="outside upper center", ncols=2)
        FigureCanvasSVG(canvas).print_svg(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
