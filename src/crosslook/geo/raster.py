"""Rasters on disk, in archives, in object stores and in memory: headers and windows of pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.warp import reproject

from crosslook.errors import RasterError
from crosslook.gdal_names import files_of
from crosslook.geo.explain import refusal, refused_now
from crosslook.geo.grid import (
    between,
    check_latitudes,
    is_unnamed,
    make_grid,
    plain_grid,
    rim,
    shape_of,
    whole_offset,
    window_of,
)
from crosslook.geo.integrity import heeding_warnings
from crosslook.geo.opening import OPEN, About, crs_of_map, opening_of, reading, reason
from crosslook.geo.products.zarr_store import is_copy
from crosslook.geo.recipe import EXACT_PX, Recipe
from crosslook.geo.spread import evenly
from crosslook.storage import Place, as_path, as_place, files_below, is_remote, reaching
from crosslook.types import FloatArray, Mask, Window


@dataclass(frozen=True)
class Raster:
    """What the header of a raster says.

    Attributes
    ----------
    name : str
        What messages and outputs call it.
    grid : GeoBox
        Without CRS where the raster lies nowhere.
    bands : int
        Without an alpha band.
    dtype : str
        Of the first band, as stored.
    nodata : float or None
        As declared.
    labels : tuple of str
        Of each band: its description, else its colour, else ``""``; lower case.
    scales, offsets : tuple of float
        Stored numbers times scale plus offset are the values.
    synthetic : bool
        Whether a tag says that the content is simulated.
    placed_by : str
        ``affine``, ``a map in the CRS given`` (by an option or a ``.prj`` file), ``a map
        without CRS``, ``control points``, ``rational polynomials``, ``SICD geometry``, ``SICD
        corner points``, ``SIDD geometry``, ``SIDD corner points`` or ``nothing``.
    is_magnitude : bool
        Whether the numbers are the lengths of complex ones.
    notes : tuple of str
        What a user should know of how it was opened.
    stale_overviews : bool
        Whether it has overviews that differ from its pixels; they are not read.
    has_levels : bool
        Whether its overviews are levels of its format (JPEG 2000), true to the pixels and cheap.
    """

    name: str
    grid: GeoBox
    bands: int
    dtype: str
    nodata: float | None
    labels: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    synthetic: bool
    placed_by: str
    is_magnitude: bool = False
    notes: tuple[str, ...] = ()
    stale_overviews: bool = False
    has_levels: bool = False


_ROOM = 4  # pixels around a part that is resampled
_OF_LAYOUT = ("AREA_OR_POINT", "OVR_RESAMPLING_ALG")


@dataclass(frozen=True)
class Labels:
    """Names and tags that go with the pixels wherever they are brought.

    Attributes
    ----------
    tags : dict of str to str
        Of the file.
    bands : tuple of dict
        Tags of each band.
    descriptions, units : tuple of (str or None)
        Of each band.
    colours : tuple of ColorInterp
        What each band is shown as.
    palette : dict or None
        Number to colour, where the numbers are colours or classes.
    """

    tags: dict[str, str]
    bands: tuple[dict[str, str], ...]
    descriptions: tuple[str | None, ...]
    units: tuple[str | None, ...]
    colours: tuple[ColorInterp, ...]
    palette: dict[int, tuple[int, ...]] | None


class Source(Protocol):
    """Pixels that can be read in windows: a file or an array."""

    @property
    def header(self) -> Raster:
        """What is known without reading pixels."""

    def read(
        self, window: Window | None, bands: tuple[int, ...], shape: tuple[int, int] | None = None
    ) -> FloatArray:
        """Values (bands, h, w), NaN where there is no data or beyond the raster."""


@dataclass(frozen=True)
class RasterFile(Recipe):
    """A raster that GDAL opens, read in windows; see :class:`~crosslook.geo.opening.Recipe`."""

    @cached_property
    def header(self) -> Raster:
        """Read the header; RasterError where that fails."""
        with OPEN.use(self) as data:
            return _header(self, data, OPEN.about(self))

    def on(self, grid: GeoBox | None, resampling: str = "bilinear") -> RasterFile:
        """The same raster brought onto another grid."""
        return replace(self, onto=grid, resampling=resampling)

    @cached_property
    def labels(self) -> Labels:
        """What the file says of itself and its bands beyond numbers."""
        with OPEN.use(self) as (file, data):
            each = range(1, (file.count if self.stored else self.header.bands) + 1)
            own = self.stored or file.count == data.count
            palette = file.colorinterp[0] is ColorInterp.palette
            return Labels(
                tags={k: str(v) for k, v in file.tags().items() if k not in _OF_LAYOUT},
                bands=tuple(dict(file.tags(n)) if own else {} for n in each),
                descriptions=tuple(file.descriptions[n - 1] if own else None for n in each),
                units=tuple(file.units[n - 1] if own else None for n in each),
                colours=tuple((file if own else data).colorinterp[n - 1] for n in each),
                palette=dict(file.colormap(1)) if palette and self.indexed else None,
            )

    @cached_property
    def others(self) -> tuple[str, ...]:
        """What GDAL calls the images of a file that holds several; the first is read."""
        with OPEN.use(self) as (file, _):
            return tuple(map(str, file.subdatasets))

    def parts(self) -> tuple[str, ...]:
        """Files that the pixels lie in: those of a product or of a virtual raster too."""
        with OPEN.use(self) as data:
            inside = tuple(str(name) for name in data[0].files)
        named = [*opening_of(self).files, *inside]
        parts = dict.fromkeys(part for name in named for part in _parts_of(name))
        return tuple(part for part in parts if not is_copy(part))

    def read(
        self, window: Window | None, bands: tuple[int, ...], shape: tuple[int, int] | None = None
    ) -> FloatArray:
        """Read values (bands, h, w): scaled, NaN where there is no data.

        Parameters
        ----------
        window : Window, optional
            May reach beyond the raster; what lies outside is NaN. The whole
            raster by default.
        bands : tuple of int
            Bands counted from 1.
        shape : tuple of int, optional
            Decimate to this many rows and columns (nearest pixel); then the
            window must lie inside the raster.

        Raises
        ------
        RasterError
            If the file is missing, damaged, or has no such band.
        """
        head = self.header
        window = window or Window.whole(shape_of(head.grid))
        if self._unmoved is not None and shape is None:  # several times faster than to resample
            own = replace(self, onto=None)
            values = own.read(window.shifted(*self._unmoved), bands)
            return self._without_missing(values, bands, own.header)
        if self.onto is not None and self._has_several and shape is None:
            return self._read_around_all(window, bands, self.onto)
        inside = window.clip(shape_of(head.grid))
        out = np.full((len(bands), *(shape or window.shape)), np.nan, np.float32)
        if inside.is_empty:
            return out
        raw, masks = self._raw(inside, bands, shape)
        values = raw.astype(np.float32)
        if masks is not None:
            values[masks == 0] = np.nan
        values[~np.isfinite(values)] = np.nan
        for at, band in enumerate(bands):
            if head.scales[band - 1] != 1.0 or head.offsets[band - 1] != 0.0:
                values[at] = values[at] * head.scales[band - 1] + head.offsets[band - 1]
        if shape is not None:
            return values
        out[:, *inside.within(window).slices] = values
        return out

    @cached_property
    def _unmoved(self) -> tuple[int, int] | None:
        """Where a grid onto which the raster is brought begins among its own pixels, if on them."""
        if self.onto is None:
            return None
        return whole_offset(replace(self, onto=None).header.grid, self.onto)

    @cached_property
    def _has_several(self) -> bool:
        """Whether several numbers mean no data, of which a warped raster of GDAL heeds one."""
        declared = replace(self, onto=None).header.nodata
        named = () if declared is None or np.isnan(declared) else (declared,)
        return bool(self.missing) and len({*self.missing, *named}) > 1

    def _read_around_all(self, window: Window, bands: tuple[int, ...], onto: GeoBox) -> FloatArray:
        """Read a window of the grid onto which it is brought from its own pixels under it."""
        own = replace(self, onto=None)
        target = window_of(onto, window)
        out = np.full((len(bands), *window.shape), np.nan, np.float32)
        from_grid = own.header.grid
        at = between(target, from_grid, rim(target))
        room = _ROOM + 2 * np.ptp(at, axis=0) / np.maximum(shape_of(target), 1)
        part = Window.around(at.min(axis=0) - room, at.max(axis=0) + room).clip(shape_of(from_grid))
        if part.is_empty:
            return out
        values = self._without_missing(own.read(part, bands), bands, own.header)
        under = window_of(from_grid, part)
        reproject(
            values, out, src_transform=under.affine, src_crs=str(under.crs), src_nodata=np.nan,
            dst_transform=target.affine, dst_crs=str(target.crs), dst_nodata=np.nan,
            resampling=Resampling[self.resampling], tolerance=EXACT_PX,
        )  # fmt: skip
        return out

    def _without_missing(
        self, values: FloatArray, bands: tuple[int, ...], header: Raster
    ) -> FloatArray:
        """Scaled values (bands, h, w) with NaN, in place, for what means no data."""
        for at, band in enumerate(bands):
            scale, offset = header.scales[band - 1], header.offsets[band - 1]
            for number in self.missing:
                values[at, values[at] == np.float32(number) * scale + offset] = np.nan
        return values

    def _raw(
        self, inside: Window, bands: tuple[int, ...], shape: tuple[int, int] | None
    ) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        region = rasterio.windows.Window.from_slices(*inside.slices)
        out_shape = None if shape is None else (len(bands), *shape)
        warned = heeding_warnings(self.name)
        with OPEN.use(self, pixels=True) as (_, data), reading(self.place), warned:
            if wrong := [band for band in bands if not 1 <= band <= data.count]:
                raise RasterError(
                    f"{self.name} has no band {wrong[0]}; its bands are 1..{data.count}. "
                    "Name other bands with --bands."
                )
            try:
                raw = data.read(list(bands), window=region, out_shape=out_shape)
                # NaN for no data tells all that a mask would, without warping it once more.
                whole = data.nodata is not None and np.isnan(data.nodata)
                whole |= all(MaskFlags.all_valid in data.mask_flag_enums[b - 1] for b in bands)
                masks = None
                if not whole:
                    masks = data.read_masks(list(bands), window=region, out_shape=out_shape)
            except RasterioError as error:
                files = (self.place, *opening_of(self).files)
                if answered := refusal(reason(error)) or refused_now(files):
                    raise RasterError(f"{self.name} cannot be read: {answered}.") from error
                raise RasterError(
                    f"{self.name} cannot be read to the end (rows {inside.row}.."
                    f"{inside.bottom}): {reason(error)}. "
                    "The file is damaged or cut off; fetch or write it again."
                ) from error
        return raw, masks


@dataclass(frozen=True, eq=False)
class RasterArray:
    """Pixels in memory, read like a file.

    Attributes
    ----------
    stored : array, shape (B, H, W)
    valid : bool array, shape (H, W)
    header : Raster
    """

    stored: NDArray[Any]
    valid: Mask
    header: Raster

    @classmethod
    def of(
        cls,
        stored: NDArray[Any],
        valid: Mask | None = None,
        grid: GeoBox | None = None,
        name: str = "array",
        nodata: float | None = None,
    ) -> RasterArray:
        """Take an array (B, H, W) or (H, W); without ``grid`` it is a plain image."""
        bands = stored if stored.ndim == 3 else stored[None]
        magnitude = np.iscomplexobj(bands)
        if magnitude:
            bands = np.abs(bands).astype(np.float32)
        shape = bands.shape[1:]
        solid = np.ones(shape, np.bool_) if valid is None else valid
        if nodata is not None and not np.isnan(nodata):
            solid = solid & (bands != nodata).all(axis=0)
        count = len(bands)
        by, place = ("nothing", plain_grid(*shape)) if grid is None else ("affine", grid)
        header = Raster(
            name, place, count, bands.dtype.name, nodata, ("",) * count, (1.0,) * count,
            (0.0,) * count, False, by, magnitude,
        )  # fmt: skip
        return cls(bands, solid, header)

    def read(
        self, window: Window | None, bands: tuple[int, ...], shape: tuple[int, int] | None = None
    ) -> FloatArray:
        """Read as :meth:`RasterFile.read` does."""
        window = window or Window.whole(self.valid.shape)
        inside = window.clip(self.valid.shape)
        out = np.full((len(bands), *window.shape), np.nan, np.float32)
        if not inside.is_empty:
            raw = self.stored[[band - 1 for band in bands], *inside.slices]
            values = np.where(self.valid[inside.slices], raw, np.nan).astype(np.float32)
            values[~np.isfinite(values)] = np.nan
            out[:, *inside.within(window).slices] = values
        if shape is None:
            return out
        rows, cols = (evenly(n, full) for n, full in zip(shape, out.shape[1:], strict=True))
        return out[:, rows][:, :, cols]


def _header(source: RasterFile, handles: tuple[Any, Any], about: About) -> Raster:
    file, data = handles
    solid = [i for i, colour in enumerate(data.colorinterp) if colour is not ColorInterp.alpha]
    grid, by = plain_grid(data.height, data.width), "nothing"
    if (crs := crs_of_map(source, data)) is not None:
        grid, by = make_grid(crs, data.transform, data.height, data.width), about.placed_by
        if not data.crs:
            by = "a map without CRS" if is_unnamed(grid) else "a map in the CRS given"
            check_latitudes(source.name, grid)
    return Raster(
        name=source.name,
        grid=grid,
        bands=len(solid),
        dtype=about.dtype,
        nodata=None if file.nodata is None else float(file.nodata),
        labels=tuple(_label(file, data, i) for i in solid),
        scales=tuple(_number(file.scales, i, 1.0) for i in solid),
        offsets=tuple(_number(file.offsets, i, 0.0) for i in solid),
        synthetic=_synthetic(file),
        placed_by=by,
        is_magnitude=about.is_magnitude,
        notes=about.notes,
        stale_overviews=about.stale_overviews,
        has_levels=about.has_levels,
    )


def _label(file: Any, data: Any, index: int) -> str:
    texts = file.descriptions if file.count == data.count else data.descriptions
    described = texts[index] if index < len(texts) else None
    colour = data.colorinterp[index].name
    return str(described or ("" if colour == "undefined" else colour)).lower()


def _number(values: Any, index: int, default: float) -> float:
    return float(values[index]) if index < len(values) else default


def _synthetic(data: Any) -> bool:
    for key, value in data.tags().items():
        if "synthetic" in key.lower():
            return str(value).lower() not in ("no", "false", "0")
        if "synthetic" in str(value).lower():
            return True
    return False


def digest_of(place: Place) -> str:
    """SHA-256 of the content of all files that an image lies in.

    Raises
    ------
    RasterError
        If one cannot be read.
    """
    digest = hashlib.sha256()
    for part in RasterFile(as_place(place)).parts():
        for file in files_of(part):
            try:
                with reaching(file):
                    for inside in files_below(as_path(file)):
                        with inside.open("rb") as opened:
                            digest.update(hashlib.file_digest(opened, "sha256").digest())
            except OSError as error:
                raise RasterError(f"cannot read {file}: {error.strerror or error}.") from error
    return digest.hexdigest()


def _parts_of(name: str) -> tuple[str, ...]:
    """What a name of GDAL lies in; a virtual file of an address is left for GDAL to reach."""
    files = files_of(name)
    return (name,) if name.startswith("/vsi") and any(map(is_remote, files)) else files
