"""Which bands of a raster are read, and the survey of these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crosslook.errors import RasterError
from crosslook.geo.radiometry import Radiometry, SarRadiometry
from crosslook.geo.raster import RasterFile, Source
from crosslook.geo.valid import Survey, survey

_LEAST_COMMON = 0.5  # of what the fullest band holds, valid in all bands


def choose_bands(
    source: Source, radiometry: Radiometry, product_bands: tuple[int, ...] = ()
) -> tuple[tuple[int, ...], Survey]:
    """Choose the bands that are read, and survey them.

    Bands of a SAR image without data are passed over. Where its bands hold data in different
    places, as the dates of a stack may, the fullest alone is taken: a pixel counts only if it
    is valid in all bands.

    Parameters
    ----------
    source : Source
    radiometry : SarRadiometry or OpticalRadiometry
        Names bands, or leaves the choice.
    product_bands : tuple of int
        Bands that a product has laid out already.

    Raises
    ------
    RasterError
        If bands hold data, but no pixel does in all of them.
    """
    bands = product_bands or radiometry.choose(source.header)
    looked = survey(source, bands, radiometry.zeros)
    free = isinstance(radiometry, SarRadiometry) and not radiometry.bands
    if free and not product_bands and any(looked.empty):
        every = tuple(range(1, source.header.bands + 1))
        empty = survey(source, every, radiometry.zeros).empty
        bands = radiometry.choose(source.header, empty)
        looked = replace(survey(source, bands, radiometry.zeros), empty=empty)
    shares, common = looked.shares, looked.common
    if free and looked.sample.size and radiometry.scale_of(source.header, looked.sample) == "power":
        # Power is above zero: zeros of one date alone lie outside its swath.
        positive = looked.sample > 0
        shares = tuple(np.multiply(shares, positive.mean(axis=1)))
        common *= float(positive.all(axis=0).mean())
    if common >= _LEAST_COMMON * max(shares):
        return bands, looked
    if free:
        fullest = bands[shares.index(max(shares))]
        alone = survey(source, (fullest,), radiometry.zeros)
        alone = replace(alone, empty=looked.empty, apart=bands)
        return (fullest,), replace(alone, shares=(float(max(shares)),))
    if common == 0:
        each = ", ".join(f"{n} {share:.0%}" for n, share in zip(bands, shares, strict=True))
        raise RasterError(
            f"{source.header.name}: no pixel holds data in all of the bands that are read; they "
            f"hold data in different places (band {each} of the image). Name one band, with "
            "--bands or --sar bands=1."
        )
    return bands, looked


def nothing_usable(source: Source) -> RasterError:
    """The error for an image without any valid pixel; names other images of the file."""
    others = source.others if isinstance(source, RasterFile) else ()
    other = ""
    if others:
        other = f"It is the first of {len(others)} images in the file; name another: {others[-1]}. "
    return RasterError(
        f"{source.header.name} has no usable pixel: all is nodata, NaN or zeros outside the "
        f"swath. {other}Leave it out or get the file again."
    )
