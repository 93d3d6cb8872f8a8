"""Two images on one working grid, with what is computed of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from crosslook import threads
from crosslook.extract.base import Extractor
from crosslook.geo.grey import GreyImage
from crosslook.geo.image import ImageFile
from crosslook.match.cached_image import CachedImage
from crosslook.match.channels import Channels, dense_channels
from crosslook.match.overlays import LeftOut
from crosslook.match.transform import Transform, identity
from crosslook.match.warp import warp
from crosslook.match.working_grid import MARGIN, WorkingGrid, choose_grid
from crosslook.progress import timer


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
