"""What all printed figures share: sizes, colours, files, and how a caption ends."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from crosslook.atomic import atomic_path, write_text
from crosslook.report.section import Results
from crosslook.types import Row
from crosslook.written import MARK, Recogniser, is_marked

COLUMN, PAGE = 3.46, 7.09
"""Inches of one column and of the text of an A4 page in two columns: 88 and 180 mm."""

PANELS = 20
"""Extractors side by side in one figure; more are continued in a second one."""

KINDS = ("pdf", "svg", "png")
DPI = 300
CAPTIONS = "figures/figures.md"

PLAIN, CALIBRATED = "#777777", "#0072B2"
SAR, OPTICAL = "#0072B2", "#D55E00"
"""Okabe and Ito; uncalibrated is drawn hollow or dashed too, so that grey suffices."""


@dataclass(frozen=True)
class PaperFigure:
    """One printed figure.

    Attributes
    ----------
    name : str
        Of its files, without the kind.
    caption : str
        What is seen, with gallery, chance, interval and settings.
    size : tuple of float
        Width and height in inches.
    draw : callable
        Draws on an empty matplotlib figure of that size.
    """

    name: str
    caption: str
    size: tuple[float, float]
    draw: Callable[[Any], None]


def figure_files(names: Iterable[str]) -> dict[str, Recogniser]:
    """The files of figures of these names below a run, and how each tells who wrote it."""
    paths = [f"figures/{name}.{kind}" for name in names for kind in KINDS]
    return dict.fromkeys([*paths, CAPTIONS], is_marked)


def write_paper_figures(run: Path, figures: Sequence[PaperFigure], heading: str) -> None:
    """Draw figures into ``figures/`` and their captions into ``figures/figures.md``.

    The same data give the same bytes. Figures of an earlier report of this run that are
    not among them go, unless something else wrote them.
    """
    import matplotlib as mpl

    own = figure_files(figure.name for figure in figures)
    for path in sorted((run / "figures").glob("*")):
        if f"figures/{path.name}" not in own and path.suffix[1:] in KINDS and is_marked(path):
            path.unlink()
    with as_file(files("crosslook.report.paper") / "crosslook.mplstyle") as style:
        rules = mpl.rc_params_from_file(style, use_default_template=False)
    with mpl.rc_context(rules):
        for figure in figures:
            _write(run / "figures", figure)
    lines = [f"<!-- {MARK} -->", f"# Figures of {heading}", ""]
    for number, figure in enumerate(figures, 1):
        width = "one column" if figure.size[0] == COLUMN else "the page"
        kinds = ", ".join(f"[{kind}]({figure.name}.{kind})" for kind in KINDS)
        lines += [f"## {figure.name}", "", f"![{figure.name}]({figure.name}.png)", "",
                  f"**Figure {number}.** {figure.caption}", "", f"{kinds}; as wide as {width}.",
                  ""]  # fmt: skip
    write_text(run / CAPTIONS, "\n".join(lines))


def _write(folder: Path, figure: PaperFigure) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    canvas = Figure(figsize=figure.size, layout="constrained")
    figure.draw(canvas)
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")  # laid out once, for all kinds
    # Each is asked directly: savefig would draw every figure twice.
    with atomic_path(folder / f"{figure.name}.pdf") as path:
        metadata = {"Creator": MARK, "Producer": MARK, "CreationDate": None}
        FigureCanvasPdf(canvas).print_pdf(path, metadata=metadata)
    with atomic_path(folder / f"{figure.name}.svg") as path:
        FigureCanvasSVG(canvas).print_svg(path, metadata={"Date": None, "Creator": MARK})
    canvas.dpi = DPI
    with atomic_path(folder / f"{figure.name}.png") as path:
        FigureCanvasAgg(canvas).print_png(path, metadata={"Software": MARK})


def slug(text: str) -> str:
    """A name of a file: ``sam2:side=64`` gives ``sam2-side-64``."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-") or "unnamed"


def paged(names: Sequence[str], base: str) -> list[tuple[str, list[str]]]:
    """Names of figures, each with the extractors that it shows."""
    parts = [list(names[at : at + PANELS]) for at in range(0, len(names), PANELS)]
    return [(base if not at else f"{base}-{at + 1}", part) for at, part in enumerate(parts)]


def grid_of(count: int, most: int = 5) -> tuple[int, int]:
    """Rows and columns of ``count`` panels, at most ``most`` beside each other, evenly filled."""
    rows = math.ceil(count / most)
    return rows, math.ceil(count / rows)


def errors(row: Row) -> tuple[float, float]:
    """Lengths of the bar below and above a value; 0 where there is no interval."""
    ends = (row.value - row.ci_low, row.ci_high - row.value)
    return tuple(max(0.0, end) if math.isfinite(end) else 0.0 for end in ends)  # type: ignore[return-value]


def dots(
    axes: Any,
    series: Sequence[tuple[str, Mapping[str, Row], str, bool]],
    names: Sequence[str],
) -> None:
    """A dot with its interval for each name and series, names from top to bottom.

    ``series`` holds label, row by name, colour, and whether the dot is filled.
    """
    step = 0.34 if len(series) > 1 else 0.0
    for at, (label, rows, colour, filled) in enumerate(series):
        shown = [(i, rows[n]) for i, n in enumerate(names) if n in rows]
        shown = [(i, row) for i, row in shown if math.isfinite(row.value)]
        y = [i + step * (at - (len(series) - 1) / 2) for i, _ in shown]
        bars = list(zip(*(errors(row) for _, row in shown), strict=True)) or None
        axes.errorbar(
            [row.value for _, row in shown], y, xerr=bars, fmt="o" if filled else "s",
            color=colour, mfc=colour if filled else "white", ms=3.5, lw=0.9, capsize=1.5,
            label=label,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


_ORDER = ("pairs", "non-pairs", "SAR", "optical", "uncalibrated")


def place_legend(canvas: Any, panels: Iterable[Any], columns: int, **how: Any) -> None:
    """One legend below all panels: what is uncalibrated first, chance last."""
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    rank = {label: at for at, label in enumerate((*_ORDER, *found))}
    labels = sorted(found, key=lambda label: (label == "chance", rank[label]))
    handles = [found[label] for label in labels]
    for count in range(columns, 0, -1):  # fewer beside each other where names are long
        legend = canvas.legend(handles, labels, loc="outside lower center", ncols=count, **how)
        if count == 1 or legend.get_window_extent().width <= canvas.bbox.width:
            return
        legend.remove()


def chance_line(axes: Any, value: float, *, vertical: bool = True, label: str = "chance") -> None:
    """A dotted line where guessing lies."""
    if math.isfinite(value):
        draw = axes.axvline if vertical else axes.axhline
        draw(value, color="#000000", lw=0.8, ls=":", label=label, zorder=1)


def printed(calibration: str) -> str:
    """A calibration as it is printed, where no text beside says that it is one."""
    return "uncalibrated" if calibration == "none" else f"calibrated ({calibration})"


def conditions(
    results: Results, rows: Sequence[Row] = (), *, chance: bool = True, intervals: bool = True
) -> str:
    """What a caption says last: the set, its size, chance, intervals, patches and seed.

    ``chance`` and ``intervals`` only where the figure has one chance level, and intervals.
    """
    record = results.record
    settings = record.get("settings", {})
    clusters = record.get("units", {})
    synthetic = " (synthetic data)" if record.get("synthetic") else ""
    parts = [f"Data set {record.get('dataset', '')}{synthetic}"]
    if "patch" in settings:
        parts.append(f"patches of {settings['patch']} px")
    if rows:
        row = rows[0]
        parts.append(f"{row.n_query} queries, gallery of {row.n_gallery}")
        if chance and math.isfinite(row.chance):
            parts.append(f"chance {row.chance:.4f}")
    count = f"{clusters['count']} {clusters['kind']}s" if clusters else ""
    if intervals:
        parts.append("intervals of 95 %" + (f" over {count}" if count else ""))
    elif count:
        parts.append(count)
    seeds = settings.get("seeds") or [settings.get("seed", 0)]
    parts.append(f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
    return "; ".join(parts) + "."
