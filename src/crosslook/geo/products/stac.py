"""STAC items and item collections: where they are read from, which item is meant, and its bands.

Versions 1.0 (``eo:bands``, ``raster:bands``) and 1.1 (``bands``, and fields at
the asset itself) are read both, whatever an item says of its version: libraries
relabel items without moving these fields.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import Request, urlopen

from crosslook.errors import InputError
from crosslook.geo.explain import explain
from crosslook.geo.products.bands import COLOURS, POLARISATIONS, Part, Product
from crosslook.geo.products.listing import SUFFIXES, changed
from crosslook.storage import Place, as_path, is_gdal_name, is_remote, name_of, reaching

Json = dict[str, Any]
_DISPLAYED = re.compile(
    r"^(visual|tci|true.?colou?r|overview|rendered|preview|browse)", re.IGNORECASE
)
_BESIDE = re.compile(
    r"thumbnail|mask|metadata|cloud|water|snow|saturation|angle|quality|incidence|browse",
    re.IGNORECASE,
)
_KINDS = ("tiff", "jp2", "netcdf", "hdf5", "png", "jpeg", "nitf")
_RENDERED = ("png", "jpeg")
_IN_KEY = re.compile(r"_(\d+)m$", re.IGNORECASE)


@dataclass(frozen=True)
class _Candidate:
    """A band, or a whole asset, and the names it answers to, the best first.

    ``rank`` is 0 for data, 1 for what is made for display, 2 for masks and the like.
    """

    rank: int
    metres: float
    names: tuple[str, ...]
    part: Part


def item_product(
    item: Json, name: str, located: Callable[[str], str], collection: Callable[[], Json]
) -> Product:
    """The bands of an item.

    Parameters
    ----------
    item : dict
        As loaded; anything may be wrong with it.
    name : str
        For messages.
    located : callable
        ``href`` of an asset to its place.
    collection : callable
        Gives the item's collection; asked only where the item does not describe its bands.

    Raises
    ------
    InputError
        If there is no raster among its assets.
    """
    assets = item.get("assets")
    if item.get("type") != "Feature" or not isinstance(assets, dict):
        raise InputError(f"{name} is no STAC item: it has no assets by name.")
    rasters = {key: asset for key, asset in assets.items() if _is_raster(asset)}
    if not rasters:
        bare = [k for k, a in assets.items() if not isinstance(a, dict) or not _href(a)]
        why = f" ('{bare[0]}' has no href)" if bare else ""
        raise InputError(f"{name} is no STAC item with raster assets{why}.")
    properties = _object(item.get("properties"))

    def candidates(more: Json) -> list[_Candidate]:
        described = {
            key: _bands_of(asset, properties, _of_collection(more, key))
            for key, asset in rasters.items()
        }
        return [
            one
            for key, asset in rasters.items()
            for one in _candidates(key, asset, described[key], properties, located)
        ]

    found = candidates({})
    known = {name for one in found for name in one.names}
    if not set(COLOURS) <= known and not known & set(POLARISATIONS):
        found = candidates(collection())
    return _product(found, _is_radar(properties, found))


def objects(value: Any) -> list[Json]:
    """The objects of a list; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _href(asset: Json) -> str:
    href = asset.get("href")
    return href if isinstance(href, str) else ""


def _is_raster(asset: Any) -> bool:
    if not isinstance(asset, dict) or not _href(asset):
        return False
    kind = str(asset.get("type") or "").lower()
    if any(one in kind for one in _RENDERED):
        return "data" in _roles(asset)
    if kind in ("", "application/octet-stream"):
        return _href(asset).partition("?")[0].lower().endswith(SUFFIXES)
    return any(one in kind for one in _KINDS)


def _roles(asset: Json) -> list[str]:
    roles = asset.get("roles")
    return [str(role).lower() for role in roles] if isinstance(roles, list) else []


def _bands_of(asset: Json, properties: Json, more: Json) -> list[Json]:
    """What is said of each band, joined over all places where it may be.

    The nearest wins: the asset's band, the asset, the band of this name in the
    item, then in the collection.
    """
    keys = ("bands", "eo:bands", "raster:bands")
    lists, again = ([_listed(at.get(k), properties) for k in keys] for at in (asset, more))
    count = max(map(len, lists)) or max(map(len, again))
    own = {k: v for k, v in asset.items() if k not in keys}
    known = {str(band.get("name")): band for band in _known(more, properties)}
    out = []
    for number in range(count):
        band: Json = {}
        for each in (*lists, *again):
            if number < len(each):
                band = {**each[number], **band}
        wider = known.get(str(band.get("name")), {})
        shared = _shared(own) if count == 1 else {}
        out.append({**wider, **{k: v for k, v in own.items() if k in _PER_BAND}, **shared, **band})
    return out or ([shared] if (shared := _shared(own)) else [])


_PER_BAND = (
    "raster:scale", "scale", "raster:offset", "offset", "nodata", "raster:nodata", "gsd",
    "raster:spatial_resolution", "spatial_resolution",
)  # fmt: skip
_TELLING = ("common_name", "eo:common_name")


def _shared(asset: Json) -> Json:
    """Fields of an asset that speak of its one band."""
    return {k: v for k, v in asset.items() if k in (*_PER_BAND, *_TELLING, "name")}


def _listed(value: Any, properties: Json) -> list[Json]:
    """Bands as objects; before 1.0 an asset gave their numbers in the list of the item."""
    if not isinstance(value, list):
        return []
    every = objects(properties.get("eo:bands"))
    if value and all(isinstance(one, int) and 0 <= one < len(every) for one in value):
        return [every[one] for one in value]
    return [_object(one) for one in value]


def _known(more: Json, properties: Json) -> list[Json]:
    """Bands that the collection and the item describe for all their assets, nearest last."""
    return [*objects(more.get("every")), *(b for k in _LISTS for b in objects(properties.get(k)))]


_LISTS = ("eo:bands", "bands")


def _of_collection(collection: Json, key: str) -> Json:
    """What a collection says of the asset of a key, and of all bands."""
    asset = _object(_object(collection.get("item_assets")).get(key))
    summaries = _object(collection.get("summaries"))
    every = [b for at in (summaries, collection) for k in _LISTS for b in objects(at.get(k))]
    return {**asset, "every": every}


def _candidates(
    key: str, asset: Json, bands: list[Json], properties: Json, located: Callable[[str], str]
) -> list[_Candidate]:
    file, rank = located(_href(asset)), _rank(key, asset)
    if rank or len(bands) <= 1:
        band = bands[0] if len(bands) == 1 else {}
        names = (*(() if rank else _names(band)), key.lower())
        part = _part(file, 0, band, properties) if len(bands) == 1 else Part(file)
        return [_Candidate(rank, _metres(key, asset, band, properties), names, part)]
    out = []
    for number, band in enumerate(bands, 1):
        names = _names(band) or (f"{key.lower()}_{number}",)
        part = _part(file, number, band, properties)
        out.append(_Candidate(0, _metres(key, asset, band, properties), names, part))
    whole = _Candidate(1, _metres(key, asset, {}, properties), (key.lower(),), Part(file))
    return [*out, whole]


def _rank(key: str, asset: Json) -> int:
    roles = _roles(asset)
    if any(_BESIDE.search(role) for role in roles) or _BESIDE.search(key):
        return 2
    shown = {"visual", "overview"} & set(roles) or _DISPLAYED.match(key)
    return 1 if shown and "data" not in roles else 0 if not _DISPLAYED.match(key) else 1


def _names(band: Json) -> tuple[str, ...]:
    """Common name, then the band's own; a polarisation is called by itself."""
    common = band.get("eo:common_name") or band.get("common_name")
    names = [n for n in (common, band.get("name")) if isinstance(n, str) and n]
    return tuple(n.lower() if n.lower() in (*POLARISATIONS, *COLOURS) else n for n in names)


def _metres(key: str, asset: Json, band: Json, properties: Json) -> float:
    """Pixel size by what is said nearest; infinite where nothing is."""
    for place in (band, asset):
        for field in ("gsd", "raster:spatial_resolution", "spatial_resolution"):
            if (size := _number(place.get(field))) is not None:
                return size
    if match := _IN_KEY.search(key):
        return float(match[1])
    transform = asset.get("proj:transform") or properties.get("proj:transform")
    if isinstance(transform, list) and transform and (size := _number(transform[0])):
        return abs(size)
    size = _number(properties.get("gsd"))
    return math.inf if size is None else size


def _part(file: str, number: int, band: Json, properties: Json) -> Part:
    def said(field: str) -> float | None:
        value = _number(band.get(f"raster:{field}"))
        return _number(band.get(field)) if value is None else value

    scale, offset = said("scale"), said("offset")
    if scale is not None and not (scale and math.isfinite(scale)):
        scale = None  # by which no pixel would be left
    if offset is not None and properties.get("earthsearch:boa_offset_applied") is True:
        offset = 0.0  # the pixels are corrected already, though the field is there
    if offset is not None and not math.isfinite(offset):
        offset = None
    return Part(file, number, "", scale, offset, said("nodata"))


def _number(value: Any) -> float | None:
    """A number, be it written as text as ``nan`` is in JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _is_radar(properties: Json, found: list[_Candidate]) -> bool:
    polarised = any(name in POLARISATIONS for one in found for name in one.names)
    return polarised or any(key.startswith("sar:") for key in properties)


def _product(found: list[_Candidate], radar: bool) -> Product:
    """Bands by their best names: data before display before masks, and finer before coarser."""
    bands: dict[str, Part] = {}
    aliases: dict[str, str] = {}
    kinds: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for one in sorted(found, key=lambda c: (c.rank, c.metres)):
        free = [name for name in one.names if name.lower() not in aliases]
        if free:
            bands[free[0]] = one.part
            kinds[one.rank].append(free[0])
            aliases |= {name.lower(): free[0] for name in free}
    default = _default(bands, kinds, radar)
    left = tuple(kinds[2]) if default and not set(default) & set(kinds[2]) else ()
    first = [name for name in (*COLOURS, *POLARISATIONS) if name in bands]
    ordered = {name: bands[name] for name in [*first, *sorted(set(bands) - set(first))]}
    return Product(ordered, default, aliases, left, radar=radar)


def _default(bands: dict[str, Part], kinds: dict[int, list[str]], radar: bool) -> tuple[str, ...]:
    """Red, green and blue; two polarisations; what is made for display; the one asset there is."""
    if set(COLOURS) <= set(bands):
        return COLOURS
    polarised = tuple(name for name in POLARISATIONS if name in bands)
    if polarised:
        return polarised[:2]
    files = {bands[name].file for name in kinds[0]}
    if len(files) <= 1:  # the one raster asset, as a whole, or what shows it
        whole = [n for n in (*kinds[1], *kinds[0]) if not bands[n].number]
        same = [n for n in whole if bands[n].file in files]
        return tuple((same or whole)[:1]) or tuple(kinds[2][:1])
    shown = [n for n in kinds[1] if not bands[n].number and bands[n].file not in files]
    return () if radar else tuple(shown[:1])


_ITEM = re.compile(r"#(\d+)\.json$")  # an item of a collection, as `stac_items` names it
_ENDINGS = (".json", ".geojson")
_WEB = ("http://", "https://")
_STORED = ("/vsicurl/", "/vsis3/", "/vsigs/", "/vsiaz/")
_MOST_JSON = 64 << 20
_PATIENCE = 60.0  # seconds
_NO_ITEMS = {
    "Collection": "a STAC collection, which describes items without holding any",
    "Catalog": "a STAC catalogue, which links to items",
}


def stac_items(place: Place) -> list[str] | None:
    """Places of the items of a STAC item collection; None for anything else.

    Raises
    ------
    InputError
        If it is JSON, but neither an item nor a collection of such.
    """
    if not is_json(str(place)) or _ITEM.search(str(place)):
        return None
    loaded = _load(str(place))
    if loaded.get("type") != "FeatureCollection":
        return None
    return [f"{place}#{number}.json" for number in range(len(_features(loaded, str(place))))]


def is_json(text: str) -> bool:
    """Whether a place is a JSON file, be it one of a signed address or an item of a collection.

    Web addresses without an ending, as those of a STAC API, are asked.
    """
    if is_gdal_name(text):
        return False
    if _ITEM.search(text) or _address(text).lower().endswith(_ENDINGS):
        return True
    return text.startswith(_WEB) and _may_be_an_api(text) and _answers_json(text)


def stac_product(place: str) -> Product:
    """Assets of a STAC item by band: common names where known, else the band's or asset's own.

    Raises
    ------
    InputError
        If the place cannot be read, or is no item with raster assets.
    """
    one = _ITEM.search(place)
    base = place[: one.start()] if one else place
    item = _load(base)
    if item.get("type") == "FeatureCollection":
        items = _features(item, base)
        if one is None and len(items) != 1:
            raise InputError(
                f"{name_of(place)} holds {len(items)} items; one image is "
                "needed here. Give one item, or build an atlas of all."
            )
        number = int(one[1]) if one else 0
        if number >= len(items):
            raise InputError(f"{name_of(place)} holds {len(items)} items, none of number {number}.")
        item = items[number]
    kind = str(item.get("type"))
    if kind in _NO_ITEMS:
        raise InputError(
            f"{name_of(place)} is {_NO_ITEMS[kind]}. Give an item, or a search's result."
        )
    return item_product(
        item, name_of(place), lambda href: _located(href, base), lambda: _collection(item, base)
    )


def _features(loaded: Json, place: str) -> list[Json]:
    features = objects(loaded.get("features"))
    if not features:
        raise InputError(f"{name_of(place)} is a collection without any item.")
    return features


def _collection(item: Json, base: str) -> Json:
    """The collection that an item links to; empty where it has none or that cannot be read."""
    links = [link for link in objects(item.get("links")) if link.get("rel") == "collection"]
    href = links[0].get("href") if links else None
    if not isinstance(href, str):
        return {}
    try:
        loaded = _load(_located(href, base))
    except InputError:
        return {}
    return loaded if loaded.get("type") == "Collection" else {}


def _address(text: str) -> str:
    """A web address without the query that signs it; anything else as it is."""
    return text.partition("?")[0] if is_remote(text) else text


def _may_be_an_api(text: str) -> bool:
    """Whether an address has neither an image's ending nor places for the numbers of a tile."""
    last = _address(text).rstrip("/").rpartition("/")[2].lower()
    return not last.endswith((*SUFFIXES, ".zarr", ".zip")) and "{" not in text


def _located(href: str, base: str) -> str:
    """Where an asset lies; one of an item on the web is no file of this machine.

    Raises
    ------
    InputError
        If it is.
    """
    if href.startswith(_STORED) or (is_remote(href) and not href.startswith("file:")):
        return href
    if is_remote(base):
        there = urljoin(base, href) if base.startswith(_WEB) else _joined(base, href)
        if not is_remote(there) or there.startswith("file:"):
            raise InputError(f"{name_of(base)} names a file of this machine, '{href[:80]}'.")
        return there
    if href.startswith("file:"):
        return unquote(urlsplit(href).path)
    if is_gdal_name(href) and not href.lstrip().startswith("<"):
        return href
    return str((Path(base).parent / href).resolve())


def _joined(base: str, href: str) -> str:
    """A name relative to an object of a store, whose scheme `urljoin` does not know."""
    scheme, _, rest = base.partition("://")
    return f"{scheme}://" + urljoin(f"http://{rest}", href).removeprefix("http://")


def _load(place: str) -> Json:
    return _load_json(place, changed(place))


@lru_cache(maxsize=64)
def _load_json(place: str, _: int) -> Json:
    try:
        loaded: Any = json.loads(_bytes_of(place))
    except OSError as error:
        raise InputError(f"{_address(place)} {explain(error)}.") from error
    except (ValueError, HTTPException) as error:
        raise InputError(f"{_address(place)} is not JSON: {error}.") from error
    except RecursionError:
        raise InputError(f"{_address(place)} is nested too deeply for a STAC item.") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("type"), str):
        raise InputError(f"{_address(place)} is no STAC item or item collection.")
    return loaded


def _bytes_of(place: str) -> bytes:
    """All of a small file; web addresses by the standard library, so that no extra is needed."""
    if place.startswith(_WEB):
        with _asked(place) as answer:
            data: bytes = answer.read(_MOST_JSON + 1)
    else:
        with reaching(place), as_path(place).open("rb") as file:
            data = file.read(_MOST_JSON + 1)
    if len(data) > _MOST_JSON:
        raise InputError(f"{_address(place)} is over {_MOST_JSON >> 20} MiB: no STAC item.")
    return data


def _asked(address: str) -> Any:
    accepted = {"Accept": "application/geo+json, application/json, */*"}
    return urlopen(Request(address, headers=accepted), timeout=_PATIENCE)


@lru_cache(maxsize=256)
def _answers_json(address: str) -> bool:
    """Whether a web address answers with an object of JSON; what refuses is left to GDAL to say."""
    try:
        with _asked(address) as answer:
            start: bytes = answer.read(64)
    except (OSError, HTTPException, ValueError):
        return False
    return start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
