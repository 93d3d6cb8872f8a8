"""What lies in a folder that `register` takes as an image: files, product folders, STAC items."""

from __future__ import annotations

import json
from pathlib import Path

from crosslook.errors import CrosslookError
from crosslook.geo.products.folders import entry_product, folder_product
from crosslook.geo.products.listing import is_no_imagery, is_raster_name
from crosslook.geo.products.stac import is_json, stac_items
from crosslook.storage import Place, is_gdal_name, is_remote

_STORES = (".zarr",)
_MOST_JSON = 64 << 20
__all__ = ["images_below", "is_image", "is_no_imagery"]


def is_image(place: Place) -> bool:
    """Whether a place is one image that `register` takes, without opening its pixels.

    Files by their ending, product folders and archives by what they hold, STAC
    items by their content; names of GDAL and addresses are taken at their word.
    """
    text = str(place)
    if is_gdal_name(text) or is_remote(text):
        return True
    if "#" in text and is_json(text):  # an item of a collection
        text = text.rpartition("#")[0]
    path = Path(text)
    if path.name.startswith("."):
        return False
    try:
        if path.is_dir():
            return path.suffix.lower() in _STORES or folder_product(path) is not None
        if not path.is_file():
            return False
        if is_raster_name(path.name):
            return True
        if is_json(text):
            return _is_stac(path)
        return entry_product(path) is not None
    except CrosslookError:
        return True  # a product that cannot be read says why where it is opened


def images_below(folder: Path, *, deep: bool = False) -> list[Place]:
    """List the images of a folder, sorted by name: whatever `register` takes.

    A product's folder (Sentinel, Landsat, OPERA, SNAP, ...), a zipped one and a
    ``.zarr`` count as one image and are not entered; an item collection of
    STAC gives its items. Hidden files and companions are left out, and so is
    a STAC item whose image of the same name lies beside it.

    Parameters
    ----------
    folder : Path
        Not asked itself whether it is a product; see :func:`is_image`.
    deep : bool
        Enter the folders below that are no products.

    Returns
    -------
    list of Path or str
        Strings are places of STAC items.
    """
    found: list[Place] = []
    entries = sorted((e for e in _entries(folder) if not e.name.startswith(".")), key=str)
    names = {entry.name.lower() for entry in entries}
    stems = {entry.stem.lower() for entry in entries if is_raster_name(entry.name)}
    for path in entries:
        suffix = path.suffix.lower()
        if path.is_dir():
            if suffix == ".data" and f"{path.stem.lower()}.dim" in names:
                continue
            if is_image(path):
                found.append(path)
            elif deep and not path.is_symlink():
                found += images_below(path, deep=True)
        elif suffix in (".json", ".geojson"):
            if path.stem.lower() not in stems and is_image(path):
                found += stac_items(path) or [path]
        elif is_image(path):
            found.append(path)
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_stac(path: Path) -> bool:
    """Whether a JSON file is a STAC item or collection of such, not the sidecar of an image."""
    if path.stat().st_size > _MOST_JSON:
        return False
    try:
        loaded = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(loaded, dict):
        return False
    if loaded.get("type") == "FeatureCollection":
        features = loaded.get("features")
        first = features[0] if isinstance(features, list) and features else None
        return isinstance(first, dict) and isinstance(first.get("assets"), dict)
    return loaded.get("type") == "Feature" and isinstance(loaded.get("assets"), dict)
