"""Every kind of file by every way in: register, study, audit, atlas, a folder and a table of pairs.

Whoever asks, the pixels, the mask and the place are the same.
"""

from __future__ import annotations

import csv
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.data.layouts import stem_of
from crosslook.data.pairs import open_pairs
from crosslook.data.patches import Scene, open_scene
from crosslook.errors import CrosslookError
from crosslook.geo.basemaps import find_basemaps
from crosslook.geo.grid import file_crs, has_map, is_placed, shape_of
from crosslook.geo.image import Image, ImageFile, open_image
from crosslook.geo.mosaic import plan_mosaic, read_window
from crosslook.match import audit as auditing
from crosslook.match import register as registering
from crosslook.types import Window
from tests.helpers.kinds import KINDS, Kind, save

for module in sorted(Path(__file__).parents[1].glob("helpers/kinds_*.py")):
    importlib.import_module(f"tests.helpers.{module.stem}")  # adds to KINDS


ONE_BY_ONE = ("a_folder_of_one_image",)
"""An atlas takes the images of such a folder one by one."""


class SeenError(CrosslookError):
    """Ends a command once its images are open."""


@pytest.fixture(params=sorted(KINDS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def partner(sar: ImageFile, path: Path) -> Path:
    """An optical image on exactly the grid of a SAR image."""
    height, width = shape_of(sar.grid)
    colours = np.random.default_rng(0).integers(1, 255, (3, height, width)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    if has_map(sar.grid):
        place = path.with_name(f"{path.name}.tif")
        return save(place, colours, sar.grid.affine, crs=file_crs(sar.grid))
    return save(path.with_name(f"{path.name}.png"), colours, None, driver="PNG")


def by_register(place: Any, optical: Any, monkeypatch: pytest.MonkeyPatch) -> ImageFile:
    """The SAR image as ``register`` opens it."""
    seen: list[ImageFile] = []

    def stop(sar: ImageFile, *_: object) -> None:
        seen.append(sar)
        raise SeenError

    with monkeypatch.context() as patch:
        patch.setattr(registering, "start_of", stop)
        with pytest.raises(SeenError):
            registering.register(place, optical)
    return seen[0]


def by_audit(pairs: Any, monkeypatch: pytest.MonkeyPatch) -> ImageFile:
    """The SAR image as ``audit`` opens it."""
    seen: list[ImageFile] = []

    def stop(_: str, images: tuple[ImageFile, ImageFile], *__: object) -> None:
        seen.extend(images)
        raise SeenError

    with monkeypatch.context() as patch:
        patch.setattr(auditing, "_measured", stop)
        with pytest.raises(SeenError):
            auditing.audit(pairs)
    return seen[0]


def same(image: Image, expected: Image) -> None:
    np.testing.assert_array_equal(image.valid, expected.valid)
    np.testing.assert_array_equal(image.values, expected.values)
    assert image.grid == expected.grid


def same_in_study(scene: Scene, expected: Image) -> None:
    """A study fills nothing in and cuts to 0..1; pixels without data are NaN."""
    height, width = expected.shape
    studied = scene.read("sar", Window(0, 0, height, width))
    np.testing.assert_array_equal(np.isnan(studied).any(axis=0), ~expected.valid)
    clipped = np.where(expected.valid, np.clip(expected.values[0], 0, 1), 0)
    np.testing.assert_array_equal(np.nan_to_num(studied[0]), clipped)
    assert scene.grid == expected.grid


def test_the_same_by_every_way_in(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set" / "sar"
    folder.mkdir(parents=True)
    made = KINDS[name](folder)
    sar = open_image(made.place, "sar")
    expected = sar.read()
    optical = partner(sar, tmp_path / "set" / "optical" / _key_of(made, folder))

    same(by_register(made.place, optical, monkeypatch).read(), expected)

    table = tmp_path / "pairs.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("sar", "optical"), (str(made.place), str(optical))])
    pairs = open_pairs(table)
    same_in_study(open_scene(pairs[0]), expected)
    same(by_audit(pairs, monkeypatch).read(), expected)

    if Path(made.place).exists():
        pairs = open_pairs(tmp_path / "set", skip_incomplete=True)
        # The folder of an image may stand for it.
        (pair,) = (one for one in pairs if str(optical).startswith(str(one.optical)))
        same_in_study(open_scene(pair), expected)
        registered = by_register(pair.sar, pair.optical, monkeypatch).read()
        np.testing.assert_array_equal(registered.values[0], expected.values[0])


def test_the_same_in_an_atlas(name: str, tmp_path: Path) -> None:
    made = KINDS[name](tmp_path)
    alone = open_image(made.place, "optical", allow_empty=True)
    if not is_placed(alone.grid) or alone.survey.sample.shape[1] == 0:
        return  # what has no place, or no optical pixel, is refused
    maps_of = list if name in ONE_BY_ONE else find_basemaps
    mosaic = plan_mosaic(maps_of([made.place]))
    grid, maps = mosaic.grid, mosaic.maps
    values, valid = read_window(maps, grid, (0, 0), shape_of(grid))
    expected = alone.on(grid).read()
    assert expected.valid.mean() > 0.2
    np.testing.assert_array_equal(valid, expected.valid)
    for band, wanted in zip(values, expected.values, strict=True):
        assert np.corrcoef(band[valid], np.clip(wanted[valid], 0, 1))[0, 1] > 0.999


def _key_of(made: Kind, folder: Path) -> str:
    """Where the partner of an image lies below the folder of its own sensor."""
    place = Path(made.place)
    if not place.exists():
        return "partner"
    inside = place.relative_to(folder)
    return (inside.parent / stem_of(place)).as_posix()
