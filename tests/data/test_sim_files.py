"""Files of the simulator: grids, tags, truth, and what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.write import write_basemap, write_pairs
from crosslook.errors import OutputError, SettingError


def test_pairs_are_georeferenced_and_marked(tmp_path: Path) -> None:
    names = write_pairs(tmp_path, 2, size=64, seed=5, gsd=4.0)
    assert names == ["sim-0000", "sim-0001"]
    for name in names:
        with (
            rasterio.open(tmp_path / "optical" / f"{name}.tif") as optical,
            rasterio.open(tmp_path / "sar" / f"{name}.tif") as sar,
        ):
            assert optical.crs == sar.crs == "EPSG:32633"
            assert optical.transform == sar.transform
            assert optical.res == (4.0, 4.0)
            assert (optical.dtypes, sar.dtypes) == (("uint8",) * 3, ("float32",))
            for file in (optical, sar):
                assert file.tags()["CROSSLOOK_SYNTHETIC"] == "yes"
    with rasterio.open(tmp_path / "optical" / "sim-0000.tif") as file:
        assert np.array_equal(file.read(), make_pair(64, 5, gsd=4.0).optical)
    stated = json.loads((tmp_path / "truth.json").read_text())
    assert stated["synthetic"] is True
    assert (tmp_path / "truth.csv").read_text().splitlines()[0].startswith("id,synthetic,m00,m01")


def test_truth_tells_how_wrong_the_georeference_is(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "size": 64, "seed": 5, "shift": (4.0, -2.0), "rotation": 3.0, "scale": 1.02,
    }  # fmt: skip
    write_pairs(tmp_path, 1, **options)
    line = (tmp_path / "truth.csv").read_text().splitlines()[1].split(",")
    pair = make_pair(**options)
    assert np.array(line[2:], float).reshape(3, 3) == pytest.approx(pair.truth)
    stated = json.loads((tmp_path / "truth.json").read_text())
    assert np.array(stated["pairs"]["sim-0000"]["sar_to_optical"]) == pytest.approx(pair.truth)
    with rasterio.open(tmp_path / "sar" / "sim-0000.tif") as file:
        assert np.array_equal(file.read(1), pair.sar)


def test_same_call_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_pairs(tmp_path / folder, 2, size=32)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_earlier_pairs_are_replaced_but_nothing_foreign(tmp_path: Path) -> None:
    write_pairs(tmp_path, 3, size=32)
    write_pairs(tmp_path, 2, size=32, seed=1)
    assert sorted(p.name for p in (tmp_path / "sar").iterdir()) == ["sim-0000.tif", "sim-0001.tif"]
    foreign = tmp_path / "sar" / "mine.tif"
    foreign.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"mine\.tif"):
        write_pairs(tmp_path, 2, size=32)
    assert foreign.read_bytes() == b"precious"


def test_a_killed_call_is_gone_on_with(tmp_path: Path) -> None:
    """A process is killed while it writes; its half file goes, its whole ones stay."""
    call = (
        "import os, signal, sys\n"
        "import crosslook.data.simulate.write as writing\n"
        "plain, done = writing._write_raster, []\n"
        "def deadly(path, *more):\n"
        "    done.append(path)\n"
        "    if len(done) == 4:\n"
        "        path.write_bytes(b'half')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    plain(path, *more)\n"
        "writing._write_raster = deadly\n"
        "writing.write_pairs(sys.argv[1], 3, size=32)\n"
    )
    killed = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", call, str(killed)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((killed / "sar").iterdir())) == 2, "one whole file, one half"
    first = (killed / "sar" / "sim-0000.tif").stat().st_mtime_ns
    write_pairs(killed, 3, size=32)
    assert (killed / "sar" / "sim-0000.tif").stat().st_mtime_ns == first
    write_pairs(tmp_path / "whole", 3, size=32)
    names = sorted(p.relative_to(killed) for p in killed.rglob("*") if p.is_file())
    assert len(names) == 8
    for name in names:
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_foreign_truth_is_kept(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text("[1, 2]")
    with pytest.raises(OutputError, match="not written by crosslook"):
        write_pairs(tmp_path, 1, size=32)
    assert (tmp_path / "truth.json").read_text() == "[1, 2]"


def test_wrong_settings_write_nothing(tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    wrong: list[tuple[int, dict[str, Any]]] = [(0, {}), (1, {"gsd": -1.0}), (1, {"lookz": 3})]
    for count, options in wrong:
        with pytest.raises(SettingError):
            write_pairs(out, count, **options)
    assert not out.exists()


def test_basemap_in_blocks_equals_the_one_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    write_basemap(path, 600, seed=8, block=256, origin=(100, -50))
    with rasterio.open(path) as file:
        assert file.profile["tiled"]
        assert file.tags()["CROSSLOOK_SYNTHETIC"] == "yes"
        assert file.crs == "EPSG:32633"
        assert np.array_equal(file.read(), make_pair(600, 8, origin=(100, -50)).optical)


def test_basemap_refuses_foreign_files_and_wrong_names(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="not written by the simulator"):
        write_basemap(path, 64)
    assert path.read_bytes() == b"precious"
    with pytest.raises(SettingError, match="block"):
        write_basemap(tmp_path / "other.tif", 64, block=100)
    with pytest.raises(SettingError, match="GeoTIFF"):
        write_basemap(tmp_path / "map.png", 64)
