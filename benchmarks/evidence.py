"""Evidence of right and wrong answers over searches, sizes and sensors, for fit_verdict.py.

    python benchmarks/evidence.py DATA --out FILE.csv [--workers 2] [--budget SECONDS]
        [--seed 0] [--only TEXT]

``DATA`` holds ``sentinel``, ``sensors`` and ``terramind``. One row is an answer: every
alignment that a call of ``register`` makes on its way, with how far it is off, the evidence of
it, and whether the call took it as the answer of that search. A wrong partner so gives answers
of the initial search and of the expanded one. ``locate`` is asked on atlases of half of the
ground each. The cases are those of evidence_cases.py, mixed so that every prefix holds all
kinds in their proportions; each depends on the seed and its number alone. Rows are appended;
cases that the file holds already are not made again.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import cv2
import numpy as np

import crosslook.match.register as registering
from crosslook.errors import CrosslookError
from crosslook.extract.registry import open_extractor
from crosslook.geo.image import open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.align import Alignment
from crosslook.match.evidence import Evidence, Verdict
from crosslook.match.matchers.template import TemplateMatcher
from crosslook.match.settings import DEFAULT_EXTRACTOR, RegisterSettings
from crosslook.match.starts import search_areas
from evidence_atlas import build_all, chip_of, located, recorded
from evidence_cases import Ask, Family, Trial, families, schedule, simulated
from registration_cases import FAILED_PX

Row = dict[str, Any]
ATLAS = "atlas"


def register_rows(trial: Trial) -> Iterator[Row]:
    """What :func:`crosslook.match.register.register` does, and every alignment on the way."""
    settings = RegisterSettings(**trial.settings)
    sar = open_image(RasterArray.of(trial.sar, trial.valid), "sar")
    optical = open_image(RasterArray.of(trial.optical), "optical")
    extractor, matcher = open_extractor(DEFAULT_EXTRACTOR), TemplateMatcher(settings)
    for area in search_areas((sar, optical), trial.placed, extractor, settings):
        with recorded(registering) as made:
            found = registering.align_in(area, matcher, settings)
            final = (
                found if found.is_match else registering.with_model(found, area, matcher, settings)
            )
        grid = area.pair.grid
        for order, one in enumerate(made):
            # An image that was warped first has the transform that it was warped by before its own.
            is_warped = one.pair.sar is not area.pair.sar
            moved = one.transform
            if is_warped:
                moved = final.transform if final.evidence == one.evidence else None
            error = trial.error(None if moved is None or grid is None else grid.to_native(moved))
            same = one.evidence == final.evidence
            yield _answer(one, area.name, order, error, final=same, warped=is_warped)
        if final.is_match:
            return


def rows_of(family: Family, number: int, seed: int) -> list[Row]:
    """All rows of one case; a case that cannot be matched at all has one without evidence."""
    rng = np.random.default_rng([seed, *family.name.encode(), number])
    trial = family.make(rng, family.ask)
    return _with_head(
        {
            "key": f"{family.name}-{seed}-{number}",
            "family": family.name,
            "source": trial.source,
            "region": trial.region,
            "other": trial.other,
            "kind": trial.kind,
            "side": min(trial.sar.shape),
        },
        register_rows(trial),
    )


def located_rows(data: Path, atlases: Path, number: int, seed: int) -> list[Row]:
    """The same of a chip that is located, on the atlas with its ground or on the other."""
    case, absent = divmod(number, 2)
    sensors = case % 3 > 0
    chip = chip_of(data, np.random.default_rng([seed, case]), sensors=sensors)
    half = chip.half ^ absent
    found = located(data, atlases, chip, half, sensors=sensors)
    return _with_head(
        {
            "key": f"{ATLAS}-{seed}-{number}",
            "family": f"{ATLAS}-{'sensors' if sensors else 'sentinel'}",
            "source": chip.source,
            "region": chip.region,
            "other": f"atlas {half}",
            "kind": "wrong" if absent else "right",
            "side": min(chip.sar.shape),
        },
        (
            _answer(one, "atlas", order, error, final=final)
            for order, (one, error, final) in enumerate(found)
        ),
    )


def _answer(
    one: Alignment, search: str, order: int, error: float, *, final: bool, warped: bool = False
) -> Row:
    return {
        "search": search,
        "order": order,
        "warped": int(warped),
        "final": int(final),
        "error": round(error, 3),
        "verdict": one.verdict.label,
        "confidence": round(one.verdict.confidence, 5),
        **{name: float(f"{value:.6g}") for name, value in asdict(one.evidence).items()},
    }


def _with_head(head: Row, answers: Iterable[Row]) -> list[Row]:
    started = process_time()
    try:
        rows = list(answers)
    except CrosslookError:
        rows = []
    if not rows:
        blank = Verdict("no match", 0.0)
        rows = [{"search": "none", "order": 0, "warped": 0, "final": 0, "error": FAILED_PX}]
        rows[0] |= {"verdict": blank.label, "confidence": blank.confidence, **asdict(Evidence())}
    seconds = round(process_time() - started, 3)
    return [{**head, "seconds": seconds, **row} for row in rows]


@lru_cache(maxsize=1)
def _families(data: Path) -> list[Family]:
    cv2.setNumThreads(1)
    return [*families(data), Family(ATLAS, 12.0, simulated, Ask())]


def work(data: Path, atlases: Path, index: int, number: int, seed: int) -> list[Row]:
    """One case, in a process of its own."""
    known = _families(data)
    if known[index].name == ATLAS:
        return located_rows(data, atlases, number, seed)
    return rows_of(known[index], number, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budget", type=float, default=3000.0, help="seconds by the clock")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="families whose name holds this")
    given = parser.parse_args()
    known: set[str] = set()
    if given.out.exists():
        with given.out.open(newline="") as file:
            known = {row["key"] for row in csv.DictReader(file)}
    everything = _families(given.data)
    atlases = given.out.with_suffix(".atlases")
    build_all(given.data, atlases)
    end = monotonic() + given.budget
    cases = (
        (given.data, atlases, index, number, given.seed)
        for index, number in schedule(everything)
        if given.only in (name := everything[index].name)
        and f"{name}-{given.seed}-{number}" not in known
    )
    waiting: set[Future[list[Row]]] = set()
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        while monotonic() < end or waiting:
            while monotonic() < end and len(waiting) < 2 * given.workers:
                waiting.add(pool.submit(work, *next(cases)))
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for one in done:
                if (error := one.exception()) is not None:
                    print(f"a case failed: {error!r}", flush=True)  # the others go on
                    continue
                _append(given.out, one.result())


def _append(target: Path, rows: list[Row]) -> None:
    new = not target.exists()
    with target.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
