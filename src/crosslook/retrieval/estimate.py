"""What a study will take: time, memory and disk, before anything runs.

A few files and patches are read and described, and every repeated piece of the
evaluation is run once on random numbers of the right size; the rest is counting.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from crosslook.data.patches import PatchSet
from crosslook.errors import OutputError
from crosslook.extract.registry import open_model
from crosslook.retrieval.choose import choose_setup
from crosslook.retrieval.compare.calibration import FITTED_ROWS, MOST_DIRECTIONS, fit_calibration
from crosslook.retrieval.compare.maps import Shifts
from crosslook.retrieval.compare.pooling import dense_shifts, pool, resolve_pooling
from crosslook.retrieval.compare.similarity import (
    Offsets,
    OnDevice,
    Similarities,
    fit_scoring,
    normalise,
    rank,
    search_device,
)
from crosslook.retrieval.descriptors import Descriptors, patches_for
from crosslook.retrieval.evaluate import CALIBRATIONS
from crosslook.retrieval.measure.base import Pairs
from crosslook.retrieval.measure.gap import MOST_ITEMS
from crosslook.retrieval.measure.registry import measure_all
from crosslook.retrieval.measure.resampling import bootstrap_fraction
from crosslook.retrieval.measure.structure import MOST_PAIRS, Space
from crosslook.retrieval.plan import StudyPlan, plan_models
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.setup import Setup
from crosslook.retrieval.study import draw_pairs, open_sample
from crosslook.storage import is_remote
from crosslook.types import DIRECTIONS, FeatureMap, FloatArray, Indices

_SCENES, _PATCHES = 6, 16
_QUERIES, _GALLERY, _ROWS = 256, 4096, 1024
_COMPILED = 64  # pairs, enough for every measure of structure
_ON_DEVICE, _DEVICE_PATCHES = 32, 128  # times so many queries, and so many patches, on a GPU
_METRICS = 7  # intervals of one ranking
_PCA_COPIES, _WHITEN_COPIES = 5, 7  # of the fitted rows of a side, held at the highest
_MATCH_BYTES = 180  # of one query in one comparison, as arrays and in the table
_REPORT_SECONDS, _THUMBNAIL_SECONDS = 12.0, 0.02
_OWN_LIBRARIES = 250 << 20  # what figures and tables load at the end


@dataclass
class StudyEstimate:
    """What a study will take.

    Attributes
    ----------
    patches, units : int
        Pairs of patches, and the units that they fall into.
    seconds : dict of str to float
        By step, on this machine as it is now.
    memory : float
        Bytes of its own at the highest; pages of files come on top, which the
        system takes back when it needs them.
    fitting : float
        Bytes, among them, where directions are fitted, of the extractor that
        needs most.
    stored, scratch : float
        Bytes of the feature store, and of files that are gone with the process.
    notes : list of str
        What is not counted.
    """

    patches: int
    units: int
    seconds: dict[str, float] = field(default_factory=dict)
    memory: float = 0.0
    fitting: float = 0.0
    stored: float = 0.0
    scratch: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class _Sizes:
    """Patches to fit on and to measure, dimensions, units."""

    fit: int
    measured: int
    dimensions: int
    units: int


def estimate_study(settings: StudySettings) -> StudyEstimate:
    """Estimate what a study takes on this machine.

    Raises
    ------
    OutputError
        If the disk of the feature store cannot hold it.
    CrosslookError
        What the study itself would refuse before any work.
    """
    plan = plan_models(settings)
    estimate, patches, read = _reading(settings)
    for spec in plan.specs:
        features, seconds = _extraction(spec, patches, settings)
        estimate.seconds[f"extract {spec}"] = 2 * estimate.patches * (seconds + read)
        _add_evaluation(estimate, spec, features, settings, plan)
    _add_the_rest(estimate, plan, settings)
    _refuse_where_full(estimate, settings)
    return estimate


def _reading(settings: StudySettings) -> tuple[StudyEstimate, PatchSet, float]:
    """Patches in all, a few of them, and seconds to read one side of one."""
    pairs = draw_pairs(settings)
    few = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, _SCENES).round().astype(int))]
    opened: list[PatchSet] = []
    opening = _least(lambda: opened.append(open_sample(few, settings))) / len(few)
    patches = opened[0]
    count = round(len(patches.patches) / len(few) * len(pairs))
    count = min(count, settings.limit or count)
    at = list(range(min(_PATCHES, len(patches.patches))))
    read = _time(lambda: patches.read("sar", at)) / len(at)
    units = len({pair.group for pair in pairs})
    estimate = StudyEstimate(count, min(units, count))
    estimate.seconds["reading"] = opening * len(pairs)
    return estimate, patches, read


def _extraction(spec: str, patches: PatchSet, settings: StudySettings) -> tuple[FeatureMap, float]:
    """Features of a few patches, and seconds for one once the model is loaded."""
    at = list(range(min(_PATCHES, len(patches.patches))))
    extractor = open_model(spec, settings)
    images = patches_for(extractor, patches).read("optical", at)
    try:
        features = extractor.extract(images[:1], "optical")  # loads the weights
        if extractor.ahead:
            # A GPU is as fast as it will be with whole batches, and not before the second one:
            # the first loads what such a size needs.
            images = np.tile(images, (-(-_DEVICE_PATCHES // len(images)), 1, 1, 1))
            extractor.extract(images, "optical")
        seconds = _least(lambda: extractor.extract(images, "optical")) / len(images)
    finally:
        extractor.close()
    return features, seconds


def _add_evaluation(
    estimate: StudyEstimate,
    spec: str,
    features: FeatureMap,
    settings: StudySettings,
    plan: StudyPlan,
) -> None:
    pooling = resolve_pooling(settings.pooling, features.values.shape)
    whole = pool(features, pooling).shape[1]
    shifts = dense_shifts(pooling, features.values.shape)
    dimensions = min(whole, settings.pca or whole)
    fit = max(2, round(settings.calibration_fraction * estimate.patches))
    sizes = _Sizes(fit, max(2, estimate.patches - fit), dimensions, estimate.units)
    once = _evaluation(sizes, whole, shifts, settings)
    repeats = len(settings.split_seeds) if settings.split != "transductive" else 1
    estimate.seconds[f"evaluate {spec}"] = once * repeats
    stored = features.values[0].size if settings.keep == "maps" else whole
    stored += (
        0 if features.vector is None or settings.keep == "pooled" else features.vector.shape[1]
    )
    bytes_each = np.dtype(settings.stored).itemsize
    estimate.stored += 2.0 * estimate.patches * stored * bytes_each
    fused = sum(spec in str(fusion) for fusion in plan.fusion)
    scratch = 8.0 * estimate.patches * (whole * (1 + fused) + 2 * dimensions)
    estimate.scratch = max(estimate.scratch, scratch)
    comparisons = len(settings.calibrations) * len(settings.scorings) * len(DIRECTIONS)
    estimate.memory += comparisons * sizes.measured * _MATCH_BYTES
    numbers = _PCA_COPIES * whole if settings.pca and whole > settings.pca else 0
    if "whiten" in settings.calibrations:
        numbers = max(numbers, _WHITEN_COPIES * dimensions)
    estimate.fitting = max(estimate.fitting, 4.0 * min(fit, FITTED_ROWS) * numbers)
    estimate.seconds["writing"] = estimate.seconds.get("writing", 0.0) + (
        comparisons * sizes.measured * 1e-6
    )


def _evaluation(sizes: _Sizes, whole: int, shifts: Shifts | None, settings: StudySettings) -> float:
    """Seconds of one extractor in one split."""
    rng = np.random.default_rng(0)
    queries = normalise(rng.normal(size=(_QUERIES, sizes.dimensions)).astype(np.float32))
    count = min(_GALLERY, sizes.measured)
    gallery = normalise(rng.normal(size=(count, sizes.dimensions)).astype(np.float32))
    a_score = _score_seconds(queries, gallery, shifts, sizes, settings)
    bank = gallery[: min(count, sizes.fit)]
    csls = fit_scoring("csls", bank, bank, shifts=shifts)
    a_bank_score = _time(lambda: csls.offsets(queries, queries)) / (2 * _QUERIES * len(bank))
    calibrations = len(settings.calibrations)
    seconds = 2 * calibrations * sizes.measured**2 * a_score
    seconds += 2 * calibrations * sizes.measured * sizes.fit * a_bank_score
    rows = gallery[:_ROWS]
    fitted = _time(lambda: fit_calibration("standardize", rows, rows).apply(rows, "sar"))
    total = sizes.fit + sizes.measured
    seconds += calibrations * 2 * total * fitted / len(rows)
    seconds += _products(sizes, whole, settings) / _rate(sizes.dimensions)
    names = np.arange(sizes.measured) * sizes.units // sizes.measured
    hits = rng.random(sizes.measured) < 0.5
    bootstrap_fraction(hits, names, 0, settings.draws)  # draws are kept from here on
    interval = _time(lambda: bootstrap_fraction(hits, names, 0, settings.draws))
    seconds += interval * _METRICS * len(DIRECTIONS) * calibrations * len(settings.scorings)
    return seconds + _fixed(sizes, settings, rng)


def _score_seconds(
    queries: FloatArray,
    gallery: FloatArray,
    shifts: Shifts | None,
    sizes: _Sizes,
    settings: StudySettings,
) -> float:
    """Seconds of one score of one query, under all scorings, where the study searches."""
    # The GPU takes the whole gallery or none of it.
    gallery_bytes = 4 * sizes.measured * sizes.dimensions
    there = None if shifts else search_device(settings.device, gallery_bytes)
    if there is not None:
        queries = np.tile(queries, (_ON_DEVICE, 1))  # as many as fill it
    partner = np.arange(len(queries)) % len(gallery)
    offsets = [Offsets.none(len(queries), len(gallery))] * len(settings.scorings)
    work: Callable[[], object]
    if there is None:
        work = partial(rank, Similarities(queries, gallery, offsets, shifts), partner)
    else:
        work = partial(rank, OnDevice(there, queries, gallery, offsets), partner)
        work()  # the first loads what such a size needs
    return _time(work) / (len(queries) * len(gallery))


def _products(sizes: _Sizes, whole: int, settings: StudySettings) -> float:
    """Operations of ``whiten`` and of ``pca``: passes of range finders, and applying them."""
    total, fitted = sizes.fit + sizes.measured, min(sizes.fit, FITTED_ROWS)
    operations = 0.0
    if "whiten" in settings.calibrations:
        kept = min(fitted, sizes.dimensions, MOST_DIRECTIONS)
        passes = 22 if min(fitted, sizes.dimensions) > MOST_DIRECTIONS else 8
        operations += 2 * passes * fitted * sizes.dimensions * kept
        operations += 8.0 * total * sizes.dimensions * kept
    if settings.pca and whole > settings.pca:
        operations += 22 * 2 * fitted * whole * settings.pca + 4.0 * total * whole * settings.pca
    return operations


def _fixed(sizes: _Sizes, settings: StudySettings, rng: np.random.Generator) -> float:
    """Seconds of what looks at a sample of fixed size, run once on random numbers."""
    n = min(MOST_ITEMS, sizes.measured)
    sides = [rng.normal(size=(n, sizes.dimensions)).astype(np.float32) for _ in range(2)]
    sar, optical = (normalise(side) for side in sides)
    units = np.arange(n) * min(sizes.units, n) // n
    gap = _time(lambda: measure_all(Pairs(sar, optical, units, 0, settings.draws)))
    seconds = gap * len(settings.calibrations)
    if settings.structure and n >= 4:
        # The first call in a process compiles, for half a minute, and is counted once.
        few, at = slice(0, min(_COMPILED, n)), slice(0, min(MOST_PAIRS, n))
        seconds += _time(lambda: _structure(sar[few], optical[few], units[few]))
        once = _time(lambda: _structure(sar[at], optical[at], units[at]))
        seconds += once * sum(name in CALIBRATIONS for name in settings.calibrations)
    chosen = min(MOST_ITEMS, sizes.fit, n)
    if settings.split != "transductive":
        described = Descriptors(Setup(""), sar[:chosen], optical[:chosen])
        names = [str(unit) for unit in units[:chosen]]
        how = settings.calibrations, settings.scorings, 0
        seconds += _time(lambda: choose_setup(described, np.arange(chosen), names, *how))
    return seconds


def _structure(sar: FloatArray, optical: FloatArray, clusters: Indices) -> None:
    space = Space(sar, optical, clusters, 0)
    measure_all(space)
    space.embeddings()
    space.heat_maps()


def _add_the_rest(estimate: StudyEstimate, plan: StudyPlan, settings: StudySettings) -> None:
    shown = min(estimate.patches, 2000)
    estimate.seconds["writing"] += shown * _THUMBNAIL_SECONDS
    estimate.seconds["report"] = _REPORT_SECONDS * (1 + 0.3 * len(plan.specs))
    for fusion in plan.fusion:
        own = [estimate.seconds.get(f"evaluate {m.extractor}", 0.0) for m in fusion.members]
        estimate.seconds[f"fuse {fusion}"] = sum(own) / max(1, len(settings.calibrations))
    if plan.two_stage or settings.robustness:
        estimate.notes.append("two stages and robustness are not counted.")
    estimate.memory += estimate.fitting + _own_memory() + _OWN_LIBRARIES


def _refuse_where_full(estimate: StudyEstimate, settings: StudySettings) -> None:
    place = str(settings.store or settings.out / "features")
    need, folder = estimate.stored + estimate.scratch, settings.out
    if is_remote(place):
        need = estimate.scratch
    free = shutil.disk_usage(_existing(folder)).free
    if need > free:
        raise OutputError(
            f"the study needs {need / 1e9:.1f} GB in {folder} and {free / 1e9:.1f} GB are free. "
            "Choose another --out or --store, --stored float16, --keep pooled, fewer extractors, "
            "or --limit."
        )


def _existing(folder: Path) -> Path:
    return next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())


def _own_memory() -> float:
    """Bytes that belong to this process alone, models of the probes included (Linux), or all."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return 1024.0 * float(lines["RssAnon"].split()[0])
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def _rate(dimensions: int) -> float:
    """Operations a second of a product of float32."""
    side = np.ones((_ROWS, max(dimensions, 64)), np.float32)
    other = np.ones((side.shape[1], 512), np.float32)
    return 2.0 * side.size * 512 / _time(lambda: side @ other)


def _time(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return max(perf_counter() - started, 1e-9)


def _least(work: Callable[[], object]) -> float:
    """The least of three times of what is short: one may fall on a moment of other work."""
    first = _time(work)
    return first if first >= 1.0 else min(first, _time(work), _time(work))


def describe_estimate(estimate: StudyEstimate) -> list[Sequence[str]]:
    """Lines of a table: step, time."""
    lines = [(step, words(seconds)) for step, seconds in estimate.seconds.items()]
    return [*lines, ("all", words(estimate.total))]


def words(seconds: float) -> str:
    """Write a time as a reader takes it in."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
