"""The table of evidence: what is known of a match, what it says, and the verdict from it.

Each field of :class:`Evidence` is a row of the table: what the number means (its
docstring), in which form a logistic or an error quantile takes it, and a sentence
for and one against.
The verdict, the expected error, ``match.json``, the words of the command line and
of the explorer, and the table of the documentation are all made from these rows.
The weights lie in ``verdict.json``, by the names of the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crosslook.errors import InputError
from crosslook.json_text import json_object
from crosslook.match.hints import relief_hint
from crosslook.match.settings import Search
from crosslook.types import Array

Label = Literal["match", "uncertain", "no match"]
Use = Literal["register", "locate", "error"]
Values = Mapping[str, Any]
"""Coefficients of a fit: what ``verdict.json`` holds, or a part of it."""

FARTHEST = 50.0
"""Pixels at which distances in the evidence are capped."""

MATCHER_KEY = "fitted_matcher"
"""Names the matcher in a verdict that was fitted to another than ours."""

VERDICT_FILE = Path(__file__).with_name("verdict.json")
_CONTRADICTS_PX = 10.0
_LEAST_ERROR = 0.2
_MOST_LOGIT = 40.0
_VETO = "veto: "


@dataclass(frozen=True)
class Form:
    """A bounded, monotone form of a number, and how the documentation writes it."""

    text: str
    of: Callable[[float], Any]


AS_IT_IS = Form("x", float)
TENFOLD = Form("10 x", lambda x: x * 10.0)
LOG = Form("log(1 + x)", np.log1p)


def _clipped(low: float, high: float, unit: float = 1.0) -> Form:
    text = f"x within {low:g}..{high:g}" + (f", / {unit:g}" if unit != 1.0 else "")
    return Form(text, lambda x: np.clip(x, low, high) / unit)


@dataclass(frozen=True)
class Term:
    """A row of the table.

    Attributes
    ----------
    name : str
        Field of :class:`Evidence`, and key in ``match.json`` and ``verdict.json``.
    sign : int
        1 where a larger value speaks for a match, -1 where it speaks against one.
    supports, doubts : str
        A sentence for and one against, with a place for the value.
    forms : dict of str to Form
        What each verdict (``register``, ``locate``) and the error quantiles
        (``error``) take of it. In ``error``, larger forms mean larger errors.
    """

    name: str
    sign: int
    supports: str
    doubts: str
    forms: dict[str, Form]


def _term(
    sign: int, supports: str = "", doubts: str = "", *, nothing: float = 0.0, **forms: Form
) -> Any:
    """A measure that supports a match where it is high (1) or low (-1)."""
    return field(default=nothing, metadata={"term": Term("", sign, supports, doubts, forms)})


_more, _less = partial(_term, 1), partial(_term, -1)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Plain numbers about a match; every one is finite."""

    inliers: float = _more("{:.0f} tie points agree.", "Only {:.0f} tie points agree.", locate=LOG)
    """Number of tie points that the robust fit kept."""
    inlier_fraction: float = _more(
        "{:.0%} of tie points agree.", "Only {:.0%} of tie points agree.", locate=AS_IT_IS
    )
    """Inliers over the tie points tried, 0..1."""
    hull_area: float = _more(
        "The tie points that agree span {:.0%} of the image.",
        "The tie points that agree span only {:.0%} of the image.",
        locate=AS_IT_IS,
    )
    """Area of the convex hull of the inliers over the area of the image, 0..1."""
    excess_inliers: float = _more(
        "{:.0%} of the tie points agree beyond what chance gives.",
        "Only {:.0%} of the tie points agree beyond what chance gives.",
        register=AS_IT_IS,
        error=Form("1 - x", lambda x: 1.0 - x),
    )
    """Fraction of inliers beyond what chance gives within the area searched: 0 for wrong matches
    of any size, 1 where all agree."""
    neg_log10_p: float = _more(
        "So many tie points hardly agree by chance: -log10 p is {:z.1f}.",
        "So many tie points may agree by chance: -log10 p is {:z.1f}.",
        register=LOG,
    )
    """-log10 of the probability that so many independent templates agree by chance; capped at 100.
    Templates that overlap count as those that lie side by side."""
    coverage: float = _more(
        "The tie points that agree span {:.0%} of the area of all.",
        "The tie points that agree span only {:.0%} of the area of all.",
        register=AS_IT_IS,
    )
    """Area of the convex hull of the inliers over that of all tie points, 0..1."""
    median_ncc: float = _more(
        "The images correlate at the tie points: the median NCC is {:.3f}.",
        "The images correlate weakly at the tie points: the median NCC is {:.3f}.",
        locate=TENFOLD,
    )
    """Median normalised cross-correlation (NCC) of the inliers, -1..1."""
    gradient_mi_distance: float = _less(
        "The fits to gradients and to mutual information lie only {:z.1f} px apart.",
        "The fits to gradients and to mutual information lie {:z.1f} px apart.",
        nothing=FARTHEST,
        register=LOG,
        locate=LOG,
        error=LOG,
    )
    """Mean distance between the fit to gradients and that to mutual information (MI), optical
    pixels; capped at 50."""
    split_half_distance: float = _less(
        "Fits to two halves of the tie points lie only {:z.1f} px apart.",
        "Fits to two halves of the tie points lie {:z.1f} px apart; 50 px may mean too few points.",
        nothing=FARTHEST,
        register=LOG,
        error=LOG,
    )
    """Mean distance between the fits to two halves of the tie points that share hardly a pixel,
    optical pixels; capped at 50, which too few points give as well."""
    mi_z_score: float = _more(
        "Mutual information stands out from wrong places nearby: its z-score is {:z.1f}.",
        "Mutual information hardly stands out from wrong places nearby: its z-score is {:z.1f}.",
        register=_clipped(-3.0, 6.0, 3.0),
        locate=_clipped(-3.0, 6.0, 3.0),
    )
    """Mutual information at the match, in standard deviations above its mean over wrong places
    nearby."""
    ncc_z_score: float = _more(
        "The whole image correlates better than around: its NCC has a z-score of {:z.1f}.",
        "The whole image correlates little better than around: its NCC has a z-score of {:z.1f}.",
        register=_clipped(0.0, 12.0, 3.0),
    )
    """NCC of the image as one template at the match, in standard deviations above the mean over
    places up to 16 cells away. An image of any size has about 64 cells a side."""
    peak_margin: float = _more(
        "No other place nearby correlates as well: the margin is {:z.1f} standard deviations.",
        "Another place nearby correlates nearly as well: the margin is {:z.1f} standard "
        "deviations.",
        register=_clipped(-3.0, 6.0),
    )
    """That z-score over the one of the best place beyond 4 cells, standard deviations."""
    poses: float = _less(
        "Few poses were searched ({:.0f}), so the best of them hardly fits by chance.",
        "It is the best of {:.0f} poses, and the best of many looks good by chance too.",
        nothing=1.0,
        register=Form("log10(x)", np.log10),
    )
    """Rotations, scales and flips that were searched; 1 where only the start was followed. The
    best of many looks better than one."""
    fine_z_score: float = _more(
        "In fine cells it correlates better than around: a z-score of {:z.1f}.",
        "In fine cells it correlates little better than around: a z-score of {:z.1f}.",
        register=_clipped(0.0, 9.0, 3.0),
        locate=_clipped(0.0, 9.0, 3.0),
    )
    """NCC of the image in fine cells (about 80 a side) at the match, in standard deviations above
    the mean over places 4 to 10 cells away in the same two images."""
    fine_margin: float = _more(
        "In fine cells no place around correlates as well: a margin of {:z.1f} standard "
        "deviations.",
        "In fine cells a place around is close: a margin of {:z.1f} standard deviations.",
        register=_clipped(-3.0, 5.0),
        locate=_clipped(-3.0, 5.0),
        error=Form("1 - min(x, 6) / 6", lambda x: 1.0 - min(x, 6.0) / 6.0),
    )
    """That z-score over the one of the best of these places, standard deviations."""
    half_margin: float = _more(
        "Halves of the image find the place by themselves: a margin of {:z.1f} on average.",
        "Halves of the image do not find the place: a margin of {:z.1f} on average.",
        register=_clipped(-3.0, 5.0),
        locate=_clipped(-3.0, 5.0),
    )
    """The same margin of one half of the image alone, the mean over eight halves."""
    least_half_margin: float = _more(
        "Every half of the image finds the place: the least margin is {:z.1f}.",
        "A half of the image does not find the place: the least margin is {:z.1f}.",
        register=_clipped(-4.0, 3.0),
        locate=_clipped(-4.0, 3.0),
    )
    """The least of these eight margins."""
    jackknife_margin: float = _more(
        "It holds without any ninth of the image: the least margin is {:z.1f}.",
        "It rests on a ninth of the image: without it the margin is {:z.1f}.",
        register=_clipped(-3.0, 5.0),
        locate=_clipped(-3.0, 5.0),
    )
    """The least margin where one ninth of the image after the other is left out."""
    block_rank: float = _more(
        "Blocks of the image rank the place high among those around: -log10 of it is {:z.2f}.",
        "Blocks of the image rank other places as high: -log10 of the rank is {:z.2f}.",
        register=AS_IT_IS,
        locate=AS_IT_IS,
    )
    """Mean of -log10 of the fraction of places around where a block of the image (a 36th)
    correlates as well as at the match; 0.43 by chance."""
    concentration: float = _less(
        "No ninth of the image has more than {:.0%} of the evidence.",
        "A ninth of the image has {:.0%} of the evidence.",
        nothing=1.0,
        register=AS_IT_IS,
        locate=AS_IT_IS,
    )
    """Largest share of a ninth of the image in what it correlates above the places around, 0..1."""
    mi_margin: float = _more(
        "No place around has as much mutual information: a margin of {:z.1f} standard deviations.",
        "A place around has nearly as much mutual information: a margin of {:z.1f}.",
        register=_clipped(-3.0, 5.0),
        locate=_clipped(-3.0, 5.0),
    )
    """Mutual information at the match over that of the best place 4 to 10 cells away, in standard
    deviations over these places."""
    mi_half_margin: float = _more(
        "By mutual information halves of the image find the place: a margin of {:z.1f} on average.",
        "By mutual information halves of the image do not find the place: a margin of {:z.1f}.",
        register=_clipped(-3.0, 5.0),
        locate=_clipped(-3.0, 5.0),
    )
    """The same margin of one half of the image alone, the mean over eight halves."""
    mi_jackknife_margin: float = _more(
        "By mutual information it holds without any ninth of the image: a margin of {:z.1f}.",
        "By mutual information it rests on a ninth of the image: a margin of {:z.1f} without it.",
        register=_clipped(-3.0, 5.0),
        locate=_clipped(-3.0, 5.0),
    )
    """The least of these margins where one ninth of the image after the other is left out."""
    jackknife_distance: float = _less(
        "Without any ninth of the area the fit to the tie points moves by {:z.1f} px at most.",
        "Without a ninth of the area the fit to the tie points moves by {:z.1f} px.",
        nothing=FARTHEST,
        register=LOG,
        locate=LOG,
        error=LOG,
    )
    """Mean distance by which the fit moves at most where the inliers of one ninth of the area after
    the other are left out, optical pixels; capped at 50."""
    frame_like: float = _less()
    """Fraction of the SAR image that shows the same as the optical one at the same pixels of the
    frames, which is no ground: where it is too much to be left out, or where the answer is exactly
    the shift at which the frames lie on each other; else 0."""
    repeats: float = _less()
    """Other places that fit nearly as well since the ground repeats itself; at most 8."""
    search_score: float = _more(
        "The search scored the place high: {:z.2f}.",
        "The search scored the place low: {:z.2f}.",
        locate=TENFOLD,
    )
    """Sum of the scores of the search over an atlas and of its verification; 0 where nothing was
    searched."""
    search_margin: float = _more(
        "The next best place of the search is clearly behind: the margin is {:.0%}.",
        "The next best place of the search is close: the margin is {:.0%}.",
        locate=Form("10 log(1 + max(x, 0))", lambda x: np.log1p(max(x, 0.0)) * 10.0),
    )
    """That sum over the second-best place's, less 1; 0 where nothing was searched."""
    residual: float = _less(nothing=FARTHEST, error=LOG)
    """Root mean square distance of the inliers from the fit, optical pixels."""
    relief: float = _less(
        error=Form("log(1 + max(x - 3, 0))", lambda x: np.log1p(max(0.0, x - 3.0)))
    )
    """Pixels of the working grid by which tie points spread along one line, as relief makes them
    do, at most about 20. 0 where they show none, or too few of them tell."""
    peak_ratio: float = _more(nothing=1.0)
    """Median of peak over second peak of all tie points, at least 1."""


TERMS: tuple[Term, ...] = tuple(
    replace(one.metadata["term"], name=one.name) for one in fields(Evidence)
)

OLD_NAMES = {
    "score": "median_ncc",
    "agreement": "gradient_mi_distance",
    "information": "mi_z_score",
    "excess": "excess_inliers",
    "chance": "neg_log10_p",
    "halves": "split_half_distance",
    "whole": "ncc_z_score",
    "lead": "peak_margin",
}
"""Former names of terms, as an older ``match.json`` has them."""


def read_evidence(values: dict[str, Any]) -> Evidence:
    """The evidence of a ``match.json`` of any version; what it lacks speaks for nothing."""
    named = _current_names(values)
    return Evidence(**{t.name: float(named[t.name]) for t in TERMS if t.name in named})


def _current_names(values: dict[str, Any]) -> dict[str, Any]:
    return {OLD_NAMES.get(name, name): value for name, value in values.items()}


def terms_of(use: Use) -> tuple[Term, ...]:
    """Rows that a verdict or the error quantiles use, in the order of :func:`features`."""
    return tuple(term for term in TERMS if use in term.forms)


def features(evidence: Evidence, use: Use) -> Array:
    """Forms of the evidence as ``use`` takes them, shape (n,), in the order of the table.

    None of what ``register`` uses grows with the image; the chips of
    ``locate`` are of about one size.
    """
    values = [term.forms[use].of(getattr(evidence, term.name)) for term in terms_of(use)]
    return np.array(values, np.float64)


@dataclass(frozen=True)
class Verdict:
    """What evidence says.

    Attributes
    ----------
    label : str
    confidence : float
        The probability that the match is right, 0..1; NaN where none was fitted.
    search : str
        By which calibration.
    values : mapping or None
        Of the fit, where it is not that of the package.
    """

    label: Label
    confidence: float
    search: Search = "initial"
    values: Values | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Veto:
    """A contradiction that no other evidence outweighs.

    Attributes
    ----------
    name : str
    sentence : str
        With places for terms of the evidence by their names.
    when : str
        The rule in words.
    holds : callable
        The rule.
    leaves_doubt : bool
        Whether an answer that is uncertain anyway stays so.
    """

    name: str
    sentence: str
    when: str
    holds: Callable[[Evidence], bool]
    leaves_doubt: bool = False


VETOES: tuple[Veto, ...] = (
    Veto(
        "contradiction",
        "Nothing agrees on the place: halves of the tie points lie {split_half_distance:.0f} px "
        "apart, gradients and mutual information {gradient_mi_distance:.0f} px.",
        "split_half_distance and gradient_mi_distance are both beyond 10 px",
        lambda e: min(e.split_half_distance, e.gradient_mi_distance) > _CONTRADICTS_PX,
    ),
    Veto(
        "next-best place",
        "Another place nearby correlates better: the margins are {peak_margin:z.1f} and "
        "{fine_margin:z.1f} standard deviations.",
        "peak_margin and fine_margin are both negative",
        lambda e: max(e.peak_margin, e.fine_margin) < 0.0,
    ),
    Veto(
        "small part",
        "Without a ninth of the image another place correlates better: the margin is "
        "{jackknife_margin:z.1f} standard deviations, by mutual information "
        "{mi_jackknife_margin:z.1f}.",
        "jackknife_margin and mi_jackknife_margin are both negative",
        lambda e: max(e.jackknife_margin, e.mi_jackknife_margin) < 0.0,
    ),
    Veto(
        "frame",
        "Marks that both images show at the same pixels of their frames ({frame_like:.1%} of the "
        "SAR image) may have led to this place.",
        "frame_like is not 0",
        lambda e: e.frame_like > 0.0,
        leaves_doubt=True,
    ),
    Veto(
        "repeats",
        "The ground repeats itself, and {repeats:.0f} other places fit nearly as well.",
        "repeats is not 0",
        lambda e: e.repeats > 0.0,
        leaves_doubt=True,
    ),
)
"""Each lowers the label by one step, and caps the confidence at the fraction that was right."""


def vetoes_of(evidence: Evidence, label: Label = "match") -> tuple[Veto, ...]:
    """Those that apply to a label; of evidence without any inlier none is needed."""
    if evidence.inliers == 0 or label == "no match":
        return ()
    known = [veto for veto in VETOES if label == "match" or not veto.leaves_doubt]
    return tuple(veto for veto in known if veto.holds(evidence))


def use_of(search: Search) -> Use:
    """Which forms a search takes: one over an atlas has terms of its own."""
    return "locate" if search == "atlas" else "register"


def judge(evidence: Evidence, search: Search, values: Values | None = None) -> Verdict:
    """Say whether a match is right, and how probably.

    The confidence is ``1 / (1 + exp(-(w . features + b)))``; coefficients and
    thresholds lie in ``verdict.json``, written by ``benchmarks/fit_verdict.py``
    from right and wrong answers. Each search has its own: the answer of one that
    looked at more places is the best of more, and looks better by chance. A veto
    (:data:`VETOES`) then caps it.

    Parameters
    ----------
    evidence : Evidence
    search : str
    values : mapping, optional
        Of a verdict that was fitted to another matcher (:func:`read_values`); of a search
        that it was not fitted to, the confidence is NaN.
    """
    if evidence.inliers == 0:
        return Verdict("no match", 0.0, search, values)
    if values is not None and search not in values:
        return Verdict("uncertain", float("nan"), search)
    fitted = (values or fitted_values())[search]
    raw, capped = _logits(evidence, search, fitted)
    label = _label(raw, fitted)
    if capped < raw:
        label = "uncertain" if label == "match" else "no match"
    return Verdict(label, _confidence(capped), search, values)


def _label(logit: float, fitted: Values) -> Label:
    """Before any veto."""
    thresholds, confidence = fitted["thresholds"], _confidence(logit)
    if confidence >= thresholds["match"]:
        return "match"
    return "uncertain" if confidence >= thresholds["uncertain"] else "no match"


def _confidence(logit: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(logit, -_MOST_LOGIT, _MOST_LOGIT))))


def _logits(evidence: Evidence, search: Search, fitted: Values) -> tuple[float, float]:
    """Before and after the vetoes."""
    use = use_of(search)
    raw = float(features(evidence, use) @ in_order(fitted["weight"], use) + fitted["intercept"])
    label = _label(raw, fitted)
    if not vetoes_of(evidence, label):
        return raw, raw
    most = fitted["vetoed"][label]
    return raw, min(raw, float(np.log(most / (1.0 - most))))


@dataclass(frozen=True)
class Contribution:
    """What one term adds to the logit of the confidence, in a sentence.

    Attributes
    ----------
    term : str
    value : float
        Of the evidence.
    logit : float
        Above 0 it speaks for the match, else against it.
    sign : str
        ``for`` or ``against``.
    sentence : str
    """

    term: str
    value: float
    logit: float
    sign: Literal["for", "against"]
    sentence: str


@dataclass(frozen=True)
class Explanation:
    """Why a confidence is what it is: ``base`` and all contributions add up to its logit.

    Attributes
    ----------
    base : float
        The logit of evidence halfway between right and wrong answers.
    terms : tuple of Contribution
        Largest first, whether for or against; without those of no weight.
    """

    base: float
    terms: tuple[Contribution, ...]


def explain(evidence: Evidence, search: Search, values: Values | None = None) -> Explanation:
    """Split the logit of :func:`judge` into what each term adds, and what vetoes take away.

    A term adds its weight times the distance of its form from the reference in
    ``verdict.json``: halfway between the means of right and of wrong answers.
    Without any inlier nothing else counts, and that is all that is said.
    """
    if evidence.inliers == 0:
        none = next(term for term in TERMS if term.name == "inliers")
        return Explanation(0.0, (_contribution(none, evidence, -_MOST_LOGIT),))
    fitted, use = (values or fitted_values())[search], use_of(search)
    weight, reference = (in_order(fitted[name], use) for name in ("weight", "reference"))
    added = weight * (features(evidence, use) - reference)
    rows = zip(terms_of(use), added, weight, strict=True)
    said = [_contribution(term, evidence, float(value)) for term, value, w in rows if w]
    said += _vetoed(evidence, search, fitted)
    base = float(weight @ reference + fitted["intercept"])
    return Explanation(base, tuple(sorted(said, key=lambda one: -abs(one.logit))))


def _vetoed(evidence: Evidence, search: Search, fitted: Values) -> list[Contribution]:
    """What each veto takes away: alike, as any of them alone would take all."""
    raw, capped = _logits(evidence, search, fitted)
    if capped >= raw:
        return []
    vetoes = vetoes_of(evidence, _label(raw, fitted))
    lost, values = (capped - raw) / len(vetoes), asdict(evidence)
    return [
        Contribution(f"{_VETO}{one.name}", 1.0, lost, "against", one.sentence.format(**values))
        for one in vetoes
    ]


def _contribution(term: Term, evidence: Evidence, logit: float) -> Contribution:
    value = float(getattr(evidence, term.name))
    if logit > 0:
        return Contribution(term.name, value, logit, "for", term.supports.format(value))
    return Contribution(term.name, value, logit, "against", term.doubts.format(value))


def sentences(match: dict[str, Any]) -> list[dict[str, Any]]:
    """What speaks for and against a match, and what else to know of it.

    Parameters
    ----------
    match : dict
        The content of a ``match.json``, of any version.

    Returns
    -------
    list of dict
        ``sign`` is ``for``, ``against`` or ``note``; ``text`` one sentence;
        ``logit`` what it adds to the confidence, 0 of a note.
    """
    evidence = read_evidence(match.get("evidence") or {})
    search: Search = match.get("judged_as") or match.get("search") or "initial"
    explained = match.get("explanation") or asdict(explain(evidence, search))
    # What an older version did not measure speaks neither for nor against.
    measured = _current_names(match.get("evidence") or {})
    terms = [t for t in explained["terms"] if t["term"] in measured or t["term"].startswith(_VETO)]
    lines = [{"sign": t["sign"], "text": t["sentence"], "logit": t["logit"]} for t in terms]
    hint = relief_hint(match)
    notes = [str(note) for note in ([hint] if hint else []) + list(match.get("notes", []))]
    return lines + [
        {"sign": "note", "text": f"{note[:1].upper()}{note[1:]}.", "logit": 0.0} for note in notes
    ]


def expected_error(evidence: Evidence, values: Values | None = None) -> float:
    """What the mean error over the image stays below in 68 of 100 matches, optical pixels."""
    return _error_quantile(evidence, "68", values)


def error_bound(evidence: Evidence, values: Values | None = None) -> float:
    """The same for 95 of 100 matches; never below :func:`expected_error`."""
    return max(expected_error(evidence, values), _error_quantile(evidence, "95", values))


def _error_quantile(evidence: Evidence, which: str, values: Values | None) -> float:
    quantile = (values or fitted_values())["error"][which]
    log = float(features(evidence, "error") @ in_order(quantile["weight"], "error"))
    return float(np.clip(np.exp(log + quantile["intercept"]), _LEAST_ERROR, FARTHEST))


def read_values(path: Path, matcher: str) -> Values:
    """Read a verdict that ``crosslook verdict fit`` wrote for a matcher.

    Raises
    ------
    InputError
        If the file cannot be read, or is of another matcher.
    """
    try:
        values = json_object(path.read_text(encoding="utf-8"))
        for search in ("initial", "expanded", "requested"):
            if search in values:
                one = values[search]
                for name in ("weight", "reference"):
                    in_order(one[name], "register")
                _ = one["intercept"], one["thresholds"]["match"], one["vetoed"]["match"]
        if values["error"] is not None:
            for level in ("68", "95"):
                in_order(values["error"][level]["weight"], "error")
        of = values[MATCHER_KEY]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no verdict ({type(error).__name__}: {error}); "
            "'crosslook verdict fit' writes one."
        ) from error
    if of != matcher:
        raise InputError(f"{path} was fitted to '{of}', and the matcher is '{matcher}'.")
    return values


@lru_cache(maxsize=1)
def fitted_values() -> dict[str, dict[str, Any]]:
    """The content of ``verdict.json``."""
    values: dict[str, dict[str, Any]] = json.loads(VERDICT_FILE.read_text(encoding="utf-8"))
    return values


def in_order(named: dict[str, float], use: Use) -> Array:
    """Values by the names of terms, in the order of :func:`features`, shape (n,)."""
    return np.array([named[term.name] for term in terms_of(use)], np.float64)
