"""Whether an elevation model can serve an image, before GDAL stumbles over it."""

from __future__ import annotations

from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError, WindowError
from rasterio.rpc import RPC
from rasterio.warp import transform_bounds
from rasterio.windows import Window, from_bounds

from crosslook.errors import InputError
from crosslook.geo.explain import reason
from crosslook.storage import for_gdal, name_of

_LOOKED_AT = 256  # pixels a side
_NEEDED = "a raster of heights above the ellipsoid with a CRS is needed"


def check_model(dem: str, rpcs: RPC, image: str) -> None:
    """See that an elevation model can be read and has heights where an image lies.

    Parameters
    ----------
    dem : str
        Path, address or name that GDAL knows.
    rpcs : RPC
        Of the image.
    image : str
        Its name, for the message.

    Raises
    ------
    InputError
        If it cannot be opened, has no map, lies elsewhere or holds nothing there.
    """
    name = f"the elevation model {name_of(dem)}"
    try:
        with rasterio.open(for_gdal(dem)[0]) as data:
            if data.crs is None or data.transform.is_identity:
                raise InputError(f"{name} has no map; {_NEEDED}.")
            there = _has_heights(data, rpcs)
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{name} cannot be read: {reason(error)}; {_NEEDED}.") from error
    if not there:
        raise InputError(
            f"{name} has no height where {image} lies, near {rpcs.lat_off:.4f} "
            f"{rpcs.long_off:.4f} (latitude, longitude); give one of that place, or --height."
        )


def _has_heights(data: Any, rpcs: RPC) -> bool:
    """Whether a model holds a height under the image, or may do."""
    lon, lat, east, north = rpcs.long_off, rpcs.lat_off, rpcs.long_scale, rpcs.lat_scale
    whole = Window(0, 0, data.width, data.height)
    for turn in (0.0, 360.0, -360.0):  # either side of 180 degrees
        around = (lon - east + turn, lat - north, lon + east + turn, lat + north)
        try:
            bounds = transform_bounds("EPSG:4326", data.crs, *around)
            window = from_bounds(*bounds, transform=data.transform).intersection(whole)
        except WindowError:
            if not data.transform.is_rectilinear:
                return True  # GDAL will tell
            continue
        except (RasterioError, CPLE_BaseError):  # the model's map does not reach so far
            continue
        shape = tuple(min(_LOOKED_AT, max(1, round(n))) for n in (window.height, window.width))
        if data.read_masks(1, window=window, out_shape=shape).any():
            return True
    return False
