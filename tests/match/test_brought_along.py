"""A file brought along keeps its numbers, their type and what it says is no data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

import crosslook
from crosslook.geo.image import Reading, open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.result import Failure
from crosslook.match.settings import ApplyCall
from crosslook.match.transform import Transform, similarity, translation
from crosslook.match.warped_file import write_aligned
from crosslook.options import ReadingText
from tests.geo.test_products import polynomials, sentinel_2, stac
from tests.helpers.kinds import CRS, KINDS, PLACE, SIDE, ground, save

MOVED = Transform(translation(3.0, -2.0), "shift")
TURNED = similarity((0.4, -0.3), 3.0, 1.0, (SIDE / 2, SIDE / 2))
RNG = np.random.default_rng(0)


def match_json(folder: Path, transform: Transform = MOVED, crs: str = CRS) -> Path:
    image = {"shape": [SIDE, SIDE], "crs": crs, "affine": list(PLACE)[:6], "name": "optical.tif"}
    values = {"verdict": "match", "transform": transform.to_dict()}
    path = folder / "match.json"
    path.write_text(json.dumps({**values, "images": {"sar": image, "optical": image}}))
    return path


def bring(file: Path | str, folder: Path, transform: Transform = MOVED, **more: Any) -> Path:
    done = crosslook.apply_match(match_json(folder, transform), [file], out=folder / "out", **more)[
        0
    ]
    assert isinstance(done, Path), done
    return done


def read(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    with rasterio.open(path) as data:
        return data.read(), data.read_masks() > 0


def numbers_of(kind: str) -> NDArray[Any]:
    """Many different numbers, extreme ones, zeros at the border and one large constant area."""
    if kind.startswith("complex"):
        phase = RNG.uniform(-np.pi, np.pi, (SIDE, SIDE))
        out = np.exp(1j * phase) * (100 if kind == "complex_int16" else 1)
        out = np.round(out) if kind == "complex_int16" else out
        out[:30] = 0
        return np.asarray(out[None], "complex64" if kind == "complex_int16" else kind)
    if np.dtype(kind).kind == "f":
        out = RNG.normal(size=(SIDE, SIDE)).astype(kind)
        out[100:140, 20:90] = 1e30
    else:
        limits = np.iinfo(kind)
        out = RNG.integers(limits.min, limits.max, (SIDE, SIDE), dtype=kind, endpoint=True)
        out[100:140, 20:90] = limits.max
        out[0, 0] = limits.min
    out[:30] = 0
    return np.asarray(out[None], kind)


REAL = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64")
COMPLEX = ("complex64", "complex128", "complex_int16")


@pytest.mark.parametrize("kind", REAL + COMPLEX)
@pytest.mark.parametrize("how", ["nearest", "bilinear", "average"])
def test_under_a_whole_shift_every_number_of_every_type_is_there(
    tmp_path: Path, kind: str, how: str
) -> None:
    numbers = numbers_of(kind)
    if how != "nearest" and kind == "int64":
        numbers //= 2**12  # means are computed in doubles
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=1, height=SIDE, width=SIDE, dtype=kind,
        crs=CRS, transform=PLACE,
    ) as file:  # fmt: skip
        file.write(numbers)
    out = bring(tmp_path / "a.tif", tmp_path, resampling=how)
    with rasterio.open(out) as data:
        assert data.dtypes == (kind,)
        whole = kind == "complex_int16" or np.dtype(kind).kind in "iu"
        assert data.nodata is None if whole else np.isnan(data.nodata)
        assert data.transform.c == PLACE.c - 20
        assert data.transform.f == PLACE.f - 30
    brought, valid = read(out)
    np.testing.assert_array_equal(brought, numbers)
    assert valid.all()


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32", "complex64", "complex_int16"])
def test_under_a_rotation_what_lies_beside_the_file_is_no_data_and_nothing_else(
    tmp_path: Path, kind: str
) -> None:
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=1, height=SIDE, width=SIDE, dtype=kind,
        crs=CRS, transform=PLACE,
    ) as file:  # fmt: skip
        file.write(numbers_of(kind))
    _, valid = read(bring(tmp_path / "a.tif", tmp_path, TURNED))
    assert valid.sum() == pytest.approx(SIDE**2, rel=0.003)
    assert not valid[0, 0, 0]


def test_an_interferogram_of_unit_magnitude_keeps_its_phase(tmp_path: Path) -> None:
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    save(tmp_path / "a.tif", np.exp(1j * (rows / 9 + cols / 13)).astype(np.complex64))
    brought, valid = read(bring(tmp_path / "a.tif", tmp_path, TURNED))
    assert brought.dtype == np.complex64
    with rasterio.open(tmp_path / "out" / "a.tif") as data:
        at = np.argwhere(valid[0])
        x, y = data.transform * (at[:, 1] + 0.5, at[:, 0] + 0.5)
    there = TURNED.inverse(np.column_stack([(PLACE.f - y) / 10, (x - PLACE.c) / 10])) - 0.5
    inner = ((there > 0) & (there < SIDE - 1)).all(axis=1)
    expected = np.exp(1j * (there[:, 0] / 9 + there[:, 1] / 13))
    ratio = brought[0][valid[0]] / expected
    assert np.abs(np.angle(ratio[inner])).max() < 0.01


@pytest.mark.parametrize("nodata", [0, 3, -9999])
def test_declared_nodata_stays_and_no_mean_becomes_it(tmp_path: Path, nodata: int) -> None:
    numbers = RNG.integers(-100, 100, (1, SIDE, SIDE)).astype(np.int16)
    numbers[numbers == nodata] = 101
    numbers[0, 50:90, 60:100] = nodata
    save(tmp_path / "a.tif", numbers, nodata=nodata)
    out = bring(tmp_path / "a.tif", tmp_path, TURNED)
    with rasterio.open(out) as data:
        assert data.nodata == nodata
    brought, valid = read(out)
    assert valid.sum() == pytest.approx(SIDE**2 - 1600, rel=0.003)
    assert brought[valid].min() >= -100
    assert brought[valid].max() <= 101


def test_bands_hold_no_data_each_for_itself_and_nan_and_infinity_stay(tmp_path: Path) -> None:
    numbers = RNG.normal(size=(2, SIDE, SIDE)).astype(np.float32)
    numbers[0, :60] = np.nan
    numbers[1, 100:140] = -9999
    numbers[1, 5, 5] = np.inf
    save(tmp_path / "a.tif", numbers, nodata=-9999)
    brought, valid = read(bring(tmp_path / "a.tif", tmp_path))
    np.testing.assert_array_equal(brought, numbers)
    assert valid[1, :60].all()
    assert not valid[1, 100:140].any()
    assert valid[0, 60:].all()


def test_a_mask_and_an_alpha_band_stay_what_they_are(tmp_path: Path) -> None:
    for name in ("a_mask_of_its_own", "a_transparent_band"):
        (tmp_path / name).mkdir()
        made = KINDS[name](tmp_path / name)
        out = bring(made.place, tmp_path / name)
        with rasterio.open(made.place) as before, rasterio.open(out) as after:
            assert after.count == before.count
            assert after.colorinterp == before.colorinterp
            assert after.nodata is None
            np.testing.assert_array_equal(after.dataset_mask(), before.dataset_mask())
            np.testing.assert_array_equal(after.read(), before.read())


def test_a_palette_and_tags_stay(tmp_path: Path) -> None:
    made = KINDS["palette_with_nodata"](tmp_path)
    with rasterio.open(made.place, "r+") as data:
        data.update_tags(1, CLASSES="land cover")
    out = bring(made.place, tmp_path, TURNED)
    with rasterio.open(made.place) as before, rasterio.open(out) as after:
        assert after.colormap(1) == before.colormap(1)
        assert after.colorinterp == (ColorInterp.palette,)
        assert after.nodata == 1
        assert after.tags(1)["CLASSES"] == "land cover"
        assert set(np.unique(after.read())) <= set(np.unique(before.read()))


def test_many_classes_numbered_objects_and_classes_in_floats_are_not_mixed(tmp_path: Path) -> None:
    blocks = np.kron(RNG.permutation(24 * 24).reshape(24, 24), np.ones((8, 8)))[None]
    files: dict[str, NDArray[Any]] = {
        "classes": (RNG.integers(0, 12, (1, SIDE, SIDE)) * 10).astype(np.uint8),
        "objects": blocks.astype(np.int32),
        "floats": (blocks % 7).astype(np.float32),
    }
    for name, numbers in files.items():
        brought, valid = read(bring(save(tmp_path / f"{name}.tif", numbers), tmp_path, TURNED))
        assert set(np.unique(brought[valid])) <= set(np.unique(numbers)), name
    # One band of classes beside one of measurements: each by its own rule.
    both = np.stack([files["classes"][0], ground()])
    brought, _ = read(bring(save(tmp_path / "both.tif", both), tmp_path, TURNED))
    assert set(np.unique(brought[0])) <= set(np.unique(both[0]))
    assert len(np.setdiff1d(brought[1], both[1])) < 256
    with rasterio.open(tmp_path / "out" / "both.tif") as data:
        assert data.tags()["RESAMPLING"] == "nearest,average"


def test_few_numbers_among_nothing_are_kept_where_pixels_grow(tmp_path: Path) -> None:
    sparse = np.full((1, 4 * SIDE, 4 * SIDE), np.nan, np.float32)
    sparse[0, ::4, ::4] = RNG.normal(5, 1, (SIDE, SIDE))
    file = save(tmp_path / "a.tif", sparse, PLACE * Affine.scale(0.25))
    brought, valid = read(bring(file, tmp_path, grid="optical"))
    assert valid.all()
    np.testing.assert_allclose(brought[0], sparse[0, ::4, ::4])


def test_doubles_are_not_rounded_to_singles(tmp_path: Path) -> None:
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    save(tmp_path / "a.tif", 5_000_000 + rows / 1000 + cols / 1e6)
    brought, valid = read(bring(tmp_path / "a.tif", tmp_path, TURNED))
    assert len(np.unique(brought[valid])) > SIDE**2 / 2


@pytest.mark.parametrize("kind", ["uint8", "complex64", "complex_int16", "float32"])
@pytest.mark.parametrize("by", ["points", "polynomials", "polynomials and heights"])
def test_what_points_or_polynomials_place_keeps_its_type_too(
    tmp_path: Path, kind: str, by: str
) -> None:
    numbers = (RNG.integers(1, 5, (1, SIDE, SIDE)) * 9).astype(kind.replace("_int16", "64"))
    profile = {"driver": "GTiff", "count": 1, "height": SIDE, "width": SIDE, "dtype": kind}
    at = np.linspace(0, SIDE, 4)
    if by == "points":
        points = [GroundControlPoint(r, c, *(PLACE * (c, r))) for r in at for c in at]
        profile |= {"gcps": points, "crs": CRS}
    else:
        profile |= {"rpcs": polynomials()}
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as file:
        file.write(numbers)
    dem = None
    if by == "polynomials and heights":
        hills, place = np.full((400, 400), 100, np.int16), from_origin(14.9, 45.1, 5e-4, 5e-4)
        dem = save(tmp_path / "dem.tif", hills, place, crs="EPSG:4326")
    text = ReadingText(dem=None if dem is None else str(dem))
    sar = open_image(tmp_path / "a.tif", "sar", Reading.parse(text))
    image = {"shape": sar.shape, "crs": str(sar.grid.crs), "affine": list(sar.grid.affine)[:6]}
    (tmp_path / "match.json").write_text(
        json.dumps(
            {
                "verdict": "match",
                "transform": MOVED.to_dict(),
                "images": {"sar": image, "optical": {**image, "name": "o"}},
            }
        )
    )
    call = ApplyCall(
        out=tmp_path / "out", dem=dem, resampling="auto" if kind == "uint8" else "nearest"
    )
    done = crosslook.apply_match(tmp_path, [tmp_path / "a.tif"], call)[0]
    assert isinstance(done, Path), done
    with rasterio.open(done) as data:
        assert data.dtypes == (kind,)
        brought, valid = data.read(1), data.read_masks(1) > 0
    assert set(np.unique(brought[valid])) <= set(np.unique(numbers))
    assert valid.mean() > 0.3


def test_products_and_items_come_along(tmp_path: Path) -> None:
    product = sentinel_2(tmp_path, "L2A")
    assets: dict[str, dict[str, object]] = {}
    for name in ("red", "green", "blue"):
        href = str(save(tmp_path / f"{name}.tif", ground().astype(np.uint16) + 700))
        bands = [{"name": name, "common_name": name}]
        assets[name] = {"href": href, "type": "image/tiff", "eo:bands": bands}
    item = tmp_path / "item.json"
    item.write_text(json.dumps(stac(tmp_path, **assets)))
    for place in (product, item):
        for kind in ("tif", "vrt"):
            with rasterio.open(bring(place, tmp_path, kind=kind)) as data:
                assert data.count == 3
                assert data.dtypes[0] == "uint16"
                numbers = data.read(1)
                np.testing.assert_array_equal(
                    numbers, ground().astype(np.uint16) + (700 if place == item else 3000)
                )


def test_different_nodata_of_bands_is_nan_in_floats_and_refused_in_whole_numbers(
    tmp_path: Path,
) -> None:
    def stack(kind: str) -> Path:
        bands = ""
        for number, nodata in ((1, "<NoDataValue>1</NoDataValue>"), (2, "")):
            file = save(tmp_path / f"{kind}{number}.tif", ground().astype(kind) % 5)
            bands += (
                f'<VRTRasterBand dataType="{kind.title()}" band="{number}">{nodata}<SimpleSource>'
                f'<SourceFilename relativeToVRT="0">{file}</SourceFilename>'
                "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
            )
        place = ",".join(map(str, (PLACE.c, PLACE.a, 0, PLACE.f, 0, PLACE.e)))
        head = f"<SRS>{CRS}</SRS><GeoTransform>{place}</GeoTransform>"
        path = tmp_path / f"{kind}.vrt"
        size = f'rasterXSize="{SIDE}" rasterYSize="{SIDE}"'
        path.write_text(f"<VRTDataset {size}>{head}{bands}</VRTDataset>")
        return path

    brought, valid = read(bring(stack("float32"), tmp_path))
    assert valid[1].all()
    np.testing.assert_array_equal(valid[0], ground() % 5 != 1)
    np.testing.assert_array_equal(brought[1], ground() % 5)
    refused = crosslook.apply_match(match_json(tmp_path), [stack("int16")], out=tmp_path / "r")[0]
    assert isinstance(refused, Failure)
    assert "different numbers for no data (1, none)" in str(refused.error)


@pytest.mark.parametrize("name", ["undeclared_fill", "outside_of_a_swath", "dark_water"])
def test_what_is_inferred_for_matching_is_not_written_into_the_aligned_image(
    tmp_path: Path, name: str
) -> None:
    made = KINDS[name](tmp_path)
    sar = open_image(made.place, "sar")
    write_aligned(tmp_path / "aligned.tif", sar, sar, Transform(np.eye(3), "shift"), "match")
    with rasterio.open(made.place) as before, rasterio.open(tmp_path / "aligned.tif") as after:
        np.testing.assert_array_equal(after.read(), before.read())
        assert (after.dataset_mask() > 0).all()
        assert after.dtypes == before.dtypes


def test_an_array_keeps_its_own_mask_in_the_aligned_image(tmp_path: Path) -> None:
    valid = np.ones((SIDE, SIDE), bool)
    valid[:40] = False
    sar = open_image(RasterArray.of(ground(), valid), "sar")
    write_aligned(tmp_path / "aligned.tif", sar, sar, Transform(np.eye(3), "shift"), "match")
    with rasterio.open(tmp_path / "aligned.tif") as data:
        np.testing.assert_array_equal(data.dataset_mask() > 0, valid)
        np.testing.assert_array_equal(data.read(1), ground())
