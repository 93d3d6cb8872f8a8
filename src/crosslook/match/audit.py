"""Tell whether the pairs of a data set are really aligned."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.atomic import check_writable, write_bytes, write_text
from crosslook.errors import CrosslookError, GridError, InputError, MatchError
from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_model
from crosslook.geo.image import ImageFile, on_optical_grid, open_image
from crosslook.geo.picture import Picture
from crosslook.geo.reading import Reading
from crosslook.match.align import PASSES, align
from crosslook.match.channels import dense_channels
from crosslook.match.pictures import shift_picture
from crosslook.match.refine import InformationMeasure, information_measure, reduce_picture
from crosslook.match.register import Pair
from crosslook.match.relief import CLEAR_RATIO, HILLY_PX, Relief, measure_relief
from crosslook.match.result import Failure
from crosslook.match.settings import AuditSettings
from crosslook.match.tie_points import Pass, find_tie_points, score_maps
from crosslook.match.transform import Transform, identity, translation
from crosslook.match.warp import warp
from crosslook.options import after_one
from crosslook.progress import track
from crosslook.retrieval.compare.correlation import correlate, find_peaks
from crosslook.types import Array, Window

_COARSE = 4
_MOST_STEPS = 12


def gradient_shift(
    sar: Picture, optical: Picture, extractor: Extractor, radius: float
) -> tuple[Array, float]:
    """Shift by correlating the features of the whole SAR picture.

    Returns
    -------
    shift : float64 array, shape (2,)
        Row and column in pixels: SAR (r, c) shows what optical has at
        (r, c) + shift.
    ratio : float
        Peak over second peak.

    Raises
    ------
    MatchError
        If the pictures are smaller than four times ``radius``.
    """
    _check(sar, optical, radius)
    here, there = dense_channels(sar, extractor), dense_channels(optical, extractor)
    reach = math.ceil(radius / there.stride)
    template = here.values[:, reach:-reach, reach:-reach]
    peaks = find_peaks(correlate(template[None], there.values[None]), exclusion=reach / 4)
    return (peaks.position[0] - reach) * there.stride, float(peaks.ratio[0])


def information_shift(sar: Picture, optical: Picture, radius: float) -> tuple[Array, float]:
    """Find the shift of greatest mutual information, to a fraction of a pixel.

    Returns
    -------
    shift : float64 array, shape (2,)
        As in :func:`gradient_shift`.
    score : float
        Height of the grid's best value over its mean, in its deviations.

    Raises
    ------
    MatchError
        If the pictures are smaller than four times ``radius``.
    """
    _check(sar, optical, radius)
    small = reduce_picture(sar, _COARSE), reduce_picture(optical, _COARSE)
    measure = information_measure(*small, 0.7)
    steps = np.arange(-math.ceil(radius / _COARSE), math.ceil(radius / _COARSE) + 1)
    grid = np.array(
        [
            [measure(Transform(translation(float(r), float(c)), "shift")) for c in steps]
            for r in steps
        ]
    )
    row, col = np.unravel_index(int(grid.argmax()), grid.shape)
    shift = np.array([steps[row], steps[col]], np.float64) * _COARSE
    for factor in (2, 1):
        pair = reduce_picture(sar, factor), reduce_picture(optical, factor)
        shift = _climb(information_measure(*pair, 1.0), shift / factor) * factor
    score = float((grid.max() - grid.mean()) / max(float(grid.std()), 1e-9))
    return shift, score


def _climb(measure: InformationMeasure, start: Array) -> Array:
    """Walk to the best whole shift nearby, then fit a parabola along each axis."""
    known: dict[tuple[int, int], float] = {}

    def at(row: int, col: int) -> float:
        if (row, col) not in known:
            place = translation(float(row), float(col))
            known[row, col] = measure(Transform(place, "shift"))
        return known[row, col]

    row, col = (round(float(value)) for value in start)
    for _ in range(_MOST_STEPS):
        around = [(row + r, col + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
        best = max(around, key=lambda place: at(*place))
        if at(*best) <= at(row, col):
            break
        row, col = best
    return np.array(
        [
            row + _vertex(at(row - 1, col), at(row, col), at(row + 1, col)),
            col + _vertex(at(row, col - 1), at(row, col), at(row, col + 1)),
        ]
    )


def _vertex(before: float, peak: float, after: float) -> float:
    bend = before - 2 * peak + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _check(sar: Picture, optical: Picture, radius: float) -> None:
    if sar.shape != optical.shape or min(sar.shape) < 4 * radius:
        raise MatchError(
            f"a shift of up to {radius:g} px cannot be looked for between pictures of {sar.shape} "
            f"and {optical.shape}; one shape of at least {4 * radius:g} px a side is needed."
        )


AGREE_PX = 1.5
_MIN_INLIERS = 60
_OFF_ZERO_PX = 4.0
_RELIEF_PASS = Pass(template=112.0, radius=28.0, step=56.0, threshold=3.0)


@dataclass(frozen=True)
class AuditRow:
    """Residual shift of one scene in optical pixels.

    SAR pixel (r, c) shows the ground that the optical image has at
    (r + row, c + col). ``row`` and ``col`` are the mean of both measures.

    Attributes
    ----------
    information_row, information_col, gradient_row, gradient_col : float
        By mutual information and by correlation of oriented gradients.
    disagreement : float
        Distance between the two.
    trusted : bool
        True where they differ by at most 1.5 px.
    rotation_degrees, scale : float
        From tie points over the scene; NaN where fewer than 60 agree or the
        two shifts do not.
    relief_px, relief_degrees : float
        How far tie points spread along one line, and its direction, from the
        columns towards the rows (:class:`~crosslook.match.relief.Relief`). NaN
        where too few tell or no line holds half of them. It is measured against
        the one shift, so a turn or a scale between the images counts too. Parts
        of the scene lie that far apart, whatever the two measures agree on.
    """

    scene: str
    row: float
    col: float
    information_row: float
    information_col: float
    gradient_row: float
    gradient_col: float
    disagreement: float
    trusted: bool
    rotation_degrees: float
    scale: float
    relief_px: float
    relief_degrees: float

    @property
    def distance(self) -> float:
        """Length of the residual shift in pixels."""
        return float(np.hypot(self.row, self.col))


def measure_scene(
    scene: str,
    sar: Picture,
    optical: Picture,
    *,
    radius: float,
    shift_features: Extractor,
    part_features: Extractor,
    seed: int = 0,
) -> AuditRow:
    """Measure the shift of one pair, on one grid, in two ways; then rotation and relief."""
    information, _ = information_shift(sar, optical, radius)
    gradient, _ = gradient_shift(sar, optical, shift_features, radius)
    apart = float(np.linalg.norm(information - gradient))
    mean = (information + gradient) / 2
    shift = (float(mean[0]), float(mean[1]))
    rotation, scale = float("nan"), float("nan")
    if apart <= AGREE_PX:
        rotation, scale = _rotation(sar, optical, part_features, shift, seed)
    relief = _relief(sar, optical, part_features, shift)
    return AuditRow(
        scene=scene,
        row=shift[0],
        col=shift[1],
        information_row=float(information[0]),
        information_col=float(information[1]),
        gradient_row=float(gradient[0]),
        gradient_col=float(gradient[1]),
        disagreement=apart,
        trusted=apart <= AGREE_PX,
        rotation_degrees=rotation,
        scale=scale,
        relief_px=float("nan") if relief is None else relief.spread,
        relief_degrees=float("nan") if relief is None else relief.degrees,
    )


def _rotation(
    sar: Picture, optical: Picture, extractor: Extractor, shift: tuple[float, float], seed: int
) -> tuple[float, float]:
    found = align(sar, optical, extractor, identity(), "similarity", PASSES, seed)
    if found.transform is None or found.evidence.inliers < _MIN_INLIERS:
        return float("nan"), float("nan")
    middle = np.array(sar.shape, np.float64) / 2
    moved = found.transform.describe(middle)
    if np.hypot(moved["row_px"] - shift[0], moved["col_px"] - shift[1]) > _OFF_ZERO_PX:
        return float("nan"), float("nan")
    return moved["rotation_degrees"], moved["scale"]


def _relief(
    sar: Picture, optical: Picture, extractor: Extractor, shift: tuple[float, float]
) -> Relief | None:
    moved = Transform(translation(*shift), "shift")
    here = dense_channels(warp(sar, moved, optical.shape), extractor)
    there = dense_channels(optical, extractor)
    points = find_tie_points(score_maps(here, there, _RELIEF_PASS), moved)
    clear = points.ratio >= CLEAR_RATIO
    return measure_relief((points.optical - moved(points.sar))[clear])


LARGE_SIDE, WINDOW_SIDE = 4096, 1536
_LEAST_COVERED = 0.5


@dataclass(frozen=True)
class Audit:
    """The residual shifts of a data set.

    Attributes
    ----------
    rows : tuple of AuditRow
        In the order of the pairs.
    worst : bytes
        PNG of the trusted scene that is farthest off, as published and as
        corrected; empty where no scene is trusted.
    failures : tuple of Failure
        Scenes that could not be measured.
    """

    rows: tuple[AuditRow, ...]
    worst: bytes
    failures: tuple[Failure, ...] = ()

    def summary(self) -> dict[str, float]:
        """Counts, and median and 90 % quantile of the shift over trusted scenes.

        ``relief_over_6_px`` counts the trusted scenes where relief spreads tie
        points by more than that: there no one shift is the truth.
        """
        distance = [row.distance for row in self.rows if row.trusted]
        relief = [row.relief_px for row in self.rows if row.trusted]
        return {
            "scenes": float(len(self.rows)),
            "trusted": float(len(distance)),
            "median_px": float(np.median(distance)) if distance else float("nan"),
            "p90_px": float(np.quantile(distance, 0.9)) if distance else float("nan"),
            "relief_over_6_px": float(sum(value > HILLY_PX for value in relief)),
        }

    def write(self, out: str | Path) -> list[Path]:
        """Write ``audit.csv``, ``alignment.csv`` and ``worst.png``.

        ``alignment.csv`` has ``scene,row,col`` for the trusted scenes alone;
        ``study --alignment FILE`` applies it.
        """
        folder = Path(out)
        check_writable(folder)
        names = [field.name for field in fields(AuditRow)]
        table = [[_text(value) for value in asdict(row).values()] for row in self.rows]
        write_text(folder / "audit.csv", _csv(names, table))
        shifts = [[r.scene, f"{r.row:.3f}", f"{r.col:.3f}"] for r in self.rows if r.trusted]
        write_text(folder / "alignment.csv", _csv(["scene", "row", "col"], shifts))
        written = [folder / "audit.csv", folder / "alignment.csv"]
        if self.worst:
            write_bytes(folder / "worst.png", self.worst)
            written.append(folder / "worst.png")
        return written


@after_one(AuditSettings)
def audit(pairs: Sequence[Pair], settings: AuditSettings) -> Audit:
    """Measure the residual shift of every scene in two independent ways.

    Parameters
    ----------
    pairs : sequence with ``id``, ``sar`` and ``optical``
    settings : AuditSettings
        Or its fields as keywords.

    Scenes of more than 4,096 pixels are measured in nine windows of 1,536; the
    median of those whose two measures agree is told.

    Raises
    ------
    InputError
        If there is no pair.
    GridError, MatchError, RasterError
        If no scene can be measured, the first one's error: the images do not
        overlap, cannot be read, are smaller than four times ``radius``,
        constant or nodata. Where some can, these errors are ``failures``.
    """
    if not pairs:
        raise InputError("no pair to audit. Give a folder or table with at least one scene.")
    reading = Reading.parse(settings.reading())
    extractors = (
        open_model(settings.shift_features, settings),
        open_model(settings.part_features, settings),
    )
    rows: dict[int, AuditRow] = {}
    failures = []
    for number, pair in enumerate(track(pairs, "Auditing", total=len(pairs))):
        try:
            rows[number] = _measured(pair.id, _opened(pair, reading), settings, extractors)
        except CrosslookError as error:
            failures.append(Failure(pair.id, error))
    if not rows:
        raise failures[0].error
    trusted = [number for number, row in rows.items() if row.trusted]
    worst = b""
    if trusted:
        number = max(trusted, key=lambda n: rows[n].distance)
        worst = _drawn(_opened(pairs[number], reading), (rows[number].row, rows[number].col))
    return Audit(tuple(rows.values()), worst, tuple(failures))


def _drawn(images: tuple[ImageFile, ImageFile], shift: tuple[float, float]) -> bytes:
    """PNG of a scene as published and as corrected; the middle of a large one."""
    windows = _windows(images[1].shape)
    radar, ground = (image.read(windows[len(windows) // 2]) for image in images)
    return shift_picture(radar.picture("sar"), ground, shift)


def _opened(pair: Pair, reading: Reading) -> tuple[ImageFile, ImageFile]:
    """SAR image on the optical grid, and the optical image."""
    sar, optical = (
        open_image(pair.sar, "sar", reading),
        open_image(pair.optical, "optical", reading),
    )
    return on_optical_grid(sar, optical), optical


def _windows(shape: tuple[int, int]) -> list[Window]:
    """The whole of an image, or up to nine windows spread over a large one."""
    if max(shape) <= LARGE_SIDE:
        return [Window(0, 0, *shape)]
    size = [min(length, WINDOW_SIDE) for length in shape]
    starts = [
        sorted({round(f * (length - side)) for f in ((0.1, 0.5, 0.9) if length > side else (0.0,))})
        for length, side in zip(shape, size, strict=True)
    ]
    return [Window(row, col, size[0], size[1]) for row in starts[0] for col in starts[1]]


def _measured(
    scene: str,
    images: tuple[ImageFile, ImageFile],
    settings: AuditSettings,
    extractors: tuple[Extractor, Extractor],
) -> AuditRow:
    """Measure a scene: whole, or as the median over the windows of a large one that agree."""
    rows = []
    usable = False
    windows = _windows(images[1].shape)
    for window in windows:
        radar, ground = (image.read(window) for image in images)
        covered = float((radar.valid & ground.valid).mean())
        usable |= covered > 0
        if len(windows) > 1 and covered < _LEAST_COVERED:
            continue
        rows.append(
            measure_scene(
                scene,
                radar.picture("sar"),
                ground.picture("optical"),
                radius=settings.radius,
                shift_features=extractors[0],
                part_features=extractors[1],
                seed=settings.seed,
            )
        )
    if not usable:
        raise GridError(
            f"the two images of scene '{scene}' do not overlap. "
            "Check their CRS and extent, or leave the scene out."
        )
    if not rows:
        raise MatchError(f"scene '{scene}' holds too few valid pixels to be measured.")
    return rows[0] if len(rows) == 1 else _median_row(rows)


def _median_row(rows: list[AuditRow]) -> AuditRow:
    """The median of each measure over the windows that are trusted, or over all where none is."""
    kept = [row for row in rows if row.trusted] or rows
    names = [
        f.name for f in fields(AuditRow) if f.name not in ("scene", "trusted", "relief_degrees")
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a median of nothing but NaN is NaN
        middle: dict[str, Any] = {
            name: float(np.nanmedian([getattr(row, name) for row in kept])) for name in names
        }
    hilly = max(kept, key=lambda row: -1.0 if np.isnan(row.relief_px) else row.relief_px)
    trusted = sum(row.trusted for row in rows) * 2 > len(rows)
    return replace(kept[0], **middle, trusted=trusted, relief_degrees=hilly.relief_degrees)


def _csv(header: list[str], rows: list[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4f}"
    return str(value)
