"""Tell whether the pairs of a data set are really aligned."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from crosslook import threads
from crosslook._version import __version__
from crosslook.atomic import check_writable, write_bytes, write_csv, write_text
from crosslook.data.pairs import ScenePair
from crosslook.errors import (
    CrosslookError,
    GridError,
    InputError,
    MatchError,
    OutputError,
    TooSmallError,
)
from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_model
from crosslook.geo.atlas_file import AtlasFile
from crosslook.geo.block_store import NAME
from crosslook.geo.grey import GreyImage
from crosslook.geo.image import ImageFile, Reading, on_optical_grid, open_image
from crosslook.geo.mosaic_file import MosaicFile, open_optical
from crosslook.geo.raster import digest_of
from crosslook.match.align import Fitting, align
from crosslook.match.engine import Engine, engine_of
from crosslook.match.files import shift_preview
from crosslook.match.matchers.template import USUAL, TemplateMatcher, points_at
from crosslook.match.ncc import correlate, correlation_device, find_peaks, parabola_top
from crosslook.match.pair import ImagePair
from crosslook.match.refine import InformationMeasure, information_measure
from crosslook.match.relief import CLEAR_RATIO, HILLY_PX, Relief, measure_relief
from crosslook.match.scene.misregistration import COLUMNS as TILE_COLUMNS
from crosslook.match.scene.misregistration import (
    Misregistration,
    check_map,
    forget_map,
    measure_misregistration,
)
from crosslook.match.settings import AuditCall, AuditSettings, RegisterSettings
from crosslook.match.starts import Start
from crosslook.match.tie_points import Stage
from crosslook.match.transform import shift_by
from crosslook.notebook import card, grid, image
from crosslook.options import after_one, record
from crosslook.progress import track
from crosslook.storage import Place
from crosslook.types import Array, Window
from crosslook.written import beside, has_header, is_marked, refuse_foreign

LARGE_SIDE, WINDOW_SIDE = 4096, 1536
AGREE_PX = 1.5
_LEAST_COVERED = 0.5
_COARSE = 4
_MOST_STEPS = 12
_MIN_INLIERS = 60
_OFF_ZERO_PX = 4.0
_RELIEF_STAGE = Stage(template=112.0, radius=28.0, step=56.0, threshold=3.0)


@dataclass(frozen=True)
class AuditRow:
    """Misregistration of one scene in optical pixels.

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
        the one shift, so a rotation or a scale between the images counts too. Parts
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
        """Length of the shift in pixels."""
        return float(np.hypot(self.row, self.col))


@dataclass(frozen=True)
class Audit:
    """The misregistration of a data set.

    Attributes
    ----------
    rows : tuple of AuditRow
        In the order of the pairs.
    worst : bytes
        PNG of the trusted scene that is farthest off, as published and as
        corrected; empty where no scene is trusted.
    failed : dict of scene to str
        Why it could not be measured.
    duplicates : tuple of tuple of str
        Scenes that hold one and the same image on a side: each a partner of the
        other's, and a miss for whoever counts them apart.
    too_small : tuple of str
        Those of ``failed`` that hold no shift of ``radius`` pixels.
    maps : dict of scene to Misregistration
        Of scenes larger than a working grid: the shift all over them.
    """

    rows: tuple[AuditRow, ...]
    worst: bytes
    failed: Mapping[str, str] = field(default_factory=dict)
    duplicates: tuple[tuple[str, ...], ...] = ()
    too_small: tuple[str, ...] = ()
    maps: Mapping[str, Misregistration] = field(default_factory=dict)

    def summary(self) -> dict[str, float]:
        """Counts, and median and 90 % quantile of the shift over trusted scenes.

        ``relief_over_6_px`` counts the trusted scenes where relief spreads tie
        points by more than that: there no one shift is the truth. Where scenes were
        mapped, their tiles are counted and summed up in the same words.
        """
        distance = [row.distance for row in self.rows if row.trusted]
        relief = [row.relief_px for row in self.rows if row.trusted]
        return {
            "scenes": float(len(self.rows)),
            "trusted": float(len(distance)),
            "median_px": float(np.median(distance)) if distance else float("nan"),
            "p90_px": float(np.quantile(distance, 0.9)) if distance else float("nan"),
            "relief_over_6_px": float(sum(value > HILLY_PX for value in relief)),
            "failed": float(len(self.failed)),
            "one_image_twice": float(sum(map(len, self.duplicates))),
            **self._tile_summary(),
        }

    def _tile_summary(self) -> dict[str, float]:
        if not self.maps:
            return {}
        distance = np.concatenate([one.distances for one in self.maps.values()])
        return {
            "mapped": float(len(self.maps)),
            "tiles": float(sum(len(one.tiles) for one in self.maps.values())),
            "tiles_trusted": float(len(distance)),
            "tiles_median_px": float(np.median(distance)) if len(distance) else float("nan"),
            "tiles_p90_px": float(np.quantile(distance, 0.9)) if len(distance) else float("nan"),
        }

    def write(self, out: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write ``audit.csv``, ``alignment.csv`` and the others where they have something to say.

        Scenes that failed are in ``failed.csv``, images that occur twice in
        ``duplicates.csv``, the trusted scene that is farthest off is ``worst.png``.
        Of scenes with a map, ``tiles.csv`` has a line for each tile, and a folder named by the
        scene ``quality.tif`` and ``report.html``.
        ``alignment.csv`` has ``scene,row,col`` for the trusted scenes alone;
        ``study --alignment FILE`` applies it. What an earlier audit left
        under these names is replaced or removed; a file of other origin is in the
        way (OutputError), unless ``overwrite`` replaces it. The result of a registration in
        the folder of a scene is always in the way.
        """
        folder = Path(out)
        check_writable(folder)
        refuse_foreign(folder, WRITTEN, overwrite=overwrite)
        for row in self.rows:
            check_map(folder / row.scene, overwrite=overwrite)
        for row in self.rows:
            forget_map(folder / row.scene)
        for scene, one in self.maps.items():
            one.write(folder / scene, scene)
        names = [one.name for one in fields(AuditRow)]
        table = [[_text(value) for value in asdict(row).values()] for row in self.rows]
        shifts = [[r.scene, f"{r.row:.3f}", f"{r.col:.3f}"] for r in self.rows if r.trusted]
        failed = [[scene, why] for scene, why in self.failed.items()]
        twice = [[n, scene] for n, scenes in enumerate(self.duplicates, 1) for scene in scenes]
        tiles = [line for scene, one in self.maps.items() for line in one.lines(scene)]
        tables: dict[str, tuple[list[str], list[list[Any]]]] = {
            "audit.csv": (names, table),
            "alignment.csv": (["scene", "row", "col"], shifts),
            "failed.csv": (["scene", "reason"], failed),
            "duplicates.csv": (["image", "scene"], twice),
            "tiles.csv": (list(TILE_COLUMNS), tiles),
        }
        for name, (header, lines) in tables.items():
            if lines or name in ("audit.csv", "alignment.csv"):
                write_csv(folder / name, header, lines)
            else:
                (folder / name).unlink(missing_ok=True)
        if self.worst:
            write_bytes(folder / "worst.png", self.worst)
        else:
            (folder / "worst.png").unlink(missing_ok=True)
        return [path for name in (*tables, "worst.png") if (path := folder / name).exists()]

    def _repr_html_(self) -> str:
        """Show the counts, the scenes and the worst of them in a notebook."""
        facts = {name.replace("_", " "): f"{value:g}" for name, value in self.summary().items()}
        rows = [
            [r.scene, f"{r.row:.2f}", f"{r.col:.2f}", "yes" if r.trusted else "no"]
            for r in self.rows[:_MOST_SHOWN]
        ]
        header = ["scene", "rows off", "columns off", "trusted"]
        worst = (
            image(self.worst, "the worst scene, as published and corrected") if self.worst else ""
        )
        return card("Misregistration", facts, grid(header, rows), worst)


_OURS = has_header([one.name for one in fields(AuditRow)])
WRITTEN = {
    "audit.csv": _OURS,
    "alignment.csv": beside("audit.csv", _OURS),
    "failed.csv": beside("audit.csv", _OURS),
    "duplicates.csv": beside("audit.csv", _OURS),
    "tiles.csv": has_header(TILE_COLUMNS),
    "worst.png": is_marked,
}
"""All files of an audit, and how each tells that crosslook wrote it."""

_MOST_SHOWN = 12
_SO_FAR = "audit.partial.json"
_FORMAT = 1
"""Raise it whenever a measure changes: rows of an audit that was stopped are then made anew."""


class _RowsSoFar:
    """The rows of an audit that is under way, in a file of its folder.

    Keyed by what the two files hold and by what changes the numbers: a scene
    that was replaced is measured again. None for ``folder`` saves nothing.
    """

    def __init__(self, folder: Path | None, options: Sequence[object]) -> None:
        self._path = None if folder is None else folder / _SO_FAR
        self._options = repr((_FORMAT, __version__, *options))
        self._rows: dict[str, dict[str, Any]] = {}
        if self._path is not None and self._path.exists():
            with suppress(OSError, TypeError, ValueError):  # a damaged file costs time, no more
                self._rows = dict(json.loads(self._path.read_bytes()))

    def key(self, content: tuple[str, str]) -> str:
        """Name the row of a pair by the content of its two images."""
        return hashlib.sha256(repr((*content, self._options)).encode()).hexdigest()

    def get(self, key: str, scene: str) -> AuditRow | None:
        """Return the row, if it was measured."""
        try:
            return AuditRow(**{**self._rows[key], "scene": scene})
        except (KeyError, TypeError):
            return None

    def add(self, key: str, row: AuditRow) -> None:
        """Save a row: from the next line of code on it is not lost."""
        self._rows[key] = asdict(row)
        if self._path is not None:
            write_text(self._path, json.dumps(self._rows))

    def finish(self) -> None:
        """Remove the file: every scene is measured, and the tables are written."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


@after_one(AuditCall)
def audit(pairs: Sequence[ScenePair], settings: AuditCall) -> Audit:
    """Measure the misregistration of every scene in two independent ways.

    A scene that cannot be measured is named in ``failed``; the others are
    measured all the same. Scenes of more than 4,096 pixels are measured in
    nine windows of 1,536; the median of those whose two measures agree is reported.
    Those larger than 2,048 pixels, or all with ``spacing``, are mapped too: the shift is
    measured in tiles all over them (:mod:`crosslook.match.scene.misregistration`).

    With ``out``, rows are saved there in ``audit.partial.json`` while the audit
    is under way, so that one that was stopped goes on; the file stays where
    scenes failed, for the next try, and is removed otherwise.

    Parameters
    ----------
    pairs : sequence with ``id``, ``sar`` and ``optical``
    settings : AuditCall
        Or its fields as keywords; ``out`` is where :meth:`Audit.write` writes.

    Raises
    ------
    InputError
        If there is no pair.
    GridError, MatchError, RasterError
        If no scene at all can be measured: no overlap, smaller than four
        times ``radius``, constant, nodata or unreadable.
    OutputError
        If ``out`` cannot be written, or holds files of other origin.
    """
    if not pairs:
        raise InputError("no pair to audit. Give a folder or table with at least one scene.")
    folder = _checked_out(pairs, settings)
    engine = engine_of(settings, folder)
    correlation_device(settings.device)  # one that is not there is refused once, not by scene
    extractors = (
        open_model(settings.shift_features, settings), open_model(settings.part_features, settings)
    )  # fmt: skip
    so_far = _RowsSoFar(folder, (record(settings, AuditSettings), *(e.key for e in extractors)))
    found = _Found()
    for number, pair in enumerate(track(pairs, "Auditing", total=len(pairs))):
        try:
            with threads.limited(settings.threads, in_pieces=True):
                row = _row_of(pair, settings, extractors, so_far, found.holders)
                found.rows[number] = row
                found.maps |= _map_of(pair, settings, engine)
        except OutputError:  # no fault of the scene
            raise
        except CrosslookError as error:
            found.failed[pair.id] = error
    if not found.rows:
        raise next(iter(found.failed.values()))
    result = found.audit(_worst(pairs, found.rows, Reading.parse(settings.reading())))
    _write(result, folder, settings, so_far)
    return result


@dataclass
class _Found:
    """What an audit has measured so far."""

    rows: dict[int, AuditRow] = field(default_factory=dict)
    failed: dict[str, CrosslookError] = field(default_factory=dict)
    holders: dict[str, list[str]] = field(default_factory=dict)
    """Scenes by the content of their images."""
    maps: dict[str, Misregistration] = field(default_factory=dict)

    def audit(self, worst: bytes) -> Audit:
        """All of it, with the image of the worst scene."""
        small = (n for n, error in self.failed.items() if isinstance(error, TooSmallError))
        return Audit(
            rows=tuple(self.rows.values()),
            worst=worst,
            failed={scene: str(error) for scene, error in self.failed.items()},
            duplicates=shared_images(self.holders),
            too_small=tuple(small),
            maps=self.maps,
        )


def _write(result: Audit, folder: Path | None, settings: AuditCall, so_far: _RowsSoFar) -> None:
    """Write the files of an audit; its rows so far stay where a scene has failed."""
    if folder is None:
        return
    result.write(folder, overwrite=settings.overwrite)
    if not result.failed:
        so_far.finish()


def _checked_out(pairs: Sequence[ScenePair], settings: AuditCall) -> Path | None:
    """The folder of an audit; refused before any work where files of other origin are in it."""
    if settings.out is None:
        return None
    folder = Path(settings.out)
    check_writable(folder)
    refuse_foreign(folder, WRITTEN, overwrite=settings.overwrite)
    for pair in pairs:
        check_map(folder / pair.id, overwrite=settings.overwrite)
    return folder


def _row_of(
    pair: ScenePair,
    settings: AuditSettings,
    extractors: tuple[Extractor, Extractor],
    so_far: _RowsSoFar,
    holders: dict[str, list[str]],
) -> AuditRow:
    """Measure a scene, or find its row among those of an audit that was stopped."""
    reading = Reading.parse(settings.reading())
    content = digest_of(pair.sar), _digest_of_optical(pair.optical, reading)
    for digest in content:
        holders.setdefault(digest, []).append(pair.id)
    key = so_far.key(content)
    row = so_far.get(key, pair.id)
    if row is None:
        images = _opened(pair, reading)
        row = _measured(pair.id, images, settings, extractors)
        so_far.add(key, row)
    return row


def _digest_of_optical(place: Place, reading: Reading) -> str:
    """SHA-256 of an optical image, or of all files that are one."""
    source = open_optical(place, reading).source
    if isinstance(source, AtlasFile):  # it names all blocks by their checksums
        return hashlib.sha256(source.store.folder.read(NAME)).hexdigest()
    if not isinstance(source, MosaicFile):
        return digest_of(place)
    parts = [digest_of(part) for part in source.parts()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _map_of(pair: ScenePair, settings: AuditCall, engine: Engine) -> dict[str, Misregistration]:
    """The shift all over a scene, by its name; nothing of one that is not large."""
    if not settings.has_map:
        return {}
    reading = Reading.parse(settings.reading())
    images = open_image(pair.sar, "sar", reading), open_optical(pair.optical, reading)
    out = None if settings.out is None else Path(settings.out) / pair.id
    found = measure_misregistration(images, settings, out, engine)
    return {} if found is None else {pair.id: found}


def shared_images(holders: Mapping[str, list[str]]) -> tuple[tuple[str, ...], ...]:
    """Scenes that share an image, each group once, in order."""
    return tuple(dict.fromkeys(tuple(ids) for ids in holders.values() if len(ids) > 1))


def _worst(pairs: Sequence[ScenePair], rows: Mapping[int, AuditRow], reading: Reading) -> bytes:
    """PNG of the trusted scene that is farthest off, as published and as corrected.

    Of a large scene its centre; ``rows`` are by number of the pair.
    """
    trusted = [number for number, row in rows.items() if row.trusted]
    if not trusted:
        return b""
    number = max(trusted, key=lambda n: rows[n].distance)
    images = _opened(pairs[number], reading)
    windows = _windows(images[1].shape)
    radar, ground = (one.read(windows[len(windows) // 2]) for one in images)
    return shift_preview(radar.grey_image("sar"), ground, (rows[number].row, rows[number].col))


def _opened(pair: ScenePair, reading: Reading) -> tuple[ImageFile, ImageFile]:
    """SAR image on the optical grid, and the optical image."""
    sar = open_image(pair.sar, "sar", reading)
    optical = open_optical(pair.optical, reading)
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
                scene, radar.grey_image("sar"), ground.grey_image("optical"), settings, extractors
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
    used = [row for row in rows if row.trusted] or rows
    names = [
        f.name for f in fields(AuditRow) if f.name not in ("scene", "trusted", "relief_degrees")
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a median of nothing but NaN is NaN
        medians: dict[str, Any] = {
            name: float(np.nanmedian([getattr(row, name) for row in used])) for name in names
        }
    hilly = max(used, key=lambda row: -1.0 if np.isnan(row.relief_px) else row.relief_px)
    trusted = sum(row.trusted for row in rows) * 2 > len(rows)
    return replace(used[0], **medians, trusted=trusted, relief_degrees=hilly.relief_degrees)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4f}"
    return str(value)


def measure_scene(
    scene: str,
    sar: GreyImage,
    optical: GreyImage,
    settings: AuditSettings,
    extractors: tuple[Extractor, Extractor],
) -> AuditRow:
    """Measure the shift of one pair, on one grid, in two ways; then rotation and relief.

    Parameters
    ----------
    scene : str
    sar, optical : GreyImage
        Of one shape, at least four times the radius a side.
    settings : AuditSettings
    extractors : (Extractor, Extractor)
        Features that give the shift, and those that give rotation and relief.
    """
    radius = settings.radius
    if sar.shape != optical.shape or min(sar.shape) < 4 * radius:
        raise TooSmallError(
            f"a shift of up to {radius:g} px cannot be looked for between images of {sar.shape} "
            f"and {optical.shape}; one shape of at least {4 * radius:g} px a side is needed."
        )
    pair = ImagePair.of(sar, optical, extractors[1], correlation_device(settings.device))
    information = _information_shift(pair, radius)
    gradient = _gradient_shift(replace(pair, extractor=extractors[0]), radius)
    apart = float(np.linalg.norm(information - gradient))
    row, col = (float(value) for value in (information + gradient) / 2)
    trusted, nan = apart <= AGREE_PX, float("nan")
    rotation, scale = _rotation(pair, (row, col), settings.seed) if trusted else (nan, nan)
    relief = _relief(pair, (row, col)) or Relief(nan, nan)
    return AuditRow(
        scene=scene,
        row=row,
        col=col,
        information_row=float(information[0]),
        information_col=float(information[1]),
        gradient_row=float(gradient[0]),
        gradient_col=float(gradient[1]),
        disagreement=apart,
        trusted=trusted,
        rotation_degrees=rotation,
        scale=scale,
        relief_px=relief.extent,
        relief_degrees=relief.degrees,
    )


def _gradient_shift(pair: ImagePair, radius: float) -> Array:
    """Row and column of the shift, px (2,), by correlating the features of the whole SAR image."""
    moving, fixed = (image.channels(pair.extractor) for image in (pair.sar, pair.optical))
    reach = math.ceil(radius / fixed.stride)
    template = moving.values[:, reach:-reach, reach:-reach]
    scores = correlate(template[None], fixed.values[None], device=pair.device)
    peak = find_peaks(scores, exclusion=reach / 4).position[0]
    return np.asarray((peak - reach) * fixed.stride)


def _information_shift(pair: ImagePair, radius: float) -> Array:
    """The shift of greatest mutual information, px (2,), to a fraction of a pixel."""

    def measured(factor: int, blur: float) -> InformationMeasure:
        return information_measure(pair.sar.reduced(factor), pair.optical.reduced(factor), blur)

    coarse = measured(_COARSE, 0.7)
    steps = np.arange(-math.ceil(radius / _COARSE), math.ceil(radius / _COARSE) + 1)
    values = np.array([[coarse(shift_by(float(r), float(c))) for c in steps] for r in steps])
    row, col = np.unravel_index(int(values.argmax()), values.shape)
    shift = np.array([steps[row], steps[col]], np.float64) * _COARSE
    for factor in (2, 1):
        shift = _climb(measured(factor, 1.0), shift / factor) * factor
    return shift


def _climb(measure: InformationMeasure, start: Array) -> Array:
    """Walk to the best whole shift nearby, then fit a parabola along each axis."""

    @cache
    def at(row: int, col: int) -> float:
        return measure(shift_by(float(row), float(col)))

    row, col = (round(float(value)) for value in start)
    for _ in range(_MOST_STEPS):
        around = [(row + r, col + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
        best = max(around, key=lambda place: at(*place))
        if at(*best) <= at(row, col):
            break
        row, col = best
    down = parabola_top(*(np.array(at(row + step, col)) for step in (-1, 0, 1)))
    along = parabola_top(*(np.array(at(row, col + step)) for step in (-1, 0, 1)))
    return np.array([row + float(down), col + float(along)])


def _rotation(pair: ImagePair, shift: tuple[float, float], seed: int) -> tuple[float, float]:
    """Rotation and scale by tie points; NaN where few agree, or not with the shift."""
    start = Start(pair.start)
    points = TemplateMatcher(RegisterSettings(seed=seed), USUAL).tie_points(pair, start)
    alignment = align(pair, start, points, Fitting(seed=seed))
    if alignment.transform is None or alignment.evidence.inliers < _MIN_INLIERS:
        return float("nan"), float("nan")
    moved = alignment.transform.describe(np.array(pair.sar.shape, np.float64) / 2)
    if np.hypot(moved["row_px"] - shift[0], moved["col_px"] - shift[1]) > _OFF_ZERO_PX:
        return float("nan"), float("nan")
    return moved["rotation_degrees"], moved["scale"]


def _relief(pair: ImagePair, shift: tuple[float, float]) -> Relief | None:
    moved = shift_by(*shift)
    points = points_at(pair, moved, _RELIEF_STAGE)
    clear = points.ratio >= CLEAR_RATIO
    return measure_relief((points.optical - moved(points.sar))[clear])
