"""Products that lie on disk as a folder: rows by maker, and what is common to them.

Each is a function of ``FOLDERS`` that lists the bands of a folder, or gives
None where the folder is no such product. The first that knows it wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import rasterio

from crosslook.errors import InputError
from crosslook.geo.products import snap
from crosslook.geo.products.bands import POLARISATIONS, VISIBLE, Part, Product, band_name
from crosslook.geo.products.listing import Archive, Listing, is_no_imagery

_TOKEN = re.compile(r"(?:^|(?<=[_.-]))(vv|vh|hh|hv)(?=[_.-])", re.IGNORECASE)
_OPERA = re.compile(r"^(OPERA_L2_RTC-S1_.+)_(VV|VH|HH|HV)\.tif$", re.IGNORECASE)
_LAYOVER_AND_SHADOW = ((1, 255),)
"""Of OPERA's masks: 0 is neither, 1 shadow, 2 layover, 3 both, 255 outside."""


def opera(listing: Listing) -> Product | None:
    """RTC-S1: a burst's polarisations as linear power, and the mask of layover and shadow."""
    bursts: dict[str, dict[str, str]] = {}
    for name in listing.find("OPERA_L2_RTC-S1_*.tif"):
        if match := _OPERA.match(name):
            bursts.setdefault(match[1], {})[match[2].lower()] = name
    if not bursts:
        return None
    mask_names = {name.lower(): name for name in listing.find("OPERA_L2_RTC-S1_*_mask.tif")}
    bands: dict[str, Part] = {}
    for burst, files in bursts.items():
        place = burst.split("_")[3].lower()  # track, burst and subswath, as t069-147170-iw1
        mask = mask_names.get(f"{burst}_mask.tif".lower())
        for polarisation in sorted(files, key=POLARISATIONS.index):
            name = polarisation if len(bursts) == 1 else f"{place}_{polarisation}"
            file = listing.at(files[polarisation])
            masked = Part(file, mask=listing.at(mask), masked=_LAYOVER_AND_SHADOW) if mask else None
            bands.setdefault(name, masked or Part(file))
    left = listing.find("*_BROWSE*.png", "*.h5")
    wanting = "each burst is an image of its own: name one, or its file" if len(bursts) > 1 else ""
    return Product(bands, left_out=tuple(left), radar=True, scale="power", wanting=wanting)


def opera_file(path: Path) -> Product | None:
    """One file of RTC-S1, with the mask that lies beside it."""
    match = _OPERA.match(path.name)
    if match is None or not (mask := path.with_name(f"{match[1]}_mask.tif")).is_file():
        return None
    part = Part(str(path), mask=str(mask), masked=_LAYOVER_AND_SHADOW)
    return Product({match[2].lower(): part}, radar=True, scale="power")


def named_by_polarisation(listing: Listing) -> Product | None:
    """Two or more files whose names differ by the polarisation alone."""
    product = polarised_files(listing, "*.tif", "*.tiff", "*.img", "*.jp2")
    return product if product and len(product.bands) > 1 else None


def polarised_files(listing: Listing, *patterns: str) -> Product | None:
    """One or more files whose names differ by the polarisation alone; None where others do too."""
    every = listing.find(*patterns)
    groups: dict[str, dict[str, str]] = {}
    for name in every:
        found = list(_TOKEN.finditer(name))
        if len(found) == 1 and not is_no_imagery(name):
            rest = name[: found[0].start()] + "*" + name[found[0].end() :]
            groups.setdefault(rest.lower(), {})[found[0][1].lower()] = name
    if len(groups) != 1:
        return None
    ((rest, files),) = groups.items()
    start = rest.partition("*")[0]
    others = [n for n in every if n not in files.values() and not is_no_imagery(n)]
    if any(not start or not name.lower().startswith(start) for name in others):
        return None
    ordered = {n: Part(listing.at(files[n])) for n in POLARISATIONS if n in files}
    left = tuple(name for name in every if name not in files.values())
    return Product(ordered, left_out=left, radar=True)


_BAND = re.compile(r"(?:^|[_.-])(?:SR_|ST_)?B(\d{1,2}A?)(?:_\d+m)?\.(?:tiff?|jp2)$", re.IGNORECASE)
_LANDSAT = re.compile(r"^L[COTEM]\d\d_", re.IGNORECASE)


def numbered_bands(listing: Listing) -> Product | None:
    """Landsat, and any folder whose files are named by band, as ``..._B04.tif``."""
    return bands_by_number(listing, listing.find("*.tif", "*.tiff", "*.jp2"))


def bands_by_number(listing: Listing, names: Sequence[str]) -> Product | None:
    """Bands by the numbers in the names of files; of one band the first file."""
    bands: dict[str, str] = {}
    for name in names:
        if match := _BAND.search(name):
            bands.setdefault(band_name(match[1]), listing.at(name))
    if len(bands) < 2:
        return None
    files = [name.rpartition("/")[2] for name in names]
    landsat = next((name for name in files if _LANDSAT.match(name)), "")
    kind = "sentinel" if not landsat else "landsat" if landsat[2:4] in ("08", "09") else "tm"
    visible = [name for name in VISIBLE[kind] if name in bands]
    ordered = [*visible, *sorted(set(bands) - set(visible))]
    return Product.of({name: bands[name] for name in ordered})


_SENTINEL_1 = re.compile(
    r"^s1\w-(?P<swath>[a-z]+\d?)-[a-z]+-\w\w-.*?(?P<number>\d+)(?:-cog)?\.tiff?$", re.IGNORECASE
)
_POLARISED = re.compile(r"[-_](vv|vh|hh|hv)[-_.]", re.IGNORECASE)


def sentinel_1(listing: Listing) -> Product | None:
    """SAFE: one file per polarisation below ``measurement``, and per subswath where it is SLC."""
    names = listing.find("measurement/*.tif", "measurement/*.tiff")
    swaths = {name: _swath(name.rpartition("/")[2]) for name in names}
    several = len(set(swaths.values())) > 1
    found: dict[str, str] = {}
    for name in names:
        if match := _POLARISED.search(name.rpartition("/")[2]):
            band = match[1].lower()
            found.setdefault(f"{swaths[name]}_{band}" if several else band, listing.at(name))
    if not found:
        return None
    first = [name for name in POLARISATIONS if name in found]
    ordered = {n: Part(found[n]) for n in [*first, *sorted(set(found) - set(first))]}
    return Product(ordered, radar=True, wanting=_BURSTS if several else "")


def _swath(file: str) -> str:
    """The subswath in the name of a measurement, with its number in the wave mode; else empty."""
    if (match := _SENTINEL_1.match(file)) is None:
        return ""
    swath = match["swath"].lower()
    return f"{swath}_{match['number']}" if swath.startswith("wv") else swath


_BURSTS = (
    "its subswaths are images of their own, and the bursts of an SLC are not merged here: take the "
    "GRD or an RTC of the same pass"
)


def sentinel_2(listing: Listing) -> Product | None:
    """SAFE: L2A keeps its bands by resolution, finest first."""
    granules = sorted({n.rpartition("/")[0] for n in listing.find("GRANULE/*/IMG_DATA")})
    if not granules:
        return None
    at = f"{granules[0]}/IMG_DATA"
    places = (at, *(f"{at}/R{metres}m" for metres in (10, 20, 60)))
    return bands_by_number(listing, [n for place in places for n in listing.find(f"{place}/*")])


def biomass(listing: Listing) -> Product | None:
    """Level 1: four polarisations of amplitude in one file, their phase in another."""
    amplitude = listing.find("measurement/*_i_abs.tif*")
    if not amplitude:
        return None
    numbers = {"vv": 4, "vh": 3, "hh": 1, "hv": 2}
    bands = {name: Part(listing.at(amplitude[0]), number) for name, number in numbers.items()}
    phase = listing.find("measurement/*_i_phase.tif*")
    left = tuple(name.rpartition("/")[2] for name in phase)
    return Product(bands, left_out=left, radar=True, scale="amplitude")


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
    if "umbra" not in "/".join([listing.name, *listing.find("*_METADATA.json")]).lower():
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
    images = [name for name in listing.find("IMG-*") if _is_ceos(name)]
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


def single_file(path: Path) -> Product | None:
    """Say of single files that cannot be read what to give instead; None for others."""
    if path.suffix.lower() == ".cphd":
        raise InputError(_phase_history(path.name))
    return alos_ceos(Listing(str(path.parent))) if _is_ceos(path.name) else None


def _is_ceos(name: str) -> bool:
    ending = name.lower().endswith((".tif", ".tiff", ".jpg"))
    return bool(re.match(r"IMG-[HV]{2}-AL", name, re.IGNORECASE)) and not ending


def _check_alos(name: str) -> None:
    has = tuple(int(n) for n in rasterio.__gdal_version__.split(".")[:2])
    if re.search(r"ALOS[24]", name, re.IGNORECASE) and has < _READS_ALOS_2:
        raise InputError(
            f"'{name}' is of ALOS-2 or ALOS-4 in CEOS format, which GDAL "
            f"{rasterio.__gdal_version__} of this rasterio does not place (GDAL 3.13 does). Order "
            "the product as GeoTIFF, or write one with SNAP (Range-Doppler Terrain Correction)."
        )


FOLDERS: tuple[Callable[[Listing], Product | None], ...] = (
    sentinel_1, sentinel_2, biomass, snap.data_folder, radarsat_2, terrasar_x, alos_ceos, umbra,
    capella, iceye, opera, named_by_polarisation, numbered_bands,
)  # fmt: skip
_BY_A_FILE = (radarsat_2, terrasar_x)
"""Not read in an archive: a file inside names the rasters, and could name others."""


def folder_product(folder: Path) -> Product | None:
    """List the bands of a product's folder; None where it is none."""
    listing = Listing(str(folder))
    return next(filter(None, (bands(listing) for bands in FOLDERS)), None)


def archive_product(path: Path) -> Product | None:
    """List the bands of a product in a zip archive, which is not unpacked; None for others.

    Raises
    ------
    InputError
        If the archive is damaged, or holds something else under the names of images.
    """
    archive: Archive | None = Archive(path)
    while archive is not None:
        found = (bands(archive) for bands in FOLDERS if bands not in _BY_A_FILE)
        if product := next(filter(None, found), None) or _only_image(archive):
            for part in product.bands.values():
                for file in filter(None, (part.file, part.mask)):
                    archive.check(file)
            return product
        archive = archive.inner()
    return None


def _only_image(archive: Archive) -> Product | None:
    """The one raster of an archive that holds no product."""
    names = [n for n in archive.find("*.tif", "*.tiff", "*.jp2") if not is_no_imagery(n)]
    return Product.of({"image": archive.at(names[0])}) if len(names) == 1 else None


_ENTRIES = ("manifest.safe", "mtd_msil1c.xml", "mtd_msil2a.xml", "product.xml", "summary.txt")


def entry_product(path: Path) -> Product | None:
    """List the bands of the product that a file belongs to; None where it is an ordinary one.

    Such are SNAP's ``.dim``, a zip archive, a manifest, a volume of CEOS, and
    images whose mask lies beside them.
    """
    name = path.name.lower()
    if not path.is_file():
        return None
    if name.endswith(".dim"):
        return snap.dim(path)
    if name.endswith(".zip"):
        return archive_product(path)
    if name in _ENTRIES or name.startswith("vol-"):
        return folder_product(path.parent)
    return opera_file(path) or single_file(path)
