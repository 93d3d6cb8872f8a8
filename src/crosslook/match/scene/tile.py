"""One tile of a scene: both images read once, features, and a search by templates, coarse to fine.

Templates are cut from the optical image at the nodes and looked for in the SAR image, which is
brought onto the optical grid by what is known so far. So a displacement belongs to a place on
the ground, and all of them lie on one lattice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.errors import MatchError
from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import GreyImage
from crosslook.match.cached_image import CachedImage
from crosslook.match.channels import Channels, dense_channels
from crosslook.match.ncc import correlate_shifts, find_peaks
from crosslook.match.scene.plan import ScenePlan, halo_of
from crosslook.match.scene.smooth import Smoothness, Surface, fit_robustly
from crosslook.match.settings import DEFAULT_EXTRACTOR
from crosslook.match.working_grid import WorkingGrid
from crosslook.types import Array, FloatArray, Window

COARSE = "hog:cell=6,blur=2,bins=6"
"""Features of the first stage, which looks far."""

FINE = ("hog:cell=2,blur=0.7,clip=1,bins=6", "hog:cell=2,blur=0.3,clip=1,bins=6")
"""Of the SAR and the optical image in the stages after it, where no others are requested. The
optical image has no speckle: softened less, its peaks spread by two thirds as much."""

FIELDS = ("row", "col", "score", "ratio", "bend", "filled", "rise", "apart")
"""Of a node: displacement along rows and columns in pixels of the matched grid, peak of the
correlation, peak over second peak, curvature of the peak (score per squared pixel), fraction of
the template where both images hold data; how far the first stage's map, which looks everywhere,
rises there above its mean in its own standard deviations; and how far from there, in pixels, its
own peak lies."""

_TEMPLATE = 96.0
_MARGIN = 72  # pixels around the outer nodes: half a template, and what features look at
_LEAST_FILLED = 0.5
_SOLID = 0.999
_LENGTH = 8.0  # nodes over which what is followed from stage to stage is alike
_NOISE = 4.0  # pixels by which a node differs from its neighbours
_BLUNT = 0.7  # nodes; a blur below it does nothing


@dataclass(frozen=True)
class SceneStage:
    """One round of the search.

    Attributes
    ----------
    is_fine : bool
        Whether the features of the settings are correlated, or the coarse ones.
    box, blur : float
        Side of the square that is summed, and standard deviation of the Gaussian by which the
        score maps of neighbouring nodes are added up: a template with soft edges. Pixels.
    radius : float or None
        Largest offset, pixels; that of the plan where it is None.
    deviation : float or None
        Standard deviation of what the next stage begins from, pixels: each would else add its
        noise. None of the last stage.
    """

    is_fine: bool
    box: float
    blur: float
    radius: float | None
    deviation: float | None


STAGES = (
    SceneStage(False, 96.0, 32.0, None, 10.0),
    SceneStage(True, 48.0, 24.0, 12.0, 3.0),
    SceneStage(True, 48.0, 24.0, 6.0, None),
)


@dataclass(frozen=True, eq=False)
class TileImages:
    """Both images of a tile: the optical one on the matched grid, the SAR one on its own pixels.

    Attributes
    ----------
    optical, sar : GreyImage
    sources : float64 array, shape (h, w, 2)
        Of the nodes, halo included: where they lie in the SAR image without displacement.
    slopes : float64 array, shape (2, 2)
        SAR pixels per pixel of the matched grid: of a step down, and along, as columns.
    origin : float
        Pixel of the matched grid, along either axis, of the first node.
    """

    optical: GreyImage
    sar: GreyImage
    sources: Array
    slopes: Array
    origin: float


def match_tile(plan: ScenePlan, nodes: Window, fine: Extractor) -> FloatArray:
    """Displacements of the nodes of a tile.

    Parameters
    ----------
    plan : ScenePlan
    nodes : Window
        In nodes.
    fine : Extractor
        Features of the stages after the first.

    Returns
    -------
    float32 array, shape (h, w, len(FIELDS))
        NaN where nothing can be compared.
    """
    halo = halo_of(_TEMPLATE, plan.spacing)
    around = nodes.pad(halo)
    out = np.full((*around.shape, len(FIELDS)), np.nan, np.float32)
    images = _read(plan, around)
    if images is not None:
        coarse = _opened(COARSE)
        moving, ground = sides_of(fine)
        optical = CachedImage.of(images.optical)
        fixed = [optical.channels(one) for one in (coarse, ground)]
        if all(one.valid.any() for one in fixed):
            _search(plan, around, images, (coarse, moving), (fixed[0], fixed[1]), out)
    inner = slice(halo, halo + nodes.height), slice(halo, halo + nodes.width)
    return out[inner]


def sides_of(fine: Extractor) -> tuple[Extractor, Extractor]:
    """Features of the SAR and of the optical image in the fine stages."""
    if fine.spec != DEFAULT_EXTRACTOR:
        return fine, fine
    return _opened(FINE[0]), _opened(FINE[1])


@cache
def _opened(spec: str) -> Extractor:
    """One for all tiles, by which what is computed of an image is found again."""
    return open_extractor(spec)


def _read(plan: ScenePlan, around: Window) -> TileImages | None:
    """Both images of a tile, each from one window; None where either holds nothing."""
    cells = plan.pixels(around).pad(_MARGIN * plan.factor)
    at = plan.positions(around)
    known = _known_displacement(plan, at)
    ring = np.concatenate([at[[0, -1]].reshape(-1, 2), at[:, [0, -1]].reshape(-1, 2)])
    beyond = (plan.reach + _MARGIN + plan.spacing) * plan.factor + float(np.abs(known).max())
    back = plan.base.inverse
    steps = np.array([[-beyond, -beyond], [-beyond, beyond], [beyond, -beyond], [beyond, beyond]])
    reached = back((ring[:, None] + steps).reshape(-1, 2))
    part = Window.around(reached.min(axis=0), reached.max(axis=0)).pad(2).clip(plan.sar.shape)
    if part.is_empty or cells.clip(plan.optical.shape).is_empty:
        return None
    grid = WorkingGrid(plan.sar, plan.optical, plan.base, part, cells, plan.sar_factor, plan.factor)
    try:
        sar, optical, _ = grid.read(framed=False)
    except MatchError:  # no data, or one value: open water, or the outside of the swath
        return None
    # Positions on the reduced part of the SAR image; where it was projected, on the grid itself.
    to_grid = grid.start.inverse
    local = (at - cells.corner) / plan.factor
    sources = to_grid(local.reshape(-1, 2)).reshape(at.shape)
    centre = local.reshape(-1, 2).mean(axis=0)
    here, down, along = to_grid(centre + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    slopes = np.stack([down - here, along - here], axis=1)
    return TileImages(optical, sar, sources, slopes, float(local[0, 0, 0]))


def _known_displacement(plan: ScenePlan, at: Array) -> Array:
    """What the start knows of the displacement (h, w, 2) of optical positions, optical pixels."""
    if not plan.start.has_field:
        return np.zeros(at.shape)
    flat = at.reshape(-1, 2)
    return np.asarray((flat - plan.base(plan.start.inverse(flat))).reshape(at.shape))


def _search(
    plan: ScenePlan,
    around: Window,
    images: TileImages,
    extractors: tuple[Extractor, Extractor],
    fixed: tuple[Channels, Channels],
    out: FloatArray,
) -> None:
    """Fill ``out`` (h, w, fields), stage after stage."""
    spacing = plan.spacing
    current = _known_displacement(plan, plan.positions(around)) / plan.factor
    begin = current
    wide: tuple[FloatArray, int, float] | None = None
    first = begin
    for stage in STAGES:
        ground, extractor = fixed[stage.is_fine], extractors[stage.is_fine]
        scored = _scored(plan, stage, images, (ground, extractor), current)
        if scored is None:
            return
        scores, reach, stride, filled = scored
        peaks = find_peaks(scores.reshape(-1, *scores.shape[2:]), exclusion=max(2.0, 24.0 / stride))
        offset = ((peaks.position - reach) * stride).reshape(current.shape)
        known = (filled >= _LEAST_FILLED) & (peaks.score > 0).reshape(filled.shape)
        inside = known & ~peaks.border.reshape(filled.shape)
        found = _composed(current, offset, spacing)
        if wide is None:
            wide, first = (scores, reach, stride), found
        shape = known.shape
        planes = (
            found[..., 0], found[..., 1], peaks.score.reshape(shape), peaks.ratio.reshape(shape),
            _bend(scores, peaks.position, stride).reshape(shape), filled,
            _rise(wide, found - begin), np.linalg.norm(found - first, axis=-1),
        )  # fmt: skip
        out[...] = np.where(inside[..., None], np.stack(planes, axis=-1), np.float32(np.nan))
        if stage.deviation is not None:
            surface = Surface.on(shape, Smoothness(_LENGTH, stage.deviation))
            std = np.full(shape, _NOISE)
            relative, _ = fit_robustly(found - begin, std, inside, (surface, surface), _NOISE)
            current = begin + relative


def _scored(
    plan: ScenePlan,
    stage: SceneStage,
    images: TileImages,
    sides: tuple[Channels, Extractor],
    current: Array,
) -> tuple[FloatArray, int, float, FloatArray] | None:
    """Scores around what is known, the reach and the pixels of their steps; None without data.

    Also the fraction of the template around each node where both images hold data.
    """
    ground, extractor = sides
    stride, lattice = ground.stride, (images.origin, (current.shape[0], current.shape[1]))
    moved = _sampled(images, _sources(images, current, plan.spacing))
    channels = dense_channels(moved, extractor)
    if not channels.valid.any():
        return None
    filled = _filled(images, moved.valid, current.shape[:2], plan.spacing)
    scores, reach = _score_maps(plan, stage, ground, channels, lattice)
    return scores, reach, stride, filled


def _sources(images: TileImages, current: Array, spacing: int) -> tuple[FloatArray, FloatArray]:
    """Row and column of the SAR image under each pixel, moved by a displacement of the nodes."""
    sources = (images.sources - current @ images.slopes.T).astype(np.float32)
    at = [
        ((np.arange(n) + 0.5 - images.origin) / spacing).astype(np.float32)
        for n in images.optical.shape
    ]
    cols, rows = np.meshgrid(at[1], at[0])
    down, along = (
        _spread(np.ascontiguousarray(sources[..., axis]), rows, cols) - np.float32(0.5)
        for axis in (0, 1)
    )
    return down, along


def _sampled(images: TileImages, maps: tuple[FloatArray, FloatArray]) -> GreyImage:
    """The SAR image at positions of its own."""
    down, along = maps
    values = cv2.remap(
        images.sar.values, along, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    known = images.sar.known.astype(np.float32)
    solid = cv2.remap(
        known, along, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0
    )
    return GreyImage(np.asarray(values, np.float32), np.asarray(solid > _SOLID, np.bool_))


def _filled(
    images: TileImages, solid: NDArray[np.bool_], shape: tuple[int, ...], spacing: int
) -> FloatArray:
    """Of the template around each node (h, w), the fraction where both images hold data."""
    both = (solid & images.optical.known).astype(np.float32)
    box = 2 * int(_TEMPLATE / 2) + 1
    cover = cv2.blur(both, (box, box), borderType=cv2.BORDER_CONSTANT)
    rows, cols = (np.rint(images.origin + spacing * np.arange(n)).astype(int) for n in shape)
    return np.asarray(cover[np.ix_(rows, cols)], np.float32)


def _spread(nodes: FloatArray, rows: FloatArray, cols: FloatArray) -> FloatArray:
    """Values of nodes at positions counted in nodes, carried on straight beyond the rim."""
    wide = np.pad(nodes, 6, mode="reflect", reflect_type="odd")
    spread = cv2.remap(wide, cols + 6, rows + 6, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(spread, np.float32)


def _score_maps(
    plan: ScenePlan,
    stage: SceneStage,
    ground: Channels,
    moved: Channels,
    lattice: tuple[float, tuple[int, int]],
) -> tuple[FloatArray, int]:
    """Scores (h, w, s, s) of all offsets at every node, those of neighbours added up; the reach."""
    stride, (origin, shape) = ground.stride, lattice
    blur = stage.blur / plan.spacing
    # Nodes far apart have no neighbours to add up: the template itself is larger then.
    side = max(4, round((stage.box if blur >= _BLUNT else 2 * stage.box) / stride))
    reach = max(1, int(np.ceil((stage.radius or plan.reach) / stride)))
    axes = [
        np.clip(
            np.rint((origin + plan.spacing * np.arange(n)) / stride - side / 2).astype(np.int64),
            0, length - side,
        )
        for n, length in zip(shape, ground.valid.shape, strict=True)
    ]  # fmt: skip
    corners = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    around = np.pad(moved.values, ((0, 0), (reach, reach), (reach, reach)))
    scores = correlate_shifts(ground.values, around, corners, side)
    scores = scores.reshape(*shape, *scores.shape[1:])
    return (_added_up(scores, blur) if blur >= _BLUNT else scores), reach


def _added_up(scores: FloatArray, blur: float) -> FloatArray:
    """Score maps (h, w, s, s), each with those of its neighbours under a Gaussian."""
    height, width = scores.shape[:2]
    down, along = (_gaussian(n, blur) for n in (height, width))
    first = (down @ scores.reshape(height, -1)).reshape(height, width, -1)
    return np.ascontiguousarray(np.matmul(along, first)).reshape(scores.shape)


def _gaussian(count: int, blur: float) -> FloatArray:
    """Weights (n, n) of a Gaussian over a line of nodes, each row of which sums to 1."""
    apart = np.arange(count)[:, None] - np.arange(count)
    weights = np.exp(-0.5 * (apart / blur) ** 2) * (np.abs(apart) <= 3 * blur)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _composed(current: Array, offset: Array, spacing: int) -> Array:
    """The displacement of each node, found ``offset`` pixels beside where ``current`` puts it.

    What the optical image has at q is in the warped SAR image at q + o: there ``current`` brought
    it from q + o - d(q + o), so its displacement is d(q + o) - o.
    """
    height, width = current.shape[:2]
    rows = (np.arange(height)[:, None] + offset[..., 0] / spacing).astype(np.float32)
    cols = (np.arange(width)[None] + offset[..., 1] / spacing).astype(np.float32)
    there = [
        cv2.remap(current[..., axis].astype(np.float32), cols, rows, cv2.INTER_LINEAR,
                  borderMode=cv2.BORDER_REPLICATE)
        for axis in (0, 1)
    ]  # fmt: skip
    return np.asarray(np.stack(there, axis=-1) - offset, np.float64)


def _bend(scores: FloatArray, position: Array, stride: float) -> Array:
    """Curvature (n,) of each peak, the smaller one of both axes, score per squared pixel."""
    flat = scores.reshape(-1, *scores.shape[2:])
    side = flat.shape[1]
    row, col = np.rint(position).astype(np.int64).clip(1, max(1, side - 2)).T
    each = np.arange(len(flat))
    top = flat[each, row, col]
    down = 2 * top - flat[each, row - 1, col] - flat[each, row + 1, col]
    along = 2 * top - flat[each, row, col - 1] - flat[each, row, col + 1]
    return np.asarray(np.minimum(down, along) / stride**2, np.float64)


def _rise(wide: tuple[FloatArray, int, float], displacement: Array) -> NDArray[np.float64]:
    """How far the first stage's maps rise at a displacement (h, w, 2) above their means."""
    scores, reach, stride = wide
    mean, spread = scores.mean(axis=(2, 3)), scores.std(axis=(2, 3))
    at = np.rint(-displacement / stride).astype(np.int64) + reach
    row, col = np.moveaxis(at.clip(0, 2 * reach), -1, 0)
    i, j = np.indices(row.shape)
    return np.asarray((scores[i, j, row, col] - mean) / np.maximum(spread, 1e-6), np.float64)
