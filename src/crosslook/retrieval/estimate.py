"""What a study will take: time, memory and disk, before anything runs.

A few patches, evenly over the scenes, are read and described. The study's own
evaluation then runs on random features of that shape: at the size of the set, or,
of a larger one, at up to 5,000 pairs in three sizes, from which what each step takes
is extrapolated by a constant, the pairs and the pairs squared.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from scipy.optimize import nnls

from crosslook.data.patches import PatchSet
from crosslook.errors import OutputError
from crosslook.extract.registry import open_model
from crosslook.progress import Timer
from crosslook.retrieval.clusters import Duplicates, find_clusters
from crosslook.retrieval.compare.calibration import FITTED_ROWS
from crosslook.retrieval.compare.pooling import Pooling, dense_shifts, pool, resolve_pooling
from crosslook.retrieval.descriptors import Descriptors, patches_for
from crosslook.retrieval.evaluate import CALIBRATIONS, Evaluator, evaluate_structure
from crosslook.retrieval.plan import StudyPlan, plan_models
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.setup import Setup
from crosslook.retrieval.stages import evaluate_fusion, evaluate_two_stages
from crosslook.retrieval.study import (
    divide_patches,
    draw_pairs,
    evaluate_descriptors,
    open_sample,
)
from crosslook.storage import is_remote
from crosslook.types import DIRECTIONS, FeatureMap, FloatArray, Indices, Patch, Window

_SCENES, _PATCHES = 6, 16
_DEVICE_PATCHES = 128
_MOST_TRIED, _MOST_NUMBERS = 5000, 2**27  # pairs, and numbers of one side of their descriptors
_PCA_COPIES, _WHITEN_COPIES = 5, 7  # of the fitted rows of a side, in memory at the highest
_MATCH_BYTES = 180  # of one query in one comparison, as arrays and in the table
_PICTURED = 2000
_OWN_LIBRARIES = 250 << 20  # what figures and tables load at the end


@dataclass
class StudyEstimate:
    """What a study will take.

    Attributes
    ----------
    patches, clusters : int
        Pairs of patches, and the clusters that they fall into.
    seconds : dict of str to float
        By step, on this machine as it is now.
    memory : float
        Bytes of its own at the highest; pages of files come on top, which the
        system takes back when it needs them.
    stored, scratch : float
        Bytes of the feature store, and of files that are gone with the process.
    notes : list of str
        What is not counted.
    """

    patches: int
    clusters: int
    seconds: dict[str, float] = field(default_factory=dict)
    memory: float = 0.0
    stored: float = 0.0
    scratch: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())


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
    estimate, sample, read = _reading(settings)
    features: dict[str, FeatureMap] = {}
    stages = [stage.extractor for one in plan.two_stage for stage in one.stages]
    for spec in dict.fromkeys([*plan.specs, *stages]):
        features[spec], seconds = _extraction(spec, sample, settings)
        estimate.seconds[f"extract {spec}"] = 2 * estimate.patches * (seconds + read)
    _count_bytes(estimate, {spec: features[spec] for spec in plan.specs}, plan, settings)
    _refuse_where_full(estimate, settings)
    with TemporaryDirectory() as folder:
        inside = settings.model_copy(update={"out": Path(folder), "seeds": ()})
        _time_evaluation(estimate, _Trial(plan, sample.patches, features, inside))
    repeats = len(settings.split_seeds) if settings.split != "transductive" else 1
    for step in estimate.seconds:
        if not step.startswith(("reading", "extract")):
            estimate.seconds[step] *= repeats
    estimate.seconds["images"] = 2 * min(estimate.patches, _PICTURED) * read
    estimate.notes.append("the report is not counted: a minute at most.")
    if settings.robustness:
        estimate.notes.append("robustness is not counted.")
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
    at = np.linspace(0, len(patches.patches) - 1, _PATCHES).round().astype(int).tolist()
    read = _least(lambda: patches.read("sar", at)) / len(at)
    # One patch of each pair is enough to find the clusters by the rule of the study.
    one_each = [Patch(pair.id, pair.id, pair.group, Window(0, 0, 1, 1)) for pair in pairs]
    clusters = find_clusters(one_each, settings.split_by).count
    estimate = StudyEstimate(count, min(clusters, count))
    estimate.seconds["reading"] = opening * len(pairs)
    return estimate, patches, read


def _extraction(spec: str, patches: PatchSet, settings: StudySettings) -> tuple[FeatureMap, float]:
    """Features of one patch, and seconds for one once the model is loaded."""
    at = np.linspace(0, len(patches.patches) - 1, _PATCHES).round().astype(int).tolist()
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


class _Trial:
    """The evaluation of a study on random features, at any number of pairs."""

    def __init__(
        self,
        plan: StudyPlan,
        sample: Sequence[Patch],
        features: dict[str, FeatureMap],
        settings: StudySettings,
    ) -> None:
        self.plan, self.sample, self.features, self.settings = plan, sample, features, settings
        members = [member for one in plan.fusion for member in one.members]
        self.poolings = {
            (spec, pooling or settings.pooling)
            for spec, pooling in [(spec, None) for spec in plan.specs]
            + [(member.extractor, member.pooling) for member in members]
        }
        self.dimensions = max(
            pool(features[spec], pooling).shape[1] for spec, pooling in self.poolings
        )

    def run(self, pairs: int, clusters: int) -> tuple[dict[str, float], Evaluator]:
        """Seconds by step, but for what sees a sample of fixed size, and the first evaluator."""
        timer, evaluators = Timer(), self._evaluators(pairs, clusters)
        described = {key: self._describe(*key, pairs) for key in self.poolings}
        for spec in self.plan.specs:
            for evaluator in evaluators:
                with timer(f"evaluate {spec}"):
                    reduced = evaluate_descriptors(
                        evaluator, described[spec, self.settings.pooling]
                    )
                with timer(f"choose {spec}"):
                    evaluator.add_chosen(reduced)
        for fusion in self.plan.fusion:
            usual = self.settings.pooling
            own = {m: described[m.extractor, m.pooling or usual] for m in fusion.members}
            with timer(f"fuse {fusion}"):
                for evaluator in evaluators:
                    evaluate_fusion(fusion, own, evaluator)
        for two in self.plan.two_stage:
            with timer(f"two stages {two}"):
                for evaluator in evaluators:
                    evaluate_two_stages(two, self._maps, evaluator)
        return timer.seconds, evaluators[0]

    def structure(self, evaluator: Evaluator, pairs: int) -> dict[str, float]:
        """Seconds of the structure of every extractor; the first call compiles, as in a study."""
        shown = [name for name in self.settings.calibrations if name in CALIBRATIONS]
        seconds = {}
        for spec in self.plan.specs if shown and self.settings.structure else ():
            described = self._describe(spec, self.settings.pooling, pairs)
            calibrated = evaluator.calibrate(evaluator.reduce(described), shown[0])
            work = partial(evaluate_structure, calibrated, evaluator)
            seconds[spec] = sum(_time(work) for _ in shown)
        return seconds

    def _evaluators(self, pairs: int, clusters: int) -> list[Evaluator]:
        """Evaluators of the sample's patches, repeated under other names."""
        patches = []
        for at in range(pairs):
            copy, number = divmod(at, len(self.sample))
            patch, name = self.sample[number], str(at % clusters)
            scene = f"{copy}/{patch.scene}"
            patches.append(replace(patch, id=f"{copy}/{patch.id}", scene=scene, group=name))
        settings = self.settings.model_copy(update={"structure": False})
        alone = Duplicates(np.arange(pairs))
        return divide_patches("trial", patches, find_clusters(patches, "group"), alone, settings)

    def _describe(self, spec: str, pooling: Pooling, pairs: int) -> Descriptors:
        shape = self.features[spec].values.shape
        how = resolve_pooling(pooling, shape)
        length = pool(self.features[spec], how).shape[1]
        sar, optical = (_random(seed, (pairs, length)) for seed in (0, 1))
        return Descriptors(Setup(spec, str(how)), sar, optical, dense_shifts(how, shape))

    def _maps(self, spec: str, at: Indices) -> tuple[FeatureMap, FeatureMap]:
        return self._map(spec, 0, len(at)), self._map(spec, 1, len(at))

    def _map(self, spec: str, seed: int, count: int) -> FeatureMap:
        one = self.features[spec]
        vector = None if one.vector is None else one.vector[np.zeros(count, np.int64)]
        return FeatureMap(_random(seed, (count, *one.values.shape[1:])), one.stride, vector)


def _random(seed: int, shape: tuple[int, ...]) -> FloatArray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _time_evaluation(estimate: StudyEstimate, trial: _Trial) -> None:
    """Run the evaluation at three sizes, and extrapolate each step."""
    total = estimate.patches
    # From a quarter of that on, no measure that sees a sample sees more; the choice sees no
    # more than all of it.
    most = max(16, min(total, _MOST_TRIED, _MOST_NUMBERS // trial.dimensions))
    sizes = [total] if most >= total else [most // 4, most // 2, most]
    runs = []
    for pairs in sizes:
        seconds, evaluator = trial.run(pairs, min(estimate.clusters, pairs))
        runs.append(seconds)
    for step in runs[0]:
        if step.startswith(("choose", "two stages")):
            estimate.seconds[step] = runs[-1][step]
        else:
            estimate.seconds[step] = extrapolate(sizes, [run[step] for run in runs], total)
    for spec, more in trial.structure(evaluator, sizes[-1]).items():
        estimate.seconds[f"evaluate {spec}"] += more


def extrapolate(sizes: Sequence[int], seconds: Sequence[float], size: int) -> float:
    """Seconds at a size, by a constant, the pairs and the pairs squared, none below 0.

    Relative errors are least, so that the smallest size counts as much as the largest.
    """
    n, t = np.array(sizes, np.float64), np.maximum(np.array(seconds, np.float64), 1e-3)
    terms = np.stack([np.ones_like(n), n, n**2], axis=1)
    weights = nnls(terms / t[:, None], np.ones_like(t))[0]
    return float(weights @ [1.0, size, float(size) ** 2])


def _count_bytes(
    estimate: StudyEstimate,
    features: dict[str, FeatureMap],
    plan: StudyPlan,
    settings: StudySettings,
) -> None:
    """Count what is stored, what lies on disk for a while, and what is in memory."""
    pairs, fitting = estimate.patches, 0.0
    fit = max(2, round(settings.calibration_fraction * pairs))
    comparisons = len(settings.calibrations) * len(settings.scorings) * len(DIRECTIONS)
    for spec, one in features.items():
        whole = pool(one, settings.pooling).shape[1]
        dimensions = min(whole, settings.pca or whole)
        stored = one.values[0].size if settings.keep == "maps" else whole
        if one.vector is not None and settings.keep == "maps":
            stored += one.vector.shape[1]
        estimate.stored += 2.0 * pairs * stored * np.dtype(settings.stored).itemsize
        fused = sum(m.extractor == spec for fusion in plan.fusion for m in fusion.members)
        scratch = 8.0 * pairs * (whole * (1 + fused) + 2 * dimensions)
        estimate.scratch = max(estimate.scratch, scratch)
        estimate.memory += comparisons * max(2, pairs - fit) * _MATCH_BYTES
        copies = _PCA_COPIES * whole if settings.pca and whole > settings.pca else 0
        if "whiten" in settings.calibrations:
            copies = max(copies, _WHITEN_COPIES * dimensions)
        fitting = max(fitting, 4.0 * min(fit, FITTED_ROWS) * copies)
    estimate.memory += fitting + _own_memory() + _OWN_LIBRARIES


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
