"""What a verdict is worth on answers that its fit has not seen: tables and a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from crosslook.match.evidence import VETOES
from crosslook.match.settings import Search
from crosslook.types import Array
from verdict_answers import SEARCHES, WRONG_PX, Answers, Flags

BINS = tuple(pairwise([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0]))
_STEP = 0.01
NAMES = {"atlas": "`locate`"}
SENSORS = {
    "sentinel": "Sentinel-1, 10 m",
    "SEN": "Sentinel-1 of `sensors`",
    "Redarsat": "Radarsat-2",
    "GF3": "GF-3",
    "terramind": "Sentinel-1 RTC (`terramind`)",
}


@dataclass(frozen=True, eq=False)
class Judged:
    """Answers, how probable each is to be right, and from where it is called so.

    Attributes
    ----------
    answers : Answers
    sure : array (n,)
        Before any veto.
    thresholds : dict
        ``match`` and ``uncertain`` of each search.
    """

    answers: Answers
    sure: Array
    thresholds: dict[Search, tuple[float, float]]

    @cached_property
    def raw(self) -> NDArray[np.int64]:
        """2 for ``match``, 1 for ``uncertain``, 0 for ``no match``, before any veto."""
        pairs = np.array([self.thresholds[s] for s in self.answers.search])
        return np.asarray((self.sure[:, None] >= pairs).sum(axis=1), np.int64)

    @cached_property
    def lowered(self) -> Flags:
        """Where a veto takes a step away."""
        match, doubt = (self.answers.subject_to(label) for label in ("match", "uncertain"))
        return np.asarray(((self.raw == 2) & match) | ((self.raw == 1) & doubt))

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """The same numbers after vetoes."""
        return np.asarray(self.raw - self.lowered, np.int64)

    @property
    def called(self) -> Flags:
        """What is called a match."""
        return np.asarray(self.label == 2)

    def caps(self, search: Search) -> dict[str, float]:
        """The confidence that vetoes leave: the fraction that was right, within the lower label."""
        match, uncertain = self.thresholds[search]
        out = {}
        for name, raw, low, high in (
            ("match", 2, uncertain, match - _STEP),
            ("uncertain", 1, 0.0, uncertain - _STEP),
        ):
            mine = self.lowered & (self.raw == raw) & (self.answers.search == search)
            hits, count = self.answers.right[mine].sum(), mine.sum()
            out[name] = round(float(np.clip((hits + 1) / (count + 2), low, high)), 3)
        return out

    @cached_property
    def confidence(self) -> Array:
        """After vetoes."""
        out = self.sure.copy()
        for search in SEARCHES:
            caps = self.caps(search)
            for name, raw in (("match", 2), ("uncertain", 1)):
                mine = self.lowered & (self.raw == raw) & (self.answers.search == search)
                out[mine] = np.minimum(out[mine], caps[name])
        return out

    @cached_property
    def is_answer(self) -> Flags:
        """The first match of each search of a call, else its surest alignment."""
        return self._one_of(self.answers.answer)

    @cached_property
    def is_outcome(self) -> Flags:
        """The same of each call: a later search counts where an earlier one had no match."""
        return self._one_of(self.answers.call)

    def _one_of(self, group: NDArray[np.int64]) -> Flags:
        taken: dict[int, int] = {}
        for n, number in enumerate(group):
            old = taken.get(number)
            surer = old is None or self.called[n] or self.confidence[n] > self.confidence[old]
            if old is None or (surer and not self.called[old]):
                taken[number] = n
        out = np.zeros(len(group), np.bool_)
        out[list(taken.values())] = True
        return out


def fraction(hits: Flags) -> str:
    """A fraction with its interval, or counts where there are few."""
    count, found = len(hits), int(hits.sum())
    if not count:
        return "-"
    low, high = binomtest(found, count).proportion_ci(method="wilson")
    if found in (0, count) or count < 30:
        return f"{found} of {count} ({low:.3f}-{high:.3f})"
    digits = 4 if found / count < 0.01 else 3
    return f"{found / count:.{digits}f} ({low:.{digits}f}-{high:.{digits}f}), n = {count}"


def table(head: Sequence[str], lines: Iterator[Sequence[str]]) -> str:
    """Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def named(search: str) -> str:
    """As the page writes it."""
    return NAMES.get(search, search)


WORTH = (
    "right answers called `match`",
    "wrong places called `match`",
    "wrong places called `uncertain`",
    "5 to 16 px off, called `match`",
)


def worth(judged: Judged, mine: Flags) -> list[str]:
    """The figures of :data:`WORTH` over some answers."""
    right, wrong = judged.answers.right, judged.answers.wrong
    return [
        fraction(judged.called[mine & right]),
        fraction(judged.called[mine & wrong]),
        fraction((judged.label == 1)[mine & wrong]),
        fraction(judged.called[mine & ~right & ~wrong]),
    ]


def report(judged: Judged, within: dict[str, Array], doubtful: Sequence[str]) -> str:
    """All tables of the page."""
    answers = judged.answers
    clear = ~np.isin(answers.named("key"), doubtful)
    total = f"{len(answers):,} alignments, {int(judged.is_answer.sum()):,} answers, "
    total += f"{len(np.unique(answers.call)):,} calls; "
    total += f"{int((judged.is_answer & ~clear).sum())} answers of doubtful alignments"
    reliable = ("search", "confidence", "mean", "right (5 px)", "the right place (16 px)")
    vetoes = (
        "veto", "holds for right answers", "holds for wrong places",
        "right `match` it takes", "wrong `match` it stops",
    )  # fmt: skip
    errors = ("sensor", "within `expected_error_px`", "within `error_bound_px`")
    parts = [
        total,
        "## By search",
        table(("search", "AUROC", *WORTH), _by_search(judged, clear)),
        "## By size",
        table(("search", "side, px", *WORTH[:3]), _by_size(judged, clear)),
        "## By sensor",
        table(("sensor", *WORTH[:3]), _by_sensor(judged)),
        "## Reliability",
        table(reliable, _reliability(judged)),
        "## Vetoes",
        table(vetoes, _cost(judged)),
        "## Errors",
        table(errors, _errors(judged, within, clear)),
    ]
    return "\n\n".join(parts) + "\n"


def _by_search(judged: Judged, clear: Flags) -> Iterator[Sequence[str]]:
    answers = judged.answers
    for search in SEARCHES:
        mine = judged.is_answer & (answers.search == search)
        clear = mine & (answers.right | answers.wrong)
        auroc = f"{roc_auc_score(answers.right[clear], judged.confidence[clear]):.4f}"
        yield [named(search), auroc, *worth(judged, mine)]
        large = mine & (answers.size >= 160)
        yield [f"{named(search)}, from 160 px", "", *worth(judged, large)]
        if not clear[large].all():
            yield [f"{named(search)}, without doubtful", "", *worth(judged, large & clear)]
    mine = judged.is_outcome & (answers.search != "atlas")
    yield ["`register` as a whole", "", *worth(judged, mine)]
    yield ["the same, without doubtful", "", *worth(judged, mine & clear)]


def _by_size(judged: Judged, clear: Flags) -> Iterator[Sequence[str]]:
    answers = judged.answers
    parts = {named(s): judged.is_answer & (answers.search == s) for s in SEARCHES}
    parts["`register` as a whole"] = judged.is_outcome & (answers.search != "atlas")
    for name, mine in parts.items():
        for size in np.unique(answers.size[mine]):
            few = mine & clear & (answers.size == size)
            yield [name, f"{size:,}", *worth(judged, few)[:3]]


def _by_sensor(judged: Judged) -> Iterator[Sequence[str]]:
    answers = judged.answers
    for search in ("initial", "expanded", "atlas"):
        mine = judged.is_answer & (answers.search == search)
        for sensor in np.unique(answers.sensor[mine]):
            few = mine & (answers.sensor == sensor)
            name = f"{named(search)}: {SENSORS.get(sensor, sensor)}"
            yield [name, *worth(judged, few)[:3]]


def _reliability(judged: Judged) -> Iterator[Sequence[str]]:
    answers = judged.answers
    for search in SEARCHES:
        mine = judged.is_answer & (answers.search == search)
        for low, high in BINS:
            inside = mine & is_inside(judged.confidence, low, high)
            if inside.any():
                mean = f"{judged.confidence[inside].mean():.3f}"
                near = ~answers.wrong[inside]
                bounds = f"{low:g} to {high:g}"
                yield [named(search), bounds, mean, fraction(answers.right[inside]), fraction(near)]


def _cost(judged: Judged) -> Iterator[Sequence[str]]:
    """How often each veto holds, and how often it lowers what would be called a match."""
    answers = judged.answers
    every = np.any(list(answers.vetoed.values()), axis=0)
    for search in ("register", "locate"):
        mine = judged.is_answer & ((answers.search == "atlas") == (search == "locate"))
        would = mine & (judged.raw == 2)
        for veto in [*(v.name for v in VETOES), "any"]:
            applies = every if veto == "any" else answers.vetoed[veto]
            if not applies[mine].any() and search == "locate":
                continue
            yield [
                f"`{search}`: {veto}",
                fraction(applies[mine & answers.right]),
                fraction(applies[mine & answers.wrong]),
                fraction(applies[would & answers.right]),
                f"{int(applies[would & answers.wrong].sum())} of {(would & answers.wrong).sum()}",
            ]


def _errors(judged: Judged, within: dict[str, Array], among: Flags) -> Iterator[Sequence[str]]:
    answers = judged.answers
    known = ~np.isnan(within["68"])
    near = known & ~answers.wrong
    parts: dict[str, Flags] = {"all": known, f"all within {WRONG_PX:g} px": near}
    parts["all, without doubtful alignments"] = known & among
    for name in np.unique(answers.sensor[known]):
        parts[SENSORS.get(name, name)] = known & (answers.sensor == name)
    for name, mine in parts.items():
        yield [name, *(fraction(within[q][mine] > 0) for q in ("68", "95"))]


def is_inside(values: Array, low: float, high: float) -> Flags:
    """Within a bin; 1 belongs to the last one."""
    return np.asarray((values >= low) & ((values < high) | (high >= 1.0)), np.bool_)


def draw(judged: Judged, target: Path) -> None:
    """Fraction of right answers over their confidence, one panel a search, with intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7.6), layout="constrained")
    answers = judged.answers
    for axes, search in zip(figure.subplots(2, 2).flat, SEARCHES, strict=True):
        axes.plot([0, 1], [0, 1], color="0.7", lw=1)
        mine = judged.is_answer & (answers.search == search)
        for name, hit, colour, aside in (
            ("within 5 px", answers.right, "#1f6fb4", 0.0),
            ("within 16 px: the right place", ~answers.wrong, "#c2571a", 0.012),
        ):
            for low, high in pairwise([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]):
                inside = mine & is_inside(judged.confidence, low, high)
                if not inside.any():
                    continue
                hits, count = int(hit[inside].sum()), int(inside.sum())
                bounds = binomtest(hits, count).proportion_ci(method="wilson")
                x, y = judged.confidence[inside].mean(), hits / count
                bars = [[max(0.0, y - bounds[0])], [max(0.0, bounds[1] - y)]]
                label = name if low == 0.0 else None
                axes.errorbar(x + aside, y, bars, fmt="o", color=colour, capsize=3, label=label)
                if aside == 0.0:
                    axes.annotate(
                        f"{count}", (x, y), (6, -12), textcoords="offset points", fontsize=8
                    )
        title = "locate" if search == "atlas" else f"register: {search}"
        axes.set(
            title=f"{title}, {int(mine.sum())} answers", xlim=(-0.02, 1.05), ylim=(-0.02, 1.04)
        )
        axes.legend(loc="upper left", frameon=False, fontsize=8)
    figure.supxlabel("confidence (sensor or region left out)")
    figure.supylabel("fraction, 95 %")
    figure.savefig(target, dpi=100)
