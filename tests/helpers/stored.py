"""The numbers that an image in memory stands on."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from crosslook.geo.image import ImageFile
from crosslook.geo.raster import RasterArray


def stored_in(image: ImageFile) -> NDArray[Any]:
    """Bands (B, h, w) as they were given; only images in memory have them at hand."""
    assert isinstance(image.source, RasterArray)
    return image.source.stored
