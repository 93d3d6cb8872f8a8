"""Products that lie on disk as a folder: rows by maker, and what is common to them.

Each is one row of ``FOLDERS``: a function that lists the bands of a folder, or
gives None where the folder is no such product. The first that knows it wins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crosslook.geo.products import commercial, esa, numbered, polarised, snap
from crosslook.geo.products.bands import Product
from crosslook.geo.products.listing import Archive, Listing


@dataclass(frozen=True)
class FolderProduct:
    """One kind of product folder.

    Attributes
    ----------
    name : str
    bands : callable
        What a folder holds to its product; None where it is no such.
    archived : bool
        Whether it may lie in a zip archive: its rasters are named by listing
        alone, not by a file inside that could name others.
    """

    name: str
    bands: Callable[[Listing], Product | None]
    archived: bool = True


FOLDERS: tuple[FolderProduct, ...] = (
    FolderProduct("Sentinel-1 SAFE", esa.sentinel_1),
    FolderProduct("Sentinel-2 SAFE", esa.sentinel_2),
    FolderProduct("BIOMASS L1", esa.biomass),
    FolderProduct("SNAP BEAM-DIMAP", snap.data_folder),
    FolderProduct("RADARSAT-2", commercial.radarsat_2, archived=False),
    FolderProduct("TerraSAR-X, PAZ", commercial.terrasar_x, archived=False),
    FolderProduct("ALOS CEOS", commercial.alos_ceos),
    FolderProduct("Umbra", commercial.umbra),
    FolderProduct("Capella", commercial.capella),
    FolderProduct("ICEYE", commercial.iceye),
    FolderProduct("OPERA RTC-S1", polarised.opera),
    FolderProduct("files named by polarisation", polarised.by_name),
    FolderProduct("files named by band", numbered.numbered_bands),
)


def folder_product(folder: Path) -> Product | None:
    """List the bands of a product's folder; None where it is none."""
    return _first(Listing(str(folder)), FOLDERS)


def archive_product(path: Path) -> Product | None:
    """List the bands of a product in a zip archive, which is not unpacked; None for others.

    Raises
    ------
    InputError
        If the archive is damaged.
    """
    return _first(Archive(path), tuple(row for row in FOLDERS if row.archived))


def _first(listing: Listing, rows: tuple[FolderProduct, ...]) -> Product | None:
    found = (row.bands(listing) for row in rows)
    return next((product for product in found if product is not None), None)


_ENTRIES = ("manifest.safe", "mtd_msil1c.xml", "mtd_msil2a.xml", "product.xml", "summary.txt")


def entry_product(path: Path) -> Product | None:
    """List the bands of the product that a file stands for; None where it is an ordinary one.

    Such are SNAP's ``.dim``, a zip archive, a manifest, a volume of CEOS, and
    images whose mask lies beside them.
    """
    name = path.name.lower()
    if name.endswith(".dim"):
        return snap.dim(path)
    if name.endswith(".zip"):
        return archive_product(path)
    if name in _ENTRIES or name.startswith("vol-"):
        return folder_product(path.parent)
    return polarised.opera_file(path) or commercial.one_file(path)
