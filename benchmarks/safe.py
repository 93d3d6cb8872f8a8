"""Products of Sentinel-1 and Sentinel-2 written after their specifications, from simulated files.

The radar product (S1-RS-MDA-52-7440): amplitudes of 16 bits in strips of one line, one file per
polarisation, zeros beside the swath, and 21 x 10 control points in longitude and latitude that
number the centres of pixels by whole numbers; the annotation has the same grid with the incidence
angle of the simulation, which is one for all of a scene. The optical product
(S2-PDGS-TAS-DI-PSD): JPEG 2000 per band.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np
import rasterio
from pyproj import Geod, Transformer
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window as FileWindow

from crosslook.data.simulate.geometry import truth_matrix
from crosslook.data.simulate.settings import SceneOptions
from crosslook.types import Array

NAME = "S1A_IW_GRDH_1SDV_20260101T050000_20260101T050025_062585_07D7A8_0F3C.SAFE"
ACROSS, ALONG = 21, 10
_FILE = "s1a-iw-grd-{}-20260101t050000-20260101t050025-062585-07d7a8-{:03d}"
_BORDER = 40  # pixels without data at either side of the swath
_LINES = 256
_EARTH = Geod(ellps="WGS84")


def radar_product(
    folder: Path, sar: Path, scene: SceneOptions, off: tuple[float, float] = (0.0, 0.0)
) -> Path:
    """Write a simulated SAR image as a GRD product.

    Parameters
    ----------
    folder : Path
        Where the ``.SAFE`` folder goes.
    sar : Path
        Power, as ``simulate`` writes it, on a grid that is rotated against the map.
    scene : SceneOptions
        Of that image: the matrix of its truth places the control points. It looks east, so its
        columns count away from the sensor, as pixels of a product do. Hills that are left
        displaced are so along the columns of the ground: without a rotation that is the range
        of the annotation, as it is in a product.
    off : (float, float)
        Metres east and north by which all of them are off, as an orbit may be.
    """
    # As delivered, a measurement has control points alone.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    product = folder / NAME
    (product / "measurement").mkdir(parents=True, exist_ok=True)
    (product / "annotation").mkdir(exist_ok=True)
    with rasterio.open(sar) as file:
        points, grid = _control_points(scene, file.transform, str(file.crs), off)
        first = file.read(1, window=FileWindow(0, 0, file.width, min(_LINES, file.height)))
        gain = 700.0 / float(np.sqrt(np.quantile(first, 0.99)))
        for number, (name, factor) in enumerate((("vv", 1.0), ("vh", 0.45)), 1):
            profile: dict[str, Any] = {
                "driver": "GTiff", "count": 1, "dtype": "uint16", "height": file.height,
                "width": file.width, "blockysize": 1, "bigtiff": "if_safer",
            }  # fmt: skip
            target = product / "measurement" / f"{_FILE.format(name, number)}.tiff"
            with rasterio.open(target, "w", **profile) as made:
                made.gcps = (points, rasterio.CRS.from_epsg(4326))
                for top in range(0, file.height, _LINES):
                    window = FileWindow(0, top, file.width, min(_LINES, file.height - top))
                    amplitude = np.sqrt(file.read(1, window=window)) * (gain * factor)
                    numbers = np.clip(amplitude, 1, 65535).astype(np.uint16)
                    numbers[:, :_BORDER] = numbers[:, -_BORDER:] = 0
                    made.write(numbers, 1, window=window)
            _annotation(product / "annotation" / f"{_FILE.format(name, number)}.xml", name, grid)
    (product / "manifest.safe").write_text(
        '<?xml version="1.0"?><xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1" version="esa/safe/'
        'sentinel-1.0/sentinel-1/sar/level-1/grd/standard/iwdp"/>',
        encoding="utf-8",
    )
    return product


def _control_points(
    scene: SceneOptions, place: Any, crs: str, off: tuple[float, float]
) -> tuple[list[GroundControlPoint], Array]:
    """Control points as GDAL reads them, and rows of line, pixel, latitude, longitude, angle."""
    height, width = scene.shape
    lines, pixels = (np.linspace(0, n - 1, k) for n, k in ((height, ALONG), (width, ACROSS)))
    at = np.stack(np.meshgrid(lines, pixels, indexing="ij"), axis=-1).reshape(-1, 2)
    matrix = truth_matrix(scene)
    there = (at + 0.5) @ matrix[:2, :2].T + matrix[:2, 2]  # optical positions of their centres
    x, y = place @ (there[:, 1], there[:, 0])
    degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = degrees.transform(np.asarray(x) + off[0], np.asarray(y) + off[1])
    grid = np.column_stack([at, lat, lon, np.full(len(at), scene.incidence)])
    points = [GroundControlPoint(r, c, east, north, 0.0)
              for r, c, north, east, _ in grid.tolist()]  # fmt: skip
    return points, grid


def _annotation(path: Path, polarisation: str, grid: Array) -> None:
    root = Element("product")
    header = SubElement(root, "adsHeader")
    for tag, text in (("missionId", "S1A"), ("productType", "GRD"), ("mode", "IW"),
                      ("polarisation", polarisation.upper())):  # fmt: skip
        SubElement(header, tag).text = text
    general = SubElement(SubElement(root, "generalAnnotation"), "productInformation")
    first, last = grid[0], grid[-ACROSS]
    heading = _EARTH.inv(first[3], first[2], last[3], last[2])[0]
    SubElement(general, "pass").text = "Descending" if abs(heading) > 90 else "Ascending"
    SubElement(general, "platformHeading").text = f"{heading:.9e}"
    information = SubElement(SubElement(root, "imageAnnotation"), "imageInformation")
    SubElement(information, "incidenceAngleMidSwath").text = f"{grid[:, 4].mean():.6e}"
    listed = SubElement(SubElement(root, "geolocationGrid"), "geolocationGridPointList")
    listed.set("count", str(len(grid)))
    for line, pixel, lat, lon, angle in grid.tolist():
        point = SubElement(listed, "geolocationGridPoint")
        for tag, value in (("line", f"{line:.0f}"), ("pixel", f"{pixel:.0f}"),
                           ("latitude", f"{lat:.12e}"), ("longitude", f"{lon:.12e}"),
                           ("height", "0"), ("incidenceAngle", f"{angle:.9e}")):  # fmt: skip
            SubElement(point, tag).text = value
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def optical_products(
    folder: Path, optical: Path, side: int, tile: str = "T33U{}{}", driver: str = "JP2OpenJPEG"
) -> Path:
    """Write an optical image as a folder of level-2A products, each at most ``side`` pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(optical) as file:
        for i, row in enumerate(range(0, file.height, side)):
            for j, col in enumerate(range(0, file.width, side)):
                name = tile.format("VWXYZ"[i % 5], "PQRSTUVWXY"[j % 10])
                height, width = min(side, file.height - row), min(side, file.width - col)
                window = FileWindow(col, row, width, height)
                product = f"S2A_MSIL2A_20260101T100000_N0511_R122_{name}_20260101T120000.SAFE"
                inside = folder / product / "GRANULE" / f"L2A_{name}" / "IMG_DATA" / "R10m"
                inside.mkdir(parents=True, exist_ok=True)
                profile: dict[str, Any] = {
                    "driver": driver, "count": 1, "dtype": "uint16", "height": height,
                    "width": width, "crs": file.crs, "transform": file.window_transform(window),
                }  # fmt: skip
                profile |= {"quality": 100, "reversible": True} if "JP2" in driver else {}
                ending = "jp2" if "JP2" in driver else "tif"
                for number, band in enumerate(("B04", "B03", "B02"), 1):
                    target = inside / f"{name}_20260101T100000_{band}_10m.{ending}"
                    if not target.exists():
                        # Reflectance times 10,000, with the offset of today's products.
                        values = file.read(number, window=window).astype(np.uint16) * 14 + 1000
                        with rasterio.open(target, "w", **profile) as made:
                            made.write(values, 1)
    return folder
