"""Known warps of Sentinel windows, and whether ``register`` follows them.

    python benchmarks/warps.py SENTINEL [--kinds A,B,...] [--count 40] [--out FILE.csv]

Each case is a window of random ground whose SAR image is brought under a known
map: one axis scaled by up to 10 per cent against the other, a shear of up to
10 per cent, a homography that moves each corner by up to 5 per cent of the
side (all three with a shift of up to 24 px), any rotation (told by
``rotation=180``), or a shift of 64 to 200 px in a window of 1,024 px. Where a
window lies is known to a pixel or two only, and hills displace it further. So
the error is given twice: against where the scene is known to lie, and against
the answer to the same window without the warp, which tells how well the warp
alone was followed. Of a relief the map of level ground is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np

from crosslook.match.register import register
from crosslook.match.robust_fit import fit_exact
from crosslook.match.transform import (
    Transform,
    grid_points,
    identity,
    similarity,
    translation,
)
from crosslook.progress import track
from registration_cases import MAX_SHIFT, Case, level, windows
from sensors import WITHIN, Line, write_lines

Draw = Callable[[np.random.Generator, int], Transform]
MOST = 0.1
CORNER = 0.05


def _shifted(rng: np.random.Generator, low: float = 0.0, high: float = MAX_SHIFT) -> Transform:
    """A shift evenly spread over a ring."""
    length, angle = np.sqrt(rng.uniform(low**2, high**2)), rng.uniform(0, 2 * np.pi)
    return Transform(translation(length * np.sin(angle), length * np.cos(angle)), "shift")


def _linear(matrix: np.ndarray, rng: np.random.Generator, side: int) -> Transform:
    """A linear map about the centre, and a shift."""
    whole = np.eye(3)
    whole[:2, :2] = matrix
    to, back = translation(-side / 2, -side / 2), translation(side / 2, side / 2)
    return _shifted(rng) @ Transform(back @ whole @ to, "affine")


def anisotropic(rng: np.random.Generator, side: int) -> Transform:
    """One axis against the other by up to 10 per cent, the area kept."""
    root = float(np.sqrt(1 + rng.uniform(-MOST, MOST)))
    return _linear(np.diag([root, 1 / root]), rng, side)


def shear(rng: np.random.Generator, side: int) -> Transform:
    """Columns along rows or rows along columns, by up to 10 per cent."""
    matrix = np.eye(2)
    matrix[tuple(rng.permutation(2))] = rng.uniform(-MOST, MOST)
    return _linear(matrix, rng, side)


def homography(rng: np.random.Generator, side: int) -> Transform:
    """Each corner anywhere within 5 per cent of the side."""
    corners = np.array([[0, 0], [0, side], [side, 0], [side, side]], np.float64)
    moved = corners + rng.uniform(-CORNER, CORNER, (4, 2)) * side
    return _shifted(rng) @ fit_exact(corners, moved, "homography")


def rotation(rng: np.random.Generator, side: int) -> Transform:
    """Any rotation, and a shift."""
    centre = (side / 2, side / 2)
    return _shifted(rng) @ similarity((0.0, 0.0), rng.uniform(-180, 180), 1.0, centre)


def offset(rng: np.random.Generator, side: int) -> Transform:
    """A shift of 64 to 200 px, further than the near search reaches."""
    return _shifted(rng, 64.0, 200.0)


@dataclass(frozen=True)
class Kind:
    """A family of warps, the window it is tried on, and what ``register`` is told."""

    draw: Draw
    side: int = 512
    spare: int = 128
    requested: dict[str, Any] = field(default_factory=dict)


KINDS = {
    "anisotropic": Kind(anisotropic),
    "shear": Kind(shear),
    "homography": Kind(homography),
    "rotation": Kind(rotation, spare=144, requested={"rotation": 180.0}),
    "offset": Kind(offset, side=1024, spare=208),
}


def measure(root: Path, name: str, count: int, seed: int, options: dict[str, Any]) -> list[Line]:
    """Register every warped window, and the same one as it lies."""
    kind = KINDS[name]
    plain = windows(
        root, kind.side, count, seed, draw=lambda rng, side: identity(), spare=kind.spare
    )
    warped = windows(root, kind.side, count, seed, draw=kind.draw, spare=kind.spare)
    lines: list[Line] = []
    for base, case in track(zip(plain, warped, strict=True), name, count):
        as_it_lies = register(*base.images()).transform
        started, worked = perf_counter(), process_time()
        result = register(*case.images(), **kind.requested, **options)
        seconds, work = perf_counter() - started, process_time() - worked
        transform = result.transform
        lines.append(
            {
                "kind": name,
                "scene": case.scene,
                "error": case.error(transform),
                "own_error": _against(as_it_lies, base, case, transform),
                "verdict": result.verdict,
                "search": result.search,
                "model": transform.model if transform else "",
                "seconds": seconds,
                "cpu_seconds": work,
            }
        )
    return lines


def _against(
    as_it_lies: Transform | None, base: Case, case: Case, transform: Transform | None
) -> float:
    """Mean distance from where the answer to the unwarped window sends the warped one."""
    if as_it_lies is None or transform is None:
        return case.error(transform)
    transform, as_it_lies = level(transform), level(as_it_lies)
    points = grid_points(*case.sar.shape)
    unwarped = base.truth.inverse(case.truth(points))  # where the pixels lie in the plain window
    return min(
        float(np.linalg.norm(transform(points) - as_it_lies(unwarped), axis=1).mean()), 999.0
    )


def report(name: str, lines: list[Line]) -> None:
    """Print the shares within so many pixels, models and time."""
    for column, words in (("own_error", "warp alone"), ("error", "and the scene")):
        error = np.array([line[column] for line in lines])
        within = " ".join(f"<= {t} px {(error <= t).mean():.3f}" for t in WITHIN)
        print(f"{name:12} {words:14}{within}; median {np.median(error):.2f} px, n = {len(lines)}")
    called = np.mean([line["verdict"] == "match" for line in lines])
    models = sorted({line["model"] for line in lines})
    counts = ", ".join(f"{m} {sum(line['model'] == m for line in lines)}" for m in models)
    clock, work = (np.mean([line[k] for line in lines]) for k in ("seconds", "cpu_seconds"))
    print(f"{'':12} match {called:.3f}; {counts}; {clock:.2f} s a pair ({work:.2f} s of a core)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--count", type=int, default=40, help="windows of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="", help="instead of the default")
    parser.add_argument("--out", type=Path, default=None, help="CSV with one line per case")
    given = parser.parse_args()
    cv2.setNumThreads(2)
    options = {"model": given.model} if given.model else {}
    lines: list[Line] = []
    for name in given.kinds.split(","):
        mine = measure(given.sentinel, name, given.count, given.seed, options)
        report(name, mine)
        lines += mine
    write_lines(lines, given.out)


if __name__ == "__main__":
    main()
