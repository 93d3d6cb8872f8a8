"""What a place names: a file, a product's folder, a STAC item; and how GDAL opens it.

Product folders (Sentinel-1, Sentinel-2, Landsat, or any folder of files named
by band) and STAC items become one raster of their bands, written as a virtual
raster (VRT) that GDAL reads from its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from crosslook.gdal_names import files_of
from crosslook.geo.products.bands import chosen
from crosslook.geo.products.files import file_bands, gdal_source
from crosslook.geo.products.folders import folder_bands
from crosslook.geo.products.stac import is_json, stac_bands
from crosslook.geo.products.virtual import stack
from crosslook.geo.products.zarr_tree import is_zarr_folder
from crosslook.storage import Place, is_gdal_name, is_remote, name_of


@dataclass(frozen=True)
class Opening:
    """What GDAL opens for a place.

    Attributes
    ----------
    name : str
        A file name, an address, or the text of a virtual raster.
    files : tuple of str
        The files that a virtual raster made here is of; else empty.
    """

    name: str
    files: tuple[str, ...] = ()


def resolve(place: Place, bands: Sequence[str] = ()) -> Opening:
    """Say what GDAL opens for a place.

    Parameters
    ----------
    place : path, address or name that GDAL knows
    bands : sequence of str
        Bands of a product by name, as ``B08``; its visible ones by default.

    Raises
    ------
    InputError
        If a folder is no product, or a product lacks the bands.
    """
    return _resolve(str(place), tuple(bands), _changed(str(place)))


def _changed(text: str) -> int:
    """Time of change of a local file or folder: one that is written anew is looked at anew."""
    try:
        return max(Path(file).stat().st_mtime_ns for file in files_of(text))
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=512)
def _resolve(text: str, bands: tuple[str, ...], changed: int) -> Opening:
    members = product_bands(text)
    if members is None:
        source = gdal_source(text)
        return Opening(source, (text,) if source.startswith("<") and source != text else ())
    names = chosen(members, bands, name_of(text))
    files = tuple(members[name] for name in names)
    return Opening(stack([gdal_source(file) for file in files], names), files)


def product_bands(place: Place) -> dict[str, str] | None:
    """List the bands of a product: name to file, visible ones or polarisations first.

    None where the place is no product: an ordinary raster, or a folder of such.
    """
    text = str(place)
    if is_gdal_name(text):
        return file_bands(text)
    if is_json(text):
        return stac_bands(text)
    if is_remote(text):
        return file_bands(text)
    path = Path(text)
    if path.name.lower() in ("manifest.safe", "mtd_msil1c.xml", "mtd_msil2a.xml"):
        path = path.parent
    is_folder = path.is_dir() and not is_zarr_folder(path)
    return folder_bands(path) if is_folder else file_bands(text)
