"""GDAL's datasets: opened with what is unusual put right, and kept open.

What is unusual becomes a virtual raster first: complex pixels become amplitude,
palettes become colours, the bands of a product folder become one image
(:mod:`crosslook.geo.products`). What has ground control points or rational
polynomials in place of a map is rectified on the fly (thin plates through the
points, or the polynomials with a height or an elevation model), so that every
raster has an affine grid.
"""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.session import DummySession
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, reproject

from crosslook.errors import GridError, RasterError
from crosslook.geo.explain import refusal, without_query
from crosslook.geo.grid import shape_of
from crosslook.geo.products.resolve import Opening, resolve
from crosslook.geo.products.virtual import normalised, quiet
from crosslook.storage import (
    ONLY_GDAL,
    Place,
    as_path,
    for_gdal,
    is_gdal_name,
    is_remote,
    name_of,
    reaching,
)

_GDAL_CACHE_MIB = 64
_EXACT_PX = 0.01  # GDAL may approximate a projection by this much
_MOST_SPLINE_POINTS = 1000  # a thin plate through n points takes n^3 steps


@dataclass(frozen=True)
class Recipe:
    """How GDAL opens a raster: as it lies, or brought onto another grid.

    Attributes
    ----------
    place : path, address or name that GDAL knows
    bands : tuple of str
        Bands of a product folder, where others than its visible ones are wanted.
    onto : GeoBox or None
        The grid to resample onto; None reads the raster's own pixels.
    resampling : str
        ``nearest``, ``bilinear``, ``cubic``, ``average`` ...
    height : float or None
        Metres above the ellipsoid, for rational polynomials.
    dem : str or None
        Elevation model, for the same.
    missing : float or None
        A stored number that stands for no data though the file does not say so;
        heeded when the raster is brought onto another grid.
    indexed : bool
        Leave a palette its numbers instead of its colours.
    label : str
        What to call it instead of its file, where that has a name of no meaning.
    """

    place: Place
    bands: tuple[str, ...] = ()
    onto: GeoBox | None = None
    resampling: str = "bilinear"
    height: float | None = None
    dem: str | None = None
    missing: float | None = None
    indexed: bool = False
    label: str = ""

    @property
    def name(self) -> str:
        """What messages and outputs call it."""
        return self.label or name_of(self.place)


class _Entry:
    """Open handles of one source and the lock that lets one thread read them."""

    def __init__(self, source: Recipe) -> None:
        self.lock = Lock()
        self.closed = False
        self.handles = _open(source)

    def close(self) -> None:
        with self.lock:
            self.closed = True
            for handle in reversed(self.handles):
                handle.close()


class OpenRasters:
    """The last ``limit`` rasters used, kept open; safe across threads.

    A file that has changed since it was opened is opened anew, and a forked
    process opens its own.
    """

    def __init__(self, limit: int = 16) -> None:
        self.limit = limit
        self._lock = Lock()
        self._entries: OrderedDict[tuple[object, ...], _Entry] = OrderedDict()

    @contextmanager
    def use(self, source: Recipe) -> Iterator[tuple[Any, Any]]:
        """Yield the file and what is read of it, maybe warped; other threads wait for it.

        Raises
        ------
        RasterError
            If the file is missing, no raster or of a type not supported.
        """
        while True:
            entry = self._get(source)
            with entry.lock:
                if entry.closed:  # dropped by another thread in between
                    continue
                yield entry.handles[0], entry.handles[-1]
                return

    def close(self) -> None:
        """Close all rasters that no thread is reading just now, wait for the others."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            entry.close()

    def __len__(self) -> int:
        return len(self._entries)

    def _get(self, source: Recipe) -> _Entry:
        key = (source, *_state_of(source.place), os.getpid())
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                return entry
        fresh = _Entry(source)
        with self._lock:
            entry = self._entries.setdefault(key, fresh)
            self._entries.move_to_end(key)
            surplus = len(self._entries) - self.limit
            old = [self._entries.popitem(last=False)[1] for _ in range(max(0, surplus))]
        if entry is not fresh:
            old.append(fresh)
        for unused in old:
            unused.close()
        return entry


OPEN = OpenRasters()
"""The rasters that this process holds open."""


def reason(error: Exception) -> str:
    """Say what GDAL itself says of an error; rasterio's own text may only point to it."""
    cause = error.__cause__ or error
    return without_query(str(cause).strip().rstrip(".")) or type(cause).__name__


def _state_of(place: Place) -> tuple[int, int]:
    """Time of change and size of a local or stored file; nothing for what only GDAL reaches."""
    if is_gdal_name(place) or str(place).startswith(ONLY_GDAL):
        return 0, 0
    path = as_path(str(place).partition("#")[0] if ".json#" in str(place) else place)
    try:
        with reaching(path):
            status = path.stat()
    except OSError as error:
        raise RasterError(
            f"cannot open {place}: {error.strerror or 'it is not there'}. Check the path."
        ) from error
    return status.st_mtime_ns, status.st_size


def reading(place: Place) -> AbstractContextManager[Any]:
    """Hold GDAL's block cache small, which else takes a part of all memory.

    Also tells GDAL how the store of a remote place is reached.
    """
    _, options = for_gdal(place)
    # With keys of a cloud in the environment rasterio asks boto3 for a session each time, at
    # 40 ms of the processor, for local files too.
    local = not (is_remote(place) or is_gdal_name(place))
    env: AbstractContextManager[Any] = rasterio.Env(
        DummySession() if local else None, GDAL_CACHEMAX=_GDAL_CACHE_MIB, **options
    )
    return env


def _open(source: Recipe) -> list[Any]:
    """Handles from the file to what is read of it, each made from the one before."""
    opening = resolve(source.place, source.bands)
    with quiet(), reading(source.place):
        handles = [_open_file(source, opening)]
        try:
            if (unusual := normalised(handles[0], indexed=source.indexed)) is not None:
                handles.append(rasterio.open(unusual))
            if needs_rectifying(handles[-1]):
                handles.append(_rectified(handles[-1], source))
            if source.onto is not None:
                handles.append(_warped(handles[-1], source, source.onto))
        except RasterioError as error:
            for handle in reversed(handles):
                handle.close()
            raise RasterError(
                f"{source.name} cannot be brought onto another grid: {reason(error)}."
            ) from error
    return handles


def _open_file(source: Recipe, opening: Opening) -> Any:
    try:
        data = rasterio.open(opening.name)
    except (RasterioError, UnicodeError) as error:
        if answered := refusal(reason(error)):
            raise RasterError(f"{source.name} cannot be read: {answered}.") from error
        raise RasterError(
            f"{source.name} cannot be opened as a raster: {reason(error)}. "
            "A readable GeoTIFF, COG, VRT, JPEG 2000, PNG or JPEG is needed; "
            "check that the file is whole."
        ) from error
    if _is_cut_short(opening.name, data.driver):
        data.close()
        raise RasterError(
            f"{source.name} ends before its image does: it was cut short, as by a download "
            "that broke off. Get the file again."
        )
    if data.count == 0:
        inside = list(data.subdatasets)
        data.close()
        raise RasterError(
            f"{source.name} is a container of {len(inside)} images"
            + (f", as {inside[0]}" if inside else "")
            + ". Name one of them as GDAL does."
        )
    return data


_LAST_MARK = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
_TAIL_BYTES = 65_536  # what some programs append lies within


def _is_cut_short(name: str, driver: str) -> bool:
    """Whether a local PNG or JPEG lacks its last mark; GDAL reads what is missing as zeros."""
    mark = _LAST_MARK.get(driver)
    if mark is None or not Path(name).is_file():
        return False
    with Path(name).open("rb") as file:
        file.seek(max(0, Path(name).stat().st_size - _TAIL_BYTES))
        return mark not in file.read()


def needs_rectifying(data: Any) -> bool:
    """Whether control points or polynomials stand in place of a map."""
    return bool(data.transform.is_identity and (data.gcps[0] or data.rpcs))


def _rectified(data: Any, source: Recipe) -> Any:
    """North up on a map whose pixels are square on the ground, by control points or polynomials."""
    points, crs = data.gcps
    extras: dict[str, Any] = {}
    if points:
        lon, lat = np.mean([p.x for p in points]), np.mean([p.y for p in points])
        spline = len(points) >= 10 and len(points) <= _MOST_SPLINE_POINTS
        extras["SRC_METHOD"] = "GCP_TPS" if spline else "GCP_POLYNOMIAL"
        crs = crs or "EPSG:4326"
    else:
        crs = "EPSG:4326"
        lon, lat = data.rpcs.long_off, data.rpcs.lat_off
        extras["SRC_METHOD"] = "RPC"
        if source.height is not None:
            extras["RPC_HEIGHT"] = str(source.height)
    target = (
        _local_map(float(lon), float(lat))
        if rasterio.CRS.from_user_input(crs).is_geographic
        else crs
    )
    if source.dem is not None and not points:
        return _over_terrain(data, source.dem, target)
    missing = {} if data.nodata is None else {"src_nodata": data.nodata}
    view = WarpedVRT(
        data, src_crs=crs, crs=target, resampling=Resampling.bilinear, dtype="float32",
        nodata=float("nan"), tolerance=_EXACT_PX, **missing, **extras,
    )  # fmt: skip
    if view.width < 2 or view.height < 2:
        raise GridError(f"{source.name}: its control points do not span an area.")
    return view


def _over_terrain(data: Any, dem: str, target: str) -> Any:
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
        with rasterio.open(path, "w", **profile) as file:
            reproject(
                rasterio.band(data, bands),
                rasterio.band(file, bands),
                src_crs="EPSG:4326",
                rpcs=data.rpcs,
                src_nodata=data.nodata,
                dst_nodata=float("nan"),
                resampling=Resampling.bilinear,
                tolerance=_EXACT_PX,
                **options,
            )
        return rasterio.open(path)  # stays readable when its name is gone


def _local_map(lon: float, lat: float) -> str:
    """EPSG code of the UTM zone of a place, or of a polar map beyond them."""
    if lat > 84:
        return "EPSG:32661"
    if lat < -80:
        return "EPSG:32761"
    zone = int((lon + 180.0) // 6) % 60 + 1
    return f"EPSG:{32600 + zone if lat >= 0 else 32700 + zone}"


def _warped(data: Any, source: Recipe, onto: GeoBox) -> Any:
    missing = data.nodata if source.missing is None else source.missing
    if missing is None and data.dtypes[0].startswith("float"):
        missing = float("nan")
    height, width = shape_of(onto)
    # In float32 with NaN for no data: what lies outside the raster is told from 0.
    return WarpedVRT(
        data,
        crs=str(onto.crs),
        transform=onto.affine,
        height=height,
        width=width,
        resampling=Resampling[source.resampling],
        tolerance=_EXACT_PX,
        dtype="float32",
        nodata=float("nan"),
        **({} if missing is None else {"src_nodata": missing}),
    )
