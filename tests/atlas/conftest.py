"""One simulated basemap and its atlas of several blocks, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crosslook.atlas.build import build_atlas
from crosslook.atlas.store import Atlas
from crosslook.data.simulate.scene import SceneSettings
from crosslook.data.simulate.write import write_basemap

SIZE, SMALL_SIZE, SEED, SMALL_BLOCK = 1280, 640, 11, 512


@pytest.fixture(scope="session")
def basemap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("basemap") / "map.tif"
    write_basemap(path, SIZE, SEED, relief=20.0)
    assert SceneSettings(size=SIZE, seed=SEED).gsd == 10.0
    return path


@pytest.fixture(scope="session")
def small_blocks() -> Iterator[None]:
    """Blocks of 512 pixels, so that a small map has many."""
    patch = pytest.MonkeyPatch()
    patch.setattr("crosslook.atlas.build.BLOCK", SMALL_BLOCK)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def atlas(basemap: Path, tmp_path_factory: pytest.TempPathFactory, small_blocks: None) -> Atlas:
    return build_atlas(basemap, tmp_path_factory.mktemp("atlas") / "a")


@pytest.fixture(scope="session")
def small_basemap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corner of the same ground, 640 pixels a side."""
    path = tmp_path_factory.mktemp("small") / "map.tif"
    write_basemap(path, SMALL_SIZE, SEED, relief=20.0)
    return path


@pytest.fixture(scope="session")
def small(small_basemap: Path, small_blocks: None) -> Atlas:
    """Its atlas, of four blocks."""
    return build_atlas(small_basemap, small_basemap.parent / "a")
