"""Products as their makers deliver them, one function a kind, made after public descriptions."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import Transformer
from rasterio.control import GroundControlPoint

from tests.helpers.kinds import CRS, PLACE, SIDE, Kind, everywhere, ground, kind, save


def linear() -> np.ndarray:
    """Power, as calibrated products have it."""
    power: np.ndarray = (ground() / 255).astype(np.float32) ** 2
    return power


def points_in_degrees() -> list[GroundControlPoint]:
    degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    at = np.linspace(0, SIDE, 4)
    return [GroundControlPoint(r, c, *degrees.transform(*(PLACE @ (c, r)))) for r in at for c in at]


def save_in_degrees(path: Path, bands: np.ndarray, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(path, bands, None, gcps=points_in_degrees(), crs="EPSG:4326", **more)


def zipped(folder: Path, archive: Path) -> Path:
    """A zip of a folder, the folder itself at its top."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder.parent))
    return archive


OPERA = "OPERA_L2_RTC-S1_T069-147170-IW1_20231021T141553Z_20231022T001122Z_S1A_30_v1.0"


def opera(folder: Path) -> tuple[Path, np.ndarray]:
    """A burst of OPERA RTC-S1, and where its mask leaves it valid."""
    folder = folder / OPERA
    folder.mkdir()
    valid = everywhere()
    valid[:30], valid[100:130, 60:90] = False, False
    values = linear()
    values[:30] = np.nan
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:30], mask[100:115, 60:90], mask[115:130, 60:90] = 255, 1, 2
    for name, gain in (("VV", 1.0), ("VH", 0.3)):
        save(folder / f"{OPERA}_{name}.tif", values * np.float32(gain), nodata=np.nan)
    save(folder / f"{OPERA}_mask.tif", mask, nodata=255)
    save(folder / f"{OPERA}_BROWSE.png", ground(), None, driver="PNG")
    return folder, valid


@kind
def a_burst_of_opera(folder: Path) -> Kind:
    place, valid = opera(folder)
    return Kind(place, ground(), valid)


@kind
def a_file_of_opera_beside_its_mask(folder: Path) -> Kind:
    place, valid = opera(folder)
    return Kind(place / f"{OPERA}_VV.tif", ground(), valid)


DIM = """<?xml version="1.0" encoding="UTF-8"?><Dimap_Document name="a.dim"><Image_Interpretation>
{}</Image_Interpretation></Dimap_Document>"""
DIM_BAND = """<Spectral_Band_Info><BAND_NAME>{}</BAND_NAME><NO_DATA_VALUE_USED>true
</NO_DATA_VALUE_USED><NO_DATA_VALUE>0.0</NO_DATA_VALUE></Spectral_Band_Info>"""


def snap(folder: Path, **bands: np.ndarray) -> Path:
    """A product of SNAP, its ``.dim`` beside its ``.data``."""
    (folder / "a.data").mkdir()
    for name, values in bands.items():
        save(folder / "a.data" / f"{name}.img", values, driver="ENVI")
    text = "".join(DIM_BAND.format(name).replace("\n", "") for name in bands)
    (folder / "a.dim").write_text(DIM.format(text))
    return folder / "a.dim"


@kind
def a_product_of_snap(folder: Path) -> Kind:
    """Zero is no data, as the ``.dim`` says."""
    values, valid = linear(), everywhere()
    valid[60:90, 60:90] = False
    values[~valid] = 0
    decibels = 10 * np.log10(linear())
    angle = np.full_like(values, 38)
    place = snap(
        folder, Sigma0_VH=values * 0.3, Sigma0_VV=values, Sigma0_VV_db=decibels,
        localIncidenceAngle=angle,
    )  # fmt: skip
    return Kind(place, ground(), valid)


@kind
def the_data_folder_of_snap(folder: Path) -> Kind:
    place = snap(folder, Gamma0_VV_db=10 * np.log10(linear()))
    return Kind(place.with_suffix(".data"), ground(), everywhere())


TIE_GRID = """<Tie_Point_Grid_Info><TIE_POINT_GRID_NAME>{}</TIE_POINT_GRID_NAME>
<OFFSET_X>0.0</OFFSET_X><OFFSET_Y>0.0</OFFSET_Y><STEP_X>{step}</STEP_X><STEP_Y>{step}</STEP_Y>
</Tie_Point_Grid_Info>"""


@kind
def a_product_of_snap_without_map(folder: Path) -> Kind:
    """Calibrated and no more: placed by its grids of longitude and latitude alone."""
    place = snap(folder, Sigma0_VV=linear())
    for path in place.with_suffix(".data").glob("*.*"):
        path.unlink()
    save(folder / "a.data" / "Sigma0_VV.img", linear(), None, driver="ENVI")
    inside = folder / "a.data" / "tie_point_grids"
    inside.mkdir()
    points = points_in_degrees()
    for name, values in {
        "longitude": [p.x for p in points],
        "latitude": [p.y for p in points],
    }.items():
        grid = np.array(values, np.float32).reshape(4, 4)
        save(inside / f"{name}.img", grid, None, driver="ENVI")
    grids = "".join(TIE_GRID.format(name, step=SIDE / 3) for name in ("latitude", "longitude"))
    place.write_text(DIM.format(grids))
    return Kind(place, ground(), everywhere(), 0.02)


@kind
def complex_parts_of_snap(folder: Path) -> Kind:
    phase = np.random.default_rng(4).random((SIDE, SIDE)) * 2 * np.pi
    values = ground().astype(np.float32)
    place = snap(folder, i_VV=values * np.cos(phase), q_VV=values * np.sin(phase))
    return Kind(place, ground(), everywhere())


def sentinel_1(folder: Path, name: str, ending: str) -> Path:
    inside = folder / name
    for polarisation in ("vh", "vv"):
        file = (
            f"s1a-iw-grd-{polarisation}-20240101t000000-20240101t000025-052000-064000-001{ending}"
        )
        save_in_degrees(inside / "measurement" / file, ground().astype(np.uint16) * 3)
    (inside / "manifest.safe").write_text("<xfdu/>")
    return inside


@kind
def a_cloud_optimised_product_of_sentinel_1(folder: Path) -> Kind:
    name = "S1A_IW_GRDH_1SDV_20240101T000000_20240101T000025_052000_064000_1234_COG.SAFE"
    return Kind(sentinel_1(folder, name, "-cog.tiff"), ground(), everywhere(), 0.02)


@kind
def a_zipped_product_of_sentinel_1(folder: Path) -> Kind:
    name = "S1A_IW_GRDH_1SDV_20240101T000000_20240101T000025_052000_064000_1234.SAFE"
    inside = sentinel_1(folder, name, ".tiff")
    return Kind(zipped(inside, folder / f"{name}.zip"), ground(), everywhere(), 0.02)


@kind
def biomass(folder: Path) -> Kind:
    """Amplitudes of HH, HV, VH and VV in one file, the phase in another."""
    inside = (
        folder / "BIO_S2_DGM__1S_20251212T134812_20251212T134833_T_G01_M01_C01_T009_F118_01_DJJYF5"
    )
    bands = np.stack([ground() * np.float32(gain) for gain in (0.7, 0.3, 0.3, 1.0)])
    name = f"measurement/{inside.name.lower()[:-10]}_i"
    save_in_degrees(inside / f"{name}_abs.tiff", bands)
    save_in_degrees(inside / f"{name}_phase.tiff", np.zeros_like(bands))
    return Kind(inside, ground(), everywhere(), 0.02)


@kind
def umbra(folder: Path) -> Kind:
    inside = folder / "2024-01-01-00-00-00_UMBRA-05"
    inside.mkdir()
    save(inside / f"{inside.name}_GEC.tif", ground())
    (inside / f"{inside.name}_SIDD.nitf").write_bytes(b"not asked")
    (inside / f"{inside.name}_CPHD.cphd").write_bytes(b"not asked")
    (inside / f"{inside.name}_METADATA.json").write_text("{}")
    return Kind(inside, ground(), everywhere())


@kind
def capella(folder: Path) -> Kind:
    name = "CAPELLA_C05_SM_{}_HH_20240101000000_20240101000005"
    save(folder / f"{name.format('GEO')}.tif", ground().astype(np.uint16) * 9)
    save(folder / f"{name.format('GEO')}_preview.tif", ground())
    save(folder / f"{name.format('SLC')}.tif", np.ones((9, 9), np.complex64), None)
    (folder / f"{name.format('GEO')}_extended.json").write_text("{}")
    return Kind(folder, ground(), everywhere())


@kind
def iceye(folder: Path) -> Kind:
    name = "ICEYE_X7_{}_SM_12345_20240101T000000"
    save_in_degrees(folder / f"{name.format('GRD')}.tif", ground().astype(np.uint16) * 9)
    (folder / f"{name.format('SLC')}.h5").write_bytes(b"not asked")
    (folder / f"{name.format('GRD')}.xml").write_text("<a/>")
    save(folder / f"{name.format('QUICKLOOK')}.png", ground(), None, driver="PNG")
    return Kind(folder, ground(), everywhere(), 0.02)


@kind
def alos_2_as_geotiff(folder: Path) -> Kind:
    inside = folder / "0000000001_001001_ALOS2500000000-240101"
    inside.mkdir()
    for name, gain in (("HH", 9), ("HV", 3)):
        file = f"IMG-{name}-ALOS2500000000-240101-UBSR2.1GUD.tif"
        save(inside / file, ground().astype(np.uint16) * gain)
    (inside / "summary.txt").write_text("Scs_SceneID=...")
    return Kind(inside, ground(), everywhere())


RADARSAT = """<?xml version="1.0"?><product xmlns="http://www.rsi.ca/rs2/prod/xml/schemas">
<sourceAttributes><satellite>RADARSAT-2</satellite></sourceAttributes><imageGenerationParameters>
<generalProcessingInformation><productType>SGF</productType></generalProcessingInformation>
</imageGenerationParameters><imageAttributes><rasterAttributes>
<dataType>Magnitude Detected</dataType><bitsPerSample dataStream="Magnitude">16</bitsPerSample>
<numberOfSamplesPerLine>{side}</numberOfSamplesPerLine><numberOfLines>{side}</numberOfLines>
</rasterAttributes><geographicInformation><geolocationGrid>{ties}</geolocationGrid>
</geographicInformation><fullResolutionImageData pole="HH">imagery_HH.tif</fullResolutionImageData>
<fullResolutionImageData pole="HV">imagery_HV.tif</fullResolutionImageData></imageAttributes>
</product>"""
TIE = """<imageTiePoint><imageCoordinate><line>{}</line><pixel>{}</pixel></imageCoordinate>
<geodeticCoordinate><latitude units="deg">{}</latitude><longitude units="deg">{}</longitude>
<height units="m">0</height></geodeticCoordinate></imageTiePoint>"""


@kind
def radarsat_2(folder: Path) -> Kind:
    for name, gain in (("HH", 9), ("HV", 3)):
        save(folder / f"imagery_{name}.tif", ground().astype(np.uint16) * gain, None)
    ties = "".join(TIE.format(p.row, p.col, p.y, p.x) for p in points_in_degrees())
    (folder / "product.xml").write_text(RADARSAT.format(side=SIDE, ties=ties))
    (folder / "BrowseImage.tif").write_bytes(b"not asked")
    return Kind(folder, ground(), everywhere(), 0.02)


TERRASAR = """<level1Product><productComponents><imageData layerIndex="1"><file><location>
<host>.</host><path>IMAGEDATA</path><filename>IMAGE_HH_SRA_strip_006.tif</filename></location>
</file><polLayer>HH</polLayer></imageData></productComponents><productInfo><productVariantInfo>
<productVariant>GEC</productVariant></productVariantInfo><imageDataInfo>
<imageDataType>DETECTED</imageDataType><imageRaster><numberOfRows>{side}</numberOfRows>
<numberOfColumns>{side}</numberOfColumns></imageRaster></imageDataInfo></productInfo>
</level1Product>"""


@kind
def terrasar_x(folder: Path) -> Kind:
    inside = folder / "TSX1_SAR__GEC_SE___SM_S_SRA_20240101T000000_20240101T000008"
    (inside / "IMAGEDATA").mkdir(parents=True)
    save(inside / "IMAGEDATA" / "IMAGE_HH_SRA_strip_006.tif", ground().astype(np.uint16) * 9)
    (inside / f"{inside.name}.xml").write_text(TERRASAR.format(side=SIDE))
    return Kind(inside, ground(), everywhere())


@kind
def a_folder_of_one_image(folder: Path) -> Kind:
    inside = folder / "delivery" / "order 1"
    inside.mkdir(parents=True)
    save(inside / "scene.tif", ground())
    save(inside / "scene_browse.tif", ground()[::8, ::8].copy())
    return Kind(folder / "delivery", ground(), everywhere())


@kind
def a_stac_item_of_radar(folder: Path) -> Kind:
    """Power in whole numbers: scale and what is no data stand in the item alone, of 1.1."""
    valid = everywhere()
    valid[:, :40] = False
    stored = np.round(linear() * 40_000).astype(np.uint16)
    stored[~valid] = 65535
    assets = {}
    for name in ("vv", "vh"):
        save(folder / f"{name}.tif", stored)
        assets[name] = {
            "href": f"{name}.tif", "type": "image/tiff; application=geotiff", "roles": ["data"],
            "bands": [{"name": name.upper()}], "raster:scale": 2.5e-5, "nodata": 65535,
        }  # fmt: skip
    item = {
        "type": "Feature", "stac_version": "1.1.0", "id": "x", "assets": assets,
        "properties": {"sar:polarizations": ["VV", "VH"]},
    }  # fmt: skip
    (folder / "item.json").write_text(json.dumps(item))
    return Kind(folder / "item.json", ground(), valid)
