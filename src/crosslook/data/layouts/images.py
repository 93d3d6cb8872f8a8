"""The images of a folder: files, product folders, STAC items; whatever is read elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from crosslook.geo.products import images as products
from crosslook.storage import Place, is_remote, name_of

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt"})
"""Of public sets, and of images in an object store, whose content is not looked at."""
_DEEPEST = 4


def images_in(folder: Path, pattern: str = "*") -> list[Path]:
    """List the raster files of a folder, sorted, hidden ones left out."""
    return sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def is_image_folder(folder: Path) -> bool:
    """Whether a folder is one image: a product, or files named by band."""
    return not is_remote(folder) and products.is_image(folder)


def images_below(
    folder: Path,
    is_one: Callable[[Path], bool] = is_image_folder,
    deepest: int = _DEEPEST,
) -> Iterator[tuple[tuple[str, ...], Place]]:
    """List images and the names of the folders below ``folder`` that they lie in.

    ``is_one`` says which folders are one image and not entered; the folder
    itself is not asked.
    """
    found = images_in(folder) if is_remote(folder) else products.images_below(folder)
    folders = folders_in(folder)
    for place in found:
        if place not in folders:
            yield (), place
    for inside in folders:
        if is_one(inside):
            yield (), inside
        elif deepest:
            for parts, place in images_below(inside, is_one, deepest - 1):
                yield (inside.name, *parts), place


def folders_in(folder: Path) -> list[Path]:
    """List the folders of a folder, sorted; not hidden ones and not the pixels of a ``.dim``."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and not (path.suffix == ".data" and path.with_suffix(".dim").exists())
    )


_ENDING = re.compile(r"(\.(?:tar|zarr))?\.[a-z]\w{0,7}$", re.IGNORECASE)


def stem_of(place: Place) -> str:
    """The name of an image without its ending, which begins with a letter.

    >>> stem_of("a/S1A_x.SAFE"), stem_of("OPERA_v1.0"), stem_of("b.tar.gz")
    ('S1A_x', 'OPERA_v1.0', 'b')
    """
    return _ENDING.sub("", name_of(place)) or name_of(place)
