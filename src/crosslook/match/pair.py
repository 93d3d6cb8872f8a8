"""Two images on one working grid, with what is computed of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import cv2
import numpy as np

from crosslook import threads
from crosslook.extract.base import Extractor
from crosslook.geo.grey import GreyImage
from crosslook.geo.image import ImageFile
from crosslook.match.channels import Channels, dense_channels
from crosslook.match.overlays import LeftOut
from crosslook.match.transform import Transform, identity
from crosslook.match.warp import warp
from crosslook.match.working_grid import MARGIN, WorkingGrid, choose_grid
from crosslook.progress import timer
from crosslook.types import FloatArray

_Value = TypeVar("_Value")
_SAMPLE = 16_384  # pixels that say how frequent grey levels are
_ENTRIES = 4096  # of a table from values to levels


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


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two images on one working grid.

    Attributes
    ----------
    sar, optical : CachedImage
        The moving image and the fixed one.
    extractor : Extractor
        Its features are correlated.
    start : Transform
        SAR to optical pixels, as the georeferences or given points say.
    grid : WorkingGrid or None
        Where the two lie in their files; None for images that come from none.
    device : str
        Where they are correlated, as :func:`~crosslook.match.ncc.correlation_device` names it.
    left_out : tuple of LeftOut
        What both show at the same pixels of their frames, and is no ground.
    """

    sar: CachedImage
    optical: CachedImage
    extractor: Extractor
    start: Transform = field(default_factory=identity)
    grid: WorkingGrid | None = None
    device: str = "cpu"
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def of(
        cls, sar: GreyImage, optical: GreyImage, extractor: Extractor, device: str = "cpu"
    ) -> ImagePair:
        """Two images of about one ground resolution that begin at the same corner."""
        return cls(CachedImage.of(sar), CachedImage.of(optical), extractor, device=device)

    def channels(self, transform: Transform) -> tuple[Channels, Channels]:
        """Features of the SAR image, brought onto the optical grid, and of the optical image."""

        def moved() -> Channels:
            warped = warp(self.sar, transform, self.optical.shape)
            return dense_channels(warped, self.extractor)

        def fixed() -> Channels:
            return self.optical.channels(self.extractor)

        # The optical ones are there but for the first time.
        both = (moved, fixed)
        done = ("channels", self.extractor) in self.optical._cache
        own, other = threads.run(lambda one: one(), both, most=1 if done else 2)
        return own, other

    def warped(self, transform: Transform) -> ImagePair:
        """The pair with the SAR image brought onto the optical grid by a transform."""
        moved = warp(self.sar, transform, self.optical.shape)
        return replace(self, sar=CachedImage.of(moved), start=identity())


def read_pair(
    images: tuple[ImageFile, ImageFile],
    placed: Transform,
    extractor: Extractor,
    device: str = "cpu",
    margin: int = MARGIN,
    *,
    framed: bool = True,
) -> ImagePair:
    """Choose the grid on which a SAR and an optical image are compared, and read both there.

    Parameters
    ----------
    images : (ImageFile, ImageFile)
        SAR and optical.
    placed : Transform
        SAR pixels to optical pixels, roughly.
    extractor : Extractor
    device : str
        Where the two are correlated.
    margin : int
        Optical pixels around the SAR footprint that are read too.
    framed : bool
        Whether both images are whole, so that marks may lie at the same pixels of their frames;
        a part that was cut from an atlas has no frame of its own.

    Raises
    ------
    MatchError
        If the two do not overlap or overlap by less than 128 pixels, or one
        is constant or nodata.
    """
    with timer("read"):
        grid = choose_grid(*images, placed, margin)
        sar, optical, said = grid.read(framed=framed)
    return ImagePair(
        CachedImage.of(sar), CachedImage.of(optical), extractor, grid.start, grid, device, said
    )


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
    """Mean over blocks; one with an invalid pixel is invalid, of a thin gap with half of them."""
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
