"""What the basemaps given to an atlas name, and which of their files are imagery.

Files, folders and what lies below, products and tiles are named. A folder of
basemaps also holds heights, masks, quality bands and browse images. They are
known by what they hold: few different values (masks, classes), or one band of
floats, of signed numbers, or as smooth as heights and haze, where other files
show the same ground without any of this. A name that says so (``dem.tif``,
``..._udm2.tif``) counts too, where the content does not contradict it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from crosslook.errors import InputError
from crosslook.geo.grid import mean_metres
from crosslook.geo.image import ImageFile
from crosslook.geo.products.listing import SUFFIXES
from crosslook.geo.products.resolve import images_below, product_bands
from crosslook.geo.products.stac import stac_items
from crosslook.geo.raster import RasterFile
from crosslook.geo.tile_pyramid import Tiling, is_tile_address, tile_address, tile_folder
from crosslook.storage import Place, as_place, is_remote, reaching
from crosslook.types import Window

Bounds = tuple[float, float, float, float]

_HEIGHTS = re.compile(
    r"d[estgh]m|chm|ndsm|mn[tsh]|srtm|gdem|nasadem|copdem|elevations?|heights?|altitude"
    r"|bathymetry|slope|aspect|hillshade"
)
_QUALITY = re.compile(
    r"masks?|msk|(data|cloud|f)mask|clouds?|cld(prb|msk)?|cl[mp]|udm|q[ac]|quality|scl|shadows?"
    r"|snow(prb)?|class(es|ification)?|landcover|landuse|labels?|confidence|radsat|ao[td]|wvp"
    r"|nd[vw]i|evi|lst"
)
_BROWSE = re.compile(r"browse|previews?|thumb(nail)?s?|quicklooks?|ql|pvi")
_FEW_VALUES = 64  # different pixels of a mask or of classes, at most
_SMOOTH = 0.004  # second difference between neighbours over the range; images of detail have 0.02
_ROUNDING = 0.35  # mean second difference of a slope that is rounded to whole numbers
_SHARED = 0.5  # of the smaller one of two files, where they show the same ground
_COARSER = 1.5  # pixels of a browse image are so many times as large
_SITE = 128  # side of the places where smoothness is measured


@dataclass(frozen=True, eq=False)
class Candidate:
    """A file that may be imagery.

    Attributes
    ----------
    image : ImageFile
    bounds : (left, bottom, right, top) in one CRS for all candidates.
    path : str
        Below the folder that was given; a file's name alone otherwise.
    """

    image: ImageFile
    bounds: Bounds
    path: str

    @cached_property
    def metres(self) -> float:
        """Ground length of a pixel side at the centre."""
        return ground_metres(self.image)

    @cached_property
    def doubt(self) -> str:
        """Why it looks like no image by itself; empty where it does not."""
        count, values = self.image.header.bands, _different(self.image)
        if not values:  # all is nodata: it hides nothing
            return ""
        if count == 1 and _says(self.path, _HEIGHTS):
            return "heights by its name, with one band"
        if _says(self.path, _QUALITY) and (count == 1 or values <= _FEW_VALUES):
            return "a mask or quality layer by its name and bands"
        if values <= _FEW_VALUES:
            content = "one value" if values == 1 else f"{values} different values"
            return f"holds {content}, as masks and classes do"
        if count == 1 and _roughness(self.image) < _SMOOTH:
            return "one band as smooth as heights or haze are"
        return ""

    @cached_property
    def named(self) -> bool:
        """Whether its name alone says that it is no image."""
        return _says(self.path, _HEIGHTS) or _says(self.path, _QUALITY)

    def shows(self, other: Candidate) -> bool:
        """Whether both show the same ground: most of the smaller one."""
        low, high = np.reshape([self.bounds, other.bounds], (2, 2, 2)).swapaxes(0, 1)
        common = np.maximum(high.min(axis=0) - low.max(axis=0), 0.0).prod()
        return bool(common > 0 and common >= _SHARED * (high - low).prod(axis=1).min())


def not_imagery(candidates: Sequence[Candidate]) -> dict[int, str]:
    """Say which of several files are no imagery, by their number, and why.

    A file is left out only where others remain that look like imagery: one by
    itself, or a set of one kind, is always taken for the imagery.
    """
    if len(candidates) < 2:
        return {}
    sure = [one for one in candidates if not one.doubt]
    out: dict[int, str] = {}
    for number, one in enumerate(candidates):
        beside = [other for other in sure if other is not one and one.shows(other)]
        if one.doubt and sure and (beside or one.named):
            out[number] = one.doubt
        elif reason := _compared(one, beside):
            out[number] = reason
    return out if len(out) < len(candidates) else {}


def ground_metres(image: ImageFile) -> float:
    """Ground length of a pixel side at the centre of an image."""
    return mean_metres(image.grid, np.array([image.shape]) / 2)


def _compared(one: Candidate, beside: Sequence[Candidate]) -> str:
    """Why a file that could be imagery is none beside others of the same ground."""
    head = one.image.header
    colours = [other for other in beside if other.image.header.bands >= 3]
    if head.bands == 1 and colours and not head.dtype.startswith("uint"):
        other = colours[0].image.header
        return (
            f"one band of {head.dtype} beside {other.bands} bands of {other.dtype} "
            f"('{other.name}'): heights or an index"
        )
    finer = [other for other in beside if one.metres >= _COARSER * other.metres]
    if _says(one.path, _BROWSE) and finer:
        return f"a browse image by its name, coarser than '{finer[0].image.name}'"
    return ""


def _says(path: str, kind: re.Pattern[str]) -> bool:
    """Whether a word of a path is of a kind: ``T11_UDM2_clip.tif`` has T, UDM and clip."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"\.[A-Za-z0-9]+$", "", path))
    return any(kind.fullmatch(word.lower()) for word in re.findall(r"[A-Za-z]+", parted))


def _different(image: ImageFile) -> int:
    """How many different pixels a sample holds, over all bands in use."""
    sample = image.survey.sample
    return len(np.unique(sample.T, axis=0)) if sample.shape[1] else 0


def _roughness(image: ImageFile) -> float:
    """Size of second differences between neighbours over the range, the median of five places."""
    found = []
    is_whole = np.issubdtype(np.dtype(image.header.dtype), np.integer)
    # A slope of whole numbers is a flight of stairs.
    rounded = _ROUNDING * abs(image.header.scales[0]) if is_whole else 0.0
    for down, right in ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
        height, width = image.shape
        rows, cols = min(_SITE, height), min(_SITE, width)
        at = Window(int((height - rows) * down), int((width - cols) * right), rows, cols)
        values = image.source.read(at, image.bands[:1])[0]
        curvature = values[1:-1, 1:-1] - 0.25 * (
            values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
        )
        curvature, seen = curvature[np.isfinite(curvature)], values[np.isfinite(values)]
        if curvature.size and np.ptp(seen) > 0:
            low, high = np.percentile(seen, [2, 98])
            rough = max(0.0, float(np.mean(np.abs(curvature))) - rounded)
            found.append(rough / max(float(high - low), 1e-12))
    return float(np.median(found)) if found else np.inf


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
        at = as_place(place)
        if is_tile_address(place):
            basemaps.append(tile_address(str(place), tiles))
        elif (items := stac_items(at)) is not None:
            basemaps += items
        elif isinstance(at, str) or product_bands(at) is not None:
            basemaps.append(at)
        else:
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
    entries = sorted(folder.iterdir(), key=str)
    entries = [p for p in entries if p.name[:1] != "." and p.name.lower() != "__macosx"]
    taken = [] if remote else images_below(folder)
    known = {str(place) for place in taken}
    loose = [p for p in entries if p.suffix.lower() in SUFFIXES and str(p) not in known]
    found: list[Place | RasterFile] = [*taken, *(p for p in loose if p.is_file())]
    for path in entries:
        pixels = path.suffix == ".data" and path.with_suffix(".dim").exists()  # of SNAP
        if path.is_dir() and str(path) not in known and not pixels:
            found += _below(path, tiling, seen)
    return found
