"""Rasters without a map, brought onto one: by rational polynomials or by control points.

Polynomials (RPC) are taken where a height or an elevation model is given, and
where there are fewer than ten control points, which then tell little more than
a plane. Many control points lie on the ground at its own heights, which
polynomials without a model do not know. So control points are taken otherwise:
a thin plate through all, or through 400 that lie evenly where there are more.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring, tostring

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError, WindowError
from rasterio.io import MemoryFile
from rasterio.rpc import RPC
from rasterio.shutil import copy as copy_raster
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, reproject, transform_bounds
from rasterio.windows import Window, from_bounds

from crosslook.errors import GridError, InputError
from crosslook.geo.explain import reason
from crosslook.geo.products.vrt import control_points, pinned, points_element
from crosslook.geo.recipe import EXACT_PX, Recipe
from crosslook.storage import for_gdal, name_of
from crosslook.types import Array

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
    for revolution in (0.0, 360.0, -360.0):  # either side of 180 degrees
        around = (lon - east + revolution, lat - north, lon + east + revolution, lat + north)
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


_MANY = 10  # control points, from which on a thin plate is drawn through them
_MOST = 400  # a thin plate through n points takes n^3 steps: a second; 15 s through a thousand
_FEWEST = 3


@dataclass(frozen=True)
class Placed:
    """By what a raster is placed, and its pixels on a map where it had none.

    Attributes
    ----------
    by : str
        ``affine``, ``control points``, ``rational polynomials`` or ``nothing``.
    view : open raster or None
        None where the raster is read as it lies.
    note : str
        More on this, to be said right after 'placed by its control points'.
    """

    by: str
    view: Any = None
    note: str = ""


def rectified(data: Any, source: Recipe) -> Placed:
    """Bring an open raster onto a map where it lies on none.

    Parameters
    ----------
    data : open raster
    source : Recipe
        For its height, elevation model, CRS, and whether numbers keep their own type.

    Raises
    ------
    GridError
        If the control points do not span an area.
    """
    asked = source.height is not None or source.dem is not None
    # Corners in NITF are rounded, many to a second of arc: its polynomials are always better.
    if not data.transform.is_identity and not (data.rpcs and data.driver == "NITF"):
        note = "; its rational polynomials are not used" if data.rpcs and asked else ""
        return Placed("affine" if data.crs else "nothing", note=note)
    count = len(data.gcps[0])
    if data.rpcs and (asked or count < _MANY):
        return _by_polynomials(data, source)
    if count >= _FEWEST:
        placed = _by_points(data, source)
        option = "--height" if source.dem is None else "--dem"
        more = f"; {option} does not change that place: it is not by rational polynomials"
        return replace(placed, note=placed.note + more) if asked else placed
    points = "; three or more control points are needed for that, it has " + str(count)
    return Placed("nothing", note=points if count else "")


def _by_polynomials(data: Any, source: Recipe) -> Placed:
    by = "rational polynomials"
    target = _local_map(data.rpcs.long_off, data.rpcs.lat_off)
    if source.dem is not None:
        check_model(source.dem, data.rpcs, source.name)
        view = _over_terrain(data, source.dem, target, _stored(source))
        return Placed(by, view, f" over {name_of(source.dem)}")
    # GDAL would take 0 m, though a file says for which height it is made.
    level = data.rpcs.height_off if source.height is None else source.height
    note = f" at {level:g} m above the ellipsoid"
    if source.height is None:
        note += ", the height that the file is made for; give --height or --dem where it is another"
    how = {"SRC_METHOD": "RPC", "RPC_HEIGHT": repr(float(level))}
    view = _warped_by(data, "EPSG:4326", target, _stored(source), **how)
    return Placed(by, view, note)


def _by_points(data: Any, source: Recipe) -> Placed:
    points, crs = control_points(data)
    points = points[np.isfinite(points[:, :4]).all(axis=1)]
    points = points[np.unique(points[:, :2], axis=0, return_index=True)[1]]
    named = crs.to_wkt() if crs else source.crs or "EPSG:4326"
    own = pyproj.CRS.from_user_input(named)
    target = own.to_wkt()
    if own.is_geographic:
        # In metres no longitude jumps at 180 degrees, and a plate is as stiff both ways.
        lon = (points[:, 2] - points[0, 2] + 180.0) % 360.0 - 180.0 + points[0, 2]
        target = _local_map(float(lon.mean()), float(points[:, 3].mean()))
        to_map = pyproj.Transformer.from_crs(own, target, always_xy=True)
        points[:, 2], points[:, 3] = to_map.transform(lon, points[:, 3])
    size = np.array([data.width, data.height])
    for at in (points[:, :2] / size, points[:, 2:4]):
        if len(at) < _FEWEST or not _span_an_area(at):
            raise GridError(f"{source.name}: its control points do not span an area.")
    kept = points[_evenly(points[:, :2] / size, _MOST)]
    note = f", {len(kept)} of {len(points)}" if len(kept) < len(points) else ""
    wkt = pyproj.CRS.from_user_input(target).to_wkt()
    spline = "GCP_TPS" if len(points) >= _MANY else "GCP_POLYNOMIAL"
    with rasterio.open(_with_points(data, kept, wkt, source.driver)) as moved:
        view = _warped_by(moved, target, target, _stored(source), SRC_METHOD=spline)
    return Placed("control points", view, note)


def _span_an_area(at: Array) -> bool:
    spread = np.linalg.svd(at - at.mean(axis=0), compute_uv=False)
    return bool(spread[1] > 1e-6 * spread[0])


def _evenly(at: Array, most: int) -> NDArray[np.intp]:
    """Choose points that lie evenly, those at the borders among them: each far from the others."""
    if len(at) <= most:
        return np.arange(len(at))
    chosen = [int(np.argmin(at.sum(axis=1)))]
    away = np.linalg.norm(at - at[chosen[0]], axis=1)
    while len(chosen) < most:
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.linalg.norm(at - at[chosen[-1]], axis=1))
    return np.sort(np.array(chosen))


def _with_points(data: Any, points: Array, crs: str, driver: str) -> str:
    """The open raster as a virtual one with other control points, and all else as it is."""
    with MemoryFile(ext=".vrt") as file:
        copy_raster(data, file.name, driver="VRT")
        root = fromstring(file.read())
    for old in [*root.findall("GCPList"), *root.findall("SRS"), *root.findall("GeoTransform")]:
        root.remove(old)
    root.insert(0, points_element(points, crs))
    for named in root.iter("SourceFilename"):
        if driver and not (named.text or "").startswith(("<", "vrt://")):
            named.text = pinned(data.name, driver)
            named.set("relativeToVRT", "0")
    return tostring(root, encoding="unicode")


def _stored(source: Recipe) -> str | None:
    """How numbers are resampled that keep their own type; None for float32."""
    return source.resampling if source.stored else None


def _warped_by(data: Any, source: str, target: str, stored: str | None, **how: Any) -> Any:
    how |= {} if data.nodata is None else {"src_nodata": data.nodata}
    if stored is None:
        how |= {"dtype": "float32", "nodata": float("nan"), "resampling": Resampling.bilinear}
    else:
        how |= _as_stored(data, stored)
    return WarpedVRT(data, src_crs=source, crs=target, tolerance=EXACT_PX, **how)


def _as_stored(data: Any, resampling: str) -> dict[str, Any]:
    """Rectified numbers of the file's own type; what lies outside them is known by alpha."""
    return {
        "resampling": Resampling[resampling],
        "add_alpha": ColorInterp.alpha not in data.colorinterp,
        **({} if data.nodata is None else {"nodata": data.nodata}),
    }


def _over_terrain(data: Any, dem: str, target: str, stored: str | None) -> Any:
    """Rectify by polynomials over an elevation model, into a file that has no name.

    rasterio's virtual rasters change the case of the model's name, so they
    cannot find it; a real file is written instead, tile by tile.
    """
    options = {"RPC_DEM": for_gdal(dem)[0]}
    place, width, height = calculate_default_transform(
        "EPSG:4326", target, data.width, data.height, rpcs=data.rpcs, **options
    )
    profile = {
        "driver": "GTiff", "count": data.count, "height": height, "width": width,
        "dtype": "float32", "crs": target, "transform": place, "nodata": float("nan"),
        "tiled": True, "bigtiff": "if_safer",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rectified.tif"
        bands = list(range(1, data.count + 1))
        how: dict[str, Any] = {"dst_nodata": float("nan"), "resampling": Resampling.bilinear}
        if stored is not None:
            numbers = _as_stored(data, stored)
            alpha = data.count + 1 if numbers["add_alpha"] else data.count
            bands = bands[: alpha - 1]
            profile |= {"dtype": data.dtypes[0], "nodata": data.nodata, "count": alpha}
            how = {"resampling": numbers["resampling"], "dst_alpha": alpha}
            how |= {"src_alpha": 0 if numbers["add_alpha"] else alpha, "dst_nodata": data.nodata}
        with rasterio.open(path, "w", **profile) as file:
            if stored is not None:
                file.colorinterp = [*[ColorInterp.undefined] * (alpha - 1), ColorInterp.alpha]
            how |= {"src_crs": "EPSG:4326", "rpcs": data.rpcs, "src_nodata": data.nodata}
            from_bands, to_bands = rasterio.band(data, bands), rasterio.band(file, bands)
            reproject(from_bands, to_bands, tolerance=EXACT_PX, **how, **options)
        return rasterio.open(path)  # stays readable when its name is gone


def _local_map(lon: float, lat: float) -> str:
    """EPSG code of the UTM zone of a place, or of a polar map beyond them."""
    if lat > 84:
        return "EPSG:32661"
    if lat < -80:
        return "EPSG:32761"
    zone = int((lon + 180.0) // 6) % 60 + 1
    return f"EPSG:{32600 + zone if lat >= 0 else 32700 + zone}"
