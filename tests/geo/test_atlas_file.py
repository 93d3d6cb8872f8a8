"""An atlas is a basemap of ``register``: its pixels are read as those of the files it is of."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from crosslook.atlas.build import build_atlas
from crosslook.cli import app
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import InputError, SettingError, StoreError
from crosslook.geo.atlas_file import AtlasFile, is_atlas
from crosslook.geo.image import Reading
from crosslook.geo.mosaic_file import open_optical
from crosslook.types import Window

SIDE = 384


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair, its optical image as tiles, an atlas of all of them, and one with a gap."""
    root = tmp_path_factory.mktemp("atlas")
    write_pairs(root, 1, size=SIDE, gsd=10.0, shift=(2.0, -3.0), relief=0.0)
    cut(root / "optical/sim-0000.tif", root / "tiles", SIDE // 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crosslook.atlas.build.BLOCK", 128)
        build_atlas([root / "tiles"], root / "whole")
        (root / f"tiles/tile-{SIDE // 2}-{SIDE // 2}.tif").unlink()
        build_atlas([root / "tiles"], root / "gap")
    return root


def cut(path: Path, folder: Path, side: int) -> None:
    """Write an image as files of ``side`` pixels along an edge."""
    folder.mkdir()
    with rasterio.open(path) as file:
        for row in range(0, file.height, side):
            for col in range(0, file.width, side):
                at = rasterio.windows.Window(col, row, side, side)
                place = {"height": side, "width": side, "transform": file.window_transform(at)}
                tile = folder / f"tile-{row}-{col}.tif"
                with rasterio.open(tile, "w", **(file.profile | place)) as target:
                    target.write(file.read(window=at))


def test_its_pixels_are_those_of_the_files(made: Path) -> None:
    file, atlas = (open_optical(made / name) for name in ("optical/sim-0000.tif", "whole"))
    assert atlas.shape == file.shape
    assert tuple(atlas.grid.affine) == pytest.approx(tuple(file.grid.affine))
    window = Window(100, 70, 150, 200)  # over several blocks
    one, other = file.read(window), atlas.read(window)
    np.testing.assert_array_equal(one.valid, other.valid)
    # 8 bits of what the file holds, stretched once more by whoever reads either.
    for a, b in zip(one.values, other.values, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99
    beyond = atlas.read(Window(-10, -10, 40, 40))
    assert not beyond.valid[:10].any()
    assert beyond.valid[10:, 10:].all()


def test_it_travels_to_other_processes(made: Path) -> None:
    image = open_optical(made / "whole")
    image.read(Window(0, 0, 200, 200))
    there = pickle.loads(pickle.dumps(image))
    window = Window(120, 120, 30, 30)
    np.testing.assert_array_equal(there.read(window).values, image.read(window).values)


def test_a_gap_and_a_damaged_block_are_left_open(made: Path, tmp_path: Path) -> None:
    gap = open_optical(made / "gap").read()
    half = SIDE // 2
    assert not gap.valid[half + 4 :, half + 4 :].any()
    assert gap.valid[: half - 4].all()
    import shutil

    shutil.copytree(made / "whole", tmp_path / "whole")
    path = tmp_path / "whole/blocks/r00001-c00001/image.npy"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 255
    path.write_bytes(bytes(data))
    image = open_optical(tmp_path / "whole")
    read = image.read()
    assert not read.valid[128:256, 128:256].any()
    assert read.valid[:128].all()
    assert any("left open" in note and "checksum" in note for note in image.notes)


def test_what_it_cannot_be_is_said(made: Path, tmp_path: Path) -> None:
    assert is_atlas(made / "whole")
    assert not is_atlas(made / "tiles")
    dotted = made / "whole.v1"
    dotted.symlink_to(made / "whole", target_is_directory=True)
    assert is_atlas(dotted), "a local folder is looked into, whatever its name"
    assert open_optical(dotted).shape == open_optical(made / "whole").shape
    assert not is_atlas(made / "optical/sim-0000.tif")
    with pytest.raises(InputError, match="a basemap by itself"):
        open_optical([made / "whole", made / "optical/sim-0000.tif"])
    settings: Any = {"bands": "3:2:1"}
    from crosslook.match.settings import RegisterSettings

    reading = Reading.parse(RegisterSettings(**settings).reading())
    with pytest.raises(SettingError, match="chosen when it was built"):
        open_optical(made / "whole", reading)
    (tmp_path / "atlas.json").write_text('{"format": 4, "shape": [0, 1]}')
    with pytest.raises(StoreError, match="damaged"):
        open_optical(tmp_path)


@pytest.mark.parametrize("name", ["whole", "gap"])
def test_register_on_an_atlas(made: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    call = ["register", str(made / "sar/sim-0000.tif"), str(made / name), "--out", str(out)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert "its pixels are those that an atlas holds" in done.output
    assert (out / "aligned.tif").exists()


def test_a_header_says_what_it_is(made: Path) -> None:
    source = open_optical(made / "whole").source
    assert isinstance(source, AtlasFile)
    assert source.header.name == "whole"
    assert source.parts() == (str(made / "whole" / "atlas.json"),)
