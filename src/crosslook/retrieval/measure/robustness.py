"""Recall over the days between the two images of a pair."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from crosslook.progress import track
from crosslook.retrieval.compare.calibration import Calibration
from crosslook.retrieval.compare.similarity import Scoring, normalise, rank_partners
from crosslook.retrieval.measure.perturbations import PERTURBATIONS, Perturbation
from crosslook.retrieval.measure.resampling import DRAWS, bootstrap_fraction, bootstrap_mean
from crosslook.types import FloatArray, Indices, Metric

Describe = Callable[[FloatArray], FloatArray]
"""Images (n, 3, p, p) in 0..1 to raw descriptors (n, D)."""

SAMPLE = 200
DIRECTION = "sar->optical"
_CHUNK = 16


class ReadContext(Protocol):
    """Reads SAR patches with what lies around them."""

    def __call__(self, indices: Indices, margin: int) -> FloatArray:
        """Read (n, 3, p + 2 margin, p + 2 margin); NaN where the scene has no data."""


@dataclass(frozen=True)
class Gallery:
    """What queries are compared with; rows of ``optical`` are the measured patches.

    Attributes
    ----------
    optical : float32 array, shape (N, D)
        Calibrated unit descriptors.
    units : int64 array, shape (N,)
        The unit of each; the bootstrap draws units.
    calibration, scoring
        As fitted on the calibration units; queries go through them too.
    """

    optical: FloatArray
    units: Indices
    calibration: Calibration
    scoring: Scoring


@dataclass
class Robustness:
    """Metrics, and what could not be measured with the reason."""

    metrics: list[Metric] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def measure_robustness(
    read_context: ReadContext,
    describe: Describe,
    gallery: Gallery,
    measured: Indices,
    size: int,
    seed: int,
    *,
    sample: int = SAMPLE,
    draws: int = DRAWS,
    perturbations: Mapping[str, Perturbation] = PERTURBATIONS,
) -> Robustness:
    """Disturb a sample of the SAR queries and search the unchanged gallery.

    Parameters
    ----------
    read_context : ReadContext
        Reads by index into the whole patch set.
    describe : callable
        Extractor and pooling.
    gallery : Gallery
    measured : int64 array, shape (N,)
        Index into the patch set of each row of the gallery.
    size : int
        Side of a patch in pixels.
    seed, draws : int
        Of the sample, the perturbations and the intervals.
    sample : int
        Queries at most. All levels of all perturbations see the same ones;
        where perturbations need context, only patches that have it are drawn.
    perturbations : mapping, optional
        By name; by default all.

    Returns
    -------
    Robustness
        Per perturbation and level ``recall@1/<name>=<level>`` (``k`` is 1) and
        ``pair-cosine/<name>=<level>``; see :func:`parse_level`.
    """
    margins = {name: _margin(p, size) for name, p in perturbations.items()}
    result = Robustness()
    rows, context = _draw(read_context, measured, max(margins.values(), default=0), seed, sample)
    if not len(rows):
        result.left_out = {
            name: f"no patch has {margin} px of its scene around it; "
            "larger scenes or smaller patches are needed"
            for name, margin in margins.items()
            if perturbations[name].geometric
        }
        rows, context = _draw(read_context, measured, 0, seed, sample)
    if not len(rows):
        return Robustness(left_out=dict.fromkeys(perturbations, "no patch is free of gaps"))
    chosen = {n: p for n, p in perturbations.items() if n not in result.left_out}
    steps = [(name, level) for name, p in chosen.items() for level in p.levels]
    for name, level in track(steps, "Measuring robustness"):
        rng = np.random.default_rng([seed, zlib.crc32(f"{name}={level:g}".encode())])
        queries = _describe(describe, context, size, chosen[name], level, rng)
        unit = normalise(gallery.calibration.apply(queries, "sar"))
        result.metrics += _summarise(f"{name}={level:g}", unit, gallery, rows, seed, draws)
    return result


def parse_level(metric: str) -> tuple[str, str, float]:
    """Split ``recall@1/rotation=2.5`` into ``("recall@1", "rotation", 2.5)``."""
    figure, _, rest = metric.partition("/")
    name, _, level = rest.partition("=")
    return figure, name, float(level)


def _summarise(
    label: str, unit: FloatArray, gallery: Gallery, rows: Indices, seed: int, draws: int
) -> list[Metric]:
    offsets = gallery.scoring.offsets(unit, gallery.optical)
    ranks = rank_partners(unit, gallery.optical, rows, offsets=offsets, top=1).rank
    cosine = (unit * gallery.optical[rows]).sum(axis=1)
    units, n, size = gallery.units[rows], len(rows), len(gallery.optical)
    recall = bootstrap_fraction(ranks == 1, units, seed, draws)
    near = bootstrap_mean(cosine, units, seed, draws)
    return [
        Metric("robustness", f"recall@1/{label}", recall, n, size, 1 / size, DIRECTION, 1),
        Metric("robustness", f"pair-cosine/{label}", near, n, size, float("nan"), DIRECTION),
    ]


def _margin(perturbation: Perturbation, size: int) -> int:
    return max(perturbation.margin(size, level) for level in perturbation.levels)


def _draw(
    read_context: ReadContext, measured: Indices, margin: int, seed: int, sample: int
) -> tuple[Indices, FloatArray]:
    """Draw rows of the gallery whose patch has whole context, and read it."""
    order = np.random.default_rng(seed).permutation(len(measured))
    rows: list[Indices] = []
    parts: list[FloatArray] = []
    missing = sample
    for start in range(0, len(order), _CHUNK):
        if missing <= 0:
            break
        at = np.sort(order[start : start + _CHUNK]).astype(np.int64)
        context = read_context(measured[at], margin)
        whole = np.flatnonzero(np.isfinite(context).all(axis=(1, 2, 3)))[:missing]
        rows.append(at[whole])
        parts.append(context[whole])
        missing -= len(whole)
    return np.concatenate(rows), np.concatenate(parts)


def _describe(
    describe: Describe,
    context: FloatArray,
    size: int,
    perturbation: Perturbation,
    level: float,
    rng: np.random.Generator,
) -> FloatArray:
    parts: Sequence[FloatArray] = [
        describe(perturbation.apply(context[start : start + _CHUNK], size, level, rng))
        for start in range(0, len(context), _CHUNK)
    ]
    return np.concatenate(parts)


DAY_BINS = (1, 3, 7, 14, 30, 90, 400)


def measure_date_gap(
    ranks: Indices,
    scenes: Sequence[str],
    days: Mapping[str, float],
    n_gallery: int,
    seed: int,
    *,
    units: ArrayLike | None = None,
    draws: int = DRAWS,
    bins: Sequence[int] = DAY_BINS,
) -> list[Metric]:
    """Recall at 1 by the days between the two images; ``k`` is a bin's upper end.

    Parameters
    ----------
    ranks : int64 array, shape (Nq,)
    scenes : sequence of str
        Scene of each query.
    days : mapping
        Days between SAR and optical per scene; scenes that are not in it are
        left out, so data without dates give no row.
    units : array, shape (Nq,), optional
        Unit of each query; its scene by default.
    n_gallery, seed, draws
        As in :func:`~crosslook.retrieval.measure.retrieval.measure_retrieval`.
    bins : sequence of int
        Upper ends, rising; a gap of at most the first falls into the first.
    """
    gaps = np.array([abs(days.get(scene, np.nan)) for scene in scenes], np.float64)
    names = np.asarray(scenes if units is None else units)
    metrics = []
    low = -np.inf
    for high in bins:
        inside = (gaps > low) & (gaps <= high)
        low = high
        if inside.any():
            estimate = bootstrap_fraction(ranks[inside] == 1, names[inside], seed, draws)
            count = int(inside.sum())
            metrics.append(
                Metric(
                    "robustness",
                    "recall@1/days-apart",
                    estimate,
                    count,
                    n_gallery,
                    1 / n_gallery,
                    DIRECTION,
                    high,
                )
            )
    return metrics
