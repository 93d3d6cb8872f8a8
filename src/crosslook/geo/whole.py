"""Rasters that were written are read once more: GDAL does not always say that a disk was full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio
from rasterio.errors import RasterioError

_CACHE = 64 << 20  # bytes
_CUT_OFF = "it was not written to its end, as on a full disk"


@contextmanager
def whole_raster(path: Path) -> Iterator[None]:
    """Write a raster at ``path`` within; at the end every block of it is read.

    What could not be flushed is lost without an error when GDAL closes a file. To be used within
    :func:`crosslook.atomic.atomic_path`, which makes the error one of the file that is meant.

    Raises
    ------
    OSError
        If a block cannot be read, or GDAL fails without a word.
    """
    try:
        yield
        _read_all(path)
    except SystemError:  # of a failed copy rasterio says no more than 'Unknown GDAL Error'
        raise OSError(_CUT_OFF) from None
    except RasterioError as error:
        raise OSError(f"{_CUT_OFF} ({str(error.__cause__ or error).rstrip('.')})") from None


def _read_all(path: Path) -> None:
    with rasterio.Env(GDAL_CACHEMAX=_CACHE):
        with rasterio.open(path) as file:
            levels = len(file.overviews(1))
            _read_blocks(file)
        for level in range(levels):
            with rasterio.open(path, overview_level=level) as file:
                _read_blocks(file)


def _read_blocks(file: rasterio.DatasetReader) -> None:
    masked = any(rasterio.enums.MaskFlags.per_dataset in flags for flags in file.mask_flag_enums)
    for _, window in file.block_windows(1):
        file.read(window=window)
        if masked:
            file.dataset_mask(window=window)
