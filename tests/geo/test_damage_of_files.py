"""Files whose format can tell that they are damaged are refused, whole ones are not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from rasterio.shutil import copy

from crosslook.errors import RasterError
from crosslook.geo.image import open_image
from tests.damaged import damages as d
from tests.helpers.kinds import ground, save


def made(folder: Path, ending: str) -> Path:
    """A whole file of a format."""
    source = save(folder / "source.tif", ground())
    drivers = {"png": "PNG", "jpg": "JPEG", "nc": "netCDF"}
    path = folder / f"a.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(source, "in/source.tif")
    else:
        copy(source, path, driver=drivers[ending])
    return path


def name_of(path: Path) -> str:
    return f"/vsizip/{path}/in/source.tif" if path.suffix == ".zip" else str(path)


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        *(("png", one) for one in (d.hole, d.twice, d.flip, d.flip_in_tail, d.cut)),
        ("jpg", d.cut), ("nc", d.cut), ("zip", d.hole), ("zip", d.flip),
    ],
)  # fmt: skip
def test_damage_that_a_format_can_tell_is_refused(
    tmp_path: Path, ending: str, damage: d.Damage
) -> None:
    path = made(tmp_path, ending)
    whole = path.read_bytes()
    for seed in range(5):
        path.write_bytes(damage(whole, np.random.default_rng(seed)))
        with pytest.raises(RasterError):
            open_image(name_of(path), "sar").read()
    path.write_bytes(whole)
    assert open_image(name_of(path), "sar").read().valid.all()


def test_what_follows_the_image_in_a_png_is_no_damage(tmp_path: Path) -> None:
    path = made(tmp_path, "png")
    path.write_bytes(path.read_bytes() + b"appended by a program")
    assert open_image(path, "sar").read().valid.all()
