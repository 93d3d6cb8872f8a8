"""The numbers of a raster as its file holds them, for files that are brought along.

What matching infers of an image (a constant that means no data, zeros
outside a swath, amplitudes, colours) plays no part here: numbers keep their
type, complex ones too, and no data is what the file declares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError

from crosslook.errors import RasterError
from crosslook.geo.opening import OPEN, reading, reason
from crosslook.geo.raster import Labels, Raster, RasterArray, RasterFile, Source
from crosslook.types import Mask, Window

Mark = Literal["nodata", "alpha", "mask"]
Numbers = NDArray[Any]


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """Numbers as stored, which of them are data, and what the file says of them.

    Attributes
    ----------
    header : Raster
    scales, offsets : tuple of float
        Of each band, an alpha band of the file among them.
    dtype : str
        As rasterio names it, ``complex_int16`` among others; the one that
        holds those of all bands.
    nodata : float or None
        The declared number that means no data in all bands.
    mark : str or None
        How the file says what is no data; None where it does not.
    labels : Labels or None
        None for an array.
    read : callable
        Takes a window inside; gives numbers (B, h, w), and where they are
        data, of the same shape.
    """

    header: Raster
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    dtype: str
    nodata: float | None
    mark: Mark | None
    labels: Labels | None
    read: Callable[[Window], tuple[Numbers, Mask]]

    @property
    def grid(self) -> GeoBox:
        """Where the pixels lie."""
        return self.header.grid

    @property
    def bands(self) -> int:
        """How many there are."""
        return len(self.scales)


def numpy_type(dtype: str) -> np.dtype[Any]:
    """The type that numbers of a raster have in memory."""
    return np.dtype("complex64" if dtype == "complex_int16" else dtype)


def stored_pixels(
    source: Source, resampling: str = "bilinear", *, shown: bool = False
) -> StoredPixels:
    """Open a file or an array for its numbers.

    Parameters
    ----------
    source : RasterFile or RasterArray
    resampling : str
        ``nearest`` where numbers must not be mixed, in a file whose pixels
        control points or polynomials place: only these are resampled here.
    shown : bool
        Take amplitudes for complex numbers, and colours for those of a palette.

    Raises
    ------
    RasterError
        If the file cannot be read, or its bands of whole numbers declare
        different numbers for no data.
    """
    if isinstance(source, RasterArray):
        return _of_array(source)
    if not isinstance(source, RasterFile):
        raise TypeError(f"{type(source).__name__} holds no numbers of a file.")
    own = replace(source, stored=True, indexed=True, resampling=resampling)
    unusual = source.header.is_magnitude or own.labels.palette is not None
    return _of_file(source if shown and unusual else own)


def _of_array(array: RasterArray) -> StoredPixels:
    def read(window: Window) -> tuple[Numbers, Mask]:
        numbers = array.stored[:, *window.slices]
        return numbers, np.broadcast_to(array.valid[window.slices], numbers.shape)

    header, dtype = array.header, array.stored.dtype.name
    mark: Mark | None = None if array.valid.all() else "mask"
    mark = mark if header.nodata is None else "nodata"
    scales, offsets = header.scales, header.offsets
    return StoredPixels(header, scales, offsets, dtype, header.nodata, mark, None, read)


def _of_file(file: RasterFile) -> StoredPixels:
    with OPEN.use(file) as (first, last):
        own = first if file.stored else last
        types, scales, offsets = own.dtypes, tuple(own.scales), tuple(own.offsets)
        dtype = types[0] if len(set(types)) == 1 else np.result_type(*map(numpy_type, types)).name
        declared = [n if n is None or in_dtype_range(n, dtype) else None for n in own.nodatavals]
        flags = own.mask_flag_enums[0]
        alpha = ColorInterp.alpha in own.colorinterp
    mark: Mark | None = "nodata" if any(number is not None for number in declared) else None
    if alpha:
        mark = "alpha"
    elif MaskFlags.per_dataset in flags:
        mark = "mask"
    # NaN is not equal to itself, but its text is.
    common = declared[0] if len(set(map(str, declared))) == 1 else None
    one_for_all = common is not None or all(number is None for number in declared)
    if not one_for_all and numpy_type(dtype).kind in "iu":
        seen = ", ".join("none" if n is None else f"{n:g}" for n in declared)
        raise RasterError(
            f"{file.name}: its bands declare different numbers for no data ({seen}), and a GeoTIFF "
            "holds one for all. Bring its bands along as files of their own."
        )

    def read(window: Window) -> tuple[Numbers, Mask]:
        numbers, valid = _read(file, window, dtype, declared)
        if not one_for_all:
            numbers[~valid] = np.nan
        return numbers, valid

    nodata = common if one_for_all else float("nan")
    return StoredPixels(file.header, scales, offsets, dtype, nodata, mark, file.labels, read)


def _read(
    file: RasterFile, window: Window, dtype: str, declared: list[float | None]
) -> tuple[Numbers, Mask]:
    count = len(declared)
    region = rasterio.windows.Window.from_slices(*window.slices)
    shape = (count, *window.shape)
    numbers, valid = np.empty(shape, numpy_type(dtype)), np.empty(shape, np.bool_)
    with OPEN.use(file, pixels=True) as (_, data), reading(file.place):
        try:
            for band in range(1, count + 1):  # their types may differ
                numbers[band - 1] = data.read(band, window=region)
                valid[band - 1] = _valid(data, band, numbers[band - 1], declared[band - 1], region)
            if ColorInterp.alpha in data.colorinterp:
                # Of the file, whose alpha is a number like others, or of rectified pixels.
                alpha = data.colorinterp.index(ColorInterp.alpha)
                solid = np.arange(count) != alpha
                valid[solid] &= data.read(alpha + 1, window=region) > 0
        except RasterioError as error:
            raise RasterError(
                f"{file.name} cannot be read to the end (rows {window.row}.."
                f"{window.bottom}): {reason(error)}. "
                "The file is damaged or cut off; fetch or write it again."
            ) from error
    return numbers, valid


def _valid(data: Any, band: int, numbers: Numbers, nodata: float | None, region: Any) -> Mask:
    """Where one band is data, but for what alpha says."""
    flags = data.mask_flag_enums[band - 1]
    if MaskFlags.nodata in flags and np.iscomplexobj(numbers) and nodata is not None:
        # GDAL compares the real part alone: 1j would be no data where 0 is.
        same = np.isnan(numbers) if np.isnan(nodata) else numbers == nodata
        return np.asarray(~same, np.bool_)
    if MaskFlags.all_valid in flags or MaskFlags.alpha in flags:
        return np.ones(numbers.shape, np.bool_)
    return np.asarray(data.read_masks(band, window=region) > 0, np.bool_)
