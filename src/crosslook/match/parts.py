"""Parts of images as they are matched, and errors that name what leaves nothing of them."""

from __future__ import annotations

from dataclasses import replace

from crosslook.errors import MatchError
from crosslook.geo.grey import GreyImage
from crosslook.geo.image import Image, ImageFile, overlap
from crosslook.geo.raster import RasterFile
from crosslook.types import Modality, Window

_LEAST_PIXELS = 4096
_OPTIONS: dict[Modality, str] = {"sar": "--mask", "optical": "--optical-mask"}


def read_grey(image: ImageFile, modality: Modality, window: Window, factor: int) -> GreyImage:
    """Read a part of an image, reduced by ``factor``, as matching takes it.

    Raises
    ------
    MatchError
        If nothing is valid or all is one value; the mask is named where it is to blame, and
        the other images of a file that holds several.
    """
    seen = image.read(window, factor)
    if image.mask is not None and seen.valid.sum() < _LEAST_PIXELS:
        _check_mask(image, modality, image.mask, seen, window, factor)
    try:
        return seen.grey_image(modality)
    except MatchError as error:
        if image.mask is not None and _is_image(image, modality, window, factor):
            raise MatchError(
                f"{_OPTIONS[modality]} {image.mask.name} leaves pixels of one value of "
                f"'{image.name}': there is nothing to match. Give a mask that is not 0 where "
                "there is something to see, or leave it out."
            ) from error
        others = image.source.others if isinstance(image.source, RasterFile) else ()
        if others:
            raise MatchError(
                f"{error} The file holds {len(others)} images, of which the first was read; name "
                f"another as {others[-1]}."
            ) from error
        raise


def _is_image(image: ImageFile, modality: Modality, window: Window, factor: int) -> bool:
    """Whether there would be something to match without the mask."""
    try:
        replace(image, mask=None).read(window, factor).grey_image(modality)
    except MatchError:
        return False
    return True


def _check_mask(
    image: ImageFile,
    modality: Modality,
    mask: RasterFile,
    seen: Image,
    window: Window,
    factor: int,
) -> None:
    """Blame the mask where it, and not the image, leaves too few pixels."""
    bare = int(replace(image, mask=None).read(window, factor).valid.sum())
    kept, option = int(seen.valid.sum()), f"{_OPTIONS[modality]} {mask.name}"
    if bare < _LEAST_PIXELS:
        return
    own = replace(mask, onto=None).header.grid
    if mask.onto is not None and not overlap(own, image.grid):
        raise MatchError(
            f"{option} lies elsewhere: it shares no ground with '{image.name}'. Give the mask of "
            "this image."
        )
    if kept == 0:
        raise MatchError(
            f"{option} leaves no pixel of '{image.name}': it is 0, or has no data, wherever the "
            "two images meet, and 0 means not to be matched. Give one that is 1 where there is "
            "something to match (a cloud mask the other way round), or leave it out."
        )
    raise MatchError(
        f"{option} leaves {kept:,} of {bare:,} pixels of '{image.name}' that are matched; at "
        f"least {_LEAST_PIXELS:,} are needed. 0 means not to be matched: is it the other way round?"
    )
