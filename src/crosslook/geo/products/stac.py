"""STAC items and item collections: the rasters among their assets, by band."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import urlopen

from crosslook.errors import InputError
from crosslook.geo.products.bands import COLOURS, POLARISATIONS
from crosslook.geo.products.suffixes import SUFFIXES
from crosslook.storage import Place, as_path, is_gdal_name, is_remote, name_of, reaching

_ITEM = re.compile(r"#(\d+)\.json$")  # an item of a collection, as `stac_items` names it
_MOST_JSON = 64 << 20
_PATIENCE = 60.0  # seconds


def stac_items(place: Place) -> list[str] | None:
    """Places of the items of a STAC item collection; None for anything else."""
    if not is_json(str(place)):
        return None
    loaded = _load_json(str(place))
    if loaded.get("type") != "FeatureCollection":
        return None
    return [f"{place}#{number}.json" for number in range(len(loaded.get("features", [])))]


def is_json(text: str) -> bool:
    """Whether a place is a JSON file, be it one of a signed address or an item of a collection."""
    return _address(text).lower().endswith(".json") or bool(_ITEM.search(text))


def _address(text: str) -> str:
    """A web address without the query that signs it; anything else as it is."""
    return text.partition("?")[0] if is_remote(text) else text


def stac_bands(place: str) -> dict[str, str]:
    """Assets of a STAC item by band: common names where known, else the asset's key."""
    one = _ITEM.search(place)
    base = place[: one.start()] if one else place
    item = _load_json(base)
    if one:
        item = item["features"][int(one[1])]
    elif item.get("type") == "FeatureCollection":
        if len(item.get("features", [])) != 1:
            raise InputError(
                f"{name_of(place)} holds {len(item.get('features', []))} items; one image is "
                "needed here. Give one item, or build an atlas of all."
            )
        item = item["features"][0]
    bands: dict[str, str] = {}
    for key, asset in item.get("assets", {}).items():
        href = _located(str(asset.get("href", "")), base)
        described = asset.get("bands") or asset.get("eo:bands") or [{}]
        common = described[0].get("common_name") or described[0].get("eo:common_name")
        if not _is_raster(asset, href):
            continue
        if len(described) == 1 and common in COLOURS:
            bands.setdefault(common, href)
        bands.setdefault(key.lower(), href)
    if not bands:
        raise InputError(f"{name_of(place)} is no STAC item with raster assets.")
    if "visual" in bands and not set(COLOURS) <= set(bands):
        return {"visual": bands["visual"]}
    first = [name for name in (*COLOURS, *POLARISATIONS) if name in bands]
    return {name: bands[name] for name in [*first, *sorted(set(bands) - set(first))]}


def _is_raster(asset: Mapping[str, Any], href: str) -> bool:
    kind = str(asset.get("type", ""))
    ending = href.split("?")[0].lower().endswith(SUFFIXES)
    return "tiff" in kind or "jp2" in kind or (not kind and ending)


def _located(href: str, base: str) -> str:
    if is_remote(href) or is_gdal_name(href) or Path(href).is_absolute():
        return href
    if is_remote(base):
        return urljoin(base, href)
    return str((Path(base).parent / href).resolve())


@lru_cache(maxsize=64)
def _load_json(place: str) -> dict[str, Any]:
    try:
        with reaching(place):
            loaded = json.loads(_bytes_of(place))
    except OSError as error:
        raise InputError(f"cannot read {_address(place)}: {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(f"{_address(place)} is not JSON: {error}.") from error
    if not isinstance(loaded, dict) or "type" not in loaded:
        raise InputError(f"{_address(place)} is no STAC item or item collection.")
    return loaded


def _bytes_of(place: str) -> bytes:
    """All of a small file; web addresses by the standard library, so that no extra is needed."""
    if not place.startswith(("http://", "https://")):
        return as_path(place).read_bytes()
    with urlopen(place, timeout=_PATIENCE) as answer:
        data: bytes = answer.read(_MOST_JSON + 1)
    if len(data) > _MOST_JSON:
        raise InputError(f"{_address(place)} is over {_MOST_JSON >> 20} MiB: no STAC item.")
    return data
