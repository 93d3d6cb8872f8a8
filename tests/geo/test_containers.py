"""NISAR, OPERA and other HDF5 files: bands by name, and what is said where there is no place."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio

from crosslook.errors import InputError, RasterError
from crosslook.geo.grid import crs_text
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.geo.mosaic import fingerprint
from crosslook.geo.radiometry import SarRadiometry
from crosslook.geo.raster import digest_of
from tests.helpers.kinds import CRS, KINDS, PLACE, SIDE, ground
from tests.helpers.kinds_containers import nisar, speckled, write_grid


def opened(place: Path | str, *bands: str) -> ImageFile:
    return open_image(place, "sar", Reading(sar=SarRadiometry(bands=bands)))


def test_polarisations_and_frequencies_are_named(tmp_path: Path) -> None:
    place = KINDS["nisar_gcov"](tmp_path).place
    assert opened(place).header.labels == ("hhhh", "hvhv")
    assert opened(place, "HVHV").header.labels == ("hvhv",)
    coarse = opened(place, "B/HHHH")
    assert coarse.grid.shape == (SIDE // 4, SIDE // 4)
    assert tuple(coarse.grid.affine)[:6] == (40, 0, PLACE.c, 0, -40, PLACE.f)
    assert opened(place, "hhhv").header.is_magnitude
    with pytest.raises(InputError, match=r"no band 'VVVV'; it has hhhh, hvhv, hhhv, b/hhhh"):
        opened(place, "VVVV")


def test_complex_layers_are_amplitude_however_many(tmp_path: Path) -> None:
    image = opened(KINDS["nisar_gslc"](tmp_path).place)
    assert image.header.labels == ("hh", "hv")
    assert image.header.is_magnitude
    assert image.scale == "amplitude"


def test_power_is_power(tmp_path: Path) -> None:
    assert opened(KINDS["nisar_gcov"](tmp_path).place).scale == "power"


def test_a_file_written_anew_is_another(tmp_path: Path) -> None:
    power = (ground() / 255).astype(np.float32)
    path = nisar(tmp_path / "a.h5", "GCOV", {"VVVV": power})
    before = fingerprint([path]), digest_of(path), opened(path).grid.shape
    with h5py.File(tmp_path / "new.h5", "w") as file:
        group = file.create_group("science/LSAR/GCOV/grids/frequencyA")
        write_grid(group, {"VVVV": power[:96, :96]}, 10)
    (tmp_path / "new.h5").replace(path)
    after = fingerprint([path]), digest_of(path), opened(path).grid.shape
    assert all(one != two for one, two in zip(before, after, strict=True))


def test_radar_geometry_is_said(tmp_path: Path) -> None:
    path = tmp_path / "RSLC.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("science/LSAR/RSLC/swaths/frequencyA")
        for name in ("HH", "HV"):
            group[name] = speckled(ground().astype(np.float32))
    with pytest.raises(InputError, match=r"radar geometry.*GSLC or GCOV") as error:
        opened(path)
    named = str(error.value).split("'")[1]
    alone = opened(named)
    assert alone.header.placed_by == "nothing"
    assert alone.header.is_magnitude


@pytest.mark.parametrize(
    ("product", "layers"),
    [
        ("ICEYE SLC", {"s_i": (SIDE, SIDE), "s_q": (SIDE, SIDE)}),
        ("COSMO-SkyMed SCS", {"S01/SBI": (SIDE, SIDE, 2), "S01/QLK": (40, 40)}),
    ],
)
def test_real_and_imaginary_parts_are_not_two_images(
    tmp_path: Path, product: str, layers: dict[str, tuple[int, ...]]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, shape in layers.items():
            file[name] = np.ones(shape, np.int16)
    with pytest.raises(InputError, match=f"{product}.*Use the"):
        opened(tmp_path / "a.h5")


def test_a_layer_without_axes_has_no_place(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("science/LSAR/GCOV/grids/frequencyA")
        for name in ("HHHH", "HVHV"):
            group[name] = np.ones((SIDE, SIDE), np.float32)
    with pytest.raises(RasterError, match="place is not known"):
        opened(tmp_path / "a.h5")


def test_the_message_of_a_container_names_what_works(tmp_path: Path) -> None:
    """The largest image by the driver that knows its place, and nothing that cannot be opened."""
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        write_grid(file.create_group("maps"), {"backscatter": ground().astype(np.float32)}, 10)
        file["small"] = np.ones((20, 20), np.float32)
    with pytest.raises(RasterError, match=r"holds 2 images.*Name one, as 'NETCDF:") as error:
        opened(path)
    for name in str(error.value).split("'")[1::2]:
        with rasterio.open(name) as file:
            assert file.count == 1
    image = opened(str(error.value).split("'")[1])
    assert crs_text(image.grid) == CRS
    assert image.name == "other_maps_backscatter.h5"


def test_frequencies_of_other_ground_are_not_stacked(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    power = (ground() / 255).astype(np.float32)
    with h5py.File(path, "w") as file:
        for frequency, side in (("A", SIDE), ("B", 60)):
            group = file.create_group(f"science/LSAR/GCOV/grids/frequency{frequency}")
            write_grid(group, {"HHHH": power[:side, :side]}, 10)
    with pytest.raises(RasterError, match="cover other ground"):
        opened(path, "HHHH", "B/HHHH")
    assert opened(KINDS["nisar_gcov"](tmp_path).place, "HHHH", "B/HVHV").bands == (1, 2)
