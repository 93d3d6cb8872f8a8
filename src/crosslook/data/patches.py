"""A set of aligned patches: what extractors read."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from crosslook import threads
from crosslook.data.pairs import ScenePair, some_of
from crosslook.data.tables import check_zeros
from crosslook.errors import InputError, TooSmallError
from crosslook.geo.grid import crs_text, is_placed, shape_of, to_map
from crosslook.geo.image import ImageFile, Reading, on_optical_grid, open_image
from crosslook.geo.radiometry import three_channels
from crosslook.geo.raster import digest_of
from crosslook.progress import track
from crosslook.types import MODALITIES, FloatArray, Modality, Patch, Window


def tile(height: int, width: int, patch: int, stride: int, scene: str) -> list[Window]:
    """List the full windows of a scene, row by row.

    What does not fill a whole window at the lower and right border is left out.

    Raises
    ------
    TooSmallError
        If the patch is larger than the scene.
    """
    if patch > min(height, width):
        raise TooSmallError(
            f"patches of {patch} x {patch} px are larger than scene '{scene}' ({height} x {width} "
            f"px); choose --patch of at most {min(height, width)}, or leave such scenes out with "
            "--skip-incomplete."
        )
    return [
        Window(row, col, patch, patch)
        for row in range(0, height - patch + 1, stride)
        for col in range(0, width - patch + 1, stride)
    ]


@dataclass(frozen=True)
class Scene:
    """A scene pair on the optical grid.

    Attributes
    ----------
    pair : ScenePair
    grid : GeoBox
        Of the optical image.
    synthetic : bool
        Whether a tag of a file says that it is simulated.
    sides : dict of modality to ImageFile
        Both on that grid.
    shift : tuple of float
        (row, col): SAR pixel (r, c) shows the ground that the optical image has
        at (r + row, c + col).
    """

    pair: ScenePair
    grid: GeoBox
    synthetic: bool
    sides: dict[Modality, ImageFile]
    shift: tuple[float, float] = (0.0, 0.0)

    def read(self, modality: Modality, window: Window) -> FloatArray:
        """Read a window as (3, h, w) in 0..1, NaN where invalid."""
        return three_channels(self.read_bands(modality, window))

    def read_bands(self, modality: Modality, window: Window) -> FloatArray:
        """Read a window as (bands, h, w) after radiometry, NaN where invalid.

        SAR is moved by the scene's alignment (bilinear).
        """
        row, col = self.shift if modality == "sar" else (0.0, 0.0)
        top, left = window.row - row, window.col - col
        first_row, first_col = math.floor(top), math.floor(left)
        moved = bool(row or col)
        at = Window(first_row, first_col, window.height + 1, window.width + 1) if moved else window
        image = self.sides[modality].read(at)
        raw = image.values
        raw[:, ~image.valid] = np.nan
        if not moved:
            return raw
        down, right = np.float32(top - first_row), np.float32(left - first_col)
        # Weights of 0 must not spread NaN from a neighbour that is not needed.
        raw = raw[:, :-1] if down == 0 else raw[:, :-1] * (1 - down) + raw[:, 1:] * down
        return (
            raw[:, :, :-1] if right == 0 else raw[:, :, :-1] * (1 - right) + raw[:, :, 1:] * right
        )


def open_scene(
    pair: ScenePair, reading: Reading | None = None, shift: tuple[float, float] = (0.0, 0.0)
) -> Scene:
    """Open a pair: compare its grids and fit its radiometry.

    ``shift`` is (row, col): SAR pixel (r, c) shows the ground that the optical
    image has at (r + row, c + col).

    Raises
    ------
    GridError
        If the two grids cannot be brought together.
    RasterError
        If a file is missing or damaged, or a side has no valid pixel.
    """
    sar = open_image(pair.sar, "sar", reading)
    optical = open_image(pair.optical, "optical", reading)
    sides: dict[Modality, ImageFile] = {"sar": on_optical_grid(sar, optical), "optical": optical}
    synthetic = sar.header.synthetic or optical.header.synthetic
    return Scene(pair, optical.grid, synthetic, sides, shift)


FORMAT = 2
"""Raise it whenever the same settings give other pixels."""
_SAMPLE, _FEWEST = 1024, 64  # values kept of each image for limits that a set shares
_SAMPLES = 2**24  # of all images, so that memory does not grow with them
_MOST_LIMITS = 20


@dataclass(frozen=True)
class PatchSet:
    """Aligned SAR/optical patches of many scenes, read from their files on demand.

    Attributes
    ----------
    name : str
        Of the data set.
    patches : tuple of Patch
        The patches kept, scene by scene, row by row.
    dropped : dict of str to int
        How many windows were dropped, by reason.
    size : int
        Side of a patch in pixels.
    synthetic : bool
        Whether any scene is simulated.
    contents : mapping of modality to tuple of str
        Digest of the pixels of each patch as they are read; empty for a patch
        of one value, which any other such patch equals.
    notes : tuple of str
        What was left out of the set, and why.
    """

    name: str
    patches: tuple[Patch, ...]
    dropped: dict[str, int]
    size: int
    synthetic: bool
    reading: Reading
    scenes: Mapping[str, Scene] = field(repr=False)
    digests: Mapping[Modality, str] = field(repr=False)
    contents: Mapping[Modality, tuple[str, ...]] = field(repr=False, default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        pairs: Sequence[ScenePair],
        *,
        patch: int = 256,
        stride: int | None = None,
        reading: Reading | None = None,
        max_invalid: float = 0.05,
        alignment: Mapping[str, tuple[float, float]] | None = None,
        name: str = "pairs",
        skip_small: bool = False,
    ) -> PatchSet:
        """Tile scene pairs and keep the windows with enough valid pixels.

        A window is dropped where more than ``max_invalid`` of it is invalid in either
        modality: nodata, NaN, outside the swath, or shifted in from outside the scene.

        Parameters
        ----------
        pairs : sequence of ScenePair
        patch, stride : int
            Pixels of the optical grid; the stride is the patch by default.
        reading : Reading, optional
            All scenes of one kind share limits, unless ``per`` says ``scene``.
        max_invalid : float
            0..1.
        alignment : mapping of scene id to (row, col), optional
            See :func:`crosslook.data.patches.open_scene`.
        name : str
            For the rows.
        skip_small : bool
            Leave out scenes that are smaller than a patch, and name them in ``notes``.

        Raises
        ------
        InputError
            Unreadable files, grids that do not fit, patches larger than scenes, no patch left.
        """
        how, shifts = reading or Reading(), alignment or {}
        _check_alignment(shifts, pairs)
        sample = max(_FEWEST, min(_SAMPLE, _SAMPLES // max(1, len(pairs))))

        def survey(pair: ScenePair) -> _Surveyed:
            scene = open_scene(pair, how, shifts.get(pair.id, (0.0, 0.0)))
            return _survey(scene, patch, stride or patch, max_invalid, sample)

        surveyed, notes = _survey_all(pairs, survey, patch, skip_small=skip_small)
        patches = tuple(p for one in surveyed for p in one.patches)
        dropped = dict(sorted(sum((s.dropped for s in surveyed), Counter[str]()).items()))
        if not patches:
            raise InputError(
                f"no patch is left of {sum(dropped.values())}: too many invalid pixels. "
                f"Raise --max-invalid above {max_invalid:g} or choose smaller patches."
            )
        scenes = _sharing_limits([one.scene for one in surveyed], how)
        digests = {m: _digest(m, how, scenes, surveyed) for m in MODALITIES}
        marked = any(scene.synthetic for scene in scenes)
        by_id = {scene.pair.id: scene for scene in scenes}
        contents = {m: tuple(d for one in surveyed for d in one.pixels[m]) for m in MODALITIES}
        return cls(name, patches, dropped, patch, marked, how, by_id, digests, contents, notes)

    def at(self, chosen: Sequence[int]) -> PatchSet:
        """The same set with these patches alone, in order.

        Limits of the radiometry stay those of all scenes.
        """
        patches = tuple(self.patches[i] for i in chosen)
        names = {patch.scene for patch in patches}
        ids = "\n".join(patch.id for patch in patches).encode()
        return replace(
            self,
            patches=patches,
            scenes={name: scene for name, scene in self.scenes.items() if name in names},
            digests={
                m: hashlib.sha256(digest.encode() + ids).hexdigest()
                for m, digest in self.digests.items()
            },
            contents={m: tuple(content[i] for i in chosen) for m, content in self.contents.items()},
        )

    def describe_radiometry(self) -> dict[str, Any]:
        """Settings of both modalities, and the limits that each kind of image got."""
        described: dict[str, Any] = {}
        for modality in MODALITIES:
            kinds: dict[str, Any] = {}
            for scene in self.scenes.values():
                side = scene.sides[modality]
                kind = kinds.setdefault(repr(side.stretch), {**asdict(side.stretch), "scenes": 0})
                kind["scenes"] += 1
            settings = self.reading.of(modality).describe()
            described[modality] = {**settings, "limits": list(kinds.values())[:_MOST_LIMITS]}
        return described

    def fingerprint(self, modality: Modality) -> str:
        """Hash of everything that changes the pixels of a modality.

        The content of the files, the windows, radiometry, grids and alignment;
        not paths or times.
        """
        return self.digests[modality]

    def read(self, modality: Modality, indices: Sequence[int]) -> FloatArray:
        """Read patches as float32 (n, 3, size, size) in 0..1.

        The few invalid pixels of a patch take the median of its valid ones,
        channel by channel.
        """
        out = np.empty((len(indices), 3, self.size, self.size), np.float32)
        for at, index in enumerate(indices):
            patch = self.patches[index]
            out[at] = fill_invalid(self.scenes[patch.scene].read(modality, patch.window))
        return out


def _check_alignment(shifts: Mapping[str, object], pairs: Sequence[ScenePair]) -> None:
    if shifts and not any(pair.id in shifts for pair in pairs):
        raise InputError(
            f"none of the {len(shifts)} scenes of the alignment is among the pairs "
            f"('{min(shifts)}' against '{pairs[0].id}'); use the ids of the pairs."
        )
    check_zeros("the alignment", shifts, [pair.id for pair in pairs])


@dataclass(frozen=True)
class _Surveyed:
    scene: Scene
    patches: list[Patch]
    dropped: Counter[str]
    content: dict[Modality, str]
    pixels: dict[Modality, list[str]]


def _survey(scene: Scene, patch: int, stride: int, max_invalid: float, sample: int) -> _Surveyed:
    pair, grid = scene.pair, scene.grid
    kept: list[Patch] = []
    dropped: Counter[str] = Counter()
    pixels: dict[Modality, list[str]] = {modality: [] for modality in MODALITIES}
    crs = crs_text(grid) if is_placed(grid) else None
    for window in tile(*shape_of(grid), patch, stride, pair.id):
        seen: dict[Modality, str] = {}
        for modality in MODALITIES:
            image = scene.read(modality, window)
            if np.isnan(image).any(axis=0).mean() > max_invalid:
                dropped[f"invalid {modality} pixels"] += 1
                break
            seen[modality] = _hash_pixels(image)
        if len(seen) < len(MODALITIES):
            continue
        name = f"{pair.id}/{window.row}_{window.col}"
        centre, bounds = (None, None) if crs is None else _place(grid, window)
        kept.append(Patch(name, pair.id, pair.group, window, centre, crs, bounds))
        for modality, digest in seen.items():
            pixels[modality].append(digest)
    content: dict[Modality, str] = {"sar": digest_of(pair.sar), "optical": digest_of(pair.optical)}
    return _Surveyed(_thinned(scene, sample), kept, dropped, content, pixels)


_Bounds = tuple[float, float, float, float]


def _place(grid: GeoBox, window: Window) -> tuple[tuple[float, float], _Bounds]:
    """Centre and bounds of a window on the map."""
    centre = window.row + window.height / 2, window.col + window.width / 2
    corners = product((window.row, window.bottom), (window.col, window.right))
    (x, y), *ends = to_map(grid, np.array([centre, *corners])).tolist()
    xs, ys = zip(*ends, strict=True)
    return (x, y), (min(xs), min(ys), max(xs), max(ys))


def _survey_all(
    pairs: Sequence[ScenePair],
    survey: Callable[[ScenePair], _Surveyed],
    patch: int,
    *,
    skip_small: bool,
) -> tuple[list[_Surveyed], tuple[str, ...]]:
    """The scenes that hold a patch, and a note that names the others; the error if none does."""

    def try_it(pair: ScenePair) -> _Surveyed | TooSmallError:
        try:
            return survey(pair)
        except TooSmallError as error:
            if not skip_small:
                raise
            return error

    with ThreadPoolExecutor(threads.count()) as pool:
        every = list(track(pool.map(try_it, pairs), "Reading scenes", len(pairs)))
    kept = [one for one in every if isinstance(one, _Surveyed)]
    errors = [one for one in every if isinstance(one, TooSmallError)]
    if errors and not kept:
        raise errors[0]
    small = [p.id for p, one in zip(pairs, every, strict=True) if not isinstance(one, _Surveyed)]
    what = f"left out {len(small)} scene(s) smaller than a patch of {patch} px"
    return kept, (f"{what}, {len(kept)} remain: {some_of(small)}",) if small else ()


def _thinned(scene: Scene, count: int) -> Scene:
    """The same scene with so few of the values that limits are fitted on: sets are large."""
    sides: dict[Modality, ImageFile] = {}
    for modality, side in scene.sides.items():
        sample = side.survey.sample
        few = sample[:, :: max(1, sample.shape[1] // count)] if count else sample[:, :0]
        kept = replace(side.survey, sample=few.copy())  # a view would hold all of them
        sides[modality] = replace(side, survey=kept)
    return replace(scene, sides=sides)


def _sharing_limits(scenes: Sequence[Scene], reading: Reading) -> list[Scene]:
    """The scenes under limits that all images of one kind share, where the radiometry says so.

    A kind is a scale, a type of number and a count of bands: amplitudes in 8
    bits and decibels have no limits in common.
    """
    sides = [dict(scene.sides) for scene in scenes]
    for modality in MODALITIES:
        kinds: dict[tuple[Any, ...], list[dict[Modality, ImageFile]]] = {}
        for own in sides if reading.of(modality).per == "set" else ():
            side = own[modality]
            kinds.setdefault((side.scale, side.header.dtype, len(side.bands)), []).append(own)
        for alike in kinds.values():
            pooled = np.concatenate([own[modality].survey.sample for own in alike], axis=1)
            first = alike[0][modality]
            stretch = first.radiometry.fit(first.header, first.scale, pooled)
            for own in alike:
                own[modality] = own[modality].restretched(stretch)
    pairs = zip(scenes, sides, strict=True)
    return [_thinned(replace(scene, sides=own), 0) for scene, own in pairs]


def _digest(
    modality: Modality, reading: Reading, scenes: Sequence[Scene], surveyed: Sequence[_Surveyed]
) -> str:
    digest = hashlib.sha256(f"{FORMAT}/{reading.of(modality).key()}".encode())
    digest.update(repr((reading.height, reading.dem)).encode())
    for scene, one in zip(scenes, surveyed, strict=True):
        side = scene.sides[modality]
        windows = [p.window for p in one.patches]
        shift = scene.shift if modality == "sar" else (0.0, 0.0)
        resampled = "" if side.grid == side.own_grid else repr(side.grid)
        kept = (one.content[modality], resampled, side.bands, shift, side.stretch, windows)
        digest.update(repr(kept).encode())
    return digest.hexdigest()


def _hash_pixels(image: FloatArray) -> str:
    if np.nanmin(image) == np.nanmax(image):
        return ""
    return hashlib.sha256(image.tobytes()).hexdigest()[:32]


def fill_invalid(image: FloatArray) -> FloatArray:
    """Give NaN of an image (C, h, w) the median of its channel, where they lie; return it."""
    invalid = np.isnan(image)
    if not invalid.any():
        return image
    for channel, holes in zip(image, invalid, strict=True):
        valid = channel[~holes]
        channel[holes] = np.median(valid) if valid.size else 0.0
    return image
