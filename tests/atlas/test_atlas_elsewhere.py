"""An atlas built by a Ray cluster, and one in an object store, are the same as a local one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crosslook.atlas.build import BlockJob, build_atlas, build_with_ray, make_block
from crosslook.atlas.locate import locate
from crosslook.atlas.store import Atlas, AtlasGrid, open_atlas
from crosslook.errors import InputError
from crosslook.extract.registry import open_extractor
from crosslook.geo.mosaic import plan_mosaic
from crosslook.geo.raster import RasterArray
from crosslook.storage import open_folder
from tests.helpers.deadly_grid import DeadlyGrid
from tests.helpers.stored import stored_in


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_worker_costs_only_its_block(
    atlas: Atlas, basemap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]), prepend=os.pathsep)
    mosaic = plan_mosaic([basemap])
    pixels, maps = mosaic.grid, mosaic.maps
    grid = AtlasGrid(pixels, 512)
    marker = tmp_path / "killed"
    deadly = DeadlyGrid(pixels, 512, str(marker), os.getpid())
    job = BlockJob(str(tmp_path / "ray"), deadly, tuple(maps), atlas.manifest.levels)
    blocks = list(np.ndindex(grid.blocks))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        build_with_ray(job, blocks, workers=2)
    finally:
        ray.shutdown()
    assert int(marker.read_text()) != os.getpid(), "a worker was killed"
    local = replace(job, store=str(tmp_path / "local"))
    extractors = [open_extractor(level.spec) for level in job.levels]
    for block in blocks:
        make_block(local, block, extractors, open_folder(local.store))
    names, made = (
        {p.relative_to(folder) for p in folder.rglob("*.*")}
        for folder in (tmp_path / "local", tmp_path / "ray")
    )
    assert names == made
    assert len(names) > 3 * len(blocks)
    for name in names:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_an_atlas_in_an_object_store_answers_the_same(
    small: Atlas, small_basemap: Path, s3: str
) -> None:
    place = f"{s3}-atlas"
    with pytest.raises(InputError, match="no atlas"):
        open_atlas(place)
    remote = build_atlas(small_basemap, place)
    assert remote.manifest.blocks == small.manifest.blocks, "the checksums are the same"
    image = small.image((131, 300), (256, 256))
    cut = RasterArray.of(stored_in(image)[:1], grid=image.grid)
    here, there = locate(cut, small), locate(cut, open_atlas(place))
    assert here.transform is not None
    assert there.transform is not None
    np.testing.assert_array_equal(here.transform.matrix, there.transform.matrix)
    assert here.confidence == there.confidence
