"""Many optical files read as one image: what a folder, several files or a collection are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.errors import InputError, RasterError
from crosslook.geo.atlas_file import is_atlas, open_atlas_image
from crosslook.geo.basemap_source import BasemapSource, BlockReader, basemap_header
from crosslook.geo.basemaps import find_basemaps
from crosslook.geo.image import ImageFile, Reading, as_read, open_image
from crosslook.geo.mosaic import Basemap, bands_of, plan_mosaic, read_window
from crosslook.geo.mosaic_levels import level_of, read_blocks_of_all
from crosslook.geo.products.resolve import product_bands
from crosslook.geo.products.stac import stac_items
from crosslook.geo.raster import Raster, RasterArray, RasterFile
from crosslook.storage import Place, as_place, is_gdal_name, is_remote, name_of
from crosslook.types import FloatArray, Mask, Window

T = TypeVar("T")
_NAMED = 3  # files that a note names


@dataclass(frozen=True, eq=False)
class MosaicFile(BasemapSource):
    """Files on one grid, read in windows like one file; 8 bits, of which 0 is no data.

    A part of a file that cannot be read holds no data, and a note says so: one damaged file does
    not lose the others.

    Attributes
    ----------
    maps : tuple of Basemap
        Where they overlap the first wins.
    grid : GeoBox
    name : str
    said : tuple of str
        What is known beforehand: files that are not used, and why.
    damaged : dict of str to str
        Names of files that could not be read to the end so far, and why.
    """

    maps: tuple[Basemap, ...]
    grid: GeoBox
    name: str
    said: tuple[str, ...] = ()
    damaged: dict[str, str] = field(default_factory=dict)

    @property
    def header(self) -> Raster:
        """What a file would say; its notes grow as files turn out to be damaged."""
        notes = (*self.said, *(f"{name} is left open: {why}" for name, why in self.damaged.items()))
        return basemap_header(self.name, self.grid, bands_of(self.maps), notes)

    def parts(self) -> tuple[str, ...]:
        """All files that the pixels lie in."""
        sources = (one.image.source for one in self.maps)
        found = (part for one in sources if isinstance(one, RasterFile) for part in one.parts())
        return tuple(dict.fromkeys(found))

    def _strip(self, window: Window, bands: tuple[int, ...]) -> FloatArray:
        def read(maps: Sequence[Basemap]) -> tuple[NDArray[np.uint8], Mask]:
            return read_window(maps, self.grid, window.corner, window.shape)

        values, valid = self._heeding_damage(read)
        chosen = values[[band - 1 for band in bands]].astype(np.float32)
        chosen[:, ~valid] = np.nan
        return chosen

    def block_reader(self, bands: tuple[int, ...], factor: int) -> BlockReader | None:
        """What reads blocks from the levels of the files that have them; None where none has."""
        levels: dict[Basemap, int] = {}
        for one in self.maps:
            try:
                levels[one] = level_of(one, self.grid, factor)
            except RasterError:  # said when its pixels are read
                levels[one] = 0
        if not any(levels.values()):
            return None

        def reader(window: Window) -> tuple[FloatArray, FloatArray]:
            means, cover = self._heeding_damage(
                lambda maps: read_blocks_of_all(maps, levels, self.grid, window, factor)
            )
            return means[[band - 1 for band in bands]], cover

        return reader

    def _heeding_damage(self, read: Callable[[Sequence[Basemap]], T]) -> T:
        """What is read of the files that can be read; notes those that cannot."""
        maps = list(self.maps)
        while True:
            try:
                return read(maps)
            except RasterError as error:
                maps = self._without_damaged(maps, read, error)

    def _without_damaged(
        self, maps: list[Basemap], read: Callable[[Sequence[Basemap]], object], error: RasterError
    ) -> list[Basemap]:
        for one in maps:
            try:
                read([one])
            except RasterError as found:
                self.damaged.setdefault(one.image.name, str(found))
                return [other for other in maps if other is not one]
        raise error


def open_optical(
    place: Place | Sequence[Place] | RasterArray | RasterFile | ImageFile,
    reading: Reading | None = None,
) -> ImageFile:
    """Open an optical image; of a folder, a list or a STAC collection all files as one image.

    An atlas is the basemap that it was built from.

    Parameters and errors are those of :func:`~crosslook.geo.image.open_image` and
    :func:`open_basemap`.
    """
    if isinstance(place, RasterArray | RasterFile | ImageFile):
        return open_image(place, "optical", reading)
    if isinstance(place, list | tuple):
        return open_basemap(place, reading)
    one = cast(Place, place)
    if is_atlas(one):
        return open_atlas_image(one, reading)
    return open_basemap([one], reading) if _is_many(one) else open_image(one, "optical", reading)


def _is_many(place: Place) -> bool:
    """Whether a place is more than one image: a folder that is no product, or a collection."""
    at = as_place(place)
    if (items := stac_items(at)) is not None:
        return len(items) > 1
    if isinstance(at, str) or is_gdal_name(at) or not _is_folder(at):
        return False
    return product_bands(at) is None


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder; an object store is asked only where the name leaves it open.

    GDAL reads a file of a store whose package for listing is not installed.
    """
    if is_remote(path) and path.suffix:
        return False
    try:
        return path.is_dir()
    except ImportError:
        return False


def open_basemap(places: Sequence[Place], reading: Reading | None = None) -> ImageFile:
    """Open optical files, folders and collections as one image.

    Which files are imagery, their order and their grid are chosen as for an
    atlas (:func:`~crosslook.geo.mosaic.plan_mosaic`). One file or product
    alone is opened as it is, with its own numbers.

    Parameters
    ----------
    places : sequence of place
    reading : Reading, optional

    Raises
    ------
    RasterError
        If no file can be read.
    InputError
        If a folder holds no raster, or files are bands of one place.
    GridError
        If none has a place on the map.
    """
    atlas = next((str(place) for place in places if is_atlas(place)), None)
    if atlas is not None and len(places) == 1:
        return open_atlas_image(places[0], reading)
    if atlas is not None:
        raise InputError(
            f"'{atlas}' is an atlas, and a basemap by itself; name it alone, or build one atlas "
            "of all files."
        )
    found = find_basemaps(places)
    if len(found) == 1:
        return open_image(found[0], "optical", reading)
    mosaic = plan_mosaic(found, reading=reading, tolerant=True)
    name = name_of(as_place(places[0])) if len(places) == 1 else f"{len(mosaic.maps)} files"
    left = [f"{file} ({why})" for file, why in mosaic.left_out]
    said = [f"{len(mosaic.maps)} files are one basemap"]
    if left:
        more = "" if len(left) <= _NAMED else f" and {len(left) - _NAMED} more"
        said.append(f"left out as no imagery: {', '.join(left[:_NAMED])}{more}")
    source = MosaicFile(mosaic.maps, mosaic.grid, name, tuple(said), dict(mosaic.damaged))
    return as_read(source)
