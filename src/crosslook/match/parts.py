"""Evidence by parts: how two images correlate block by block, at a match and all around it.

What one pair of images gives elsewhere says what a score is worth at the match.
Sums of products and joint histograms are additive over the blocks of an image,
so one pass over all shifts gives the scores of each block, of halves, and of the
image without each ninth of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crosslook.geo.grey import GreyImage
from crosslook.match.cached_image import CachedImage, reduce_image
from crosslook.match.channels import dense_channels
from crosslook.match.ncc import masked_planes
from crosslook.match.pair import ImagePair
from crosslook.match.pose_search import gradients
from crosslook.match.transform import Transform, grid_points, scaling, shift_by
from crosslook.match.warp import warp
from crosslook.types import Array, FloatArray

_BLOCKS, _REACH = 6, 10
_CELLS = 80
_LEAST_CELL, _MOST_CELL = 3, 6
_BINS, _BLUR = 8, 0.7
_HERE, _FAR = 1.5, 4.0  # cells
_HERE_BY_TWO = 2.0
_LEAST_OVERLAP = 0.5
_LEAST_FILLED = 0.25  # of a block against the fullest one
_LEAST_PLACES, _LEAST_BLOCKS = 20, 4
_FAINT = 1e-3


class Parts(NamedTuple):
    """Terms of the evidence; :class:`~crosslook.match.evidence.Evidence` says what each means."""

    fine_z_score: float = 0.0
    fine_margin: float = 0.0
    half_margin: float = 0.0
    least_half_margin: float = 0.0
    jackknife_margin: float = 0.0
    block_rank: float = 0.0
    concentration: float = 1.0
    mi_margin: float = 0.0
    mi_half_margin: float = 0.0
    mi_jackknife_margin: float = 0.0


def evidence_by_parts(pair: ImagePair, transform: Transform) -> Parts:
    """Compare the parts of two images at a match with what they give up to 10 cells around it.

    Cells are of 3 pixels or more: an image has at most about 80 of them a side.
    """
    transform = transform.without_field
    extent = float(np.ptp(transform(grid_points(*pair.sar.shape)), axis=0).max()) * 9 / 8
    if not np.isfinite(extent):
        return Parts()
    # A homography may map the image far beyond the optical one; a cell of that is left of it.
    most = max(1, min(pair.optical.shape) // _MOST_CELL)
    factor = int(np.clip(extent / (_CELLS * _LEAST_CELL), 1, most))
    cell = int(np.clip(round(extent / _CELLS / factor), _LEAST_CELL, _MOST_CELL))
    parts = _parts()
    found = _by_gradients(pair, transform, factor, cell, parts)
    margin = _information_margins(pair, transform, factor, max(2, cell - 1), parts)
    return found._replace(
        mi_margin=float(margin[0]),
        mi_jackknife_margin=float(margin[_REMOVED].min()),
        mi_half_margin=float(margin[_HALF].mean()),
    )


_REMOVED, _HALF = slice(1, 10), slice(10, 18)


def _parts() -> FloatArray:
    """All blocks, all without each ninth, and halves cut in four ways, shape (18, 36)."""
    row, col = np.indices((_BLOCKS, _BLOCKS))
    ninth = row // 2 * 3 + col // 2
    cuts = (
        row < _BLOCKS // 2,
        col < _BLOCKS // 2,
        (row // 2 + col // 2) % 2 == 0,
        (row // 3 + col // 3) % 2 == 0,
    )
    halves = [half for cut in cuts for half in (cut, ~cut)]
    parts = [np.ones_like(ninth), *(ninth != n for n in range(9)), *halves]
    return np.stack(parts).reshape(len(parts), -1).astype(np.float32)


def _by_gradients(
    pair: ImagePair, transform: Transform, factor: int, cell: int, parts: FloatArray
) -> Parts:
    from crosslook.match.kernels_evidence import block_products

    moved, corner = _moved(pair, transform, factor, cell)
    own = dense_channels(moved, gradients(cell))
    reduced = pair.optical.reduced(factor)
    there = reduced.channels(gradients(cell))
    fixed = reduced.cached(("masked", cell), lambda: masked_planes(there.values, there.valid))
    template = masked_planes(own.values, own.valid)
    wide = _cut(fixed, corner, template.shape[1:], 0.0)
    sums = block_products(np.ascontiguousarray(template), wide, _BLOCKS)
    by_block = sums.reshape(4, _BLOCKS**2, *sums.shape[3:])
    if (by_block[3].sum(axis=0) > 0).sum() < _LEAST_PLACES:
        return Parts()
    joint = np.einsum("kb,qbij->qkij", parts, by_block, optimize=True)
    full = joint[3].max(axis=(1, 2))
    scores = _cosines(joint, full)
    allowed = joint[3, 0] >= _LEAST_OVERLAP * full[0]
    level, margin = _levels(scores, allowed)
    rank, share = _ranks(by_block), _share(by_block[0], allowed, parts)
    return Parts(
        fine_z_score=float(level[0]),
        fine_margin=float(margin[0]),
        half_margin=float(margin[_HALF].mean()),
        least_half_margin=float(margin[_HALF].min()),
        jackknife_margin=float(margin[_REMOVED].min()),
        block_rank=rank,
        concentration=share,
    )


def _information_margins(
    pair: ImagePair, transform: Transform, factor: int, cell: int, parts: FloatArray
) -> Array:
    """Margin of mutual information of every part, in standard deviations of its own map."""
    from crosslook.match.kernels_evidence import part_information

    moved, corner = _moved(pair, transform, factor, cell)
    small = CachedImage.of(reduce_image(moved, cell))
    if not small.valid.any():
        return np.zeros(len(parts))
    own, other = (
        np.where(one.valid, np.round(one.levels(_BLUR, _BINS)), _BINS).astype(np.int32)
        for one in (small, pair.optical.reduced(factor).reduced(cell))
    )
    wide = _cut(other[None], corner, own.shape, _BINS)[0]
    nats, counted = part_information(own, wide, parts > 0, _BLOCKS, _BINS)
    most = np.maximum(counted.max(axis=(1, 2), keepdims=True), 1.0)
    allowed = counted[0] >= _LEAST_OVERLAP * most[0]
    return _levels(nats * counted / most, allowed, _HERE_BY_TWO)[1]


def _moved(
    pair: ImagePair, transform: Transform, factor: int, cell: int
) -> tuple[GreyImage, NDArray[np.int64]]:
    """The SAR image on the reduced optical grid, and the cell where its corner lies there."""
    scale = transform.local_scale(np.array(pair.sar.shape) / 2)
    shrink = int(np.clip(factor / max(scale, 1e-9) + 0.3, 1, min(pair.sar.shape)))
    small, fixed = pair.sar.reduced(shrink), pair.optical.reduced(factor)
    onto = scaling(factor).inverse @ transform @ scaling(shrink)
    height, width = small.shape
    ring = onto(np.array([[0, 0], [0, width], [height, 0], [height, width]], np.float64)) / cell
    # What lies beyond the optical image is compared with nothing.
    most = np.array(fixed.shape) / cell
    low = np.floor(np.clip(ring.min(axis=0), -_FAR, most)).astype(np.int64)
    high = np.ceil(np.clip(ring.max(axis=0), low + _BLOCKS, most + _FAR)).astype(np.int64)
    rows, cols = np.maximum(high - low, _BLOCKS) * cell
    move = shift_by(*(-low * cell).tolist())
    return warp(small, move @ onto, (int(rows), int(cols))), low


def _cut(
    planes: NDArray[Any], corner: NDArray[np.int64], shape: tuple[int, ...], outside: float
) -> NDArray[Any]:
    """A window of planes (C, H, W), ``_REACH`` cells wider on all sides than one at a corner."""
    size = [length + 2 * _REACH for length in shape]
    out = np.full((len(planes), *size), outside, planes.dtype)
    first = corner - _REACH
    low = np.maximum(first, 0)
    high = np.minimum(first + size, planes.shape[1:])
    if (high > low).all():
        to = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, first, strict=True))
        of = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        out[:, *to] = planes[:, *of]
    return out


def _cosines(sums: NDArray[Any], full: NDArray[Any]) -> Array:
    """Scores of sums (4, n, s, s): cosines times the root of the fraction that is compared."""
    product, under, over, both = sums
    root = np.sqrt(np.maximum(under, 0.0) * np.maximum(over, 0.0))
    floor = _FAINT * np.maximum(root.max(axis=(1, 2), keepdims=True), 1e-20)
    filled = np.sqrt(np.clip(both / np.maximum(full, 1.0)[:, None, None], 0.0, 1.0))
    cosine = np.where(root > floor, product / np.maximum(root, floor), 0.0)
    return np.asarray(cosine * filled, np.float64)


def _distance(side: int = 2 * _REACH + 1) -> Array:
    """Cells from the match, shape (side, side): at every shift, or at every second one."""
    along = np.linspace(-_REACH, _REACH, side)
    return np.asarray(np.hypot(along[:, None], along), np.float64)


def _levels(
    scores: Array, allowed: NDArray[np.bool_], within: float = _HERE
) -> tuple[Array, Array]:
    """Of maps (n, s, s): z-scores at the match, (n,), and their margins over the best elsewhere."""
    distance = _distance(len(allowed))
    here, far = allowed & (distance <= within), allowed & (distance > _FAR)
    if not here.any() or far.sum() < _LEAST_PLACES:
        return np.zeros(len(scores)), np.zeros(len(scores))
    around = scores[:, far]
    spread = np.maximum(around.std(axis=1), 1e-9)
    best = scores[:, here].max(axis=1)
    level = (best - around.mean(axis=1)) / spread
    return level, (best - around.max(axis=1)) / spread


def _ranks(sums: NDArray[Any]) -> float:
    """Mean of ``-log10`` of the rank of each block at the match in its own map."""
    distance, full = _distance(), sums[3].max(axis=(1, 2))
    used = sums[3, :, _REACH, _REACH] >= _LEAST_FILLED * full.max()
    if used.sum() < _LEAST_BLOCKS:
        return 0.0
    scores = _cosines(sums[:, used], full[used])
    far = (sums[3, used] >= _LEAST_OVERLAP * full[used][:, None, None]) & (distance > _FAR)
    best = scores[:, distance <= _HERE].max(axis=1)
    better = (far & (scores >= best[:, None, None])).sum(axis=(1, 2))
    return float(-np.log10((1.0 + better) / (1.0 + far.sum(axis=(1, 2)))).mean())


def _share(products: NDArray[Any], allowed: NDArray[np.bool_], parts: FloatArray) -> float:
    """Largest share that a ninth has in what the products at the match are above those around."""
    distance = _distance()
    far = allowed & (distance > _FAR)
    if not far.any():
        return 1.0
    above = products[:, distance <= _HERE].max(axis=1) - products[:, far].mean(axis=1)
    ninths = (1.0 - parts[_REMOVED]) @ above
    return float(np.clip(ninths.max() / max(float(above.sum()), 1e-9), 0.0, 1.0))
