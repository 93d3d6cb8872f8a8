"""The cases of the registration benchmarks: images of real scenes, moved by a known transform.

Windows of Sentinel scenes of any size, pairs of other sensors, simulated
pairs: each with the optical image of another place, which is a wrong partner.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from crosslook.data.simulate.scene import make_pair
from crosslook.geo.grey import GreyImage
from crosslook.geo.image import open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.transform import (
    Transform,
    grid_points,
    identity,
    mean_distance,
    similarity,
    translation,
)
from crosslook.match.warp import opencv_matrix

WINDOW = 512
INSET = 56  # so that a moved window of SAR lies within the scene, without invented edges
SCENE = 1024
ELSEWHERE = 35  # pairs of five a region: always another region
CORNERS = tuple((r, c) for r in (INSET, 1024 - WINDOW - INSET) for c in (INSET, 456))
MAX_SHIFT, MAX_ROTATION, MAX_SCALE = 24.0, 2.0, 0.02
TRUSTED_PX = 1.5
Image = NDArray[Any]
FAILED_PX = 999.0


@dataclass(frozen=True)
class Reach:
    """By how much a SAR image is moved: degrees, factors, pixels."""

    rotation: float
    scale: tuple[float, float]
    shift: float

    def draw(self, rng: np.random.Generator, side: int) -> Transform:
        """A similarity about the centre; shifts are even over the disc."""
        length, angle = self.shift * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        rotation = rng.uniform(-self.rotation, self.rotation)
        shift = (length * np.sin(angle), length * np.cos(angle))
        scale = float(np.exp(rng.uniform(*np.log(self.scale))))
        return similarity(shift, rotation, scale, (side / 2, side / 2))


def level(transform: Transform) -> Transform:
    """The map of level ground: the relief left out."""
    return transform.without_field if transform.model == "relief" else transform


WINDOW_REACH = Reach(MAX_ROTATION, (1 - MAX_SCALE, 1 + MAX_SCALE), MAX_SHIFT)
SENSOR_REACH = Reach(2.0, (0.98, 1.02), 10.0)
WIDE_REACH = Reach(90.0, (0.7, 1.4), 25.6)


@dataclass(frozen=True, eq=False)
class Case:
    """One pair: ``truth`` maps SAR pixels to optical pixels.

    ``source`` is the sensor, ``scene`` what must not be split between fit and
    test; ``valid`` says where the SAR image holds something, ``wrong`` is the
    optical image of another place.
    """

    scene: str
    corner: tuple[int, int]
    sar: Image
    optical: Image
    truth: Transform
    source: str = "sentinel"
    valid: NDArray[np.bool_] | None = None
    wrong: Image | None = None

    def error(self, transform: Transform | None) -> float:
        """Mean distance in optical pixels over the valid ones of 9 x 9 SAR positions.

        The truth is one map per scene, without hills, so of a transform that
        follows the relief the map of level ground is measured.
        """
        if transform is None:
            return FAILED_PX
        transform = level(transform)
        height, width = self.sar.shape
        points = grid_points(height, width)
        if self.valid is not None:
            points = points[self.valid[tuple(points.astype(int).T)]]
        return min(mean_distance(transform, self.truth, points), FAILED_PX)

    def images(self, *, wrong: bool = False) -> tuple[RasterArray, RasterArray]:
        """SAR and optical image as the library takes them, without georeference."""
        optical = self.optical
        if wrong:
            if self.wrong is None:
                raise ValueError(f"{self.scene} has no wrong partner")
            optical = self.wrong
        sar = RasterArray.of(self.sar, self.valid, name=self.scene)
        return sar, RasterArray.of(optical, name=self.scene)

    def grey_images(self, *, wrong: bool = False) -> tuple[GreyImage, GreyImage]:
        """The same, ready for matching."""
        sar, optical = self.images(wrong=wrong)
        return (
            open_image(sar, "sar").read().grey_image("sar"),
            open_image(optical, "optical").read().grey_image("optical"),
        )


def all_shifts(root: Path) -> dict[str, tuple[float, float]]:
    """Scene to (row, col), the mean of two measures."""
    return {row["scene"]: _shift(row) for row in _alignment(root)}


def trusted_shifts(root: Path) -> dict[str, tuple[float, float]]:
    """The same for scenes where the two measures agree within 1.5 px."""
    rows = _alignment(root)
    return {r["scene"]: _shift(r) for r in rows if float(r["disagreement"]) <= TRUSTED_PX}


def _alignment(root: Path) -> list[dict[str, str]]:
    with (root / "alignment.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _shift(row: dict[str, str]) -> tuple[float, float]:
    return (
        (float(row["mi_row"]) + float(row["grad_row"])) / 2,
        (float(row["mi_col"]) + float(row["grad_col"])) / 2,
    )


def cases(root: Path, seed: int = 0, limit: int | None = None) -> Iterator[Case]:
    """Four windows of every trusted scene; ``limit`` takes that many, evenly spread."""
    shifts = trusted_shifts(root)
    keys = [(k, w) for k in range(len(shifts)) for w in range(len(CORNERS))]
    if limit is not None:
        keys = [keys[i] for i in np.linspace(0, len(keys) - 1, limit).round().astype(int)]
    names = sorted(shifts)
    for number, corner in keys:
        name = names[number]
        yield _case(root, name, shifts[name], corner, np.random.default_rng([seed, number, corner]))


def _case(
    root: Path, scene: str, shift: tuple[float, float], corner: int, rng: np.random.Generator
) -> Case:
    row, col = CORNERS[corner]
    length, angle = MAX_SHIFT * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
    offset = (length * np.sin(angle), length * np.cos(angle))  # even over a disc
    moved = similarity(
        (offset[0], offset[1]),
        rng.uniform(-MAX_ROTATION, MAX_ROTATION),
        rng.uniform(1 - MAX_SCALE, 1 + MAX_SCALE),
        (WINDOW / 2, WINDOW / 2),
    )
    into_scene = Transform(translation(row, col), "shift") @ moved
    sar, optical = (
        read_image(root / "sar" / f"{scene}.tif"),
        read_image(root / "optical" / f"{scene}.tif"),
    )
    window = cv2.warpPerspective(
        sar[0], opencv_matrix(into_scene.inverse), (WINDOW, WINDOW), flags=cv2.INTER_CUBIC
    )
    truth = Transform(translation(shift[0] - row, shift[1] - col), "shift") @ into_scene
    cut = optical[:, row : row + WINDOW, col : col + WINDOW]
    return Case(scene, (row, col), window, cut, truth)


@lru_cache(maxsize=320)
def read_image(path: Path) -> Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return np.asarray(file.read())


_SURE_PX = 2.0
_ROOM = 64  # around a window, so that a moved one holds no edge
_FAR = 256  # pixels between a window and a wrong partner, at least


@dataclass(frozen=True, eq=False)
class Ground:
    """Scenes of one tile on their common grid: cell (row, column) to name."""

    root: Path
    cells: dict[tuple[int, int], str]
    shifts: dict[str, tuple[float, float]]
    sure: set[str]

    def holds(self, top: int, left: int, side: int, room: int = 0) -> bool:
        """Whether the scenes cover a window, with room those whose shift is sure."""
        rows, cols = (
            range((first - room) // SCENE, (first + side + room - 1) // SCENE + 1)
            for first in (top, left)
        )
        names = [self.cells.get((r, c)) for r in rows for c in cols]
        return all(n is not None and (room == 0 or n in self.sure) for n in names)

    def read(self, kind: str, top: int, left: int, side: int) -> Image:
        """A window (B, side, side), each SAR scene shifted to where it belongs."""
        out: Image | None = None
        for (row, col), name in self.cells.items():
            r, c = row * SCENE - top, col * SCENE - left
            if min(r, c) <= -SCENE or max(r, c) >= side:
                continue
            bands = read_image(self.root / kind / f"{name}.tif")
            if kind == "sar":
                down, right = self.shifts[name]
                move = np.array([[1.0, 0.0, right], [0.0, 1.0, down]])
                bands = cv2.warpAffine(
                    bands[0], move, (SCENE, SCENE), borderMode=cv2.BORDER_REFLECT
                )[None]
            if out is None:
                out = np.zeros((len(bands), side, side), bands.dtype)
            a, b = max(r, 0), max(c, 0)
            part = bands[:, a - r : side - r, b - c : side - c]
            out[:, a : a + part.shape[1], b : b + part.shape[2]] = part
        if out is None:
            raise ValueError(f"no scene at {top}, {left}")
        return out


def grounds(root: Path) -> list[Ground]:
    shifts = all_shifts(root)
    sure = {r["scene"] for r in _alignment(root) if float(r["disagreement"]) <= _SURE_PX}
    out = []
    for tile in sorted({name[:6] for name in shifts}):
        corners = {}
        for name in sorted(n for n in shifts if n.startswith(tile)):
            with rasterio.open(root / "optical" / f"{name}.tif") as file:
                where = file.transform
            corners[name] = np.array([-where.f, where.c]) / (where.a * SCENE)
        first = np.min(list(corners.values()), axis=0)
        cells = {tuple(np.round(at - first).astype(int)): name for name, at in corners.items()}
        whole = {(int(r), int(c)): n for (r, c), n in cells.items()}
        out.append(Ground(root, whole, shifts, sure))
    return out


def windows(
    root: Path,
    side: int,
    count: int,
    seed: int = 0,
    *,
    draw: Callable[[np.random.Generator, int], Transform] = WINDOW_REACH.draw,
    spare: int = _ROOM,
) -> Iterator[Case]:
    """Random windows of Sentinel ground of any side; large ones span several scenes.

    ``draw`` gives the transform by which the SAR window is moved; it must not
    reach further than ``spare`` pixels beyond the window. The wrong partner
    lies elsewhere and is mirrored at random.
    """
    known = grounds(root)
    free, any_place = (
        [(g, r, c) for g, ground in enumerate(known) for r, c in places(ground, side, room)]
        for room in (spare, 0)
    )
    for number in range(count):
        rng = np.random.default_rng([seed, side, number])
        g, top, left = free[int(rng.integers(len(free)))]
        gap = side + _FAR
        far = [p for p in any_place if p[0] != g or max(abs(p[1] - top), abs(p[2] - left)) >= gap]
        other = far[int(rng.integers(len(far)))]
        wrong = known[other[0]].read("optical", other[1], other[2], side)
        wrong = wrong[:, :: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]
        ground = known[g]
        into = Transform(translation(spare, spare), "shift") @ draw(rng, side)
        sar = ground.read("sar", top - spare, left - spare, side + 2 * spare)[0]
        matrix, size = opencv_matrix(into.inverse), (side, side)
        yield Case(
            ground.cells[((top + side // 2) // SCENE, (left + side // 2) // SCENE)],
            (top, left),
            cv2.warpPerspective(sar, matrix, size, flags=cv2.INTER_CUBIC),
            ground.read("optical", top, left, side),
            Transform(translation(-spare, -spare), "shift") @ into,
            wrong=np.ascontiguousarray(wrong),
        )


def places(ground: Ground, side: int, room: int) -> list[tuple[int, int]]:
    rows, cols = (
        range(int(v.min()) * SCENE, (int(v.max()) + 1) * SCENE, 64)
        for v in np.array(list(ground.cells)).T
    )
    return [(r, c) for r in rows for c in cols if ground.holds(r, c, side, room)]


def sensor_cases(
    root: Path, seed: int = 0, *, wide: bool = False, limit: int | None = None
) -> Iterator[Case]:
    """Pairs of other sensors, each SAR image moved within its frame; wrong is another region."""
    names = sorted(path.stem for path in (root / "sar").glob("*.png"))
    numbers = np.linspace(0, len(names) - 1, limit or len(names)).round().astype(int)
    for number in numbers:
        name, other = (names[(number + k) % len(names)] for k in (0, ELSEWHERE))
        rng = np.random.default_rng([seed, number, int(wide)])
        sar = read_image(root / "sar" / f"{name}.png")[0]
        optical, wrong = (read_image(root / "optical" / f"{n}.png") for n in (name, other))
        case = Case(
            name.rsplit("_", 1)[0],
            (0, 0),
            sar,
            optical,
            identity(),
            name.split("_")[0],
            wrong=wrong,
        )
        yield _moved(case, (WIDE_REACH if wide else SENSOR_REACH).draw(rng, sar.shape[0]))


def terramind_cases(root: Path, seed: int = 0) -> Iterator[Case]:
    """Five places with Sentinel-1 RTC in decibels."""
    names = sorted(path.stem for path in (root / "S1RTC").glob("*.tif"))
    for number, name in enumerate(names):
        rng = np.random.default_rng([seed, number])
        sar = read_image(root / "S1RTC" / f"{name}.tif")[0].astype(np.float32)
        optical, wrong = (
            read_image(root / "S2RGB" / f"{n}.tif") for n in (name, names[number - 1])
        )
        case = Case(name, (0, 0), sar, optical, identity(), "terramind", wrong=wrong)
        yield _moved(case, SENSOR_REACH.draw(rng, sar.shape[0]))


def simulated_cases(side: int, count: int, seed: int = 0) -> Iterator[Case]:
    """Pairs of the simulator on ground so low that one similarity is its truth."""
    for number in range(count):
        pair = make_pair(size=side, seed=1000 * seed + number, relief=15.0)
        wrong = make_pair(size=side, seed=1000 * seed + number + 500, relief=15.0).optical
        case = Case(
            f"sim-{number}", (0, 0), pair.sar, pair.optical, identity(), "simulated", wrong=wrong
        )
        rng = np.random.default_rng([seed, side, number])
        yield _moved(case, SENSOR_REACH.draw(rng, side))


def _moved(case: Case, truth: Transform) -> Case:
    """The SAR image moved within its frame; what comes in from outside is not valid."""
    shape = case.sar.shape
    matrix, size = opencv_matrix(truth.inverse), shape[::-1]
    moved = cv2.warpPerspective(case.sar, matrix, size, flags=cv2.INTER_CUBIC)
    if not (case.sar < 0).any():
        moved = np.maximum(moved, 0)
    inside = cv2.warpPerspective(np.ones(shape, np.float32), matrix, size)
    return replace(case, sar=moved, truth=truth, valid=inside > 0.999)
