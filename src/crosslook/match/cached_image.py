"""A grey image with what is computed of it, and what the dates of a stack share of a basemap."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cv2
import numpy as np

from crosslook.extract.base import Extractor
from crosslook.geo.grey import GreyImage
from crosslook.geo.image import ImageFile
from crosslook.match.channels import Channels, dense_channels
from crosslook.types import FloatArray, Window

_Value = TypeVar("_Value")
_SAMPLE = 16_384  # pixels that say how frequent grey levels are
_ENTRIES = 4096  # of a table from values to levels
_PARTS = 3  # of an image that are shared at a time: two working grids and a tile


@dataclass(frozen=True, eq=False)
class CachedImage(GreyImage):
    """A grey image, and what is computed of it, once each.

    The searches of one registration ask the same of its two images again and
    again. Nobody may write into what is returned.
    """

    _cache: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, image: GreyImage) -> CachedImage:
        """The image itself where it has a cache already."""
        return image if isinstance(image, cls) else cls(image.values, image.valid, image.gaps)

    def cached(self, key: Hashable, compute: Callable[[], _Value]) -> _Value:
        """What ``compute`` gives, computed at the first call with this key."""
        if key not in self._cache:
            self._cache[key] = compute()
        value: _Value = self._cache[key]
        return value

    def channels(self, extractor: Extractor) -> Channels:
        """Its :func:`~crosslook.match.channels.dense_channels`."""
        return self.cached(("channels", extractor), lambda: dense_channels(self, extractor))

    def reduced(self, factor: int) -> CachedImage:
        """Its means over blocks of ``factor`` pixels a side; itself for 1."""
        if factor == 1:
            return self
        return self.cached(("reduced", factor), lambda: CachedImage.of(reduce_image(self, factor)))

    def levels(self, blur: float, bins: int) -> FloatArray:
        """Its :func:`grey_levels`."""
        return self.cached(("levels", blur, bins), lambda: grey_levels(self, blur, bins))


class SharedParts:
    """Parts of optical images as they are matched, the latest few, with what was computed of them.

    Attributes
    ----------
    found, made : int
        How often a part was there, and how often it was read.
    """

    def __init__(self) -> None:
        self.found = self.made = 0
        self._parts: OrderedDict[Hashable, tuple[ImageFile, CachedImage, FloatArray]] = (
            OrderedDict()
        )

    def part(
        self,
        image: ImageFile,
        window: Window,
        factor: int,
        read: Callable[[], tuple[GreyImage, FloatArray]],
    ) -> tuple[CachedImage, FloatArray]:
        """A window of an image reduced by a factor, as ``read`` gives it at the first call."""
        mask = None if image.mask is None else str(image.mask.place)
        how = image.bands, repr(image.radiometry), repr(image.stretch), mask
        key = (id(image.source), *how, window, factor)  # the entry keeps the source alive
        if key in self._parts:
            self.found += 1
            self._parts.move_to_end(key)
        else:
            grey, raw = read()
            self.made += 1
            self._parts[key] = image, CachedImage.of(grey), raw
            while len(self._parts) > _PARTS:
                self._parts.popitem(last=False)
        _, grey_image, raw = self._parts[key]
        return grey_image, raw


_sharing: ContextVar[SharedParts | None] = ContextVar("sharing", default=None)


@contextmanager
def sharing() -> Iterator[SharedParts]:
    """Within, what is read and computed of an optical image serves all that is matched on it."""
    shared = _sharing.get() or SharedParts()
    token = _sharing.set(shared)
    try:
        yield shared
    finally:
        _sharing.reset(token)


def shared_part(
    image: ImageFile,
    window: Window,
    factor: int,
    read: Callable[[], tuple[GreyImage, FloatArray]],
) -> tuple[GreyImage, FloatArray]:
    """What ``read`` gives, or has given to another date of a stack."""
    shared = _sharing.get()
    return read() if shared is None else shared.part(image, window, factor, read)


def grey_levels(image: GreyImage, blur: float, bins: int) -> FloatArray:
    """Grey levels that are equally frequent, as floats in 0..bins - 1.

    ``blur`` (pixels) softens speckle and aliasing first.
    """
    from crosslook.match.kernels_information import spread_levels

    values = image.values
    if blur > 0:
        values = cv2.GaussianBlur(values, (0, 0), blur, borderType=cv2.BORDER_REFLECT_101)
    sample = values[image.valid]
    # Sorted at once: numpy parts an array for each quantile anew.
    sample = np.sort(sample[:: max(1, len(sample) // _SAMPLE)])
    edges = np.unique(sample[np.linspace(0, len(sample) - 1, 257).astype(np.int64)])
    rank = np.linspace(0.0, bins - 1.001, len(edges))
    low, high = float(edges[0]), float(edges[-1])
    even = np.linspace(low, high, _ENTRIES)
    scale = (_ENTRIES - 1) / max(high - low, 1e-12)
    table = np.interp(even, edges, rank).astype(np.float32)
    return spread_levels(np.ascontiguousarray(values), low, scale, table)


def reduce_image(image: GreyImage, factor: int) -> GreyImage:
    """Mean over blocks; one with an invalid pixel is invalid, of a thin gap with half of them.

    At least one block is left: a fit that maps the image far away asks for none.
    """
    factor = min(factor, *image.shape)
    height, width = (length // factor * factor for length in image.shape)
    size = (width // factor, height // factor)
    values = cv2.resize(image.values[:height, :width], size, interpolation=cv2.INTER_AREA)
    solid = image.known[:height, :width].astype(np.float32)
    known = cv2.resize(solid, size, interpolation=cv2.INTER_AREA) > 0.999
    if image.gaps is None:
        return GreyImage(values, known)
    solid = image.valid[:height, :width].astype(np.float32)
    valid = known & (cv2.resize(solid, size, interpolation=cv2.INTER_AREA) >= 0.5)
    return GreyImage(values, valid, known & ~valid)
