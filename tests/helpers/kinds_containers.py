"""Files of many arrays, as NISAR, OPERA and EOPF deliver them, each with the same ground.

Made after the public specifications, with the libraries that write such files.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from pyproj import CRS as ProjCRS

from tests.helpers.kinds import CRS, PLACE, SIDE, Kind, everywhere, ground, kind

_EDGE = 6  # columns that a product leaves without data
_B_STEP = 40  # metres, of NISAR's frequency B


def speckled(amplitude: np.ndarray) -> np.ndarray:
    """Complex numbers of this amplitude, of any phase."""
    phase = np.random.default_rng(4).random(amplitude.shape) * 2j * np.pi
    whole: np.ndarray = (amplitude * np.exp(phase)).astype(np.complex64)
    return whole


def axes(side: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres of pixels, x and y, from the corner of the ground on, north first."""
    count = np.arange(side) + 0.5
    return PLACE.c + step * count, PLACE.f - step * count


def write_grid(
    group: h5py.Group,
    layers: dict[str, np.ndarray],
    step: float,
    names: tuple[str, str] = ("xCoordinates", "yCoordinates"),
) -> None:
    """Write layers with axes and a projection beside them, as NISAR and OPERA do."""
    side = len(next(iter(layers.values())))
    for name, values, word in zip(names, axes(side, step), ("x", "y"), strict=True):
        axis = group.create_dataset(name, data=values)
        axis.attrs["standard_name"] = np.bytes_(f"projection_{word}_coordinate")
        axis.make_scale(name)
    projection = group.create_dataset("projection", data=np.int32(ProjCRS(CRS).to_epsg()))
    projection.attrs["epsg_code"] = ProjCRS(CRS).to_epsg()
    projection.attrs["spatial_ref"] = np.bytes_(ProjCRS(CRS).to_wkt("WKT1_GDAL"))
    for name, values in layers.items():
        layer = group.create_dataset(name, data=values, chunks=(48, 48), compression="gzip")
        layer.attrs["grid_mapping"] = np.bytes_("projection")
        for dimension, axis_name in enumerate(reversed(names)):
            layer.dims[dimension].attach_scale(group[axis_name])


def nisar(path: Path, product: str, layers: dict[str, np.ndarray], radar: str = "LSAR") -> Path:
    """Write a product of two frequencies: A as given, B of every fourth pixel."""
    with h5py.File(path, "w") as file:
        file.attrs["mission_name"] = "NISAR"
        top = f"science/{radar}/{product}/grids"
        extra = {"mask": np.ones((SIDE, SIDE), np.uint8)}
        write_grid(file.create_group(f"{top}/frequencyA"), {**layers, **extra}, PLACE.a)
        coarse = {name: values[2::4, 2::4] for name, values in layers.items()}
        write_grid(file.create_group(f"{top}/frequencyB"), coarse, _B_STEP)
    return path


def inside() -> np.ndarray:
    """All but the columns at the edge."""
    valid = everywhere()
    valid[:, :_EDGE] = False
    return valid


@kind
def nisar_gcov(folder: Path) -> Kind:
    """Power of two polarisations, and a complex term between them."""
    power = (ground() / 255).astype(np.float32) ** 2
    power[~inside()] = np.nan
    layers: dict[str, np.ndarray] = {"HVHV": power / 4, "HHHH": power, "HHHV": speckled(power)}
    return Kind(nisar(folder / "NISAR_L2_GCOV.h5", "GCOV", layers), ground(), inside())


@kind
def nisar_gslc(folder: Path) -> Kind:
    """Complex amplitude; the fill is NaN in both parts."""
    values = speckled(ground().astype(np.float32))
    values[~inside()] = complex(np.nan, np.nan)
    layers = {"HH": values, "HV": values}
    return Kind(nisar(folder / "NISAR_L2_GSLC.h5", "GSLC", layers), ground(), inside())


@kind
def one_layer_of_nisar_by_name(folder: Path) -> Kind:
    values = speckled(ground().astype(np.float32))
    path = nisar(folder / "gslc.h5", "GSLC", {"VV": values}, "SSAR")
    place = f'HDF5:"{path}"://science/SSAR/GSLC/grids/frequencyA/VV'
    return Kind(place, ground(), everywhere())


@kind
def opera_cslc(folder: Path) -> Kind:
    path = folder / "OPERA_L2_CSLC-S1.h5"
    with h5py.File(path, "w") as file:
        values = speckled(ground().astype(np.float32))
        group = file.create_group("data")
        write_grid(group, {"VV": values}, PLACE.a, ("x_coordinates", "y_coordinates"))
        group["azimuth_carrier_phase"] = np.zeros((SIDE, SIDE), np.float32)
    return Kind(path, ground(), everywhere())
