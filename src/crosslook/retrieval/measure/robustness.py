"""Robustness: recall of one extractor as queries, patches, galleries and dates change."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from crosslook.data.patches import PatchSet
from crosslook.errors import SettingError
from crosslook.extract.base import Extractor
from crosslook.progress import track
from crosslook.retrieval.clusters import Division
from crosslook.retrieval.compare.calibration import Calibration, fit_calibration
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.compare.similarity import Scoring, fit_scoring, normalise, rank_partners
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.measure.base import Definition, Measure
from crosslook.retrieval.measure.perturbations import PERTURBATIONS, Perturbation, centre, speckle
from crosslook.retrieval.measure.resampling import DRAWS, bootstrap_fraction, bootstrap_mean, sample
from crosslook.types import (
    MODALITIES,
    Array,
    Direction,
    Estimate,
    FloatArray,
    Indices,
    Metric,
    Modality,
)

CALIBRATION = "standardize"
SCORING = "csls"
DIRECTION: Direction = "sar->optical"
"""All curves are of this comparison."""

MOST_QUERIES = 200
MOST_GALLERY, MOST_FIT = 500, 200
LEAST_SIZE = 32
DAY_BINS = (1, 3, 7, 14, 30, 90, 400)
_CHUNK, _CUTS = 16, 32

Describe = Callable[[FloatArray], FloatArray]
"""Images (n, 3, p, p) in 0..1 to raw descriptors (n, D)."""

Read = Callable[[Modality, Indices], FloatArray]
"""Patches (n, 3, p, p) of a modality, by index into the patch set."""


class ReadContext(Protocol):
    """Reads SAR patches with what lies around them."""

    def __call__(self, indices: Indices, margin: int) -> FloatArray:
        """Read (n, 3, p + 2 margin, p + 2 margin); NaN where the scene has no data."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One extractor and the patches that it is tried on.

    Attributes
    ----------
    describe, read, read_context : callable
        Extractor and pooling; patches, and SAR patches with what lies around them.
    fit, measured : int64 arrays, shapes (M,) and (N,)
        Calibration set and test set: indices into the patch set.
    clusters : int64 array, shape (N,)
        Cluster of each measured patch.
    scenes : sequence of str
        Scene of each measured patch.
    size : int
        Side of a patch in pixels.
    calibration, scoring : Calibration, Scoring
        Fitted on the calibration set; disturbed queries go through them too.
    sar, optical : float32 arrays, shape (N, D)
        Calibrated unit descriptors of the measured patches, undisturbed.
    seed, draws : int
        Of samples, perturbations and intervals.
    days : mapping
        Days between SAR and optical image by scene; scenes that are not in it
        are left out.
    perturbations : mapping
        What is done to queries, by name.
    most : int
        Queries that are disturbed at most.
    left_out : dict
        Filled by the measure: what could not be measured, and why.
    """

    describe: Describe
    read: Read
    read_context: ReadContext
    fit: Indices
    measured: Indices
    clusters: Indices
    scenes: Sequence[str]
    size: int
    calibration: Calibration
    scoring: Scoring
    sar: FloatArray
    optical: FloatArray
    seed: int
    draws: int = DRAWS
    days: Mapping[str, float] = field(default_factory=dict)
    perturbations: Mapping[str, Perturbation] = field(default_factory=lambda: PERTURBATIONS)
    most: int = MOST_QUERIES
    left_out: dict[str, str] = field(default_factory=dict)

    def ranks(self, queries: FloatArray, partner: Indices) -> Indices:
        """Rank of each query's partner in the undisturbed gallery."""
        offsets = self.scoring.offsets(queries, self.optical)
        return rank_partners(queries, self.optical, partner, offsets=offsets, top=1).rank

    def fraction(self, values: ArrayLike, rows: Indices | slice) -> Estimate:
        """A fraction of some of the measured patches, with its interval."""
        return bootstrap_fraction(values, self.clusters[rows], self.seed, self.draws)


def make_subject(
    extractor: Extractor,
    descriptors: Descriptors,
    patches: PatchSet,
    division: Division,
    clusters: Sequence[str],
    seed: int,
    draws: int,
    days: Mapping[str, float] | None = None,
) -> Subject:
    """Calibrate an extractor, and read its patches from their scenes.

    Parameters
    ----------
    extractor : Extractor
        Open, that of the descriptors.
    descriptors : Descriptors
        Of the whole, undisturbed set ``patches``.
    division : Division
    clusters : sequence of str
        Of each patch of the set.
    seed, draws : int
    days : mapping of scene to days between its images, optional
    """
    fit, measured = division.calibration_set, division.test_set
    calibration = fit_calibration(CALIBRATION, descriptors.sar[fit], descriptors.optical[fit])

    def calibrated(modality: Modality, rows: Indices) -> FloatArray:
        return normalise(calibration.apply(descriptors.of(modality)[rows], modality))

    names = [clusters[i] for i in measured]
    return Subject(
        describe=lambda images: pool(extractor.extract(images), descriptors.setup.pooling),
        read=lambda modality, indices: patches.read(modality, indices.tolist()),
        read_context=lambda indices, margin: np.stack(
            [_context(patches, int(i), margin) for i in indices]
        ),
        fit=fit,
        measured=measured,
        clusters=np.unique(names, return_inverse=True)[1].astype(np.int64),
        scenes=[patches.patches[i].scene for i in measured],
        size=patches.size,
        calibration=calibration,
        scoring=fit_scoring(SCORING, calibrated("sar", fit), calibrated("optical", fit)),
        sar=calibrated("sar", measured),
        optical=calibrated("optical", measured),
        seed=seed,
        draws=draws,
        days=days or {},
        perturbations=perturbations_of(patches),
    )


def perturbations_of(patches: PatchSet) -> dict[str, Perturbation]:
    """All perturbations, speckle in the tone and limits of the set's radiometry."""
    sides = [scene.sides["sar"] for scene in patches.scenes.values()]
    tone = "linear" if sides[0].scale == "stored" else patches.reading.sar.tone
    low = float(np.median([side.stretch.low[0] for side in sides]))
    high = float(np.median([side.stretch.high[0] for side in sides]))
    return {**PERTURBATIONS, "looks": speckle(tone, low, high)}


def _context(patches: PatchSet, index: int, margin: int) -> FloatArray:
    """Read a SAR patch and what lies around it; NaN beyond the scene."""
    patch = patches.patches[index]
    return patches.scenes[patch.scene].read("sar", patch.window.pad(margin))


def _curve(what: str, formula: str) -> dict[str, Definition]:
    reading = "The first level is the undisturbed query; look at how far the curve stays level."
    return {
        f"recall@1/{what}": Definition(
            f"Recall at 1 by {what}",
            f"fraction of sampled queries whose partner is first; {formula}",
            "Hendrycks and Dietterich, ICLR 2019, for curves over graded disturbances",
            reading,
        ),
        f"pair-cosine/{what}": Definition(
            f"Mean cosine of pairs by {what}",
            f"mean_i cos(s_i, o_i) of calibrated descriptors; {formula}",
            "Salton and McGill 1983 for the cosine",
            reading,
            low=-1.0,
        ),
    }


class Robustness(Measure[Subject]):
    """Recall at 1 while one thing changes, by levels or by ``k``."""

    name = "robustness"
    title = "Robustness"
    how = (
        "Recall at 1 while the query is disturbed, everything else unchanged; bars are 95 % "
        "intervals. Dotted lines are extrapolated by a model, not measured."
    )
    sees = Subject
    definitions: ClassVar[Mapping[str, Definition]] = {
        **_curve("offset", "the query is cut that many pixels away, in a random direction"),
        **_curve("rotation", "the query is turned by that many degrees, to either side"),
        **_curve("scale", "the query shows that many times the ground, or as much less"),
        **_curve("looks", "the query is multiplied by gamma speckle of that many looks"),
        **_curve("gain", "the query's values are multiplied and clipped to 0..1"),
        **_curve("gamma", "the query's values, 0..1, are raised to that power"),
        "recall@1/patch": Definition(
            "Recall at 1 by patch size",
            "recall at 1 with the central k x k px of every patch, calibrated and searched anew",
            "as recall",
            "Smaller patches hold less to be recognised by; the gallery keeps its size.",
        ),
        "recall@1/gallery": Definition(
            "Recall at 1 by gallery size",
            "mean_i C(N-1-b_i, k-1) / C(N-1, k-1), b_i impostors beating the partner of query i",
            "expectation of sampling without replacement",
            "What galleries of k items drawn from this one would give, on average.",
        ),
        "recall@1/gallery-extrapolated": Definition(
            "Recall at 1 by gallery size, extrapolated",
            "mean_i [b_i = 0] B(a, b+k-1) / B(a, b+N-1), beta-binomial (a, b) fitted to all b_i",
            "Skellam, J. R. Stat. Soc. B 1948",
            "A model, not a measurement: further items are taken to be like those seen.",
        ),
        "recall@1/days-apart": Definition(
            "Recall at 1 by days between the images",
            "recall at 1 of pairs taken at most k days apart, and more than the k before",
            "as recall",
            "Scenes differ between bins in more than their dates; intervals are wide.",
        ),
    }

    def __call__(self, view: Subject) -> list[Metric]:
        """All curves; what could not be measured is reported in ``view.left_out``."""
        ranks = view.ranks(view.sar, np.arange(len(view.sar), dtype=np.int64))
        return [
            *self.disturbed(view),
            *self.gallery_sizes(view, ranks),
            *self.days_apart(view, ranks),
            *self.patch_sizes(view),
        ]

    def disturbed(self, view: Subject) -> Iterator[Metric]:
        """Disturb a sample of the SAR queries and search the unchanged gallery.

        All levels of all perturbations see the same queries; where perturbations
        need context, only patches that have it are drawn. ``recall@1/<name>=<level>``
        and ``pair-cosine/<name>=<level>`` (see :func:`parse_level`).
        """
        margins = {n: one.most_context(view.size) for n, one in view.perturbations.items()}
        rows, context = _draw(view, max(margins.values(), default=0))
        if not len(rows):
            for name in (name for name, margin in margins.items() if margin):
                view.left_out[name] = (
                    f"no patch has {margins[name]} px of its scene around it; "
                    "larger scenes or smaller patches are needed"
                )
            rows, context = _draw(view, 0)
        if not len(rows):
            view.left_out.update(dict.fromkeys(view.perturbations, "no patch is free of gaps"))
        steps = [
            (name, level)
            for name, one in view.perturbations.items()
            if name not in view.left_out
            for level in one.levels
        ]
        for name, level in track(steps, "Measuring robustness"):
            rng = np.random.default_rng([view.seed, zlib.crc32(f"{name}={level:g}".encode())])
            cut = view.perturbations[name].apply
            raw = [
                view.describe(cut(context[at : at + _CHUNK], view.size, level, rng))
                for at in range(0, len(context), _CHUNK)
            ]
            queries = normalise(view.calibration.apply(np.concatenate(raw), "sar"))
            yield from self._level(f"{name}={level:g}", queries, rows, view)

    def _level(
        self, label: str, queries: FloatArray, rows: Indices, view: Subject
    ) -> Iterator[Metric]:
        count, size = len(rows), len(view.optical)
        cosine = (queries * view.optical[rows]).sum(axis=1)
        recall = view.fraction(view.ranks(queries, rows) == 1, rows)
        near = bootstrap_mean(cosine, view.clusters[rows], view.seed, view.draws)
        yield self._recall(f"recall@1/{label}", recall, count, size, 1)
        yield self.metric(f"pair-cosine/{label}", near, count, size, direction=DIRECTION)

    def _recall(self, name: str, value: Estimate, count: int, size: int, k: int) -> Metric:
        """Recall at 1 of ``count`` queries in a gallery of ``size``."""
        return self.metric(name, value, count, size, chance=1 / size, direction=DIRECTION, k=k)

    def gallery_sizes(self, view: Subject, ranks: Indices) -> Iterator[Metric]:
        """Recall at 1 over the size of the gallery (in ``k``)."""
        for name, size, values in gallery_curve(ranks, len(view.optical)):
            yield self._recall(name, view.fraction(values, slice(None)), len(ranks), size, size)

    def days_apart(self, view: Subject, ranks: Indices) -> Iterator[Metric]:
        """Recall at 1 by the days between the two images; ``k`` is a bin's upper end."""
        gaps = np.array([abs(view.days.get(scene, np.nan)) for scene in view.scenes], np.float64)
        size, low = len(view.optical), -np.inf
        for high in DAY_BINS:
            rows = np.flatnonzero((gaps > low) & (gaps <= high))
            low = high
            if len(rows):
                estimate = view.fraction(ranks[rows] == 1, rows)
                yield self._recall("recall@1/days-apart", estimate, len(rows), size, high)

    def patch_sizes(self, view: Subject) -> Iterator[Metric]:
        """Recall at 1 with the centre of each patch only; ``k`` is its side.

        The side, its half, quarter ... down to 32 px. Both modalities are cut,
        described, calibrated and searched anew per size, so a row says what a study
        with such patches on the same places would give.
        """
        rows = sample(len(view.measured), MOST_GALLERY, view.seed)
        chosen = {
            "fit": view.fit[sample(len(view.fit), MOST_FIT, view.seed)],
            "measured": view.measured[rows],
        }
        side = view.size
        while side >= min(view.size, LEAST_SIZE):
            try:
                raw = {
                    (modality, part): _describe_centres(view, modality, indices, side)
                    for modality in MODALITIES
                    for part, indices in chosen.items()
                }
            except SettingError as error:  # the pooling is finer than so small a map
                view.left_out[f"patch={side}"] = str(error)
                return
            first = view.fraction(_ranks_anew(raw) == 1, rows)
            yield self._recall("recall@1/patch", first, len(rows), len(rows), side)
            side //= 2


def parse_level(metric: str) -> tuple[str, str, float]:
    """Split ``recall@1/rotation=2.5`` into ``("recall@1", "rotation", 2.5)``."""
    figure, _, rest = metric.partition("/")
    name, _, level = rest.partition("=")
    return figure, name, float(level)


def _draw(view: Subject, margin: int) -> tuple[Indices, FloatArray]:
    """Draw rows of the gallery whose patch has whole context, and read it."""
    order = np.random.default_rng(view.seed).permutation(len(view.measured))
    rows: list[Indices] = []
    parts: list[FloatArray] = []
    missing = view.most
    for start in range(0, len(order), _CHUNK):
        if missing <= 0:
            break
        at = np.sort(order[start : start + _CHUNK]).astype(np.int64)
        context = view.read_context(view.measured[at], margin)
        whole = np.flatnonzero(np.isfinite(context).all(axis=(1, 2, 3)))[:missing]
        rows.append(at[whole])
        parts.append(context[whole])
        missing -= len(whole)
    return np.concatenate(rows), np.concatenate(parts)


def _describe_centres(view: Subject, modality: Modality, indices: Indices, side: int) -> FloatArray:
    parts = (indices[i : i + _CUTS] for i in range(0, len(indices), _CUTS))
    cuts = (np.ascontiguousarray(centre(view.read(modality, part), side)) for part in parts)
    return np.concatenate([view.describe(cut) for cut in cuts])


def _ranks_anew(raw: Mapping[tuple[Modality, str], FloatArray]) -> Indices:
    fitted = fit_calibration(CALIBRATION, raw["sar", "fit"], raw["optical", "fit"])
    unit = {key: normalise(fitted.apply(value, key[0])) for key, value in raw.items()}
    query, gallery = unit["sar", "measured"], unit["optical", "measured"]
    correction = fit_scoring(SCORING, unit["sar", "fit"], unit["optical", "fit"])
    partner = np.arange(len(query), dtype=np.int64)
    offsets = correction.offsets(query, gallery)
    return rank_partners(query, gallery, partner, offsets=offsets, top=1).rank


SMALLER = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
LARGER = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class BetaBinomial:
    """How likely a random impostor beats a query's partner: Beta(a, b) over queries."""

    a: float
    b: float

    def survival(self, seen: int, more: int) -> float:
        """P(none of ``more`` impostors beats a partner that none of ``seen`` did)."""
        from scipy.special import betaln

        after = betaln(self.a, self.b + seen + more)
        return float(np.exp(after - betaln(self.a, self.b + seen)))


def gallery_curve(
    ranks: Indices, n_gallery: int, smaller: Sequence[int] = SMALLER, larger: Sequence[int] = LARGER
) -> Iterator[tuple[str, int, Array]]:
    """Probability that each query's partner is first, by the size of the gallery.

    Up to ``n_gallery`` items, ``recall@1/gallery`` is the expectation over all
    sub-galleries that hold the partner, hypergeometric and so exact. Beyond,
    ``recall@1/gallery-extrapolated`` continues it by a model: further items
    are impostors like those seen, and beat a partner with a chance that
    follows a beta distribution over the queries (beta-binomial, fitted to
    how many impostors beat each partner). Scenes of another kind are not
    covered by it.

    Parameters
    ----------
    ranks : int64 array, shape (Nq,)
        Rank of the partner among ``n_gallery``, 1 the best.
    n_gallery : int
    smaller, larger : sequence of int
        Sizes; those on the wrong side of ``n_gallery`` are left out.

    Yields
    ------
    tuple of str, int and float64 array (Nq,)
        Metric, size, and a probability for each query.
    """
    if n_gallery < 2:
        return
    beaten = np.asarray(ranks, np.int64) - 1
    for size in [*(size for size in smaller if 1 < size < n_gallery), n_gallery]:
        yield "recall@1/gallery", size, subsampled(beaten, n_gallery, size)
    model = fit_beta_binomial(beaten, n_gallery - 1)
    for size in (size for size in larger if size > n_gallery):
        stays = model.survival(n_gallery - 1, size - n_gallery)
        yield "recall@1/gallery-extrapolated", size, (beaten == 0) * stays


def subsampled(beaten: Indices, n_gallery: int, size: int) -> Array:
    """Probability that the partner is first among ``size`` items, per query.

    ``C(N - 1 - b, G - 1) / C(N - 1, G - 1)`` where ``b`` of the ``N - 1``
    impostors beat the partner.
    """
    from scipy.special import gammaln

    def log_choose(n: Array, k: int) -> Array:
        return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), np.float64)

    left = (n_gallery - 1 - beaten).astype(np.float64)
    possible = left >= size - 1
    filled = np.where(possible, left, float(size - 1))
    all_of = log_choose(np.array(n_gallery - 1.0), size - 1)
    return np.where(possible, np.exp(log_choose(filled, size - 1) - all_of), 0.0)


def fit_beta_binomial(beaten: Indices, impostors: int) -> BetaBinomial:
    """Fit by maximum likelihood (Skellam, J. R. Stat. Soc. B 10, 1948)."""
    from scipy.optimize import minimize
    from scipy.special import betaln

    counts, weights = np.unique(beaten, return_counts=True)

    def loss(logs: Array) -> float:
        a, b = np.exp(logs)
        terms = betaln(counts + a, impostors - counts + b) - betaln(a, b)
        return -float((weights * terms).sum())

    fraction = float(np.clip(beaten.mean() / impostors, 1e-6, 1 - 1e-6))
    start = np.log([0.3, 0.3 * (1 - fraction) / fraction])
    # Without a single beaten partner the likelihood has no maximum: bounds.
    bounds = [(np.log(1e-3), np.log(1e3)), (np.log(1e-3), np.log(1e9))]
    optimum = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    a, b = np.exp(optimum.x)
    return BetaBinomial(float(a), float(b))
