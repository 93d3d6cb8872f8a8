"""Each row of the table of products in the documentation has a file that is made and read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers import kinds_containers, kinds_nitf, kinds_products  # noqa: F401  (kinds)
from tests.helpers.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "howto" / "products.md"
ROWS = {
    "Sentinel-1 GRD": ["the_folder_of_a_sentinel_1_product"],
    "Sentinel-2 L1C, L2A": ["test_a_sentinel_2_product_is_one_image_of_its_visible_bands"],
    "Landsat Collection 2": ["test_a_landsat_product_is_one_image_of_its_visible_bands"],
    "STAC item 1.0, 1.1": [
        "test_a_stac_item_names_its_bands",
        "test_bands_of_1_1_stand_at_asset_item_or_collection",
        "a_stac_item_of_radar",
    ],
    "Sentinel-1 SLC of IW and EW": ["test_bursts_of_an_slc_are_not_taken_for_an_image"],
    "Sentinel-1 COG, zipped SAFE": [
        "a_cloud_optimised_product_of_sentinel_1",
        "a_zipped_product_of_sentinel_1",
    ],
    "BIOMASS L1": ["biomass"],
    "RTC-S1": ["a_burst_of_opera", "a_file_of_opera_beside_its_mask"],
    "CSLC-S1": ["opera_cslc"],
    "NISAR GCOV": ["nisar_gcov", "test_polarisations_and_frequencies_are_named"],
    "NISAR GSLC": ["nisar_gslc"],
    "NISAR RSLC, ICEYE and COSMO-SkyMed SLC": [
        "test_radar_geometry_is_said",
        "test_real_and_imaginary_parts_are_not_two_images",
    ],
    "Sentinel-2 in EOPF Zarr": ["eopf_sentinel_2", "eopf_sentinel_2_in_version_3"],
    "Sentinel-1 GRD in EOPF Zarr": ["eopf_sentinel_1"],
    "GeoZarr, CF Zarr": ["geozarr", "a_sharded_array"],
    "`.dim`, `.data`": [
        "a_product_of_snap",
        "the_data_folder_of_snap",
        "a_product_of_snap_without_map",
        "complex_parts_of_snap",
    ],
    "ALOS-2 GeoTIFF": ["alos_2_as_geotiff"],
    "ALOS-2, ALOS-4 CEOS": ["test_what_gdal_cannot_read_of_ceos_is_said"],
    "Folder of Umbra, Capella or ICEYE": ["umbra", "capella", "iceye"],
    "TerraSAR-X, TanDEM-X, PAZ (GEC)": ["terrasar_x"],
    "RADARSAT-2 (detected)": ["radarsat_2"],
    "One image in a folder or archive": [
        "a_folder_of_one_image",
        "test_an_archive_of_one_image_is_that_image",
    ],
    "SICD": [
        "sicd_of_floats",
        "sicd_of_whole_numbers",
        "sicd_of_amplitude_and_phase",
        "sicd_of_two_segments",
        "test_its_geometry_places_a_sicd_at_any_height",
        "test_a_sicd_follows_an_elevation_model",
    ],
    "SICD, plain installation": [
        "test_its_corner_points_place_a_sicd_where_the_extra_is_absent",
        "test_amplitudes_come_from_the_table",
    ],
    "SIDD": [
        "sidd_of_grey",
        "sidd_of_sixteen_bits",
        "test_a_sidd_is_placed_by_its_plane_and_else_by_its_corners",
    ],
    "SIDD with look-up table": ["sidd_with_a_grey_table_of_sixteen_bits"],
    "Complex NITF without XML": [
        "test_pairs_of_other_images_become_amplitudes_too",
        "test_xml_that_says_too_little_is_no_reason_to_stop",
    ],
    "ICEYE amplitude": ["test_a_height_is_heeded_where_there_are_control_points_too"],
    "Image with RPC": [
        "test_polynomials_are_taken_at_the_height_that_the_file_is_made_for",
        "test_polynomials_go_before_the_rounded_corners_of_nitf",
    ],
    "Image with control points": [
        "control_points",
        "many_control_points",
        "test_three_control_points_place_an_image",
    ],
    "Complex GeoTIFF (SLC)": [
        "complex_numbers",
        "complex_whole_numbers",
        "complex_control_points",
        "real_and_imaginary_bands",
    ],
    "Geocoded image": ["whole_numbers", "test_pixels_come_back_as_written", "a_virtual_raster"],
    "Plain image": ["no_place_at_all"],
}
"""Product to the kinds and tests that make it."""


def rows() -> list[str]:
    lines = re.findall(r"^\| *([^|]+?) *\|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for name in lines if name != "product" and set(name) != {"-"}]


def test_no_row_lacks_a_file_that_is_made_for_it() -> None:
    assert rows() == list(dict.fromkeys(rows()))
    assert set(rows()) == set(ROWS)


@pytest.mark.parametrize("product", ROWS)
def test_what_a_row_names_is_a_kind_or_a_test(product: str) -> None:
    source = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    for name in ROWS[product]:
        assert name in KINDS or f"\ndef {name}(" in source
