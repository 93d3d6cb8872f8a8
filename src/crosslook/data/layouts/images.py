"""The images of a folder: files, and folders that are a product."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crosslook.geo.products.resolve import product_bands

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt"})
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
    return product_bands(folder) is not None


def images_below(folder: Path, deepest: int = _DEEPEST) -> Iterator[tuple[tuple[str, ...], Path]]:
    """List images and the names of the folders below ``folder`` that they lie in."""
    if is_image_folder(folder):
        yield (), folder
        return
    for path in images_in(folder):
        yield (), path
    for inside in folders_in(folder) if deepest else ():
        for parts, path in images_below(inside, deepest - 1):
            yield parts if path == inside else (inside.name, *parts), path


def folders_in(folder: Path) -> list[Path]:
    """List the folders of a folder, sorted, hidden ones left out."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
