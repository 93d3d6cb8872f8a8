"""Whether two images are what they are taken for: a SAR one, and an optical one of the same place.

Colour and speckle tell. The bands of a colour image differ, and those of a SAR image
that is stored as grey three times do not. Speckle multiplies what it falls on, so it
spreads the amplitudes of even ground by a tenth or more of their mean; an optical image
has even ground somewhere that spreads less.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from crosslook.errors import CrosslookError
from crosslook.geo.image import ImageFile
from crosslook.types import FloatArray, Window

Kind = Literal["swapped", "optical as SAR", "SAR as optical", "identical", "beside", "far away"]

_LOG = logging.getLogger(__name__)
_SIDE = 128  # of a sample
_AT = ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
_BLOCK = 7  # pixels over which amplitudes spread
_EVEN = 10  # per cent of the blocks: those that spread least
_SPECKLED, _CALM = 0.13, 0.12
_MORE = 1.2
_COLOURED = 0.03  # mean distance of the bands from their mean, of the deviation of all
_POLARISATIONS = ("hh", "hv", "vh", "vv", "sigma", "gamma", "beta")


@dataclass(frozen=True)
class Warned:
    """Something about the input that makes a result mean less than it says.

    Attributes
    ----------
    kind : str
        For programs: one of the words of :data:`Kind`.
    text : str
        For people: what was seen, and what to do.
    """

    kind: Kind
    text: str


@dataclass(frozen=True)
class Look:
    """What the pixels of a file look like, whatever it was given as.

    Attributes
    ----------
    coloured : bool
        Whether it has three bands or more that differ.
    speckle : float
        Standard deviation over mean of the amplitudes of its evenest ground; NaN where nothing
        tells.
    samples : float32 array, shape (n,)
        Numbers of the file at a few places.
    """

    coloured: bool
    speckle: float
    samples: FloatArray

    @property
    def seems(self) -> str:
        """``optical``, ``sar`` or nothing where it may be either."""
        if self.coloured and not self.speckle > _CALM:
            return "optical"
        return "sar" if not self.coloured and self.speckle > _SPECKLED else ""


def look_at(image: ImageFile) -> Look:
    """Sample a file, as it stores its numbers.

    Raises
    ------
    RasterError
        If it cannot be read.
    """
    header = image.header
    count = min(3, header.bands)
    polarised = any(word in label for label in header.labels for word in _POLARISATIONS)
    height, width = image.shape
    samples, coloured, spread = [], [], []
    for down, along in _AT:
        row, col = round(down * height - _SIDE / 2), round(along * width - _SIDE / 2)
        window = Window(row, col, _SIDE, _SIDE).clip((height, width))
        values = image.source.read(window, tuple(range(1, count + 1)))
        samples.append(values.ravel())
        coloured.append(count == 3 and not polarised and _is_coloured(values))
        spread.append(_spread(values[0]))
    known = np.concatenate(spread)
    speckle = float(np.percentile(known, _EVEN)) if known.size else float("nan")
    return Look(any(coloured), speckle, np.concatenate(samples))


def check_sides(sar: ImageFile, optical: ImageFile) -> tuple[Warned, ...]:
    """Say where two images seem to be swapped, of the wrong kind, or one and the same."""
    try:
        looks = look_at(sar), look_at(optical)
    except CrosslookError:  # said where the image is read in earnest
        return ()
    if _are_equal(*(look.samples for look in looks)):
        return (
            Warned(
                "identical",
                f"'{sar.name}' and '{optical.name}' hold the same pixels: an image lies on itself "
                "whatever it shows. Give two different images.",
            ),
        )
    seen = []
    if looks[0].seems == "optical":
        seen.append(f"the SAR image '{sar.name}' has colours and no speckle")
    if looks[1].seems == "sar" and not looks[0].speckle > looks[1].speckle / _MORE:
        seen.append(f"the optical image '{optical.name}' is grey and full of speckle")
    if not seen:
        return ()
    said = ", ".join(seen)
    if looks[1].seems == "optical":
        return (Warned("optical as SAR", f"both images look optical: {said}. Give a SAR image."),)
    if looks[0].seems == "sar":
        said = f"both images look like SAR: {said}. Give an optical image."
        return (Warned("SAR as optical", said),)
    said = f"the two images seem to be swapped: {said}. Give the SAR image first."
    return (Warned("swapped", said),)


def check_query(image: ImageFile) -> tuple[Warned, ...]:
    """Say where a query of an atlas seems to be optical."""
    try:
        seems = look_at(image).seems
    except CrosslookError:
        return ()
    if seems != "optical":
        return ()
    said = f"the SAR image '{image.name}' looks optical: it has colours and no speckle."
    return (Warned("optical as SAR", f"{said} Give a SAR image."),)


def announced(warned: tuple[Warned, ...]) -> tuple[Warned, ...]:
    """Log what was noticed before the work begins, and return it."""
    for one in warned:
        _LOG.warning("warning: %s", one.text)
    return warned


def _are_equal(first: FloatArray, second: FloatArray) -> bool:
    """Whether samples are the same numbers, and more than an empty border."""
    if first.shape != second.shape or not np.array_equal(first, second, equal_nan=True):
        return False
    known = first[np.isfinite(first)]
    return known.size > 0 and bool((known != known[0]).any())


def _is_coloured(values: FloatArray) -> bool:
    """Whether three bands (3, h, w) differ by more than rounding does."""
    known = values[:, np.isfinite(values).all(axis=0)]
    if known.shape[1] == 0:
        return False
    apart = float(np.abs(known - known.mean(axis=0)).mean())
    return apart > _COLOURED * max(float(known.std()), 1e-12)


def _spread(values: FloatArray) -> FloatArray:
    """Standard deviation over mean of the amplitudes of each block without a gap, shape (n,)."""
    finite = np.isfinite(values)
    low = float(values[finite].min()) if finite.any() else 0.0
    amplitude = np.where(finite, values, np.float32(0.0))
    if low < 0:  # decibels
        amplitude = np.power(10.0, np.clip(amplitude, -80, 80) / 20).astype(np.float32)
    valid = (finite & (values != 0)).astype(np.float32)
    size = (_BLOCK, _BLOCK)
    mean = cv2.blur(amplitude, size)
    square = cv2.blur(amplitude * amplitude, size)
    whole = (cv2.erode(valid, np.ones(size, np.uint8)) > 0) & (mean > 0)
    deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
    return np.asarray((deviation[whole] / mean[whole])[::_BLOCK], np.float32)
