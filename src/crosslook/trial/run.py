"""The trial: pairs in, answers, rows and a record out."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from crosslook import threads
from crosslook._version import __version__
from crosslook.atomic import check_writable, sweep
from crosslook.data.pairs import Pairs, ScenePair, open_pairs
from crosslook.data.tables import check_names, read_alignment, read_text_table
from crosslook.errors import CalibrationError, InputError
from crosslook.extract.ray_engine import worker_device
from crosslook.match.engine import Engine, on_ray
from crosslook.match.matchers import open_tools, revision_of
from crosslook.match.settings import RegisterSettings
from crosslook.options import check_device
from crosslook.retrieval.clusters import Clusters, divide, draw_evenly
from crosslook.retrieval.run_folder import write_run
from crosslook.storage import state_of
from crosslook.trial.answers import Answer, part_key, write_answers
from crosslook.trial.cases import CaseMaker, CaseSettings, Task, clusters_of, make_tasks
from crosslook.trial.measures import (
    Measured,
    Resampling,
    TrialRow,
    area,
    differences,
    measure,
    strata_of,
    write_rows,
)
from crosslook.trial.protocol import Protocol, read_sweep
from crosslook.trial.settings import TrialSettings
from crosslook.trial.work import Job, Parts, Runner, answer_all, estimate
from crosslook.written import has_keys, is_marked, refuse_foreign

KIND = "trial"
"""What ``run.json`` says of the run, so that reports and tables know it."""

WRITTEN = {
    "run.json": has_keys("kind", "settings", "matchers"),
    "results.parquet": is_marked,
    "answers.parquet": is_marked,
    "times.parquet": is_marked,
}
"""The files of a trial beside its parts, and how each tells that crosslook wrote it."""

_LEAST_STRATUM = 5  # cases of a stratum that are worth a row
_FEW = 3  # tasks by which the time is estimated
_RAY_WORKERS = 2
_LEAST_CLUSTERS = 3  # two to choose a protocol on, one to report
_STRATA = ("sensor", "ground")


def run_trial(settings: TrialSettings, console: Console | None = None) -> Path:
    """Register every case by every matcher, and measure how near they come.

    Every matcher is opened before any long work. Answers are written part by
    part, so a run that was stopped or killed goes on, to the same rows.

    Returns
    -------
    Path
        The run folder: ``results.parquet``, ``answers.parquet``, ``times.parquet``, ``run.json``.

    Raises
    ------
    CrosslookError
        One of the family, for anything that is wrong with settings or data.
    """
    console = console or Console()
    check_writable(settings.out)
    refuse_foreign(settings.out, WRITTEN, overwrite=settings.overwrite)
    pairs = open_trial_pairs(settings)
    job = plan(settings, pairs)
    calibration_of([task.cluster for task in job.tasks], settings)  # too few, said before any work
    matchers = len(settings.matchers)
    console.print(
        f"{len(pairs)} pairs, {len(job.tasks)} cases, {matchers} matcher(s), "
        f"{len(job.runners) // matchers} protocol(s)",
        highlight=False,
    )
    for note in pairs.notes:
        console.print(f"note: {note}", highlight=False)
    if settings.estimate:
        _say_estimate(job, settings, console)
        return settings.out
    sweep(settings.out)
    _answer(job, settings)
    answers = list(job.answers())
    write_answers(settings.out, answers)
    chosen = choose_protocols(answers, settings)
    rows = make_rows(answers, job, settings, chosen)
    write_rows(settings.out, rows)
    write_run(settings.out, _record(settings, pairs, job, answers, chosen))
    return settings.out


def open_trial_pairs(settings: TrialSettings) -> Pairs:
    """The pairs of a trial that have a truth, at most as many as the limit says."""
    pairs = open_pairs(
        settings.pairs, layout=settings.layout, skip_incomplete=settings.skip_incomplete
    )
    notes = list(pairs.notes)
    kept: list[ScenePair] = list(pairs)
    if settings.tie_points is not None:
        kept = [replace(one, tie_points=_table_of(settings.tie_points, one)) for one in kept]
        kept = [one for one in kept if one.tie_points is not None]
        notes.append(f"{len(kept)} of {len(pairs)} pairs have a table of tie points.")
    if settings.alignment is not None:
        shifts = read_alignment(settings.alignment)
        check_names(settings.alignment, shifts, [one.id for one in pairs], "the alignment")
        kept = [one for one in kept if one.id in shifts]
        notes.append(f"{len(kept)} of {len(pairs)} pairs are named by the alignment.")
    if not kept:
        raise InputError(f"no pair of {settings.pairs} has a truth; see --alignment, --tie-points.")
    if settings.limit is not None and len(kept) > settings.limit:
        chosen = draw_evenly([one.group for one in kept], settings.limit, settings.seed)
        kept = [kept[i] for i in chosen]
    return Pairs(kept, [*notes, *clusters_of(kept).notes])


def _table_of(folder: Path, pair: ScenePair) -> Path | None:
    """The table of tie points of a pair: its id, or the last part of it, with a known ending."""
    for stem in (pair.id, pair.id.rpartition("/")[2]):
        for ending in (".csv", ".points", ".mat"):
            if (path := folder / f"{stem}{ending}").is_file():
                return path
    return None


def case_settings(settings: TrialSettings) -> CaseSettings:
    """How cases are made of the pairs of a trial."""
    shifts = {} if settings.alignment is None else read_alignment(settings.alignment)
    return CaseSettings(settings.window, settings.seed, settings.reading(), shifts)


def plan(settings: TrialSettings, pairs: Sequence[ScenePair]) -> Job:
    """All tasks, and all matchers under all protocols, each of them opened once."""
    cases = case_settings(settings)
    maker = CaseMaker(pairs, cases)
    tasks = make_tasks(
        pairs,
        lambda pair: maker.windows_of(pair, settings.windows),
        settings.draws,
        settings.reaches,
        settings.seed,
        wrong=settings.wrong and len(pairs) > 1,
    )
    seen = _contents(pairs, tasks, cases)
    runners = tuple(
        _runner(settings, matcher, protocol, seen)
        for matcher in settings.matchers
        for protocol in read_sweep(settings.sweep)
    )
    return Job(settings.out, tuple(pairs), tuple(tasks), runners, cases, 1)


def _contents(
    pairs: Sequence[ScenePair], tasks: Sequence[Task], cases: CaseSettings
) -> dict[str, Any]:
    """What answers depend on beside the matcher: tasks, files and how they are read."""
    files = [p for one in pairs for p in (one.sar, one.optical, one.tie_points) if p is not None]
    states = [state_of(one) if isinstance(one, Path) else () for one in files]
    return {
        "tasks": [f"{one.name} {one.partner} {one.cluster}" for one in tasks],
        "files": [[str(file), *state] for file, state in zip(files, states, strict=True)],
        "cases": asdict(cases),
    }


def _runner(
    settings: TrialSettings, matcher: str, protocol: Protocol, seen: Mapping[str, Any]
) -> Runner:
    """A matcher under a protocol; it is opened to see that it can be."""
    options: dict[str, Any] = {
        "model": settings.model, "tiling": settings.tiling, "gate": settings.gate,
        "refine": settings.refine,
    } | protocol.options(settings.tiling)  # fmt: skip
    models = ("weights", "device", "dtype", "batch_size", "seed")
    options |= {name: getattr(settings, name) for name in models}
    given = RegisterSettings(matcher=matcher, threads=1, **options)
    extractor, opened = open_tools(given)
    revision = revision_of(matcher, opened, extractor.revision)
    extractor.close()
    what = given.model_dump(mode="json", exclude={"device", "batch_size", "threads", "weights"})
    seen = {**seen, "settings": what, "protocol": str(protocol)}  # the tone is no setting
    key = part_key({**seen, "revision": revision, "crosslook": __version__})
    return Runner(matcher, protocol, given, revision, key)


def _answer(job: Job, settings: TrialSettings) -> None:
    missing = job.missing()
    if not missing:
        return
    if settings.engine == "ray":
        device, gpus = worker_device(settings.device, settings.ray_address)
        runners = tuple(
            replace(one, settings=one.settings.model_copy(update={"device": device}))
            for one in job.runners
        )
        there = replace(job, runners=runners, out=job.out.absolute())
        engine = Engine("ray", _processes(settings), settings.ray_address)
        for _ in on_ray(Parts.of(there), "Registering (ray)", engine, gpus):
            pass
        return
    answer_all(job, min(_processes(settings), len(missing)))


def _processes(settings: TrialSettings) -> int:
    """How many processes register at once, here or on Ray."""
    if settings.engine == "ray":
        return settings.workers or _RAY_WORKERS
    on_gpu = check_device(settings.device)[0] in ("cuda", "mps")
    return settings.processes or (1 if on_gpu else settings.threads or threads.available())


def _say_estimate(job: Job, settings: TrialSettings, console: Console) -> None:
    taken = estimate(job, job.tasks[:_FEW])
    processes = _processes(settings)
    for name, (seconds, why) in taken.items():
        failed = f"; failed: {why}" if why else ""
        console.print(f"{name}: {seconds:.2f} s a case{failed}", highlight=False, soft_wrap=True)
    total = sum(seconds for seconds, _ in taken.values()) * len(job.tasks) / processes
    console.print(
        f"about {total / 60:.0f} min for {len(job.tasks)} cases in {processes} process(es)",
        highlight=False,
    )


@dataclass(frozen=True)
class Choice:
    """Which protocol each matcher runs under, and on which clusters that was chosen.

    Attributes
    ----------
    protocols : dict of str to str
        By matcher.
    calibration : frozenset of str
        Clusters that it was chosen on; empty where nothing was swept.
    """

    protocols: dict[str, str]
    calibration: frozenset[str] = frozenset()

    def split_of(self, answer: Answer) -> str:
        """``all`` where nothing was chosen, else ``calibration`` or ``test``."""
        if not self.calibration:
            return "all"
        return "calibration" if answer.cluster in self.calibration else "test"


def choose_protocols(answers: Sequence[Answer], settings: TrialSettings) -> Choice:
    """The protocol of each matcher with the largest area under its curve on the calibration part.

    Where there is one protocol, nothing is chosen, and nothing set aside.
    """
    protocols = list(map(str, read_sweep(settings.sweep)))
    part = calibration_of([one.cluster for one in answers], settings)
    if not part:
        return Choice(dict.fromkeys(settings.matchers, protocols[0]))
    sums: dict[tuple[str, str], float] = {}
    for one in answers:
        if one.cluster in part and one.is_measured:
            key = one.matcher, one.protocol
            sums[key] = sums.get(key, 0.0) + float(area(np.array([one.error_px]))[0])
    chosen = {}
    for matcher in settings.matchers:
        values = [sums.get((matcher, protocol), 0.0) for protocol in protocols]
        chosen[matcher] = protocols[int(np.argmax(values))]
    return Choice(chosen, part)


def calibration_of(clusters: Sequence[str], settings: TrialSettings) -> frozenset[str]:
    """Clusters that protocols are chosen on; empty where there is one protocol.

    Raises
    ------
    CalibrationError
        If there are too few to choose on some and measure others.
    """
    if len(read_sweep(settings.sweep)) == 1:
        return frozenset()
    known = Clusters("cluster", tuple(clusters))
    if known.count < _LEAST_CLUSTERS:
        raise CalibrationError(
            f"--sweep chooses on some clusters and reports others; {known.count} are too few, "
            f"{_LEAST_CLUSTERS} are needed. Give more pairs, or one protocol."
        )
    division = divide(known, settings.calibration_fraction, settings.seed)
    return frozenset(division.calibration_clusters)


def make_rows(
    answers: Sequence[Answer], job: Job, settings: TrialSettings, choice: Choice
) -> list[TrialRow]:
    """All rows: every protocol as a whole, the chosen one in parts and against the others."""
    how = Resampling(settings.seed, settings.bootstrap)
    known = strata_of_pairs(settings.pairs, job.pairs)
    revisions = {one.matcher: one.revision for one in job.runners}
    groups: dict[tuple[str, str, str, str, str], list[Answer]] = {}
    for one in answers:
        is_chosen = one.protocol == choice.protocols[one.matcher]
        parts = strata_of(one, known) if is_chosen else ["all"]
        for part in parts:
            key = (one.matcher, one.protocol, one.reach, choice.split_of(one), part)
            groups.setdefault(key, []).append(one)
    sizes: dict[tuple[str, str], set[str]] = {}
    for _, _, reach, _, part in groups:
        sizes.setdefault((reach, part.partition("=")[0]), set()).add(part)
    rows: list[TrialRow] = []
    for key, some in groups.items():
        matcher, protocol, reach, split, part = key
        alone = len(sizes[reach, part.partition("=")[0]]) == 1 and part != "all"
        if alone or (part != "all" and len(some) < _LEAST_STRATUM):
            continue
        metrics = list(measure(some, how))
        if part == "all" and protocol == choice.protocols[matcher]:
            metrics += _against(key, groups, choice, settings, how)
        head = {
            "dataset": settings.pairs.resolve().name, "matcher": matcher,
            "revision": revisions[matcher], "protocol": protocol, "reach": reach,
            "split": split, "stratum": part,
        }  # fmt: skip
        rows += [_row(head, one) for one in metrics]
    return rows


def _against(
    key: tuple[str, str, str, str, str],
    groups: Mapping[tuple[str, str, str, str, str], Sequence[Answer]],
    choice: Choice,
    settings: TrialSettings,
    how: Resampling,
) -> Iterator[Measured]:
    matcher, _, reach, split, part = key
    other = settings.reference
    if matcher == other:
        return
    second = groups.get((other, choice.protocols[other], reach, split, part))
    if second:
        yield from differences(groups[key], second, how)


def _row(head: Mapping[str, str], one: Measured) -> TrialRow:
    estimate = one.estimate
    return TrialRow(
        **head, metric=one.metric, k=one.k, value=estimate.value, ci_low=estimate.low,
        ci_high=estimate.high, n=one.n, n_clusters=one.n_clusters, chance=one.chance,
    )  # fmt: skip


def strata_of_pairs(source: Path, pairs: Sequence[ScenePair]) -> dict[str, dict[str, str]]:
    """Sensor and ground of pairs: from ``scenes.csv`` beside them, else from their names.

    Names as ``GF3_city_12`` say both where every pair is named so and each word is
    that of several pairs.
    """
    table = (source if source.is_dir() else source.parent) / "scenes.csv"
    if table.is_file():
        columns, lines = read_text_table(table)
        names = [name for name in _STRATA if name in columns]
        if names and "scene" in columns:
            return {line["scene"]: {n: line[n] for n in names if line[n]} for line in lines}
    words = {one.id: one.id.rpartition("/")[2].split("_") for one in pairs}
    if any(len(parts) != 3 or not parts[2].isdigit() for parts in words.values()):
        return {}
    for place in (0, 1):
        counts = Counter(parts[place] for parts in words.values())
        if len(counts) < 2 or min(counts.values()) < 2:
            return {}
    return {name: dict(zip(_STRATA, parts[:2], strict=True)) for name, parts in words.items()}


def _record(
    settings: TrialSettings, pairs: Pairs, job: Job, answers: Sequence[Answer], choice: Choice
) -> dict[str, Any]:
    """The content of ``run.json``."""
    failures = Counter((one.matcher, one.failure) for one in answers if one.failure)
    times: dict[str, list[float]] = {}
    for one in answers:
        if not one.failure and one.protocol == choice.protocols[one.matcher]:
            times.setdefault(one.matcher, []).append(one.seconds)
    left = {"out", "overwrite", "device", "batch_size", "threads", "processes", "estimate",
            "engine", "workers", "ray_address", "weights"}  # fmt: skip
    return {
        "kind": KIND,
        "dataset": settings.pairs.resolve().name,
        "settings": settings.model_dump(mode="json", exclude=left),
        "crosslook": __version__,
        "machine": {"system": platform.platform(), "cores": threads.available()},
        "pairs": len(pairs),
        "clusters": len({one.cluster for one in job.tasks}),
        "cases": len(job.tasks),
        "matchers": {
            one.matcher: {"revision": one.revision, "protocol": choice.protocols[one.matcher]}
            for one in job.runners
        },
        "against": settings.reference,
        "calibration_clusters": sorted(choice.calibration),
        "failures": [
            {"matcher": m, "why": why, "cases": n} for (m, why), n in failures.most_common(50)
        ],
        "seconds": {m: round(sum(v) / len(v), 4) for m, v in times.items()},
        "memory_mb": {
            m: max(one.memory_mb for one in answers if one.matcher == m) for m in settings.matchers
        },
        "notes": list(pairs.notes),
    }
