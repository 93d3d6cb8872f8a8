"""What a place names: a file, a product's folder, a STAC item; and how GDAL opens it.

Product folders (of Sentinel, Landsat, OPERA, SNAP and others, or any folder of
files named by band) and STAC items become one raster of their bands, written
as a virtual raster (VRT) that GDAL reads from its text. What counts as one
image here is what lists of images hold, whoever asks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from crosslook.errors import CrosslookError, InputError
from crosslook.gdal_names import is_virtual
from crosslook.geo.products.bands import Part, Product, chosen
from crosslook.geo.products.files import file_product, gdal_source
from crosslook.geo.products.folders import entry_product, folder_product
from crosslook.geo.products.listing import changed, is_no_imagery, is_raster_name
from crosslook.geo.products.stac import is_json, stac_items, stac_product
from crosslook.geo.products.virtual import stack
from crosslook.geo.products.zarr_store import is_zarr_folder
from crosslook.storage import Place, is_gdal_name, is_remote, name_of

_STORES = (".zarr",)
_MOST_JSON = 64 << 20


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
    try:
        entries = sorted((e for e in folder.iterdir() if not e.name.startswith(".")), key=str)
    except OSError:
        return []
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


def _is_stac(path: Path) -> bool:
    """Whether a JSON file is a STAC item or collection of such, not the sidecar of an image."""
    if path.stat().st_size > _MOST_JSON:
        return False
    try:
        item = json.loads(path.read_bytes())
        if item["type"] == "FeatureCollection":
            return isinstance(item["features"][0]["assets"], dict)
        return item["type"] == "Feature" and isinstance(item["assets"], dict)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


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


def resolve(place: Place, bands: Sequence[str] = (), *, masked: bool = True) -> Opening:
    """Say what GDAL opens for a place.

    Parameters
    ----------
    place : path, address or name that GDAL knows
    bands : sequence of str
        Bands of a product by name, as ``B08``; its visible ones by default.
    masked : bool
        Leave out what a file beside the bands says is not to be used, as layover.

    Raises
    ------
    InputError
        If a folder is no product, or a product lacks the bands.
    """
    return _resolve(str(place), tuple(bands), changed(str(place)), masked)


@lru_cache(maxsize=512)
def _resolve(text: str, bands: tuple[str, ...], _: int, masked: bool) -> Opening:
    product = product_at(text)
    if product is None:
        return _plain(text, bands)
    taken = chosen(product, bands, name_of(text))
    names, parts = [name for name, _ in taken], [part for _, part in taken]
    if not masked:
        parts = [replace(part, mask="", masked=()) for part in parts]
    said = product.scale or product.points
    if len(parts) == 1 and parts[0] == Part(parts[0].file) and not said:
        # One ordinary file, which may be a container itself.
        if is_json(parts[0].file):  # maybe this one again
            raise InputError(
                f"'{names[0]}' of {name_of(text)} is {name_of(parts[0].file)}, another item and no "
                "raster. Give an item whose assets are images."
            )
        inner = resolve(parts[0].file)
        return Opening(inner.name, inner.files or (parts[0].file,))
    files = dict.fromkeys(f for p in parts for f in (p.file, p.imaginary, p.mask) if f)
    source = {"": "", **{file: gdal_source(file) for file in files}}
    named = [
        replace(p, file=source[p.file], imaginary=source[p.imaginary], mask=source[p.mask])
        for p in parts
    ]
    return Opening(stack(named, names, product.scale, product.points), tuple(files))


def _plain(text: str, bands: tuple[str, ...]) -> Opening:
    """What GDAL opens for an ordinary file, or for a folder that holds one image."""
    if is_gdal_name(text) or is_remote(text) or _is_one_file(Path(text)):
        source = gdal_source(text)
        return Opening(source, (text,) if source.startswith("<") and source != text else ())
    inside = [str(place) for place in images_below(Path(text), deep=True)]
    imagery = [place for place in inside if not is_no_imagery(name_of(place))] or inside
    if len(imagery) == 1:
        return resolve(imagery[0], bands)
    if not inside:
        raise InputError(
            f"folder '{text}' holds no image and is no product that is known. Name an image file."
        )
    shown = ", ".join(str(Path(p).relative_to(text)) for p in imagery[:4])
    more = f" and {len(imagery) - 4} more" if len(imagery) > 4 else ""
    raise InputError(
        f"folder '{text}' is no single product; it holds {len(imagery)} images: {shown}{more}. "
        "Name one of them."
    )


def product_bands(place: Place) -> dict[str, str] | None:
    """List the bands of a product: name to file, visible ones or polarisations first.

    None where the place is no product: an ordinary raster, or a folder of such.
    """
    product = product_at(place)
    return None if product is None else {n: part.file for n, part in product.bands.items()}


def product_at(place: Place) -> Product | None:
    """The product that a place names; None for an ordinary raster, or a folder of such.

    Raises
    ------
    InputError
        If it is one that cannot be read; the message says what to give instead.
    """
    text = str(place)
    if is_gdal_name(text):
        return None if is_virtual(text) else file_product(text)
    if is_json(text):
        return stac_product(text)
    if is_remote(text):
        return file_product(text)
    product = entry_product if _is_one_file(Path(text)) else folder_product
    return product(Path(text)) or file_product(text)


def _is_one_file(path: Path) -> bool:
    """Whether a path names one container, be it a folder as those of Zarr are."""
    return not path.is_dir() or is_zarr_folder(path)


def product_notes(place: Place) -> tuple[str, ...]:
    """What a user should know of how a product is read, as what of it is left out."""
    product = product_at(place)
    if product is None:
        return ()
    name, left = name_of(place), product.left_out
    more = f" and {len(left) - 4} more" if len(left) > 4 else ""
    notes = (product.note, f"left out: {', '.join(left[:4])}{more}" if left else "")
    return tuple(f"{name}: {note}" for note in notes if note)
