"""Products that lie on disk as a folder of one file per band.

Each is one row of ``FOLDERS``: a function that lists the bands of a folder, or
gives None where the folder is no such product. The first that knows it wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crosslook.geo.products.bands import POLARISATIONS, VISIBLE, band_name

Bands = dict[str, str]
"""Band to file, those taken by default first."""


@dataclass(frozen=True)
class FolderProduct:
    """One kind of product folder.

    Attributes
    ----------
    name : str
    bands : callable
        Folder to its bands; None where it is no such product.
    """

    name: str
    bands: Callable[[Path], Bands | None]


_BAND = re.compile(r"(?:^|[_.-])(?:SR_|ST_)?B(\d{1,2}A?)(?:_\d+m)?\.(?:tiff?|jp2)$", re.IGNORECASE)
_LANDSAT = re.compile(r"^L[COTEM]\d\d_", re.IGNORECASE)
_SENTINEL_1 = re.compile(r"[-_](vv|vh|hh|hv)[-_.]", re.IGNORECASE)


def _sentinel_1(folder: Path) -> Bands | None:
    """SAFE: one file per polarisation below ``measurement``."""
    polarised: Bands = {}
    for file in sorted((folder / "measurement").glob("*.tif*")):
        if match := _SENTINEL_1.search(file.name):
            polarised.setdefault(match[1].lower(), str(file))
    return {n: polarised[n] for n in POLARISATIONS if n in polarised} or None


def _sentinel_2(folder: Path) -> Bands | None:
    """SAFE: L2A keeps its bands by resolution, finest first."""
    granules = sorted(folder.glob("GRANULE/*/IMG_DATA"))
    if not granules:
        return None
    places = (granules[0], *(granules[0] / f"R{m}m" for m in (10, 20, 60)))
    return _numbered([p for at in places if at.is_dir() for p in sorted(at.iterdir())])


def _numbered_bands(folder: Path) -> Bands | None:
    """Landsat, and any folder whose files are named by band, as ``..._B04.tif``."""
    return _numbered(sorted(p for p in folder.iterdir() if p.is_file()))


def _numbered(files: Sequence[Path]) -> Bands | None:
    bands: Bands = {}
    for file in files:
        if match := _BAND.search(file.name):
            bands.setdefault(band_name(match[1]), str(file))
    if len(bands) < 2:
        return None
    landsat = next((f.name for f in files if _LANDSAT.match(f.name)), "")
    kind = "sentinel" if not landsat else "landsat" if landsat[2:4] in ("08", "09") else "tm"
    visible = [name for name in VISIBLE[kind] if name in bands]
    return {name: bands[name] for name in [*visible, *sorted(set(bands) - set(visible))]}


FOLDERS: tuple[FolderProduct, ...] = (
    FolderProduct("Sentinel-1 SAFE", _sentinel_1),
    FolderProduct("Sentinel-2 SAFE", _sentinel_2),
    FolderProduct("files named by band", _numbered_bands),
)


def folder_bands(folder: Path) -> Bands | None:
    """List the bands of a product's folder; None where it is none."""
    found = (product.bands(folder) for product in FOLDERS)
    return next((bands for bands in found if bands is not None), None)
