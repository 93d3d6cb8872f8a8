"""A whole scene against a displacement that is known everywhere."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from crosslook import threads
from crosslook.errors import OutputError, RasterError, SettingError
from crosslook.extract.registry import open_extractor
from crosslook.geo.mosaic_file import MosaicFile, open_basemap
from crosslook.match.engine import Engine
from crosslook.match.evidence import Evidence
from crosslook.match.matchers import open_tools
from crosslook.match.register import _on_scene, plan_register, register
from crosslook.match.result import MatchResult
from crosslook.match.scene import match as scene_match
from crosslook.match.scene.consensus import find_inliers
from crosslook.match.scene.field import View, fit_geometry, without_folds
from crosslook.match.scene.plan import ScenePlan, plan_scene
from crosslook.match.scene.store import PARTIAL, forget_tiles
from crosslook.match.scene.tiles import StackJob, TileJob, TileWorker, _content, match_tiles
from crosslook.match.settings import DEFAULT_EXTRACTOR, RegisterCall
from crosslook.match.tie_points import no_tie_points
from crosslook.match.transform import Transform, identity
from crosslook.options import ModelOptions
from crosslook.types import Array, FloatArray, Window

from .scenes import SIDE, bent, displacement


def job_of(plan: ScenePlan, store: Path) -> TileJob:
    return TileJob.of(plan, open_extractor(DEFAULT_EXTRACTOR), ModelOptions(device="cpu"), store)


@cache
def values_of(*, sea: bool = False, along: bool = False) -> FloatArray:
    """Displacements of all nodes, matched once."""
    plan = bent(sea=sea, along=along).plan
    out = np.full((*plan.shape, 8), np.nan, np.float32)
    worker = TileWorker(job_of(plan, Path(os.devnull)))
    with threads.limited(in_pieces=True):  # as match_tiles has it: BLAS sums in another order else
        for number, tile in enumerate(plan.tiles):
            out[tile.slices] = worker.match(number)
    return out


def found_before(plan: ScenePlan) -> MatchResult:
    return MatchResult(
        "match", 0.99, identity(), 4.0, no_tie_points(), Evidence(), plan.sar, plan.optical
    )


def result_of(**kind: bool) -> MatchResult:
    plan = bent(**kind).plan
    settings = RegisterCall(spacing=24, device="cpu")
    followed = scene_match.follow(plan, values_of(**kind), {}, settings)
    return scene_match._assembled(found_before(plan), followed)


def error_of(transform: Transform, *, along: bool = False) -> Array:
    """Distance from the truth at positions all over the optical image."""
    steps = np.arange(60.5, SIDE - 60, 16)
    at = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)
    row, col = np.moveaxis(at.astype(int), -1, 0)
    truth = at - displacement((SIDE, SIDE), along)[row, col]
    moved = transform.inverse(at.reshape(-1, 2)).reshape(at.shape)
    return np.asarray(np.linalg.norm(moved - truth, axis=-1))


def test_a_known_displacement_is_recovered() -> None:
    result = result_of()
    assert result.transform is not None
    error = error_of(result.transform)
    assert np.median(error) < 1.0
    assert np.quantile(error, 0.95) < 2.5
    points = result.tie_points
    row, col = points.optical[points.inlier].astype(int).T
    off = points.optical - points.sar
    wrong = np.linalg.norm(off[points.inlier] - displacement((SIDE, SIDE))[row, col], axis=1)
    assert np.median(wrong) < 1.3
    assert points.std is not None
    assert np.isfinite(points.std).all()


def test_displacements_along_the_range_alone_are_told_from_a_free_field() -> None:
    result = result_of(along=True)
    assert result.scene is not None
    assert result.transform is not None
    geometry = result.scene.geometry
    assert geometry["selected"] == "relief"
    assert geometry["direction_degrees"] % 180 == pytest.approx(0.0, abs=6.0) or geometry[
        "direction_degrees"
    ] == pytest.approx(180.0, abs=6.0)
    assert np.median(error_of(result.transform, along=True)) < 1.0


def test_where_the_ground_says_nothing_the_map_says_so_and_is_level() -> None:
    result = result_of(sea=True)
    scene = result.scene
    assert scene is not None
    assert result.transform is not None
    silent = np.isnan(scene.quality.std)
    assert silent[:, -8:].mean() > 0.9
    assert silent[:, :20].mean() < 0.1
    lattice = result.transform.lattice
    assert lattice is not None
    far = np.abs(np.diff(lattice.values[:, -12:], axis=1)).max()
    assert far < 0.4, "no steps where nothing is known"
    last = [tile for tile in scene.tiles if tile.window.right >= SIDE - 24]
    assert last
    assert all(tile.verdict != "match" or tile.inliers > 100 for tile in last)


def test_a_field_never_folds() -> None:
    drawn = np.random.default_rng(5).normal(0.0, 20.0, (40, 40, 2))
    smooth = without_folds(drawn, 24.0)
    down, right = (np.gradient(smooth, 24.0, axis=k) for k in (0, 1))
    area = (1 - down[..., 0]) * (1 - right[..., 1]) - down[..., 1] * right[..., 0]
    assert area.min() > 0.0


def test_one_map_is_kept_where_nothing_bends() -> None:
    plan = bent().plan
    at = (plan.positions(Window.whole(plan.shape)) - plan.window.corner) / plan.factor
    nodes = find_inliers(values_of(), plan)
    noise = np.random.default_rng(2).normal(0.0, 0.7, nodes.displacement.shape)
    plain = at * 0.002 + np.array([3.0, -2.0]) + noise
    geometry = fit_geometry(replace(nodes, displacement=plain), at, plan.spacing)
    assert geometry.kind == "map"
    assert geometry.matrix[:, :2] == pytest.approx(0.002 * np.eye(2), abs=3e-4)


def test_heights_explain_relief_whose_size_varies_over_the_swath() -> None:
    plan = bent().plan
    at = (plan.positions(Window.whole(plan.shape)) - plan.window.corner) / plan.factor
    nodes = find_inliers(values_of(), plan)
    drawn = np.random.default_rng(4)
    heights = 300.0 + 80 * np.sin(at[..., 0] / 90) * np.cos(at[..., 1] / 70)
    heights[:3] = np.nan
    per_metre = 0.12 + 0.03 * (at[..., 1] / SIDE - 0.5)
    moved = np.zeros(at.shape)
    moved[..., 1] = per_metre * np.nan_to_num(heights - 300.0)
    noisy = moved + at * 0.001 + drawn.normal(0.0, 0.7, at.shape)
    view = View(heights=heights)
    geometry = fit_geometry(replace(nodes, displacement=noisy), at, plan.spacing, "auto", view)
    assert geometry.terrain is not None
    assert geometry.terrain.coefficients[1] == pytest.approx([0.12, 0.0, 0.03], abs=4e-3)
    assert geometry.terrain.coefficients[0] == pytest.approx(0.0, abs=4e-3)
    whole = at @ geometry.matrix[:, :2].T + geometry.matrix[:, 2] + geometry.field
    off = np.linalg.norm(whole - moved - at * 0.001, axis=-1)
    assert np.median(off[4:]) < 0.3


def test_unrelated_images_agree_nowhere() -> None:
    plan = bent().plan
    other = replace(plan, start=identity(), base=identity())
    turned = replace(other, sar=turned_image(plan))
    worker = TileWorker(job_of(turned, Path(os.devnull)))
    values = np.full((*plan.shape, 8), np.nan, np.float32)
    values[plan.tiles[0].slices] = worker.match(0)
    nodes = find_inliers(values, plan)
    assert nodes.inlier.mean() < 0.02


def turned_image(plan: ScenePlan) -> Any:
    from crosslook.geo.image import open_image
    from crosslook.geo.raster import RasterArray

    pixels = plan.sar.source.read(Window.whole(plan.sar.shape), (1,))
    return open_image(RasterArray.of(pixels[:, ::-1, ::-1].copy(), grid=plan.sar.grid), "sar")


def test_tiles_that_are_done_are_not_done_again(tmp_path: Path) -> None:
    plan = bent().plan
    job = job_of(plan, tmp_path)
    worker = TileWorker(job)
    worker.store(0)
    made = (tmp_path / job.name_of(0)).stat()
    values, failed = match_tiles(job, Engine())
    assert not failed
    assert (tmp_path / job.name_of(0)).stat().st_mtime_ns == made.st_mtime_ns
    np.testing.assert_array_equal(values, values_of())


def test_other_settings_have_other_tiles(tmp_path: Path) -> None:
    plan = bent().plan
    first, second = job_of(plan, tmp_path), job_of(replace(plan, reach=48.0), tmp_path)
    assert first.key != second.key
    assert first.key == job_of(plan, tmp_path / "elsewhere").key


def test_what_is_removed_at_the_end_are_tiles_alone(tmp_path: Path) -> None:
    folder = tmp_path / PARTIAL
    folder.mkdir()
    (folder / f"{'a' * 20}-000001.npy").write_bytes(b"x")
    (folder / ".crosslook-0a1b2c3d-4711-0a1b2c3d.npy").write_bytes(b"x")  # of a killed worker
    (folder / "mine.npy").write_bytes(b"x")
    forget_tiles(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["mine.npy"]


def test_a_damaged_tile_is_named(tmp_path: Path) -> None:
    plan = bent().plan
    job = job_of(plan, tmp_path)
    for number in range(len(plan.tiles)):
        (tmp_path / job.name_of(number)).write_bytes(b"damaged")
    with pytest.raises(OutputError, match="is damaged"):
        match_tiles(job, Engine())


@pytest.mark.slow
def test_a_worker_that_dies_costs_a_tile_and_no_byte(tmp_path: Path) -> None:
    plan = bent().plan
    job = job_of(plan, tmp_path)
    import multiprocessing
    import threading
    import time

    def killer() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.05)
        time.sleep(2.0)
        if children[0].pid is not None:
            os.kill(children[0].pid, signal.SIGKILL)

    thread = threading.Thread(target=killer)
    thread.start()
    values, failed = match_tiles(job, Engine(workers=2))
    thread.join()
    assert not failed
    np.testing.assert_array_equal(values, values_of())


def test_the_files_of_a_scene(tmp_path: Path) -> None:
    result = result_of()
    result.write(tmp_path)
    match = json.loads((tmp_path / "match.json").read_text())
    assert (tmp_path / "match.json").stat().st_size < 60_000
    assert match["scene"]["tiles"]["count"] == len(result.scene.tiles if result.scene else ())
    there = Transform.from_dict(match["transform"], tmp_path)
    at = np.array([[300.0, 400.0], [700.0, 200.0]])
    assert result.transform is not None
    assert there(at) == pytest.approx(result.transform(at), abs=1e-6)
    with rasterio.open(tmp_path / "quality.tif") as file:
        assert file.count == 5
        assert file.descriptions[4] == "confidence"
        assert file.transform.a == pytest.approx(240.0)
    assert (tmp_path / "tiles.csv").read_text().startswith("row,col,height,width,verdict")


def test_a_plan_covers_the_overlap_at_the_coarser_resolution() -> None:
    plan = plan_scene((bent().plan.sar, bent().plan.optical), identity())
    assert (plan.factor, plan.sar_factor, plan.spacing) == (1, 1, 24)
    assert plan.shape == (SIDE // 24, SIDE // 24)
    covered = sum(tile.height * tile.width for tile in plan.tiles)
    assert covered == plan.shape[0] * plan.shape[1]


def test_a_model_that_tiles_do_not_follow_is_kept(tmp_path: Path) -> None:
    found = found_before(bent().plan)
    settings = RegisterCall(model="similarity", out=tmp_path / "out")
    assert _on_scene(found, open_tools(settings)[1], settings) is found
    assert not plan_register(found.sar, found.optical, settings)[1]
    with pytest.raises(SettingError, match="--model similarity does not follow"):
        RegisterCall(model="similarity", spacing=24)
    unrefined = RegisterCall(matcher="sift", spacing=24.0)
    for call in (register, plan_register):
        with pytest.raises(SettingError, match="give --refine"):
            call(found.sar, found.optical, unrefined)


def test_a_tile_that_no_worker_of_a_cluster_can_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(bent().plan, tmp_path)
    match = TileWorker.match

    def broken(self: TileWorker, number: int) -> FloatArray:
        if number == 1:
            raise RasterError("part of the file is damaged")
        return match(self, number)

    def here(worker: type, job: StackJob, items: list[Any], *_: object) -> Iterator[Any]:
        opened = worker(job)
        return (opened({"part": [item["part"]]}) for item in items)

    monkeypatch.setattr(TileWorker, "match", broken)
    monkeypatch.setattr("crosslook.extract.ray_engine.each_on_ray", here)
    values, failed = match_tiles(job, Engine("ray", 2))
    assert failed == {1: "part of the file is damaged"}
    assert np.isnan(values[job.plan.tiles[1].slices]).all()
    assert np.isfinite(values[job.plan.tiles[0].slices]).any()


def test_a_basemap_of_many_files_is_known_by_them_and_not_by_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (0, 1):
        place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 1280 * number, 0, -10, 0)}
        shape = {"count": 3, "height": 128, "width": 128, "dtype": "uint8"}
        with rasterio.open(tmp_path / f"{number}.tif", "w", "GTiff", **shape, **place) as file:
            file.write(np.random.default_rng(number).integers(1, 255, (3, 128, 128), np.uint8))
    many = open_basemap([tmp_path])
    monkeypatch.setattr(MosaicFile, "read", None)  # a country would not fit into memory
    files = [name for name, *_ in _content(many)[0]]
    assert sorted(Path(name).name for name in files) == ["0.tif", "1.tif"]
