"""A query is found where it was cut, whatever it is told by, and a wrong one is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pyproj import Transformer

from crosslook.atlas.locate import _choose, locate, locate_all
from crosslook.atlas.store import Atlas
from crosslook.cli import app
from crosslook.data.simulate.scene import make_pair
from crosslook.errors import (
    CrosslookError,
    GridError,
    MatchError,
    RasterError,
    SettingError,
    StoreError,
)
from crosslook.geo.grid import from_lonlat, make_grid, to_lonlat, to_map, window_of
from crosslook.geo.image import ImageFile, open_image
from crosslook.geo.raster import RasterArray
from crosslook.match import workers
from crosslook.match.engine import Engine
from crosslook.match.result import Failure, MatchResult
from crosslook.match.transform import Transform, grid_points, mean_distance, translation
from crosslook.types import Window
from tests.helpers.stored import stored_in

SEED, SIDE = 11, 256
PLACES = [(100, 700), (391, 430), (820, 95)]
METRES = 10.0


def chip(origin: tuple[int, int], **options: Any) -> tuple[RasterArray, Transform]:
    """A SAR chip without georeference, and its pixels to those of the map."""
    made = make_pair(SIDE, SEED, origin=origin, relief=20.0, **options)
    image = RasterArray.of(made.sar, name="chip")
    move = Transform(translation(*map(float, origin)), "shift")
    return image, move @ Transform(made.truth, "similarity")


def opened(origin: tuple[int, int]) -> ImageFile:
    return open_image(chip(origin)[0], "sar")


def in_map(result: MatchResult) -> Transform:
    """Query pixels to pixels of the map."""
    assert result.transform is not None
    assert result.window is not None
    corner = (result.window.row, result.window.col)
    return Transform(translation(*corner), "shift") @ result.transform


def off(result: MatchResult, truth: Transform) -> float:
    return mean_distance(in_map(result), truth, grid_points(SIDE, SIDE))


Alone = Callable[[tuple[int, int]], MatchResult]


@pytest.fixture(scope="module")
def alone(atlas: Atlas) -> Alone:
    """What a chip gives that is located by itself, without options: made once for each place."""
    return cache(lambda origin: locate(chip(origin)[0], atlas, gsd=METRES))


@pytest.mark.parametrize("origin", PLACES)
def test_a_chip_is_found_in_the_whole_atlas(alone: Alone, origin: tuple[int, int]) -> None:
    result = alone(origin)
    assert off(result, chip(origin)[1]) < 2.0
    assert result.alternatives
    assert set(result.timings) >= {"read", "search", "verification", "total"}


def test_any_matcher_verifies_and_has_no_confidence_of_ours(atlas: Atlas, alone: Alone) -> None:
    image, truth = chip(PLACES[0])
    for name in ("hog:cell=4,blur=1", "efolki"):
        result = locate(image, atlas, gsd=METRES, matcher=name)
        assert off(result, truth) < 6.0, name
        assert (result.verdict, np.isnan(result.confidence)) == ("uncertain", True)
        assert not np.array_equal(in_map(result).matrix, in_map(alone(PLACES[0])).matrix)
    with pytest.raises(SettingError, match="Did you mean 'sift'"):
        locate(image, atlas, gsd=METRES, matcher="sifft")


def test_a_query_cut_from_the_atlas_is_found_at_its_exact_place(atlas: Atlas) -> None:
    for row, col in [(131, 500), (640, 17), (1024, 1024)]:
        cut = atlas.image((row, col), (SIDE, SIDE))
        result = locate(RasterArray.of(stored_in(cut)[:1], name="cut"), atlas, gsd=METRES)
        assert off(result, Transform(translation(row, col), "shift")) < 0.1
        assert result.verdict == "match"
        placed = RasterArray.of(stored_in(cut)[:1], grid=cut.grid, name="placed")
        georeferenced = locate(placed, atlas)  # its pixel size is known, its place not used
        assert off(georeferenced, Transform(translation(row, col), "shift")) < 0.1


def test_positions_agree_between_pixel_map_and_lonlat(atlas: Atlas, tmp_path: Path) -> None:
    image, _ = chip(PLACES[0])
    result = locate(image, atlas, gsd=METRES, out=tmp_path, force=True)
    match = json.loads((tmp_path / "match.json").read_text())
    assert result.window is not None
    assert match["window"] == asdict(result.window)
    grid = window_of(atlas.grid.pixels, Window(*result.window.corner, 9, 9))
    degrees = Transformer.from_crs(match["crs"], "OGC:CRS84", always_xy=True)
    for kind in ("centre", "footprint"):
        stated = match[kind]
        for pixel, xy, lonlat in zip(*(np.atleast_2d(v) for v in stated.values()), strict=True):
            np.testing.assert_allclose(to_map(grid, pixel[None])[0], xy, atol=1e-6)
            np.testing.assert_allclose(degrees.transform(*xy), lonlat, atol=1e-6)
            np.testing.assert_allclose(from_lonlat(grid, lonlat[None])[0], pixel, atol=1e-6)
    forward, back = (Transform.from_dict(match[key]) for key in ("transform", "inverse"))
    np.testing.assert_allclose(forward.matrix @ back.matrix, np.eye(3), atol=1e-9)
    assert (tmp_path / "aligned.tif").exists()


@pytest.mark.parametrize(
    ("rotation", "scale"),
    [pytest.param(9.3, 1.0, marks=pytest.mark.slow), (-7.1, 1.08), (0.0, 0.91)],
)
def test_rotation_and_scale_are_recovered_when_their_range_is_given(
    atlas: Atlas, rotation: float, scale: float
) -> None:
    image, truth = chip(PLACES[1], rotation=rotation, scale=scale)
    result = locate(image, atlas, gsd=METRES, rotation=10.0 if rotation else 0.0, scale=0.1)
    assert off(result, truth) < 2.5


def test_another_pixel_size_and_orientation(atlas: Atlas) -> None:
    """The query has pixels of 5 m and its rows run south to north."""
    image, truth = chip(PLACES[0])
    fine = np.kron(image.stored[0], np.ones((2, 2), np.float32))[None, ::-1]
    x, y = to_map(atlas.grid.pixels, np.array([[0.0, 0.0]]))[0]
    crs = atlas.grid.pixels.crs
    upside_down = make_grid(str(crs), (5.0, 0.0, x, 0.0, 5.0, y), *fine.shape[1:])
    result = locate(RasterArray.of(fine, grid=upside_down, name="fine"), atlas)
    here = np.array([[30.0, 40.0], [200.0, 100.0]])
    in_fine = np.column_stack([2 * (SIDE - here[:, 0]), 2 * here[:, 1]])
    assert np.linalg.norm(in_map(result)(in_fine) - truth(here), axis=1).max() < 2.5


def test_a_prior_keeps_the_search_within(atlas: Atlas) -> None:
    image, truth = chip(PLACES[1])
    centre = truth(np.array([[SIDE / 2, SIDE / 2]]))
    lon, lat = to_lonlat(atlas.grid.pixels, centre)[0]
    near = locate(image, atlas, gsd=METRES, near=(lon, lat), radius_km=2.0)
    assert off(near, truth) < 2.0
    box = (lon - 0.02, lat - 0.02, lon + 0.02, lat + 0.02)
    assert off(locate(image, atlas, gsd=METRES, bbox=box), truth) < 2.0
    west, north = to_lonlat(atlas.grid.pixels, np.array([[1000.0, 200.0]]))[0]
    away = locate(image, atlas, gsd=METRES, near=(west, north), radius_km=1.0)
    assert away.verdict != "match"


def test_any_second_extractor_verifies(atlas: Atlas) -> None:
    image, truth = chip(PLACES[2])
    result = locate(image, atlas, gsd=METRES, coarse="hog", fine="hog:cell=6")
    assert off(result, truth) < 2.0
    assert result.settings["fine"] == "hog:cell=6"
    with pytest.raises(SettingError, match="built with"):
        locate(image, atlas, gsd=METRES, coarse="dinov2")


@pytest.mark.parametrize(
    "seed", [400, *(pytest.param(n, marks=pytest.mark.slow) for n in (401, 402))]
)
def test_what_lies_elsewhere_is_no_match_and_nothing_is_aligned(
    atlas: Atlas, seed: int, tmp_path: Path
) -> None:
    made = make_pair(SIDE, seed, relief=20.0)
    image = RasterArray.of(made.sar, name="other")
    result = locate(image, atlas, gsd=METRES, out=tmp_path / "out")
    assert result.verdict != "match"
    assert (tmp_path / "out" / "match.json").exists()
    assert not (tmp_path / "out" / "aligned.tif").exists()


def test_many_queries_are_found_as_each_alone(atlas: Atlas, alone: Alone) -> None:
    chips = [chip(origin)[0] for origin in PLACES]
    together = list(locate_all(iter(chips), atlas, gsd=METRES))
    for origin, result in zip(PLACES, together, strict=True):
        one = alone(origin)
        assert isinstance(result, MatchResult)
        assert result.evidence == one.evidence
        assert result.transform is not None
        assert one.transform is not None
        np.testing.assert_array_equal(result.transform.matrix, one.transform.matrix)


def test_processes_find_what_one_finds_in_the_same_order(
    atlas: Atlas, alone: Alone, tmp_path: Path
) -> None:
    chips = [chip(origin)[0] for origin in PLACES[:2]]
    queries: list[RasterArray | Path] = [chips[0], tmp_path / "absent.tif", chips[1]]
    found = list(locate_all(queries, atlas, gsd=METRES, workers=2))
    assert isinstance(found[1], Failure)
    for origin, result in zip(PLACES[:2], (found[0], found[2]), strict=True):
        one = alone(origin)
        assert isinstance(result, MatchResult)
        assert result.evidence == one.evidence
        assert result.to_dict()["transform"] == one.to_dict()["transform"]


def test_processes_for_one_query_are_refused(tmp_path: Path) -> None:
    given = ["locate", "a.tif", "--atlas", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*given, "--workers", "2"])
    assert done.exit_code != 0
    assert "--workers is of several queries" in str(done.exception or done.output)
    with pytest.raises(SettingError, match="--engine ray is of several queries"):
        locate("a.tif", tmp_path, engine="ray")


def test_a_cluster_of_one_worker_looks_for_all_queries(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def nothing(job: workers.Groups, engine: Engine) -> Iterator[tuple[int, workers.Results]]:
        seen.append(engine.workers)
        return iter(())

    monkeypatch.setattr(workers, "_by_ray", nothing)
    queries = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for count in (1, 64):
        list(locate_all(queries, atlas, engine="ray", workers=count))
    assert seen == [1, 2]


def test_a_bad_query_does_not_lose_the_others(atlas: Atlas, alone: Alone, tmp_path: Path) -> None:
    good = [chip(origin)[0] for origin in PLACES[:2]]
    flat = RasterArray.of(np.full_like(good[0].stored, 4.0), name="flat")
    small = RasterArray.of(good[0].stored[:, :30, :30], name="small")
    absent = tmp_path / "absent.tif"
    results = list(locate_all([absent, good[0], flat, small, good[1]], atlas, gsd=METRES))
    assert [isinstance(one, Failure) for one in results] == [True, False, True, True, False]
    failures = [one for one in results if isinstance(one, Failure)]
    assert [one.name for one in failures] == ["absent.tif", "flat", "small"]
    assert [type(one.error) for one in failures] == [RasterError, MatchError, MatchError]
    for one, origin in zip((results[1], results[4]), PLACES[:2], strict=True):
        assert isinstance(one, MatchResult)
        assert one.evidence == alone(origin).evidence


@pytest.mark.parametrize("number", [0, 1])
def test_an_atlas_of_other_features_is_refused_and_what_differs_is_named(
    atlas: Atlas, number: int, tmp_path: Path
) -> None:
    shutil.copytree(atlas.name, tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / "atlas.json").read_text())
    manifest["levels"][number]["key"]["revision"] = "another"
    (tmp_path / "a" / "atlas.json").write_text(json.dumps(manifest))
    level = manifest["levels"][number]["spec"]
    with pytest.raises(StoreError, match=r"revision 'another', here 'builtin'.*--weights") as seen:
        locate(chip(PLACES[0])[0], tmp_path / "a", gsd=METRES, coarse=level, fine=level)
    assert f"level {number}" in str(seen.value)
    other = manifest["levels"][1 - number]["spec"]  # a level that is not used need not fit
    locate(chip(PLACES[0])[0], tmp_path / "a", gsd=METRES, coarse=other, fine=other)


def test_a_rival_wins_only_by_a_verdict_better_than_no_match(alone: Alone) -> None:
    result = alone(PLACES[0])
    first, rival = (replace(result, confidence=c, verdict="no match") for c in (0.1, 0.2))
    assert _choose([first, rival]) is first
    sure = replace(rival, confidence=0.4, verdict="uncertain")
    assert _choose([first, sure]) is sure


def test_an_unknown_or_absent_device_is_refused(atlas: Atlas) -> None:
    image, _ = chip(PLACES[0])
    with pytest.raises(SettingError, match="unknown device 'gpu'; allowed: auto, cpu, cuda, mps"):
        locate(image, atlas, gsd=METRES, device="gpu")
    torch = pytest.importorskip("torch", reason="the models extra is not installed")
    if not torch.cuda.is_available():
        with pytest.raises(SettingError, match="not available"):
            locate(image, atlas, gsd=METRES, device="cuda")


def test_bad_queries_are_one_clear_error_and_nothing_is_written(
    atlas: Atlas, tmp_path: Path
) -> None:
    image, _ = chip(PLACES[0])
    out = tmp_path / "out"
    no_data = RasterArray.of(image.stored, np.zeros_like(image.valid), name="empty")
    flat = RasterArray.of(np.full_like(image.stored, 4.0), name="flat")
    placed = RasterArray.of(
        image.stored, grid=window_of(atlas.grid.pixels, Window(0, 0, SIDE, SIDE))
    )
    cases: list[tuple[RasterArray, dict[str, Any], type[CrosslookError], str]] = [
        (image, {}, GridError, "--gsd"),
        (image, {"gsd": 1.0}, MatchError, "at least 64"),
        (image, {"gsd": 10_000.0}, MatchError, "Check --gsd"),
        (image, {"gsd": -1.0}, SettingError, "above 0"),
        (placed, {"gsd": 10.0}, SettingError, "leave --gsd out"),
        (no_data, {"gsd": METRES}, RasterError, "no usable pixel"),
        (flat, {"gsd": METRES}, MatchError, "constant"),
        (image, {"gsd": METRES, "bbox": (1.0, 2.0, 1.0, 3.0)}, SettingError, "empty"),
        (image, {"gsd": METRES, "bbox": (1.0, 2.0, 1.5, 3.0)}, MatchError, "holds nothing there"),
        (image, {"gsd": METRES, "near": (10.9, 49.5)}, SettingError, "--radius"),
        (image, {"gsd": METRES, "radius_km": 5.0}, SettingError, "--near"),
        (image, {"gsd": METRES, "near": (10.9, 49.5), "radius_km": 0.0}, SettingError, "above 0"),
        (image, {"gsd": METRES, "rotation": -1.0}, SettingError, "rotation"),
        (image, {"gsd": METRES, "scale": "1.4:0.7"}, SettingError, "scale"),
    ]
    for query, options, kind, words in cases:
        with pytest.raises(kind, match=words):
            locate(query, atlas, out=out, **options)
    assert not out.exists()


def test_the_command_line_says_where_and_answers_by_its_exit_code(
    atlas: Atlas, tmp_path: Path
) -> None:
    import rasterio

    cut = atlas.image((131, 500), (SIDE, SIDE))
    path = tmp_path / "query.png"
    with rasterio.open(
        path, "w", driver="PNG", count=1, height=SIDE, width=SIDE, dtype="uint8"
    ) as f:
        f.write(stored_in(cut)[:1])
    call = ["locate", str(path), "--atlas", atlas.name, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(
        app, [*call, "--gsd", "10", "--near", "10.9", "49.5", "--radius", "9"]
    )
    assert done.exit_code == 0, done.output
    assert done.output.startswith("match: confidence")
    other = CliRunner().invoke(app, [*call, "--gsd", "5"])
    assert other.exit_code == 3, other.output
    second = tmp_path / "second.png"
    second.write_bytes(path.read_bytes())
    several = ["locate", str(path), str(second), *call[2:], "--gsd", "10"]
    done = CliRunner().invoke(app, several)
    assert done.exit_code == 0, done.output
    *lines, last = done.output.splitlines()
    assert [line.split(":")[0] for line in lines] == ["[1/2] query.png", "[2/2] second.png"]
    assert last.startswith("2 match of 2; see ")
    assert (tmp_path / "out" / "second" / "match.json").exists()
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    done = CliRunner().invoke(app, ["locate", str(bad), str(path), *call[2:], "--gsd", "10"])
    assert done.exit_code == 1
    assert done.output.startswith("[1/2] bad.png: failed: ")
    assert "[2/2] query.png: match" in done.output
    assert "1 of 2 images failed:\n  bad.png: " in done.output
    assert (tmp_path / "out" / "query" / "match.json").exists()
    rows = list(csv.DictReader((tmp_path / "out" / "matches.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["bad.png", "query.png"]
    assert [row["verdict"] for row in rows] == ["", "match"]
    assert "cannot be opened" in rows[0]["error"]
    twice = CliRunner().invoke(app, ["locate", str(path), str(path), *call[2:], "--gsd", "10"])
    assert isinstance(twice.exception, SettingError)
    info = CliRunner().invoke(app, ["atlas", "info", atlas.name])
    assert info.exit_code == 0
    assert "1280 x 1280" in info.output
