"""Other files of an acquisition follow a match, with all that they say of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from numpy.typing import NDArray
from rasterio.transform import from_origin

import crosslook
from crosslook.cli import app
from crosslook.errors import GridError, InputError, MatchError, OutputError
from crosslook.geo.raster import RasterFile
from crosslook.match.result import Failure
from crosslook.match.transform import Affine, ReliefField, Transform, identity, similarity

CRS = "EPSG:32633"
WEST, NORTH = 300_000.0, 5_500_000.0
TRUTH = similarity((4.0, -3.0), 2.0, 1.0, (32.0, 32.0))


def write(path: Path, bands: NDArray[Any], pixel: float, **more: Any) -> Path:
    """A GeoTIFF whose upper left corner is that of the SAR image."""
    affine = from_origin(WEST, NORTH, pixel, pixel)
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width}
    profile |= {"dtype": bands.dtype.name, "crs": CRS, "transform": affine, **more}
    with rasterio.open(path, "w", **profile) as file:
        file.write(bands)
    return path


def match_json(folder: Path, transform: Transform = TRUTH, verdict: str = "match") -> Path:
    """A match of a SAR image of 64 px at 10 m with an optical one of 96 px on the same map."""
    image = {"shape": [64, 64], "crs": CRS, "affine": [10.0, 0, WEST, 0, -10.0, NORTH]}
    optical = {**image, "shape": [96, 96], "name": "optical.tif"}
    values = {"verdict": verdict, "transform": transform.to_dict()}
    path = folder / "match.json"
    path.write_text(json.dumps({**values, "images": {"sar": image, "optical": optical}}))
    return path


def smooth(side: int, pixel: float) -> NDArray[np.float32]:
    """A ramp and a wave of the place in metres, so that any resampling can be checked."""
    at = (np.arange(side) + 0.5) * pixel
    rows, cols = np.meshgrid(at, at, indexing="ij")
    return np.asarray(rows + 2 * cols + 40 * np.sin(rows / 150), np.float32)


def value_at(metres: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, cols = metres.T
    return np.asarray(rows + 2 * cols + 40 * np.sin(rows / 150))


def expected_error(path: Path | Failure, transform: Transform = TRUTH, pixel: float = 10) -> float:
    """Largest difference of band 1 from the ground that the transform says is there.

    Not in the outer half of the outermost pixels, which have the number of their pixel.
    """
    assert isinstance(path, Path), path
    with rasterio.open(path) as file:
        data = file.read(1, masked=True)
        rows, cols = np.nonzero(~np.ma.getmaskarray(data))
        x, y = file.transform * (cols + 0.5, rows + 0.5)
    optical = np.column_stack([(NORTH - y) / 10, (x - WEST) / 10])
    at = transform.inverse(optical) * 10
    assert ((at > -0.1) & (at < 640.1)).all()
    inner = ((at >= pixel / 2) & (at <= 640 - pixel / 2)).all(axis=1)
    assert inner.sum() > 100
    return float(np.abs(data[rows, cols] - value_at(at))[inner].max())


def test_numbers_names_and_tags_are_kept_at_native_resolution(tmp_path: Path) -> None:
    bands = np.stack([smooth(128, 5.0), smooth(128, 5.0) + 7])
    file = write(tmp_path / "fine.tif", bands, 5.0, nodata=-9999.0)
    with rasterio.open(file, "r+") as data:
        data.scales, data.offsets = (0.5, 2.0), (1.0, -3.0)
        data.set_band_description(1, "VV")
        data.set_band_unit(2, "dB")
        data.update_tags(ORBIT="relative 12")
        data.update_tags(2, POLARISATION="VH")
    done = crosslook.apply_match(match_json(tmp_path), [file], out=tmp_path / "out")
    assert done == [tmp_path / "out" / "fine.tif"]
    assert expected_error(done[0], pixel=5.0) < 1.0
    with rasterio.open(done[0]) as data:
        assert (data.scales, data.offsets, data.nodata) == ((0.5, 2.0), (1.0, -3.0), -9999.0)
        assert (data.descriptions[0], data.units[1]) == ("VV", "dB")
        assert data.tags()["ORBIT"] == "relative 12"
        assert data.tags(2)["POLARISATION"] == "VH"
        assert data.res == (5.0, 5.0)
        assert (data.transform.c - WEST) % 5 == 0
        # The footprint, which 2 degrees make a little larger than the image.
        assert max(data.shape) <= 128 + 8


def test_what_shrinks_is_averaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 50, (1, 512, 512)).astype(np.float32)
    file = write(tmp_path / "finest.tif", smooth(512, 1.25)[None] + noise, 1.25)
    match = match_json(tmp_path)
    both = {
        how: crosslook.apply_match(
            match, [file], out=tmp_path / how, grid="optical", resampling=how
        )[0]
        for how in ("auto", "bilinear")
    }
    with rasterio.open(both["auto"]) as data:
        assert data.res == (10.0, 10.0)
    assert expected_error(both["auto"]) < 50  # 64 pixels in each mean, so 6 on average
    assert expected_error(both["bilinear"]) > 90


def test_classes_stay_classes(tmp_path: Path) -> None:
    labels = (np.indices((64, 64)).sum(axis=0) // 9 % 3 * 40).astype(np.uint8)[None]
    plain = write(tmp_path / "mask.tif", labels, 10.0)
    palette = write(tmp_path / "classes.tif", labels, 10.0, photometric="palette")
    with rasterio.open(palette, "r+") as data:
        data.write_colormap(1, {0: (1, 2, 3, 255), 40: (9, 8, 7, 255), 80: (5, 5, 5, 255)})
    done = crosslook.apply_match(match_json(tmp_path), [plain, palette], out=tmp_path / "out")
    for path in done:
        with rasterio.open(path) as data:
            assert set(np.unique(data.read(1))) <= {0, 40, 80}
            row, col = data.index(WEST + 10 * 40.5, NORTH - 10 * 40.5)
            there = TRUTH.inverse(np.array([40.5, 40.5])).astype(int)
            assert data.read(1)[row, col] == labels[0, there[0], there[1]]
    with rasterio.open(done[1]) as data:
        assert data.colormap(1)[40] == (9, 8, 7, 255)


def test_control_points_say_the_same_as_pixels(tmp_path: Path) -> None:
    values = np.zeros((33, 33, 2))
    values[..., 1] = 6 * np.exp(-((np.indices((33, 33)) - 16) ** 2).sum(axis=0) / 50)
    bent = Transform(ReliefField.on_grid(values, 4.0, Affine(TRUTH.matrix)), "relief")
    file = write(tmp_path / "band.tif", smooth(64, 10.0)[None], 10.0)
    match = match_json(tmp_path, bent)
    done = crosslook.apply_match(match, [file], out=tmp_path / "out", kind="vrt")[0]
    with rasterio.open(done) as data:
        points, crs = data.gcps
        assert crs.to_epsg() == 32633
        assert np.array_equal(data.read(1), smooth(64, 10.0))
    at = np.array([[p.row, p.col] for p in points])
    there = np.array([[(NORTH - p.y) / 10, (p.x - WEST) / 10] for p in points])
    assert np.abs(bent(at) - there).max() < 1e-3
    pixels = crosslook.apply_match(match, [file], out=tmp_path / "pixels")[0]
    assert expected_error(pixels, bent) < 2.0


def test_one_bad_file_does_not_lose_the_others(tmp_path: Path) -> None:
    good = write(tmp_path / "good.tif", smooth(64, 10.0)[None], 10.0)
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"nothing")
    lost = np.zeros((1, 50, 64), np.float32)
    plain = tmp_path / "plain.tif"
    with rasterio.open(
        plain, "w", driver="GTiff", count=1, height=50, width=64, dtype="float32"
    ) as data:
        data.write(lost)
    match = match_json(tmp_path)
    done = crosslook.apply_match(match, [bad, good, plain], out=tmp_path / "out")
    assert isinstance(done[0], Failure)
    assert done[1] == tmp_path / "out" / "good.tif"
    assert isinstance(done[2], Failure)
    assert isinstance(done[2].error, GridError)
    with pytest.raises(SystemExit) as ended:
        app(["apply", str(match), str(bad), str(good), "--out", str(tmp_path / "again")])
    assert ended.value.code == 1
    assert (tmp_path / "again" / "good.tif").exists()


def test_refusals(tmp_path: Path) -> None:
    file = write(tmp_path / "band.tif", smooth(64, 10.0)[None], 10.0)
    unsure = match_json(tmp_path, verdict="uncertain")
    with pytest.raises(MatchError, match="--force"):
        crosslook.apply_match(unsure, [file], out=tmp_path / "out")
    assert crosslook.apply_match(unsure, [file], out=tmp_path / "out", force=True)
    with pytest.raises(MatchError, match="no match"):
        crosslook.apply_match(match_json(tmp_path, verdict="no match"), [file], out=tmp_path)
    with pytest.raises(OutputError, match="one by one"):
        crosslook.apply_match(match_json(tmp_path), [file, file], out=tmp_path / "out")
    itself = crosslook.apply_match(match_json(tmp_path), [file], out=tmp_path)[0]
    assert isinstance(itself, Failure)
    (tmp_path / "match.json").write_text("[]")
    with pytest.raises(InputError, match=r"no match\.json"):
        crosslook.apply_match(tmp_path, [file], out=tmp_path / "out")


def test_names_end_only_where_an_ending_begins_with_a_letter(tmp_path: Path) -> None:
    """Folders of OPERA end in their version, v1.0."""
    pixels = smooth(64, 10)[None]
    folders = [tmp_path / f"OPERA_L2_RTC-S1_T064-1-IW1_v1.{n}" for n in (0, 1)]
    for folder in folders:
        folder.mkdir()
        write(folder / f"{folder.name}_VV.tif", pixels, 10)
    done = crosslook.apply_match(match_json(tmp_path), folders, out=tmp_path / "out")
    assert [Path(str(one)).name for one in done] == [f"{folder.name}.tif" for folder in folders]
    assert all(Path(str(one)).is_file() for one in done)


def test_the_mask_beside_a_product_serves_matching_alone(tmp_path: Path) -> None:
    """Layover and shadow of OPERA are numbers like any other in what is brought along."""
    folder = tmp_path / "OPERA_L2_RTC-S1_T064-1-IW1_v1.0"
    folder.mkdir()
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[:, 20:40] = 2
    file = write(folder / f"{folder.name}_VV.tif", smooth(64, 10)[None] + 1, 10, nodata=np.nan)
    write(folder / f"{folder.name}_mask.tif", mask, 10, nodata=255)
    assert np.isnan(RasterFile(folder).read(None, (1,))).any()
    for place in (folder, file):
        done = crosslook.apply_match(
            match_json(tmp_path, identity()), [place], out=tmp_path / f"of_{place.suffix}"
        )
        with rasterio.open(str(done[0])) as brought, rasterio.open(file) as own:
            assert np.array_equal(brought.read(1), own.read(1))


@pytest.mark.parametrize("kind", ["tif", "vrt"])
def test_a_file_that_lies_elsewhere_is_an_error(
    tmp_path: Path, kind: Literal["tif", "vrt"]
) -> None:
    match = match_json(tmp_path)
    there = from_origin(WEST + 50_000, NORTH, 10, 10)
    file = write(tmp_path / "other.tif", smooth(64, 10.0)[None], 10.0, transform=there)
    (failed,) = crosslook.apply_match(match, [file], out=tmp_path / "out", kind=kind)
    assert isinstance(failed, Failure)
    assert "lies elsewhere than the SAR image that was matched, 49.4 km away" in str(failed.error)
    assert not list((tmp_path / "out").glob("other*"))
    done = CliRunner().invoke(app, ["apply", str(match), str(file), "--out", str(tmp_path / "c")])
    assert done.exit_code == 1
    assert "49.4 km away" in done.output
