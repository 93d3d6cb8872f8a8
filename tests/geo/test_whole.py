"""A disk that fills up at any moment is an error, never a file that lacks its end."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from crosslook.data.simulate.write import write_basemap
from crosslook.errors import OutputError
from crosslook.geo.grid import make_grid
from crosslook.geo.image import open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.lattice import write_lattice
from crosslook.match.transform import Transform, translation
from crosslook.match.warped_file import write_aligned

GRID = make_grid("EPSG:32633", (10.0, 0.0, 3e5, 0.0, -10.0, 5.5e6), 700, 700)
NOISE = np.random.default_rng(0).gamma(2, 2, (700, 700)).astype(np.float32)


def aligned(path: Path) -> None:
    sar = open_image(RasterArray.of(NOISE, grid=GRID, name="s"), "sar")
    write_aligned(path, sar, sar, Transform(translation(0.3, 0.4), "shift"), "match")


def displacement(path: Path) -> None:
    write_lattice(path, np.stack([NOISE, NOISE], axis=-1), GRID, "match")


def basemap(path: Path) -> None:
    write_basemap(path, 512, block=256)


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """A limit on the size of files acts as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", [aligned, displacement, basemap])
def test_a_full_disk_is_said_wherever_it_fills(
    write: object, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert callable(write)
    write(tmp_path / "whole.tif")
    whole = (tmp_path / "whole.tif").read_bytes()
    for part in (0.1, 0.7, 0.9, 0.99, 1.0 - 1.0 / len(whole)):
        with disk_of(int(part * len(whole))), pytest.raises(OutputError, match="free some space"):
            write(tmp_path / "cut.tif")
        assert [path.name for path in tmp_path.iterdir()] == ["whole.tif"]
    write(tmp_path / "again.tif")
    assert (tmp_path / "again.tif").read_bytes() == whole
