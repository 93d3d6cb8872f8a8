"""Why images do not match, as far as they tell, and what to try next."""

from __future__ import annotations

import cv2
import numpy as np

from crosslook.geo.grey import GreyImage
from crosslook.match.align import Alignment
from crosslook.match.settings import Search
from crosslook.match.warp import warp

_LEAST_VALID = 0.25
_LEAST_TEXTURE = 0.15  # white noise has 0.07, single-look ground with fields and roads 0.2
_SOFT_PX = 4.0
_LOOKS_ALIKE = 4.0


def likely_cause(alignment: Alignment, search: Search) -> str:
    """Name the likeliest cause of no match, and the next step.

    Checked in order: too few valid pixels, too little texture in either
    image, a start or a scale out of reach, images that show different places.

    Parameters
    ----------
    alignment : Alignment
    search : str
        How far it went.
    """
    sar, optical, start = alignment.pair.sar, alignment.pair.optical, alignment.pair.start
    moved = warp(sar, start, optical.shape)
    common = float((moved.valid & optical.valid).sum())
    smaller = float(min(sar.valid.size * start.local_scale((0.0, 0.0)) ** 2, optical.valid.size))
    if common < _LEAST_VALID * smaller and search != "requested":
        return (
            f"too few valid pixels: both images hold data in {common / smaller:.0%} of the area "
            "that they share. Give images that cover more of each other, or check nodata."
        )
    bare = _without_texture("SAR image", sar) or _without_texture("optical image", optical)
    if bare:
        return bare
    if search == "initial":
        return (
            "the start may be out of reach: only shifts to 64 pixels, rotations to 3 degrees "
            "and scales to 3 % were tried. Leave --near-only out, or say more with --shift, "
            "--rotation and --scale."
        )
    if search == "expanded":
        return (
            "no place within the whole overlap fits, at rotations to 30 degrees and scales of 0.8 "
            "to 1.25: the images may show different places, or differ by more than that. Check "
            "the pair, try --rotation 180 --scale 0.5:2, or locate on a larger basemap."
        )
    if alignment.evidence.peak_margin > 0.0 and alignment.evidence.ncc_z_score > _LOOKS_ALIKE:
        return (
            "one place fits better than the others, but not surely: the scales may differ by more "
            "than was tried. Expand --scale, or give images closer in time and pixel size."
        )
    return (
        "nothing within the range that was searched fits: the images may not overlap there. "
        "Expand --shift, --rotation or --scale, or locate on a larger basemap."
    )


def likely_absence(sar: GreyImage, *, limited: bool, posed: bool) -> str:
    """Name the likeliest cause of a query being found nowhere on an atlas, and the next step.

    Parameters
    ----------
    sar : GreyImage
        The query.
    limited : bool
        Whether a prior kept the search from a part of the atlas.
    posed : bool
        Whether rotations and scales were tried.
    """
    valid = float(sar.valid.mean())
    if valid < _LEAST_VALID:
        return (
            f"too few valid pixels: the query holds data in {valid:.0%} of its area. "
            "Cut it to where it holds data, or check nodata."
        )
    if bare := _without_texture("query", sar):
        return bare
    if not posed:
        return (
            "nothing on the atlas fits it as it lies: it may be rotated, of another pixel size "
            "than was given, or lie elsewhere. Try --rotation 180 --scale 0.1, check --gsd, and "
            "see atlas info for what the atlas holds."
        )
    if limited:
        return (
            "nothing within the prior fits it: it may lie outside. Expand --radius or --bbox, or "
            "leave them out."
        )
    return (
        "nothing on the atlas fits it, rotated or not: it may show another place. See atlas info "
        "for what the atlas holds, and build one with a basemap of more ground."
    )


def _without_texture(name: str, image: GreyImage) -> str:
    """What to say of an image that holds too little to be matched; empty of others."""
    left = texture(image)
    if left >= _LEAST_TEXTURE:
        return ""
    return (
        f"too little texture: {left:.0%} of the contrast of the {name} is left without detail "
        f"below {_SOFT_PX:g} pixels; water, sand and snow look so. Give a larger "
        f"{name.split()[-1]}, or one that holds fields, roads or coasts."
    )


def texture(image: GreyImage) -> float:
    """Fraction of the standard deviation that a blur of 4 pixels leaves, 0..1.

    Speckle and flat ground lose nearly all of it, structures keep theirs.
    """
    if not image.valid.any():
        return 0.0
    values = np.where(image.valid, image.values, np.median(image.values[image.valid]))
    soft = cv2.GaussianBlur(values.astype(np.float32), (0, 0), _SOFT_PX)
    before, after = (float(v[image.valid].std()) for v in (image.values, soft))
    return after / max(before, 1e-9)
