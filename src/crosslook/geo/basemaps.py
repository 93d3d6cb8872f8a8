"""What the basemaps given to an atlas name: files, folders and what lies below, products, tiles."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from crosslook.errors import InputError
from crosslook.geo.products.images import images_below
from crosslook.geo.products.resolve import product_bands
from crosslook.geo.products.stac import stac_items
from crosslook.geo.products.suffixes import SUFFIXES
from crosslook.geo.raster import RasterFile
from crosslook.geo.tile_pyramid import Tiling, is_tile_address, tile_address, tile_folder
from crosslook.storage import Place, as_place, is_remote, reaching


def find_basemaps(
    places: Iterable[Place], tiling: Tiling | None = None
) -> list[Place | RasterFile]:
    """List the rasters of files, folders, products, STAC collections and map tiles.

    Folders are sorted by name and searched with all folders below; hidden
    files are left out. A folder of tiles (``z/x/y.png``) is one raster of its
    deepest zoom.

    Parameters
    ----------
    places : iterable of places
    tiling : Tiling, optional
        Which part of a tile address is taken, and how rows of tiles count.

    Raises
    ------
    InputError
        If a place is missing or a folder holds no raster.
    SettingError
        If a tile address has no bounds.
    """
    tiles = tiling or Tiling()
    basemaps: list[Place | RasterFile] = []
    for place in places:
        if is_tile_address(place):
            basemaps.append(tile_address(str(place), tiles))
            continue
        at = as_place(place)
        items = stac_items(at)
        if items is not None:
            basemaps += items
            continue
        if isinstance(at, str) or product_bands(at) is not None:
            basemaps.append(at)
            continue
        with reaching(at):
            basemaps += _rasters_at(at, tiles)
    if not basemaps:
        raise InputError("no basemap was given; name at least one file or folder.")
    return basemaps


def _rasters_at(place: Path, tiling: Tiling) -> list[Place | RasterFile]:
    if place.is_dir():
        inside = _below(place, tiling, set())
        if not inside:
            raise InputError(
                f"folder '{place}' holds no basemap, nor does any folder below it; a product, "
                f"map tiles (z/x/y.png), or files ending in {', '.join(SUFFIXES)}, are looked for."
            )
        return inside
    if place.exists():
        return [place if is_remote(place) else place.resolve()]
    raise InputError(f"there is no basemap '{place}'. Check the path.")


def _below(folder: Path, tiling: Tiling, seen: set[Path]) -> list[Place | RasterFile]:
    """The images of a folder and of those below, each folder once though links lead back."""
    remote = is_remote(folder)
    here = folder if remote else folder.resolve()
    if here in seen:
        return []
    seen.add(here)
    tiles = tile_folder(folder, tiling)
    if tiles is not None:
        return [tiles]
    entries = [path for path in sorted(folder.iterdir(), key=str) if not _is_hidden(path)]
    taken = [] if remote else images_below(folder)
    known = {str(place) for place in taken}
    loose = [p for p in entries if p.suffix.lower() in SUFFIXES and str(p) not in known]
    found: list[Place | RasterFile] = [*taken, *(p for p in loose if p.is_file())]
    for path in entries:
        pixels = path.suffix == ".data" and path.with_suffix(".dim").exists()  # of SNAP
        if path.is_dir() and str(path) not in known and not pixels:
            found += _below(path, tiling, seen)
    return found


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() == "__macosx"
