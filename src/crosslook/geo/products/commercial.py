"""Products of the makers of commercial SAR, and of JAXA, as they lie in their open data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import rasterio

from crosslook.errors import InputError
from crosslook.geo.products.bands import Part, Product
from crosslook.geo.products.listing import Listing
from crosslook.geo.products.polarised import polarised_files

_UMBRA = re.compile(r"_(GEC|SIDD|SICD|CPHD)\.(?:tiff?|nitf|ntf|cphd)$", re.IGNORECASE)
_CAPELLA = re.compile(
    r"^CAPELLA_C\d\d_\w\w_(GEO|GEC|SLC|SICD|SIDD|CPHD|CSI)_\w\w_\d{14}_\d{14}\.(?:tiff?|ntf|cphd)$",
    re.IGNORECASE,
)
_ICEYE = re.compile(
    r"^ICEYE_.*?(?<![A-Z])(ORTHO|GRD|AMP|CSI|SLC|CPX|CPHD|SICD)(?![A-Z]).*"
    r"\.(?:tiff?|h5|ntf|nitf|cphd)$",
    re.IGNORECASE,
)
_BROWSE = re.compile(r"preview|quick-?look|thumb", re.IGNORECASE)
_POLE = re.compile(rb"<fullResolutionImageData\s[^>]*?pole=\"(\w\w)\"")
_LAYER = re.compile(rb"<polLayer>\s*(\w\w)\s*</polLayer>")
_READS_ALOS_2 = (3, 13)  # GDAL, with the place


def umbra(listing: Listing) -> Product | None:
    """One image as GEC, SIDD and SICD: the first of these that is there."""
    if not any(
        "umbra" in name.lower() for name in [listing.name, *listing.find("*_METADATA.json")]
    ):
        return None
    return _by_kind(listing, _UMBRA, ("gec", "sidd", "sicd"))


def capella(listing: Listing) -> Product | None:
    """GEO and GEC lie on a map, SLC and SICD in the slant plane."""
    return _by_kind(listing, _CAPELLA, ("geo", "gec", "sidd", "slc", "sicd", "csi"))


def iceye(listing: Listing) -> Product | None:
    """GRD and AMP are placed by control points and polynomials; SLC lies in the slant plane."""
    return _by_kind(listing, _ICEYE, ("ortho", "grd", "amp", "csi", "sicd", "slc", "cpx"))


def _by_kind(listing: Listing, names: re.Pattern[str], order: Sequence[str]) -> Product | None:
    """One acquisition as files of several kinds: the first in ``order`` is taken."""
    found: dict[str, list[str]] = {}
    for name in listing.find("*.*"):
        match = names.search(name)
        if match and not _BROWSE.search(name):
            found.setdefault(match[1].lower(), []).append(name)
    kinds = [kind for kind in order if kind in found]
    if not kinds:
        if "cphd" not in found:
            return None
        raise InputError(_phase_history(found["cphd"][0]))
    if len(found[kinds[0]]) > 1:  # several acquisitions lie here
        return None
    bands = {kind: Part(listing.at(found[kind][0])) for kind in kinds}
    left = tuple(n for k, files in found.items() if k != kinds[0] for n in files)
    return Product(bands, default=(kinds[0],), left_out=left, radar=True)


def _phase_history(name: str) -> str:
    return (
        f"'{name}' is phase history (CPHD), no image yet. Give an image of the same acquisition: "
        "GEC, GEO, SIDD or SICD."
    )


def radarsat_2(listing: Listing) -> Product | None:
    """RADARSAT-2 by GDAL's driver, which places it by tie points; RCM by its GeoTIFFs."""
    if listing.find("product.xml") and listing.find("imagery_*.tif"):
        poles = [pole.decode().lower() for pole in _POLE.findall(listing.read("product.xml"))]
        bands = {p: Part(listing.at("product.xml"), n) for n, p in enumerate(poles, 1)}
        return Product(bands, radar=True) if bands else None
    if listing.find("metadata/product.xml"):
        return polarised_files(listing, "imagery/*.tif")
    return None


def terrasar_x(listing: Listing) -> Product | None:
    """TerraSAR-X, TanDEM-X and PAZ by GDAL's driver, which opens the file of annotations."""
    main = listing.find("T?X1_SAR__*.xml", "PAZ1_SAR__*.xml")
    if not main or not listing.find("IMAGEDATA/IMAGE_*"):
        return None
    layers = [layer.decode().lower() for layer in _LAYER.findall(listing.read(main[0]))]
    bands = {name: Part(listing.at(main[0]), n) for n, name in enumerate(dict.fromkeys(layers), 1)}
    return Product(bands, radar=True) if bands else None


def alos_ceos(listing: Listing) -> Product | None:
    """CEOS of ALOS: one file of image records a polarisation and a volume that names them."""
    images = [n for n in listing.find("IMG-*") if re.match(r"IMG-[HV]{2}-AL\w+", n, re.IGNORECASE)]
    images = [name for name in images if not name.lower().endswith((".tif", ".tiff", ".jpg"))]
    volume = listing.find("VOL-*")
    if not images:
        return None
    _check_alos(images[0])
    if not volume:
        raise InputError(
            f"'{listing.name}' has {images[0]} without its VOL- and LED- files. "
            "Keep all files of the product in one folder."
        )
    order = ("hh", "hv", "vh", "vv")  # as GDAL numbers them
    there = sorted({name[4:6].lower() for name in images}, key=order.index)
    return Product({p: Part(listing.at(volume[0]), n) for n, p in enumerate(there, 1)}, radar=True)


def one_file(path: Path) -> Product | None:
    """Say of single files that cannot be read what to give instead; None for others."""
    name = path.name
    if name.lower().endswith(".cphd"):
        raise InputError(_phase_history(name))
    if re.match(r"IMG-[HV]{2}-AL[^.]*(?:\.\d__\w)?$", name, re.IGNORECASE):
        return alos_ceos(Listing(str(path.parent)))
    return None


def _check_alos(name: str) -> None:
    has = tuple(int(n) for n in rasterio.__gdal_version__.split(".")[:2])
    if re.search(r"ALOS[24]", name, re.IGNORECASE) and has < _READS_ALOS_2:
        raise InputError(
            f"'{name}' is of ALOS-2 or ALOS-4 in CEOS format, which GDAL "
            f"{rasterio.__gdal_version__} of this rasterio does not place (GDAL 3.13 does). Order "
            "the product as GeoTIFF, or write one with SNAP (Range-Doppler Terrain Correction)."
        )
