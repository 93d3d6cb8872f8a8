"""Small figures of a page as SVG; their colours are classes of its style sheet."""

from __future__ import annotations

import numpy as np

from crosslook.types import Array

_WIDTH, _HEIGHT, _FOOT = 400, 190, 22
_BINS = 48
_DISTANCES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def histogram(before: Array, after: Array) -> str:
    """Displacements in pixels before and after, as two histograms on one axis."""
    both = np.concatenate([before, after, [-1.0, 1.0]])
    most = max(1.0, float(np.ceil(np.quantile(np.abs(both), 0.995))))
    edges = np.linspace(-most, most, _BINS + 1)
    counts = [np.histogram(np.clip(part, -most, most), edges)[0] for part in (before, after)]
    tallest = max(1, *(int(one.max()) for one in counts))
    parts = [_bars(one / tallest, name) for one, name in zip(counts, _NAMES, strict=True)]
    step = most / 2
    marks = [(0.5 + k * step / (2 * most), f"{k * step:+.3g}" if k else "0") for k in range(-2, 3)]
    return _svg("".join(parts), marks, "px", "Histogram of displacements before and after")


_NAMES = ("before", "after")


def _bars(heights: Array, name: str) -> str:
    width, room = _WIDTH / len(heights), _HEIGHT - _FOOT - 8
    bars = "".join(
        f"M{k * width:.1f} {_HEIGHT - _FOOT}v{-room * h:.1f}h{width - 0.6:.1f}v{room * h:.1f}z"
        for k, h in enumerate(heights)
        if h > 0
    )
    return f'<path class="{name}" d="{bars}"/>'


def cumulative(before: Array, after: Array) -> str:
    """Fractions of tie points within a distance, before and after; the distance is logarithmic."""
    low, high = np.log(_DISTANCES[0]), np.log(_DISTANCES[-1])
    at = np.linspace(low, high, 81)
    room = _HEIGHT - _FOOT - 8
    lines = []
    for part, name in zip((before, after), _NAMES, strict=True):
        if not len(part):
            continue
        fraction = np.searchsorted(np.sort(part), np.exp(at), side="right") / len(part)
        path = "L".join(
            f"{(x - low) / (high - low) * _WIDTH:.1f} {_HEIGHT - _FOOT - room * y:.1f}"
            for x, y in zip(at, fraction, strict=True)
        )
        lines.append(f'<path class="line {name}" d="M{path}"/>')
    half = _HEIGHT - _FOOT - room / 2
    guide = f'<path class="axis" d="M0 {half}h{_WIDTH}M0 {_HEIGHT - _FOOT - room}h{_WIDTH}"/>'
    guide += f'<text x="2" y="{half - 4}">50 %</text>'
    marks = [((np.log(d) - low) / (high - low), f"{d:g}") for d in _DISTANCES]
    return _svg(guide + "".join(lines), marks, "px", "Fraction of tie points within a distance")


def _svg(inside: str, marks: list[tuple[float, str]], unit: str, words: str) -> str:
    """A figure with an axis below; ``marks`` are places, 0..1, with their text."""
    ticks = []
    for place, text in marks:
        anchor = "start" if place < 0.02 else "end" if place > 0.98 else "middle"
        shown = f"{text} {unit}" if place > 0.98 else text
        x = place * _WIDTH
        ticks.append(f'<text x="{x:.1f}" y="{_HEIGHT - 5}" text-anchor="{anchor}">{shown}</text>')
    axis = f'<path class="axis" d="M0 {_HEIGHT - _FOOT}h{_WIDTH}"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{words}">'
        f"{inside}{axis}{''.join(ticks)}</svg>"
    )
