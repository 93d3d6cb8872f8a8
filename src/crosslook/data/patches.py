"""A set of aligned patches: what extractors read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crosslook.data.pairs import ScenePair
from crosslook.errors import InputError, RasterError
from crosslook.geo.grids import onto_optical
from crosslook.geo.radiometry import OpticalRadiometry, SarRadiometry, Stretch
from crosslook.geo.raster import Grid, Raster, Source, read_raster, read_window
from crosslook.geo.swath import Swath, survey
from crosslook.progress import track
from crosslook.storage import reaching
from crosslook.types import MODALITIES, FloatArray, Modality, Patch, Window


def tile(height: int, width: int, patch: int, stride: int, scene: str) -> list[Window]:
    """List the full windows of a scene, row by row.

    What does not fill a whole window at the lower and right border is left out.

    Raises
    ------
    InputError
        If the patch is larger than the scene.
    """
    if patch > min(height, width):
        raise InputError(
            f"patches of {patch} x {patch} px are larger than scene '{scene}' "
            f"({height} x {width} px); choose --patch of at most {min(height, width)}."
        )
    return [
        Window(row, col, patch, patch)
        for row in range(0, height - patch + 1, stride)
        for col in range(0, width - patch + 1, stride)
    ]


@dataclass(frozen=True)
class Side:
    """One modality of a scene: where its pixels are and how they are scaled."""

    source: Source
    radiometry: SarRadiometry | OpticalRadiometry
    stretch: Stretch
    swath: Swath
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """A scene pair on the optical grid.

    Attributes
    ----------
    pair : ScenePair
    grid : Grid
        Of the optical image.
    synthetic : bool
        Whether a tag of a file says that it is simulated.
    """

    pair: ScenePair
    grid: Grid
    synthetic: bool
    sides: dict[Modality, Side]

    def read(self, modality: Modality, window: Window) -> FloatArray:
        """Read a window as (3, h, w) in 0..1, NaN where invalid."""
        side = self.sides[modality]
        return side.radiometry.apply(_shifted(side, window), side.stretch)


def open_scene(
    pair: ScenePair,
    sar: SarRadiometry,
    optical: OpticalRadiometry,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Scene:
    """Open a pair: compare its grids and fit its radiometry on an overview.

    ``shift`` is (row, col): SAR pixel (r, c) shows the ground that the optical
    image has at (r + row, c + col).

    Raises
    ------
    GridError
        If the two grids cannot be brought together.
    RasterError
        If a file is missing or damaged, or a side has no valid pixel.
    """
    sar_file, optical_file = read_raster(pair.sar), read_raster(pair.optical)
    grid = optical_file.grid
    source = onto_optical(sar_file, optical_file)
    sides: dict[Modality, Side] = {
        "sar": _open_side(sar_file, source, grid, sar, shift),
        "optical": _open_side(optical_file, Source(pair.optical), grid, optical),
    }
    return Scene(pair, grid, sar_file.synthetic or optical_file.synthetic, sides)


def _open_side(
    raster: Raster,
    source: Source,
    grid: Grid,
    radiometry: SarRadiometry | OpticalRadiometry,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Side:
    bands = radiometry.choose(raster.bands)
    swath, overview = survey(source, grid.height, grid.width, bands)
    if swath.valid and np.isfinite(overview).any():
        stretch = radiometry.fit(overview, raster.dtype, raster.bands)
        return Side(source, radiometry, stretch, swath, shift)
    raise RasterError(
        f"{raster.path} has no usable pixel on the {grid.height} x {grid.width} px grid: all is "
        "nodata, NaN or zeros outside the swath. Leave the pair out or get the file again."
    )


def _shifted(side: Side, window: Window) -> FloatArray:
    """Read a window, moved by the alignment of the scene (bilinear)."""
    row, col = side.shift
    bands = side.stretch.bands
    if row == 0 and col == 0:
        return side.swath.clear(read_window(side.source, window, bands), window)
    top, left = window.row - row, window.col - col
    first_row, first_col = math.floor(top), math.floor(left)
    larger = Window(first_row, first_col, window.height + 1, window.width + 1)
    raw = side.swath.clear(read_window(side.source, larger, bands), larger)
    down, right = np.float32(top - first_row), np.float32(left - first_col)
    # Weights of 0 must not spread NaN from a neighbour that is not needed.
    rows = raw[:, :-1] if down == 0 else raw[:, :-1] * (1 - down) + raw[:, 1:] * down
    return rows[:, :, :-1] if right == 0 else rows[:, :, :-1] * (1 - right) + rows[:, :, 1:] * right


FORMAT = 1
"""Raise it whenever the same settings give other pixels."""
_THREADS = 4


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
    """

    name: str
    patches: tuple[Patch, ...]
    dropped: dict[str, int]
    size: int
    synthetic: bool
    sar: SarRadiometry
    optical: OpticalRadiometry
    scenes: Mapping[str, Scene] = field(repr=False)
    digests: Mapping[Modality, str] = field(repr=False)

    @classmethod
    def open(
        cls,
        pairs: Sequence[ScenePair],
        *,
        patch: int = 256,
        stride: int | None = None,
        sar: SarRadiometry | None = None,
        optical: OpticalRadiometry | None = None,
        max_invalid: float = 0.05,
        alignment: Mapping[str, tuple[float, float]] | None = None,
        name: str = "pairs",
    ) -> PatchSet:
        """Tile scene pairs and keep the windows with enough valid pixels.

        Windows are looked at one by one, so memory does not grow with the
        scenes. A window is dropped where more than ``max_invalid`` of it is
        invalid in either modality: nodata, NaN, outside the swath, or shifted
        in from outside the scene.

        Parameters
        ----------
        pairs : sequence of ScenePair
        patch, stride : int
            Pixels of the optical grid; the stride is the patch by default.
        sar, optical : radiometry
        max_invalid : float
            0..1.
        alignment : mapping of scene id to (row, col), optional
            See :func:`crosslook.data.patches.open_scene`.
        name : str
            For the rows.

        Raises
        ------
        InputError
            One of its kinds: unreadable files, grids that do not fit, patches
            larger than the scenes, no patch left.
        """
        how = (sar or SarRadiometry(), optical or OpticalRadiometry())
        shifts = alignment or {}
        if shifts and not any(pair.id in shifts for pair in pairs):
            raise InputError(
                f"none of the {len(shifts)} scenes of the alignment is among the pairs "
                f"('{min(shifts)}' against '{pairs[0].id}'); use the ids of the pairs."
            )

        def look(pair: ScenePair) -> _Looked:
            scene = open_scene(pair, *how, shifts.get(pair.id, (0.0, 0.0)))
            return _look(scene, patch, stride or patch, max_invalid)

        with ThreadPoolExecutor(_THREADS) as pool:
            looked = list(track(pool.map(look, pairs), "Reading scenes", len(pairs)))
        patches = tuple(p for one in looked for p in one.patches)
        reasons = sorted({reason for one in looked for reason in one.dropped})
        dropped = {r: sum(one.dropped.get(r, 0) for one in looked) for r in reasons}
        if not patches:
            raise InputError(
                f"no patch is left of {sum(dropped.values())}: too many invalid pixels. "
                f"Raise --max-invalid above {max_invalid:g} or choose smaller patches."
            )
        digests = {m: _digest(m, how, looked) for m in MODALITIES}
        return cls(
            name,
            patches,
            dropped,
            patch,
            any(one.scene.synthetic for one in looked),
            *how,
            {one.scene.pair.id: one.scene for one in looked},
            digests,
        )

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
            out[at] = _filled(self.scenes[patch.scene].read(modality, patch.window))
        return out


@dataclass(frozen=True)
class _Looked:
    scene: Scene
    patches: list[Patch]
    dropped: dict[str, int]
    content: dict[Modality, str]


def _look(scene: Scene, patch: int, stride: int, max_invalid: float) -> _Looked:
    pair, grid = scene.pair, scene.grid
    kept: list[Patch] = []
    dropped: dict[str, int] = {}
    for window in tile(grid.height, grid.width, patch, stride, pair.id):
        reason = None
        for modality in MODALITIES:
            invalid = np.isnan(scene.read(modality, window)).any(axis=0).mean()
            if invalid > max_invalid:
                reason = f"invalid {modality} pixels"
                break
        if reason is not None:
            dropped[reason] = dropped.get(reason, 0) + 1
            continue
        middle = (window.row + window.height / 2, window.col + window.width / 2)
        position = grid.xy(*middle) if grid.crs is not None else None
        name = f"{pair.id}/{window.row}_{window.col}"
        kept.append(Patch(name, pair.id, pair.group, window, position, grid.crs))
    content: dict[Modality, str] = {
        "sar": _hash_file(pair.sar),
        "optical": _hash_file(pair.optical),
    }
    return _Looked(scene, kept, dropped, content)


def _digest(
    modality: Modality, how: tuple[SarRadiometry, OpticalRadiometry], looked: Sequence[_Looked]
) -> str:
    digest = hashlib.sha256(f"{FORMAT}/{how[0 if modality == 'sar' else 1].key()}".encode())
    for one in looked:
        side = one.scene.sides[modality]
        windows = [p.window for p in one.patches]
        placed = (side.source.onto, side.source.resampling) if side.source.onto else ()
        told = (one.content[modality], placed, side.shift, side.stretch, windows)
        digest.update(repr(told).encode())
    return digest.hexdigest()


def _hash_file(path: Path) -> str:
    try:
        with reaching(path), path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RasterError(f"cannot read {path}: {error.strerror or error}.") from error


def _filled(image: FloatArray) -> FloatArray:
    invalid = np.isnan(image)
    if not invalid.any():
        return image
    for channel, holes in zip(image, invalid, strict=True):
        valid = channel[~holes]
        channel[holes] = np.median(valid) if valid.size else 0.0
    return image
