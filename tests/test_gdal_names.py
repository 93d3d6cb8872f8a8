"""Names of GDAL around paths and addresses: what they are, what they are called, what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosslook.gdal_names import files_of, split_name
from crosslook.storage import for_gdal, is_gdal_name, is_remote, name_of, path_to_keep

KEY = "X-Amz-Signature=c0ffee"
AROUND_ADDRESSES = [
    'ZARR:"/vsicurl/https://host/S2.zarr":/measurements/reflectance/r10m/b02',
    'ZARR:"https://host/S2.zarr":/measurements/reflectance/r10m/b02',
    'HDF5:"/vsicurl/https://host/n.h5"://science/LSAR/GCOV/grids/frequencyA/HHHH',
    'HDF5:"n.h5"://science/LSAR/GCOV/grids/frequencyA/HHHH',
    "HDF5:n.h5://science/LSAR/GCOV/grids/frequencyA/HHHH",
    'NETCDF:"https://host/a.nc":v',
    "NETCDF:https://host:8080/a.nc:v",
    "GTIFF_DIR:1:/vsicurl/https://host/a.tif",
    "NITF_IM:1:/vsicurl/https://host/a.ntf",
    "SENTINEL2_L2A:/vsicurl/https://host/MTD_MSIL2A.xml:10m:EPSG_32633",
    'EOPFZARR:"/vsicurl/https://host/S2.zarr":/b02',
    'STACIT:"https://host/items.json"',
    "WMS:https://host/service?SERVICE=WMS",
    "DERIVED_SUBDATASET:AMPLITUDE:/vsicurl/https://host/a.tif",
    "vrt://https://host/a.tif?bands=1",
    "/vsizip//vsicurl/https://host/a.zip/inside.tif",
    "/vsicurl?max_retry=3&url=https%3A%2F%2Fhost%2Fa.tif",
    "<VRTDataset><SourceFilename>/vsicurl/https://host/a.tif</SourceFilename></VRTDataset>",
    "<GDAL_WMS><ServerUrl>https://host/{z}/{x}/{y}.png</ServerUrl></GDAL_WMS>",
]


@pytest.mark.parametrize("name", AROUND_ADDRESSES)
def test_a_name_around_an_address_is_gdals(name: str) -> None:
    assert is_gdal_name(name)
    assert not is_remote(name)


@pytest.mark.parametrize(
    "address", ["https://host/a.tif", "s3://bucket/a.tif", "simplecache::s3://bucket/a"]
)
def test_an_address_is_no_name_of_gdal(address: str) -> None:
    assert is_remote(address)
    assert not is_gdal_name(address)


def test_a_file_with_a_colon_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "at 10:30.tif").touch()
    assert not is_gdal_name(tmp_path / "at 10:30.tif")
    assert not is_remote("a/b://c.tif")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ('NETCDF:"a b.nc":v', ("NETCDF", "a b.nc", "v")),
        ("NETCDF:a.nc:v", ("NETCDF", "a.nc", "v")),
        ("NETCDF:https://h:80/a.nc:v", ("NETCDF", "https://h:80/a.nc", "v")),
        ("HDF5:a.h5://g/v", ("HDF5", "a.h5", "//g/v")),
        ('HDF5:"/d/a.h5"://g/v', ("HDF5", "/d/a.h5", "//g/v")),
        ("GTIFF_DIR:2:/d/a.tif", ("GTIFF_DIR", "/d/a.tif", "2")),
        ("GTIFF_DIR:off:184:a.tif", ("GTIFF_DIR", "a.tif", "off:184")),
        ("NITF_IM:0:C:\\d\\a.ntf", ("NITF_IM", "C:\\d\\a.ntf", "0")),
        ("SENTINEL2_L1C:/d/M.xml:10m:EPSG_32633", ("SENTINEL2_L1C", "/d/M.xml", "10m:EPSG_32633")),
        ('ZARR:"/d/a.zarr"', ("ZARR", "/d/a.zarr", "")),
        ("/d/a.tif", ("", "/d/a.tif", "")),
    ],
)
def test_a_name_is_taken_apart(name: str, parts: tuple[str, str, str]) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ('NETCDF:"f.nc":v', "f_v.nc"),
        ('HDF5:"/d/n.h5"://science/LSAR/GCOV/grids/frequencyA/HHHH', "n_frequencyA_HHHH.h5"),
        ("GTIFF_DIR:2:/d/two.tif", "two_2.tif"),
        ("SENTINEL2_L2A:/d/MTD.xml:10m:EPSG_32633", "MTD_10m_EPSG_32633.xml"),
        (f'ZARR:"/vsicurl/https://h/S2.zarr?{KEY}/x":/r10m/b02', "S2_r10m_b02.zarr"),
        (f"/vsicurl/https://h/b.tif?{KEY}", "b.tif"),
        (f"https://h/b.tif?{KEY}", "b.tif"),
        (f"/vsicurl?header.X={KEY}&url=https%3A%2F%2Fh%2Fb.tif%3F{KEY}", "b.tif"),
        ("https://me:secret@host", "host"),
        ("/vsizip/d/a.zip/b.tif", "b.tif"),
        ("vrt:///d/a.tif?bands=2", "a.tif"),
        ("<VRTDataset><SourceFilename>/d/a.tif</SourceFilename></VRTDataset>", "a.tif"),
    ],
)
def test_a_name_is_called_by_what_can_be_a_file(name: str, called: str) -> None:
    assert name_of(name) == called


@pytest.mark.parametrize(
    "name",
    [
        f"https://me:secret@host/b.tif?{KEY}",
        f"/vsicurl/https://me:secret@host/b.tif?{KEY}",
        f'ZARR:"/vsicurl/https://host/S2.zarr?{KEY}":/b02',
        f'NETCDF:"https://me:secret@host/b.nc?{KEY}":v',
        f"NETCDF:https://host/b.nc?{KEY}:v",
        f"GTIFF_DIR:1:/vsicurl/https://host/b.tif?{KEY}",
        f"/vsizip/{{/vsicurl/https://host/b.zip?{KEY}}}/in.tif",
        f"/vsicurl?header.Authorization=Bearer%20secret&url=https%3A%2F%2Fh%2Fb.tif%3F{KEY}",
        f"<VRTDataset><SourceFilename>/vsicurl/https://h/b.tif?a=1&amp;{KEY}</SourceFilename>"
        "</VRTDataset>",
        "PG:dbname=maps user=me password=secret table=dem",
        f"vrt:///vsicurl/https://host/b.tif?{KEY}",
        "s3://me:secret@bucket/b.tif",
    ],
)
def test_no_key_is_kept_or_shown(name: str) -> None:
    for shown in (name_of(name), path_to_keep(name)):
        assert "secret" not in shown
        assert KEY not in shown


def test_what_is_inside_is_kept_where_a_query_is_cut() -> None:
    kept = path_to_keep(f'ZARR:"/vsicurl/https://host/S2.zarr?{KEY}":/r10m/b02')
    assert kept == 'ZARR:"/vsicurl/https://host/S2.zarr":/r10m/b02'


def test_a_local_file_inside_a_name_is_kept_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.nc").touch()
    assert path_to_keep('NETCDF:"a.nc":v') == f'NETCDF:"{tmp_path}/a.nc":v'
    assert path_to_keep("GTIFF_DIR:2:a.nc") == f"GTIFF_DIR:2:{tmp_path}/a.nc"
    assert path_to_keep("/vsizip/a.nc/b.tif") == f"/vsizip/{tmp_path}/a.nc/b.tif"


def test_the_files_that_a_name_lies_in(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.touch()
    assert files_of(f"/vsizip/{archive}/in.tif") == (str(archive),)
    assert files_of(f'ZARR:"/vsizip/{archive}":/b02') == (str(archive),)
    assert files_of("/vsis3/bucket/a.tif") == ("s3://bucket/a.tif",)
    assert files_of('HDF5:"/vsicurl/https://h/a.h5"://x') == ("https://h/a.h5",)
    assert files_of("/d/a.tif") == ("/d/a.tif",)


def test_an_address_in_a_name_is_reached() -> None:
    name, options = for_gdal('HDF5:"https://h/a.h5"://x/y')
    assert name == 'HDF5:"/vsicurl/https://h/a.h5"://x/y'
    assert options["GDAL_DISABLE_READDIR_ON_OPEN"] == "EMPTY_DIR"
    assert for_gdal('ZARR:"s3://bucket/a.zarr":/x')[0] == 'ZARR:"/vsis3/bucket/a.zarr":/x'
    assert for_gdal("WMS:https://h/service")[0] == "WMS:https://h/service"
    assert for_gdal('NETCDF:"a.nc":v') == ('NETCDF:"a.nc":v', {})
