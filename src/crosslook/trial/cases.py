"""Cases of a trial: windows of pairs, moved by seeded warps, with their truth."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from math import ceil
from pathlib import Path

import cv2
import numpy as np

from crosslook.data.pairs import ScenePair
from crosslook.errors import CrosslookError, GridError, InputError
from crosslook.geo.image import ImageFile, Reading, as_image, on_optical_grid, open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.placement import placement, read_points
from crosslook.match.transform import Transform, grid_points, identity, shift_by
from crosslook.match.warp import warp_array
from crosslook.options import ReadingText
from crosslook.retrieval.clusters import Clusters, choose_clusters
from crosslook.trial.reach import REACHES
from crosslook.types import Array, FloatArray, Mask, Window

MOST_PX = 4096
"""Pixels along the longer side of a whole image; larger ones are reduced by a whole factor."""

_LEAST_VALID = 0.5
_TOO_FAR = 1e4
_AS_STORED = Reading.parse(ReadingText(sar="scale=stored"))


@dataclass(frozen=True)
class Task:
    """What is registered: a window of a pair under a warp, with its own partner or another's.

    Attributes
    ----------
    pair : str
        Id of the pair; of its SAR image.
    partner : str
        Id of the pair whose optical image is taken.
    cluster : str
        What intervals draw: the group of the pair, or the pair where groups are too few.
    window : int
        Number of the window in the pair.
    reach : str
    draw : int
    """

    pair: str
    partner: str
    cluster: str
    window: int
    reach: str
    draw: int

    @property
    def is_wrong(self) -> bool:
        """Whether the optical image shows another place."""
        return self.pair != self.partner

    @property
    def name(self) -> str:
        """Unique in a trial."""
        return f"{self.pair}/{self.window}/{self.reach}/{self.draw}" + "/wrong" * self.is_wrong


@dataclass(frozen=True)
class CaseSettings:
    """How cases are made of pairs.

    Attributes
    ----------
    window : int or None
        Side; None for whole images.
    seed : int
    reading : ReadingText
    shifts : dict of str to (float, float)
        Misregistration of scenes in optical pixels; empty where none is known.
    """

    window: int | None
    seed: int
    reading: ReadingText
    shifts: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Case:
    """Two images and the truth.

    Attributes
    ----------
    sar, optical : ImageFile
    here, there : float64 array, shape (n, 2)
        Positions in SAR pixels, and where they are in optical ones.
    window : Window
        The part of the optical file; of a wrong partner that of the own one.
    factor : int
        Pixels of the file along a side of a pixel.
    warp : Transform
        What the SAR image was moved by: its pixels to those of the window.
    is_level : bool
        Whether the truth is one warp of the whole image, which knows no relief; of a
        transform that follows relief the map of flat ground is measured then.
    """

    sar: ImageFile
    optical: ImageFile
    here: Array
    there: Array
    window: Window
    factor: int
    warp: Transform
    is_level: bool

    def error(self, transform: Transform | None) -> float:
        """Mean distance from the truth in pixels of the optical file; infinite of no transform."""
        if transform is None:
            return float("inf")
        if self.is_level and transform.model == "relief":
            transform = transform.without_field
        apart = np.linalg.norm(transform(self.here) - self.there, axis=1)
        mean = float(apart.mean()) * self.factor
        return min(mean, _TOO_FAR) if np.isfinite(mean) else _TOO_FAR

    @property
    def digest(self) -> str:
        """Names what is registered and measured: another window or truth has another name."""
        numbers = [*astuple(self.window), self.factor, *self.warp.matrix.ravel().round(6)]
        numbers += [*self.here.ravel().round(3), *self.there.ravel().round(3)]
        # Adding 0 leaves one zero of two.
        return hashlib.sha256((np.array(numbers, np.float64) + 0.0).tobytes()).hexdigest()[:16]

    @property
    def start_error(self) -> float:
        """The error of leaving the image where it is."""
        return self.error(identity())


def make_tasks(
    pairs: Sequence[ScenePair],
    windows: Callable[[str], int],
    draws: int,
    reaches: Sequence[str],
    seed: int,
    *,
    wrong: bool,
) -> list[Task]:
    """All tasks of a trial, pair by pair; ``windows`` says how many a pair gives.

    A wrong partner is the optical image of a pair of another group, drawn by the
    seed; where all are of one group, of another pair.
    """
    tasks = []
    clusters = clusters_of(pairs).names
    for pair, cluster in zip(pairs, clusters, strict=True):
        rng = np.random.default_rng([seed, zlib.crc32(pair.id.encode())])
        others = [one.id for one in pairs if one.group != pair.group]
        others = others or [one.id for one in pairs if one.id != pair.id]
        for window in range(windows(pair.id)):
            for reach in reaches:
                for draw in range(1 if reach == "as-is" else draws):
                    other = others[int(rng.integers(len(others)))] if others else pair.id
                    partners = [pair.id, other] if wrong and others else [pair.id]
                    tasks += [Task(pair.id, p, cluster, window, reach, draw) for p in partners]
    return tasks


def clusters_of(pairs: Sequence[ScenePair]) -> Clusters:
    """What is drawn by every interval, and divided where protocols are chosen: one of each pair."""
    return choose_clusters([one.id for one in pairs], [one.group for one in pairs])


class CaseMaker:
    """Makes cases of tasks; opened images of the pair under way are reused."""

    def __init__(self, pairs: Sequence[ScenePair], settings: CaseSettings) -> None:
        self.pairs = {pair.id: pair for pair in pairs}
        self.settings = settings
        self._opened: dict[str, tuple[ImageFile, ImageFile]] = {}

    def windows_of(self, pair: str, most: int) -> int:
        """How many windows a pair gives, ``most`` at most."""
        if most == 1 or self.settings.window is None:
            return 1
        try:
            _, optical = self._open(pair)
        except CrosslookError:  # its one case then says why
            return 1
        return min(most, len(self._corners(optical)))

    def make(self, task: Task) -> Case:
        """Make the case of a task.

        Raises
        ------
        CrosslookError
            If a file cannot be read, or half of a window is invalid.
        """
        settings, pair = self.settings, self.pairs[task.pair]
        sar, optical = self._open(task.pair)
        window, factor = self._window(task.pair, task.window, optical)
        shape = (window.height // factor, window.width // factor)
        rng = np.random.default_rng(
            [settings.seed, zlib.crc32(task.name.removesuffix("/wrong").encode())]
        )
        reach = REACHES[task.reach]
        moved = reach.draw(rng, shape)
        room = ceil(max(shape) * reach.room) * factor if task.reach != "as-is" else 0
        seen = sar.read(window.pad(room), factor)
        into = shift_by(room / factor, room / factor) @ moved
        values, valid = _warped(seen.grey("sar"), seen.valid, into.inverse, shape)
        here, there = self._truth(pair, (window, factor), moved, valid)
        if valid.mean() < _LEAST_VALID or not len(here):
            raise InputError(f"{task.name}: less than half of the SAR window is valid.")
        name = pair.id if not task.is_wrong else task.partner
        own = optical if not task.is_wrong else self._open(task.partner)[1]
        beside = window
        if task.is_wrong:
            beside = _central(self._window(task.partner, task.window, own)[0], window, factor)
        shown = own.read(beside, factor)
        if shown.valid.mean() < _LEAST_VALID:
            raise InputError(f"{task.name}: less than half of the optical window is valid.")
        pixels = np.asarray(np.clip(shown.values * 255.0 + 0.5, 0, 255), np.uint8)
        stored = RasterArray.of(values, valid, name=f"{pair.id} (SAR)")
        fixed = RasterArray.of(pixels, shown.valid)
        return Case(
            open_image(stored, "sar", _AS_STORED),
            as_image(pixels, shown.valid, fixed.header.grid, f"{name} (optical)"),
            here,
            there,
            window,
            factor,
            moved,
            pair.tie_points is None,
        )

    def _truth(
        self, pair: ScenePair, placed: tuple[Window, int], moved: Transform, valid: Mask
    ) -> tuple[Array, Array]:
        """Positions in the SAR image of the case, and in its optical one."""
        (window, factor), corner = placed, np.array(placed[0].corner, np.float64)
        if pair.tie_points is None:
            points = grid_points(*valid.shape)
            points = points[valid[tuple(points.astype(int).T)]]
            shift = np.array(self.settings.shifts.get(pair.id, (0.0, 0.0))) / factor
            return points, moved(points) + shift
        sar, optical = self._native(pair.id)
        here, there = read_tie_points(Path(str(pair.tie_points)), sar, optical)
        here = moved.inverse((_onto(sar, optical)(here) - corner) / factor)
        there = (there - corner) / factor
        inside = ((there >= 0) & (there < np.array(window.shape) / factor)).all(axis=1)
        inside &= ((here >= 0) & (here < valid.shape)).all(axis=1)
        return here[inside], there[inside]

    def _open(self, pair: str) -> tuple[ImageFile, ImageFile]:
        """Both images, the SAR one on the optical grid."""
        if pair not in self._opened:
            if len(self._opened) > 1:
                self._opened.pop(next(iter(self._opened)))
            sar, optical = self._native(pair)
            try:
                sar = on_optical_grid(sar, optical)
            except GridError:
                if self.pairs[pair].tie_points is None:
                    raise
            self._opened[pair] = sar, optical
        return self._opened[pair]

    def _native(self, pair: str) -> tuple[ImageFile, ImageFile]:
        reading, one = Reading.parse(self.settings.reading), self.pairs[pair]
        return open_image(one.sar, "sar", reading), open_image(one.optical, "optical", reading)

    def _corners(self, optical: ImageFile) -> list[tuple[int, int]]:
        side = self.settings.window
        if side is None:
            return [(0, 0)]
        rows, cols = (range(0, length - side + 1, side) for length in optical.shape)
        return [(row, col) for row in rows for col in cols] or [(0, 0)]

    def _window(self, pair: str, number: int, optical: ImageFile) -> tuple[Window, int]:
        """A window of the optical image of a pair, and what it is reduced by."""
        side = self.settings.window
        if side is None:
            factor = ceil(max(optical.shape) / MOST_PX)
            height, width = (length // factor * factor for length in optical.shape)
            return Window(0, 0, height, width), factor
        corners = self._corners(optical)
        rng = np.random.default_rng([self.settings.seed, zlib.crc32(pair.encode())])
        row, col = corners[rng.permutation(len(corners))[number % len(corners)]]
        # Windows are spread over what is left beside whole ones.
        free = [max(0, n - side) - max(c[i] for c in corners) for i, n in enumerate(optical.shape)]
        return Window(row + free[0] // 2, col + free[1] // 2, side, side).clip(optical.shape), 1


def _central(part: Window, most: Window, factor: int) -> Window:
    """The centre of a window, no larger than another: a wrong partner may be of any size."""
    sides = [
        max(factor, min(own, other) // factor * factor)
        for own, other in zip(part.shape, most.shape, strict=True)
    ]
    row, col = (
        at + (own - side) // 2 for at, own, side in zip(part.corner, part.shape, sides, strict=True)
    )
    return Window(row, col, *sides)


def _onto(sar: ImageFile, optical: ImageFile) -> Transform:
    """SAR pixels to the pixels that a case is cut from: the optical grid, or its own."""
    try:
        on_optical_grid(sar, optical)
    except GridError:
        return identity()
    return placement(sar.grid, optical.grid)


def _warped(
    values: FloatArray, valid: Mask, transform: Transform, shape: tuple[int, int]
) -> tuple[FloatArray, Mask]:
    """An image and its mask brought onto a grid; what an invalid pixel touches is invalid."""
    known = warp_array(valid.astype(np.float32), transform, shape, cv2.INTER_LINEAR) > 0.999
    kind = cv2.INTER_CUBIC if valid.all() else cv2.INTER_LINEAR
    moved = warp_array(values, transform, shape, kind, replicate=True)
    return np.where(known, moved, 0.0).astype(np.float32), known


def read_tie_points(path: Path, sar: ImageFile, optical: ImageFile) -> tuple[Array, Array]:
    """Positions (n, 2) in SAR and optical pixels: CSV, ``.points`` of QGIS, or MMIM's ``.mat``.

    Raises
    ------
    InputError
        If the file cannot be read or holds no points.
    """
    if path.suffix.lower() == ".mat":
        return _landmarks(path)
    return read_points(path, sar.grid, optical.grid)


def _landmarks(path: Path) -> tuple[Array, Array]:
    """``Landmarks`` of MMIM: x and y from 1, of the fixed image (SAR) and of the moving one."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    broken = (OSError, ValueError, KeyError, IndexError, NotImplementedError, TypeError)
    try:
        table = loadmat(path)["Landmarks"]
        sar, optical = (
            np.asarray(table[name].item(), np.float64)[:, ::-1] for name in ("LMfix", "LMmov")
        )
    except (*broken, MatReadError, zlib.error) as error:
        raise InputError(f"{path} has no readable 'Landmarks' ({error}).") from error
    shapes = (sar.shape, optical.shape)
    if shapes[0] != shapes[1] or sar.shape[1:] != (2,) or not len(sar):
        raise InputError(f"{path}: 'Landmarks' has shapes {shapes}; (n, 2) of both is needed.")
    if not (np.isfinite(sar).all() and np.isfinite(optical).all()):
        raise InputError(f"{path}: 'Landmarks' has positions that are not finite.")
    return sar - 0.5, optical - 0.5
