"""Products of SNAP (BEAM-DIMAP): a ``.dim`` that describes, a ``.data`` folder of ENVI images."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from crosslook.errors import InputError
from crosslook.geo.products.bands import POLARISATIONS, VISIBLE, Part, Product, band_name
from crosslook.geo.products.listing import Listing, is_no_imagery
from crosslook.geo.products.vrt import quiet

_QUANTITIES = ("gamma0", "sigma0", "beta0", "intensity", "amplitude")
_NAMED = re.compile(
    rf"^({'|'.join(_QUANTITIES)})_(?:\w+?_)??(vv|vh|hh|hv)((?:_.*)?)$", re.IGNORECASE
)
_BESIDE = re.compile(r"incidence|elevation|mask|shadow|latitude|longitude|coh_", re.IGNORECASE)
_MOST_TEXT = 64 << 20
_MOST_POINTS = 10_000
_STEPS = ("OFFSET_X", "OFFSET_Y", "STEP_X", "STEP_Y")


def dim(path: Path) -> Product:
    """The bands of a product by its ``.dim``.

    Raises
    ------
    InputError
        If its ``.data`` folder is not beside it, or holds no bands.
    """
    folder = path.with_suffix(".data")
    if not folder.is_dir():
        raise InputError(
            f"'{path.name}' is the description of a SNAP product, whose images lie in "
            f"{folder.name} beside it; that folder is missing. Keep both together."
        )
    product = data_folder(Listing(str(folder)))
    if product is None:
        raise InputError(f"'{folder.name}' beside {path.name} holds no .img: no product of SNAP.")
    return product


def data_folder(listing: Listing) -> Product | None:
    """The bands of a ``.data`` folder; gamma naught before sigma naught, linear before decibels."""
    if not listing.name.lower().endswith(".data"):
        return None
    files = {name[:-4]: name for name in listing.find("*.img")}
    if not files:
        return None
    described = _description(listing)
    unused = _unused_numbers(described)
    bands = {n: Part(listing.at(f), nodata=unused.get(n)) for n, f in files.items()}
    imagery = {n: p for n, p in bands.items() if not (is_no_imagery(n) or _BESIDE.search(n))}
    left = tuple(files[name] for name in bands if name not in imagery)
    imagery |= _complex(imagery)
    radar = _radar(list(imagery))
    numbered = {band_name(n[1:]): n for n in imagery if re.fullmatch(r"B\d{1,2}A?", n)}
    visible = tuple(numbered[name] for name in VISIBLE["sentinel"] if name in numbered)
    default = tuple(radar.values()) or (visible if len(visible) == 3 else ())
    aliases = {number.lower(): name for number, name in numbered.items()}
    amplitude = any(name.lower().startswith("amplitude") for name in default)
    first = {name: imagery[name] for name in default}
    return Product(
        first | imagery,
        default,
        aliases | radar,
        left,
        radar=bool(radar),
        scale="amplitude" if amplitude else "",
        points=_tie_points(listing, described),
    )


def _radar(names: list[str]) -> dict[str, str]:
    """Of each polarisation the band taken by default: two at most."""
    best: dict[str, tuple[tuple[int, int, str], str]] = {}
    for name in names:
        if match := _NAMED.match(name):
            decibels = "_db" in match[3].lower()
            rank = (_QUANTITIES.index(match[1].lower()), int(decibels), name)
            polarisation = match[2].lower()
            best[polarisation] = min(best.get(polarisation, (rank, name)), (rank, name))
    quantities = {key: rank[:2] for key, (rank, _) in best.items()}
    finest = min(quantities.values(), default=(0, 0))
    alike = [p for p in POLARISATIONS if p in best and quantities[p] == finest]
    return {p: best[p][1] for p in alike[:2]}


def _complex(bands: dict[str, Part]) -> dict[str, Part]:
    """Intensities that SNAP computes on demand, of the pairs ``i_VV`` and ``q_VV``."""
    return {
        f"Amplitude_{name[2:]}": Part(part.file, imaginary=bands[f"q_{name[2:]}"].file)
        for name, part in bands.items()
        if name.startswith("i_")
        and f"q_{name[2:]}" in bands
        and not any(f"{q}_{name[2:]}".lower() in map(str.lower, bands) for q in _QUANTITIES)
    }


def _description(listing: Listing) -> Element:
    """The ``.dim`` beside the folder; an empty one where that is not there or damaged."""
    path = Path(listing.root).with_suffix(".dim")
    with suppress(OSError, ParseError):
        if path.stat().st_size <= _MOST_TEXT:
            return fromstring(path.read_bytes())
    return Element("nothing")


def _unused_numbers(root: Element) -> dict[str, float]:
    """What each band stores for no data."""
    out = {}
    for band in root.iter("Spectral_Band_Info"):
        if _text(band, "NO_DATA_VALUE_USED") == "true":
            with suppress(ValueError):
                out[_text(band, "BAND_NAME")] = float(_text(band, "NO_DATA_VALUE"))
    return out


def _tie_points(listing: Listing, root: Element) -> tuple[tuple[float, float, float, float], ...]:
    """The grids of longitude and latitude of a product without map, as rows, columns and degrees.

    SNAP counts pixels from the corner of the first, as GDAL does.
    """
    grids = {_text(one, "TIE_POINT_GRID_NAME"): one for one in root.iter("Tie_Point_Grid_Info")}
    if not {"latitude", "longitude"} <= set(grids):
        return ()
    try:
        steps = [float(_text(grids["latitude"], name)) for name in _STEPS]
        with quiet():
            lat, lon = (_grid(listing, name) for name in ("latitude", "longitude"))
    except (ValueError, RasterioError):
        return ()
    if lat.shape != lon.shape or lat.size > _MOST_POINTS:
        return ()
    left, top, across, down = steps
    return tuple(
        (top + row * down, left + col * across, float(lon[row, col]), float(lat[row, col]))
        for row, col in np.ndindex(*lat.shape)
        if np.isfinite(lon[row, col]) and np.isfinite(lat[row, col])
    )


def _grid(listing: Listing, name: str) -> NDArray[np.float32]:
    with rasterio.open(listing.at(f"tie_point_grids/{name}.img")) as file:
        if file.width * file.height > _MOST_POINTS:
            raise ValueError(name)
        values: NDArray[np.float32] = file.read(1)
    return values


def _text(parent: Element, name: str) -> str:
    return (parent.findtext(name) or "").strip()
