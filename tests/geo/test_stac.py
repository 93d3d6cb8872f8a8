"""STAC items as catalogues publish them: names of bands, versions, scales, damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.errors import CrosslookError, InputError
from crosslook.geo.basemaps import find_basemaps
from crosslook.geo.image import Reading, open_image
from crosslook.geo.mosaic import plan_mosaic
from crosslook.geo.products.resolve import product_at
from crosslook.geo.raster import RasterFile
from crosslook.options import ReadingText
from tests.helpers.kinds import PLACE, ground, save

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def asset(href: str, **more: Any) -> dict[str, Any]:
    return {"href": href, "type": TIFF, "roles": ["data"], **more}


def written(folder: Path, assets: Any, **more: Any) -> Path:
    """An item, and a small raster for each asset whose file is not there."""
    path = folder / "item.json"
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "properties": {}}
    path.write_text(json.dumps({**item, "assets": assets, **more}))
    for number, one in enumerate(assets.values() if isinstance(assets, dict) else (), 1):
        if isinstance(one, dict) and not (folder / str(one.get("href", "x"))).exists():
            save(folder / one["href"], ground().astype(np.uint16) + np.uint16(1000 * number))
    return path


def taken(place: Path | str, bands: str = "", modality: Any = "optical") -> list[str]:
    """Files that are read."""
    text: dict[str, Any] = {"bands": bands}
    if modality == "sar":
        text = {"sar": f"bands={bands}"}
    image = open_image(place, modality, Reading.parse(ReadingText(**text if bands else {})))
    assert isinstance(image.source, RasterFile)
    names = [Path(p).name for p in image.source.parts()]
    return [name for name in names if not name.endswith(".json")]


def thousands(place: Path | str, **text: Any) -> list[int]:
    image = open_image(place, "optical", Reading.parse(ReadingText(**text)))
    return [int(np.median(b) // 1000) for b in image.source.read(None, image.bands)]


def test_bands_answer_to_common_names_their_own_and_keys(tmp_path: Path) -> None:
    """As on Planetary Computer: keys are numbers, common names are said."""
    names = (("B02", "blue"), ("B03", "green"), ("B04", "red"), ("B08", "nir"), ("B11", "swir16"))
    item = written(
        tmp_path,
        {
            key: asset(f"{key}.tif", **{"eo:bands": [{"name": key, "common_name": common}]})
            for key, common in names
        },
    )
    assert thousands(item) == [3, 2, 1]
    assert thousands(item, bands="nir:red:green") == [4, 3, 2]
    assert thousands(item, bands="B08:b04:B03") == [4, 3, 2]
    assert thousands(item, bands="8:swir16:3") == [4, 5, 2]
    with pytest.raises(InputError, match=r"no band 'B12'.*swir16.*--bands"):
        open_image(item, "optical", Reading.parse(ReadingText(bands="B12:B04:B03")))


@pytest.mark.parametrize("said", ["gsd", "key", "transform"])
def test_the_finest_wins_whatever_the_order(tmp_path: Path, said: str) -> None:
    """As CDSE has it: one band at three resolutions."""
    assets = {}
    for metres in (60, 20, 10):
        for key, name in (("B04", "red"), ("B03", "green"), ("B02", "blue")):
            place = f"{key}_{metres}m" if said == "key" else f"{key}_{'cab'[metres // 30]}"
            one = asset(f"{key}_{metres}.tif", bands=[{"name": key, "eo:common_name": name}])
            if said == "gsd":
                one["gsd"] = metres
            if said == "transform":
                one["proj:transform"] = [metres, 0, 0, 0, -metres, 0]
            assets[place] = one
    item = written(tmp_path, assets)
    assert taken(item) == ["B04_10.tif", "B03_10.tif", "B02_10.tif"]
    if said == "key":
        assert taken(item, "B04_20m") == ["B04_20.tif"]


def test_bands_of_1_1_stand_at_asset_item_or_collection(tmp_path: Path) -> None:
    """An asset names its bands; what they are stands once, further out."""
    common = [
        {"name": n, "eo:common_name": c}
        for n, c in (("b1", "red"), ("b2", "green"), ("b3", "blue"))
    ]
    assets = {f"x{n}": asset(f"{n}.tif", bands=[{"name": n}]) for n in ("b3", "b2", "b1")}
    at_item = written(tmp_path, assets, properties={"bands": common}, stac_version="1.1.0")
    assert thousands(at_item) == [3, 2, 1]
    bare = {key: asset(one["href"]) for key, one in assets.items()}
    collection = {"type": "Collection", "id": "c", "item_assets": {
        key: {"bands": one["bands"]} for key, one in assets.items()}, "bands": common}  # fmt: skip
    (tmp_path / "collection.json").write_text(json.dumps(collection))
    links = [{"rel": "collection", "href": "./collection.json"}]
    (tmp_path / "c").mkdir()
    assert thousands(written(tmp_path, bare, links=links, stac_version="1.1.0")) == [3, 2, 1]
    at_asset = {
        key: asset(f"{key}.tif", **{"eo:common_name": name})
        for key, name in (("p", "blue"), ("q", "green"), ("r", "red"))
    }
    (tmp_path / "d").mkdir()
    assert thousands(written(tmp_path / "d", at_asset, stac_version="1.1.0")) == [3, 2, 1]


@pytest.mark.parametrize("field", ["bands", "eo:bands"])
@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_bands_inside_one_asset_are_found(tmp_path: Path, field: str, version: str) -> None:
    """As NAIP has it; libraries write a version that does not go with the fields."""
    stored = np.stack([ground().astype(np.uint16) + np.uint16(1000 * n) for n in (1, 2, 3, 4)])
    save(tmp_path / "image.tif", stored)
    key = "common_name" if field == "eo:bands" else "eo:common_name"
    bands = [{"name": n.upper(), key: n} for n in ("nir", "blue", "green", "red")]
    assets = {"image": asset("image.tif", **{field: bands})}
    item = written(tmp_path, assets, stac_version=version)
    assert thousands(item) == [4, 3, 2]
    assert thousands(item, bands="NIR:red:green") == [1, 4, 3]
    assert thousands(item, bands="nir") == [1]


def test_one_raster_asset_is_taken_whatever_its_key(tmp_path: Path) -> None:
    stored = np.stack([ground().astype(np.uint16) + np.uint16(1000 * n) for n in (1, 2, 3)])
    save(tmp_path / "o.tif", stored)
    assets = {
        "analytic": asset("o.tif"),
        "analytic_udm2": asset("udm2.tif", roles=["data-mask"]),
        "thumbnail": {"href": "t.png", "type": "image/png", "roles": ["thumbnail"]},
    }
    item = written(tmp_path, assets)
    assert taken(item) == ["o.tif"]
    assert thousands(item, bands="3:2:1") == [3, 2, 1]
    assert thousands(item, bands="2") == [2]
    notes = " ".join(open_image(item, "optical").notes)
    assert "left out: analytic_udm2" in notes


def test_what_is_made_for_display_is_taken_where_colours_are_not_all_there(tmp_path: Path) -> None:
    assets = {
        "nir": asset("n.tif", **{"eo:bands": [{"common_name": "nir"}]}),
        "red": asset("r.tif", **{"eo:bands": [{"common_name": "red"}]}),
        "visual": asset("v.tif", roles=["visual"]),
    }
    assert taken(written(tmp_path, assets)) == ["v.tif"]
    del assets["visual"]
    with pytest.raises(InputError, match=r"red, nir; not all visible.*--bands"):
        open_image(written(tmp_path, assets), "optical")


def scaled(folder: Path, field: str, **properties: Any) -> Path:
    folder.mkdir()
    described = {"raster:scale": 1e-4, "raster:offset": -0.1, "nodata": 0}
    if field == "raster:bands":
        described = {"raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}]}  # type: ignore[dict-item]
    if field == "unprefixed":
        described = {"scale": 1e-4, "offset": -0.1, "nodata": 0}
    if field == "bands":
        described = {"bands": [described]}  # type: ignore[dict-item]
    colours = ("red", "green", "blue")
    assets = {n: asset(f"{n}.tif", **described) for n in colours}
    return written(folder, assets, properties=properties)


@pytest.mark.parametrize("field", ["asset", "bands", "raster:bands", "unprefixed"])
def test_scale_offset_and_what_is_no_data_are_those_of_the_item(tmp_path: Path, field: str) -> None:
    stored = ground().astype(np.uint16) * np.uint16(20) + np.uint16(1000)
    stored[:40] = 0
    item = scaled(tmp_path / "x", field)
    save(item.parent / "red.tif", stored)
    image = open_image(item, "optical")
    values = image.source.read(None, (1,))[0]
    assert np.isnan(values[:40]).all()
    np.testing.assert_allclose(values[40:], stored[40:] * 1e-4 - 0.1, rtol=1e-5, atol=1e-6)
    assert not image.read().valid[:40].any()


def test_an_offset_that_is_applied_already_is_not_applied_again(tmp_path: Path) -> None:
    """As Earth Search says it."""
    item = scaled(tmp_path / "x", "raster:bands", **{"earthsearch:boa_offset_applied": True})
    values = open_image(item, "optical").source.read(None, (1,))[0]
    np.testing.assert_allclose(np.nanmedian(values), (np.median(ground()) + 1000) * 1e-4, rtol=1e-3)


def test_limits_of_reflectance_fit_what_is_scaled_and_what_is_not(tmp_path: Path) -> None:
    how = Reading.parse(ReadingText(optical="reflectance"))
    item = scaled(tmp_path / "x", "asset", **{"earthsearch:boa_offset_applied": True})
    here = open_image(item, "optical", how).read().values
    plain = {n: asset(f"{n}.tif") for n in ("red", "green", "blue")}
    (tmp_path / "y").mkdir()
    there = open_image(written(tmp_path / "y", plain), "optical", how).read().values
    np.testing.assert_allclose(here, there, atol=1e-5)


def test_polarisations_are_named_with_the_option_for_radar(tmp_path: Path) -> None:
    assets = {n: asset(f"{n}.tif", **{"eo:bands": [{"name": n.upper()}]}) for n in ("vh", "vv")}
    item = written(tmp_path, assets, properties={"sar:product_type": "RTC"})
    assert taken(item, modality="sar") == ["vv.tif", "vh.tif"]
    assert taken(item, "VH", "sar") == ["vh.tif"]
    with pytest.raises(InputError, match=r"no band 'hh'; it has vv, vh.*--sar bands="):
        taken(item, "hh", "sar")
    several = {n: asset(f"{n}.tif") for n in ("sigma", "coherence")}
    (tmp_path / "x").mkdir()
    item = written(tmp_path / "x", several, properties={"sar:product_type": "X"})
    with pytest.raises(InputError, match=r"coherence, sigma.*--sar bands=coherence"):
        open_image(item, "sar")


def test_items_are_geojson_files_too(tmp_path: Path) -> None:
    assets = {n: asset(f"{n}.tif") for n in ("red", "green", "blue")}
    item = written(tmp_path, assets).rename(tmp_path / "item.geojson")
    assert thousands(item) == [1, 2, 3]
    assert find_basemaps([item]) == [item]


def test_files_are_read_anew_when_they_change(tmp_path: Path) -> None:
    assets = {"a": asset("a.tif"), "b": asset("b.tif")}
    item = written(tmp_path, {"a": assets["a"]})
    assert taken(item) == ["a.tif"]
    written(tmp_path, {"b": assets["b"]})
    assert taken(item) == ["b.tif"]


TEXTS = {
    "a list": "[]",
    "nothing": "",
    "a number": "1",
    "no type": "{}",
    "a type of another kind": '{"type": ["Feature"]}',
    "assets in a list": '{"type": "Feature", "assets": [{"href": "a.tif"}]}',
    "assets of text": '{"type": "Feature", "assets": {"a": "a.tif"}}',
    "no href": '{"type": "Feature", "assets": {"a": {"type": "image/tiff"}}}',
    "an href that is a number": '{"type": "Feature", "assets": {"a": {"href": 1}}}',
    "no assets": '{"type": "Feature", "id": "x"}',
    "an empty collection": '{"type": "FeatureCollection", "features": []}',
    "features of another kind": '{"type": "FeatureCollection", "features": {"a": 1}}',
    "features of text": '{"type": "FeatureCollection", "features": ["a"]}',
    "a collection": '{"type": "Collection", "id": "c", "links": []}',
    "a catalogue": '{"type": "Catalog", "id": "c", "links": []}',
    "deeply nested": '{"type": "Feature", "assets": ' + '{"a":' * 100_000,
    "other bytes": "\x00\xff\xfe",
    "an item of itself": '{"type": "Feature", "assets": {"a": {"href": "item.json", '
    '"type": "image/tiff; application=geotiff"}}}',
    "a file of nothing": '{"type": "Feature", "assets": {"a": {"href": "no.tif"}}}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_malformed_is_one_clear_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "item.json"
    path.write_bytes(TEXTS[name].encode("latin-1"))
    with pytest.raises(CrosslookError, match=r"item\.json|no\.tif"):
        open_image(path, "optical")
    with pytest.raises(CrosslookError, match=r"item\.json|no\.tif"):
        plan_mosaic(find_basemaps([path]))


ODD: dict[str, dict[str, Any]] = {
    "bands of text": {"eo:bands": "red"},
    "bands of numbers": {"eo:bands": [7, 8]},
    "bands of nothing": {"bands": [None]},
    "an object for bands": {"bands": {"name": "red"}},
    "names that are lists": {"bands": [{"name": ["red"], "eo:common_name": {}}]},
    "a scale of text": {"raster:scale": "much", "raster:offset": None, "nodata": []},
    "numbers that leave no pixel": {"raster:scale": float("nan"), "raster:offset": float("inf")},
    "a scale of 0": {"raster:bands": [{"scale": 0}]},
    "roles of text": {"roles": "data", "gsd": "fine", "proj:transform": "no"},
    "a huge number": {"gsd": 10**400},
}


@pytest.mark.parametrize("name", ODD)
def test_fields_of_another_kind_are_not_heeded(tmp_path: Path, name: str) -> None:
    item = written(tmp_path, {"a": asset("a.tif", **ODD[name])})
    assert taken(item) == ["a.tif"]
    save(tmp_path / "a.tif", ground())
    assert open_image(item, "optical").read().valid.any()


def test_a_collection_that_leads_in_circles_or_nowhere_is_let_go(tmp_path: Path) -> None:
    for href in ("item.json", "nothing.json", "https://127.0.0.1:9/c.json", 7):
        item = written(tmp_path, {"a": asset("a.tif")}, links=[{"rel": "collection", "href": href}])
        assert taken(item) == ["a.tif"]


def test_an_item_of_the_web_names_no_file_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crosslook.geo.products import stac

    place = "https://host/a/item.json"
    for href, expected in {
        "b.tif": "https://host/a/b.tif",
        "/etc/b.tif": "https://host/etc/b.tif",
        "s3://bucket/b.tif": "s3://bucket/b.tif",
        "/vsis3/bucket/b.tif": "/vsis3/bucket/b.tif",
        "file:///etc/b.tif": "",
    }.items():
        item = {"type": "Feature", "assets": {"a": asset(href)}}
        monkeypatch.setattr(stac, "_load_json", lambda p, c, item=item: item)
        if not expected:
            with pytest.raises(InputError, match="file of this machine"):
                product_at(place)
            continue
        product = product_at(place)
        assert product is not None
        assert product.bands["a"].file == expected


def test_an_older_item_numbers_its_bands(tmp_path: Path) -> None:
    """Before 1.0 an asset named its bands by their place in the item's list."""
    bands = [{"name": f"B{n}", "common_name": c} for n, c in enumerate(("blue", "green", "red"), 2)]
    assets = {f"B{n + 2}": asset(f"{n}.tif", **{"eo:bands": [n]}) for n in range(3)}
    assert thousands(written(tmp_path, assets, properties={"eo:bands": bands})) == [3, 2, 1]


def test_coarser_bands_fill_the_same_ground(tmp_path: Path) -> None:
    from affine import Affine

    coarse = (ground().astype(np.uint16) + np.uint16(2000))[::2, ::2]
    save(tmp_path / "green.tif", coarse, PLACE @ Affine.scale(2))
    item = written(tmp_path, {n: asset(f"{n}.tif") for n in ("red", "green", "blue")})
    assert thousands(item) == [1, 2, 3]
