"""STAC items and item collections: where they are read from, and which item is meant."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import Request, urlopen

from crosslook.errors import InputError
from crosslook.geo.explain import explain
from crosslook.geo.products.bands import Product
from crosslook.geo.products.stac_assets import Json, item_product, objects
from crosslook.geo.products.suffixes import SUFFIXES
from crosslook.storage import Place, as_path, is_gdal_name, is_remote, name_of, reaching

_ITEM = re.compile(r"#(\d+)\.json$")  # an item of a collection, as `stac_items` names it
_ENDINGS = (".json", ".geojson")
_WEB = ("http://", "https://")
_STORED = ("/vsicurl/", "/vsis3/", "/vsigs/", "/vsiaz/")
_MOST_JSON = 64 << 20
_PATIENCE = 60.0  # seconds
_KINDS = {
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
    if kind in _KINDS:
        raise InputError(f"{name_of(place)} is {_KINDS[kind]}. Give an item, or a search's result.")
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
    return _load_json(place, _changed(place))


def _changed(place: str) -> int:
    """Time of change of a local file, so that what is kept of it is not out of date."""
    try:
        return 0 if is_remote(place) else Path(place).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _load_json(place: str, changed: int) -> Json:
    try:
        with reaching(place):
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
        with as_path(place).open("rb") as file:
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
