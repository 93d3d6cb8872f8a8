"""What is not ground in two images, found at the same pixels of both frames: marks, frames, holes.

Radar and optical sensors see no detail alike to the pixel: over real ground, also where it is
aligned, fine structure of 15 pixels a side hardly ever correlates above .8. What was drawn into
both images, or cut out of them, does, whatever its form; its sign may differ. So no kind of mark
is looked for. Three things tell that something is no ground:

- fine detail that agrees pixel by pixel, at full and at half resolution;
- constant values with the same outline in both, also where one outline is wider;
- what lies between them and is flat in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.geo.grey import GreyImage
from crosslook.types import FloatArray, Mask

Shape = tuple[int, int]

_SIDE = 15  # pixels of the window in which detail is compared
_CLOSE = 7
_SEED, _SEED_HALF, _GROW = 0.8, 0.88, 0.6
_DETAIL, _AROUND = 7, 25  # pixels: what is coarser is no detail; over which it is normalised
_MOST_LEVEL = 4.0
_FLOOR = 0.1  # of the detail of the whole image: what counts as flat ground beside it
_FLAT = 0.02
_MARGIN = 2  # pixels around a mark that it may have touched
_LEAST_SHARED = 64  # pixels along a side
_MOST_LEFT_OUT = 0.6
_COARSE, _ALIKE = 8, 0.8
_ACROSS, _FILLED, _LARGE = 0.7, 0.5, 0.06
_STRONG = 0.7
_LEAST_SIZE = 24  # pixels of a mark
_LEVELS, _BESIDE = 4096, 6
_MANY = 262_144
_SPIKE, _LEAST_SPIKE = 8.0, 48
_OUTLINE_AGREES, _LEAST_OUTLINE, _LEAST_LENGTH = 0.9, 14, 60


@dataclass(frozen=True)
class LeftOut:
    """What is no ground, and is left out of both images or, where nothing were left, is not.

    Attributes
    ----------
    kind : str
        ``frame``, ``lines``, ``holes``, ``marks``, or ``pattern`` where it is all over.
    where : str
        In words, as ``at the lower left``; of the SAR image.
    fraction : float
        Of the SAR image, 0..1.
    """

    kind: str
    where: str
    fraction: float

    @property
    def sentence(self) -> str:
        """What to say of it, without capital and full stop."""
        if self.kind == "pattern":
            return (
                f"{self.fraction:.0%} of the SAR image shows the same detail as the optical image, "
                "pixel by pixel: a pattern or marks over all of it, which are no ground; so no "
                "answer is more than uncertain"
            )
        return (
            f"{_WORDS[self.kind]} {self.where} {'is' if self.kind == 'frame' else 'are'} left out "
            f"({max(self.fraction, 0.01):.0%} of the SAR image), as both images show the same there"
        )


_WORDS = {
    "frame": "a frame or border",
    "lines": "lines or stripes",
    "holes": "holes or patches of one value",
    "marks": "text or symbols",
}


def leave_out(
    sar: GreyImage, optical: GreyImage, raw: tuple[FloatArray, FloatArray], offsets: list[Shape]
) -> tuple[GreyImage, GreyImage, tuple[LeftOut, ...]]:
    """Two images without what both show at the same pixels of their frames.

    Parameters
    ----------
    sar, optical : GreyImage
    raw : (float32 array, float32 array)
        Their grey values before they were stretched.
    offsets : list of (int, int)
        Where the frames may lie: optical pixel less SAR pixel.
    """
    masks = [np.zeros(one.shape, np.bool_) for one in (sar, optical)]
    for offset in offsets:
        ours, theirs = _shared(sar.shape, optical.shape, offset)
        if min(ours[0].stop - ours[0].start, ours[1].stop - ours[1].start) < _LEAST_SHARED:
            continue
        known = sar.valid[ours] & optical.valid[theirs]
        found = common_marks(raw[0][ours], raw[1][theirs], known)
        masks[0][ours] |= found
        masks[1][theirs] |= found
    if not masks[0].any():
        return sar, optical, ()
    fraction = float(masks[0].mean())
    if max(fraction, float(masks[1].mean())) > _MOST_LEFT_OUT:
        if any(_are_one_image(sar, optical, raw, offset) for offset in offsets):
            return sar, optical, ()
        return sar, optical, (LeftOut("pattern", "all over", fraction),)
    said = _described(masks[0])
    return _without(sar, masks[0]), _without(optical, masks[1]), said


def _are_one_image(
    sar: GreyImage, optical: GreyImage, raw: tuple[FloatArray, FloatArray], offset: Shape
) -> bool:
    """Whether the ground itself is alike, coarse structure too: then no pattern lies over it."""
    ours, theirs = _shared(sar.shape, optical.shape, offset)
    size = tuple(max(1, (one.stop - one.start) // _COARSE) for one in reversed(ours))
    if min(size) < 8:
        return False
    known = (sar.valid[ours] & optical.valid[theirs]).astype(np.float32)
    filled = cv2.resize(known, size, interpolation=cv2.INTER_AREA) > 0.999
    coarse = [
        cv2.resize(values[part], size, interpolation=cv2.INTER_AREA)[filled]
        for values, part in zip(raw, (ours, theirs), strict=True)
    ]
    if len(coarse[0]) < 64 or min(float(one.std()) for one in coarse) == 0.0:
        return False
    return bool(abs(np.corrcoef(*coarse)[0, 1]) > _ALIKE)


def _shared(
    ours: Shape, theirs: Shape, offset: Shape
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels of two frames that fall together: of the SAR image, and of the optical one."""
    own, other = [], []
    for here, there, by in zip(ours, theirs, offset, strict=True):
        first, last = max(0, -by), max(min(here, there - by), max(0, -by))
        own.append(slice(first, last))
        other.append(slice(first + by, last + by))
    return (own[0], own[1]), (other[0], other[1])


def _without(image: GreyImage, mask: Mask) -> GreyImage:
    """An image with some pixels taken for a gap, over which the values are interpolated."""
    valid = image.valid & ~mask
    gaps = mask & image.known if image.gaps is None else (image.gaps | mask) & image.known
    values, filled = image.values.copy(), valid.copy()
    for side in (5, 11, 25, 61, 151):  # from the rims inwards, coarser and coarser
        left = gaps & ~filled
        if not left.any():
            break
        weight = _mean(filled.astype(np.float32), side)
        total = _mean(np.where(filled, values, np.float32(0.0)), side)
        now = left & (weight > 0.02)
        values[now] = total[now] / weight[now]
        filled |= now
    left = gaps & ~filled
    if left.any():
        values[left] = float(np.median(image.values[valid])) if valid.any() else 0.5
    return GreyImage(values, valid, gaps)


def _described(mask: Mask) -> tuple[LeftOut, ...]:
    """What is left out, in kinds and places."""
    count, _, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    height, width = mask.shape
    groups: dict[tuple[str, str], int] = {}
    for k in range(1, count):
        left, top, wide, high, area = (int(v) for v in stats[k])
        kind = _kind_of((high / height, wide / width), area / (high * wide), area / mask.size)
        if kind == "lines" and left <= 1 and top <= 1 and wide >= width - 2 and high >= height - 2:
            inner = mask[height // 8 : -(height // 8), width // 8 : -(width // 8)]
            kind = "lines" if inner.mean() > 0.02 else "frame"
        where = "across the image" if kind in ("lines", "frame") else _where(centres[k], mask.shape)
        where = "around the image" if kind == "frame" else where
        groups[kind, where] = groups.get((kind, where), 0) + area
    ordered = sorted(groups.items(), key=lambda one: -one[1])
    return tuple(LeftOut(*key, round(area / mask.size, 4)) for key, area in ordered)


def _kind_of(extent: tuple[float, float], filled: float, fraction: float) -> str:
    """Of a region: lines reach across much of the image, holes are filled and large."""
    if max(extent) > _ACROSS and (filled < _FILLED or min(extent) < 1 - _ACROSS):
        return "lines"
    return "holes" if filled > _FILLED and fraction > _LARGE else "marks"


def _where(centre: NDArray[np.float64], shape: Shape) -> str:
    """The ninth of an image that a pixel (x, y) lies in."""
    row, col = (int(min(2, 3 * v // n)) for v, n in zip(centre[::-1], shape, strict=True))
    if row == 1 and col == 1:
        return "in the centre"
    words = [("upper", "", "lower")[row], ("left", "", "right")[col]]
    return "at the " + " ".join(word for word in words if word) + (" edge" if "" in words else "")


def common_marks(sar: FloatArray, optical: FloatArray, known: Mask) -> Mask:
    """Pixels where two images (H, W) of one frame show the same thing that is no ground.

    Parameters
    ----------
    sar, optical : float32 array, shape (H, W)
        Grey values, the same pixels of both frames.
    known : bool array, shape (H, W)
        Where both hold data.
    """
    ours, theirs = (_detail(one, known) for one in (sar, optical))
    drawn = _agreeing(ours, theirs, _SEED) | _agree_at_half(sar, optical, known)
    outline, region = _constant(sar, optical, known)
    found = drawn | outline
    if not found.any():
        return np.zeros(known.shape, np.bool_)
    found = _grown(found, _MARGIN)
    flat = _flat(sar, known) & _flat(optical, known)
    found |= _touched(flat | region, found)
    return _sized(found & known)


def _detail(values: FloatArray, known: Mask) -> FloatArray:
    """Fine structure in units of what is usual around."""
    fine = _fine(values, known)
    square = fine * fine
    usual = np.float32(_FLOOR * np.sqrt(float(square.mean())) + 1e-12)
    fine /= np.sqrt(np.maximum(_mean(square, _AROUND), 0.0)) + usual
    return np.clip(fine, -_MOST_LEVEL, _MOST_LEVEL, out=fine)


def _flat(values: FloatArray, known: Mask) -> Mask:
    """Where there is no fine structure at all."""
    square = _fine(values, known) ** 2
    return np.asarray(known & (_mean(square, 5) <= _FLAT**2 * float(square.mean())), np.bool_)


def _fine(values: FloatArray, known: Mask) -> FloatArray:
    fine = values - _soft(values)
    fine[~known] = 0.0
    return fine


def _agreement(one: FloatArray, other: FloatArray, side: int) -> FloatArray:
    """Absolute correlation of two details in windows of ``side`` pixels, 0..1."""
    energy = _mean(one * one, side) * _mean(other * other, side)
    joint = _mean(one * other, side)
    return np.asarray(np.abs(joint) / np.sqrt(np.maximum(energy, 1e-4)), np.float32)


def _agree_at_half(sar: FloatArray, optical: FloatArray, known: Mask) -> Mask:
    """Where detail agrees at half the resolution: what is soft, or of another width."""
    height, width = known.shape
    size = (width // 2, height // 2)
    half = [
        cv2.resize(v, size, interpolation=cv2.INTER_AREA)
        for v in (sar, optical, known.astype(np.float32))
    ]
    solid = half[2] > 0.999
    ours, theirs = (_detail(np.asarray(v, np.float32), solid) for v in half[:2])
    found = _agreeing(ours, theirs, _SEED_HALF).astype(np.uint8)
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST) > 0)


def _agreeing(ours: FloatArray, theirs: FloatArray, least: float) -> Mask:
    """What is drawn where windows agree by at least so much: strong detail that agrees closely."""
    seeds = _agreement(ours, theirs, _SIDE) > least
    if not seeds.any():
        return seeds
    strong = (np.abs(ours) > _STRONG) & (np.abs(theirs) > _STRONG)
    close = _agreement(ours, theirs, _CLOSE) > _GROW
    return _touched(close, seeds) & strong


def _constant(sar: FloatArray, optical: FloatArray, known: Mask) -> tuple[Mask, Mask]:
    """Outlines of constant values that two images share, and the constant pixels themselves."""
    ours, theirs = (_at_spikes(one, known) for one in (sar, optical))
    nothing = np.zeros(known.shape, np.bool_)
    if not (ours.any() and theirs.any()):
        return nothing, nothing
    rims = [_rim(one) for one in (ours, theirs)]
    near = [_grown(one, 2) for one in rims]
    if np.count_nonzero(rims[0] & near[1]) < _LEAST_LENGTH:
        return nothing, nothing
    agree = np.minimum(_beyond_chance(rims[0], near[1]), _beyond_chance(rims[1], near[0]))
    outline = (agree > _OUTLINE_AGREES) & (rims[0] | rims[1])
    # Single bright roofs agree too; what is drawn is longer.
    count, label = cv2.connectedComponents(_grown(outline, 3).astype(np.uint8))
    long = np.bincount(label[outline], minlength=count) >= _LEAST_LENGTH
    outline &= long[label]
    return outline, _grown(ours, 2) & _grown(theirs, 2)


def _at_spikes(values: FloatArray, known: Mask) -> Mask:
    """Pixels of a value that is far more frequent than those around it."""
    part = (slice(None, None, 1 + (values.size > _MANY)),) * 2
    sampled = values[part][known[part]]
    if sampled.size == 0 or not (high := float(sampled.max())) > (low := float(sampled.min())):
        return np.zeros(known.shape, np.bool_)
    scale = np.float32((_LEVELS - 1) / (high - low))
    count = np.bincount(((sampled - np.float32(low)) * scale).astype(np.intp), minlength=_LEVELS)
    used = np.flatnonzero(count)
    if len(used) <= _BESIDE:
        return np.zeros(known.shape, np.bool_)
    padded = np.pad(count[used], _BESIDE, mode="reflect")
    beside = np.lib.stride_tricks.sliding_window_view(padded, 2 * _BESIDE + 1)
    spikes = used[
        (count[used] > _SPIKE * np.median(beside, axis=1)) & (count[used] >= _LEAST_SPIKE)
    ]
    if len(spikes) == 0:
        return np.zeros(known.shape, np.bool_)
    chosen = np.zeros(_LEVELS, np.bool_)
    chosen[spikes] = True
    level = np.clip((values - np.float32(low)) * scale, 0, _LEVELS - 1).astype(np.intp)
    return np.asarray(known & chosen[level], np.bool_)


def _beyond_chance(rim: Mask, near: Mask) -> FloatArray:
    """Of the outline in a window, the fraction near the other's beyond chance; 0 of too little."""
    own, both, chance = (_mean(v.astype(np.float32), _SIDE) for v in (rim, rim & near, near))
    share = both / np.maximum(own, 1e-6)
    beyond = (share - chance) / np.maximum(1.0 - chance, 0.1)
    return np.where(own > _LEAST_OUTLINE / _SIDE**2, beyond, np.float32(0.0))


def _rim(mask: Mask) -> Mask:
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0
    return np.asarray(mask & ~inner, np.bool_)


def _touched(regions: Mask, seeds: Mask) -> Mask:
    """The connected regions that hold a seed."""
    count, label = cv2.connectedComponents(regions.astype(np.uint8), connectivity=8)
    chosen = np.zeros(count, np.bool_)
    chosen[np.unique(label[seeds & regions])] = True
    chosen[0] = False
    return np.asarray(chosen[label], np.bool_)


def _sized(mask: Mask) -> Mask:
    """Without regions of a few pixels."""
    count, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= _LEAST_SIZE
    large[0] = False
    return np.asarray(large[label], np.bool_) if count > 1 else mask


def _grown(mask: Mask, by: int) -> Mask:
    side = 2 * by + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def _soft(values: FloatArray) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(values, (_DETAIL, _DETAIL), 1.5), np.float32)


def _mean(values: FloatArray, side: int) -> FloatArray:
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)
