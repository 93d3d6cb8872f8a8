"""Map tiles (``z/x/y.png``) as one raster: a folder of them, or an address.

Tiles of the web lie in EPSG:3857: at zoom z, 2^z of them a side cover the
square of the projection. Rows count from the north (XYZ, as most do) or from
the south (TMS).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen
from xml.etree.ElementTree import Element, SubElement, tostring

import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from crosslook.errors import InputError, RasterError, SettingError
from crosslook.geo.products.vrt import Placement, add_source, head, new_band, quiet
from crosslook.geo.raster import RasterFile
from crosslook.progress import track
from crosslook.storage import Place
from crosslook.types import TileRows, Window

_HALF = math.pi * 6378137.0  # metres from the centre of EPSG:3857 to its rim
_FARTHEST_NORTH = math.degrees(2 * math.atan(math.exp(math.pi)) - math.pi / 2)
_DEEPEST = 22
_MOST_TILES = 65_536  # of an address
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
_MOST_BYTES = 16 << 20  # of one tile
_PATIENCE = 30  # seconds
_AGENT = "crosslook"
_COLOURS = ("Red", "Green", "Blue", "Alpha")
_MAKE_FILE = (
    "Make a GeoTIFF of the place elsewhere (QGIS: Raster layer, Export, Save as; or "
    "gdal_translate from the layer's XML) and give that file"
)


@dataclass(frozen=True)
class Tiling:
    """Which tiles are taken, and how their rows count.

    Attributes
    ----------
    rows : str
        ``xyz`` from the north, ``tms`` from the south; ``auto`` sees what lies
        beside a folder of tiles (``tilemapresource.xml``, ``metadata.json``).
    bbox : (west, south, east, north) in degrees, or None
        The part of a tile address.
    resolution : float or None
        Metres of EPSG:3857 per pixel; decides the zoom of a tile address.
    """

    rows: TileRows = "auto"
    bbox: tuple[float, float, float, float] | None = None
    resolution: float | None = None


@dataclass(frozen=True)
class _Tile:
    """A tile by its column and row from the north-west, and what its file holds."""

    col: int
    row: int
    path: Path
    bands: int
    side: int
    palette: bool


def is_tile_address(place: Place) -> bool:
    """Whether a place is an address with ``{z}``, ``{x}`` and ``{y}`` or ``{-y}``."""
    text = str(place)
    numbered = "{z}" in text and "{x}" in text and ("{y}" in text or "{-y}" in text)
    return numbered and text.startswith(("http://", "https://"))


def tile_folder(folder: Path, tiling: Tiling) -> RasterFile | None:
    """The tiles of the deepest zoom of a folder as one raster; None where it holds no tiles.

    Raises
    ------
    RasterError
        If a tile cannot be opened.
    """
    zooms = (int(path.name) for path in _numbered(folder))
    for zoom in sorted((zoom for zoom in zooms if zoom <= _DEEPEST), reverse=True):
        if files := list(_tile_files(folder / str(zoom), zoom)):
            break
    else:
        return None
    south = _from_south(folder, tiling.rows, zoom, files)
    tiles = [
        _opened(col, 2**zoom - 1 - row if south else row, path)
        for col, row, path in track(files, "Reading map tiles", len(files))
    ]
    label = f"{folder.name} (tiles of zoom {zoom}, {'TMS' if south else 'XYZ'})"
    return RasterFile(_mosaic(tiles, zoom), label=label)


def tile_address(address: str, tiling: Tiling) -> RasterFile:
    """The part of a tile address within a box, at the zoom nearest to a resolution.

    Raises
    ------
    SettingError
        If the box or the resolution is missing, or holds too many tiles.
    InputError
        If the address does not answer with tiles.
    """
    if tiling.bbox is None or tiling.resolution is None:
        raise SettingError(
            f"{address} has tiles of all Earth: say which part and how fine, with "
            "--bbox WEST SOUTH EAST NORTH in degrees and --resolution in metres of EPSG:3857."
        )
    (left, top), (right, bottom), zoom = _range(tiling.bbox, tiling.resolution)
    count = (right - left + 1) * (bottom - top + 1)
    if count > _MOST_TILES:
        raise SettingError(
            f"the box holds {count:,} tiles of zoom {zoom}; at most {_MOST_TILES:,} are fetched. "
            "Give a smaller --bbox or a coarser --resolution."
        )
    south = "{-y}" in address or tiling.rows == "tms"
    plain = address.replace("{-y}", "{y}").replace("{s}", "a")
    centre = ((left + right) // 2, (top + bottom) // 2)
    corners = [centre, (left, top), (right, bottom), (right, top), (left, bottom)]
    side = _side_of(plain, zoom, south, corners)
    service = _service(plain, zoom, side, south)
    size = (right - left + 1) * side, (bottom - top + 1) * side
    root = _head(left, top, *size, zoom, side)
    for band, colour in enumerate(_COLOURS, 1):
        part = Window(top * side, left * side, size[1], size[0])
        add_source(root, _coloured_band(root, colour), "SimpleSource", service, part, band)
    host = plain.split("/")[2].rpartition("@")[2]
    return RasterFile(tostring(root, encoding="unicode"), label=f"{host} (tiles of zoom {zoom})")


def _numbered(folder: Path) -> list[Path]:
    """Folders whose name is a number."""
    return [p for p in folder.iterdir() if p.name.isdecimal() and p.is_dir()]


def _tile_files(folder: Path, zoom: int) -> Iterator[tuple[int, int, Path]]:
    """Column, row as written and file of all tiles of a zoom."""
    for column in sorted(_numbered(folder), key=lambda p: int(p.name)):
        for path in sorted(column.iterdir(), key=lambda p: p.name):
            fits = path.stem.isdecimal() and path.suffix.lower() in _ENDINGS
            if fits and int(column.name) < 2**zoom and int(path.stem) < 2**zoom:
                yield int(column.name), int(path.stem), path


def _from_south(
    folder: Path, rows: TileRows, zoom: int, files: list[tuple[int, int, Path]]
) -> bool:
    """Whether rows count from the south, by the option or by what lies beside the tiles."""
    if rows != "auto":
        return rows == "tms"
    for name in ("metadata.json", "tiles.json", "tilejson.json"):
        if (scheme := _scheme(folder / name)) is not None:
            return scheme == "tms"
    if not (folder / "tilemapresource.xml").is_file():
        return False
    # gdal2tiles writes the file for either way: its bounds say which.
    lowest, highest = min(row for _, row, _ in files), max(row for _, row, _ in files)
    north, south = _latitude(lowest, zoom), _latitude(highest + 1, zoom)
    centre = _central_latitude(folder / "tilemapresource.xml")
    return centre is None or not south <= centre <= north


def _scheme(path: Path) -> str | None:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    scheme = loaded.get("scheme") if isinstance(loaded, dict) else None
    return str(scheme).lower() if scheme else None


def _central_latitude(path: Path) -> float | None:
    """The latitude of the centre of a tile map, by its bounds, or None.

    gdal2tiles writes them in degrees whatever the SRS beside them says; others in metres.
    """
    try:
        text = path.read_text(encoding="utf-8")[:65_536]
        sides = dict(re.findall(r"(miny|maxy)\s*=\s*\"([-+.\deE]+)\"", text))
        low, high = float(sides["miny"]), float(sides["maxy"])
    except (OSError, KeyError, ValueError):
        return None
    if max(abs(low), abs(high)) > 90:
        low, high = _unprojected(low), _unprojected(high)
    return (low + high) / 2


def _latitude(row: int, zoom: int) -> float:
    """Latitude of the northern rim of a row of tiles."""
    return _unprojected(_HALF - 2 * _HALF * row / 2**zoom)


def _unprojected(y: float) -> float:
    return math.degrees(2 * math.atan(math.exp(y / 6378137.0)) - math.pi / 2)


def _opened(col: int, row: int, path: Path) -> _Tile:
    try:
        with quiet(), rasterio.open(path) as data:
            palette = data.colorinterp[0] is ColorInterp.palette
            return _Tile(col, row, path, data.count, max(data.shape), palette)
    except RasterioError as error:
        raise RasterError(
            f"the map tile {path} cannot be opened: {error}. Get it again, or remove it."
        ) from error


def _mosaic(tiles: list[_Tile], zoom: int) -> str:
    """Write the virtual raster of tiles: colours (or grey) and where there are any."""
    side = max(tile.side for tile in tiles)
    left, top = min(t.col for t in tiles), min(t.row for t in tiles)
    across = (max(t.col for t in tiles) - left + 1) * side
    down = (max(t.row for t in tiles) - top + 1) * side
    root = _head(left, top, across, down, zoom, side)
    coloured = any(tile.palette or tile.bands >= 3 for tile in tiles)
    for colour in _COLOURS if coloured else ("Gray", "Alpha"):
        added = _coloured_band(root, colour)
        for tile in tiles:
            onto = Window((tile.row - top) * side, (tile.col - left) * side, side, side)
            _add_tile(root, added, tile, colour, onto)
    return tostring(root, encoding="unicode")


def _add_tile(root: Element, band: Element, tile: _Tile, colour: str, onto: Window) -> None:
    """Add a tile to a band of the mosaic: its own band, its palette's, or that it is there."""
    solid = colour == "Alpha" and tile.bands not in (2, 4)
    kind = "ComplexSource" if tile.palette or solid else "SimpleSource"
    number = tile.bands if colour == "Alpha" else _COLOURS.index(colour) + 1
    if kind == "ComplexSource" or (colour != "Alpha" and tile.bands < 3):
        number = 1
    part = Window(0, 0, tile.side, tile.side)
    source = add_source(root, band, kind, str(tile.path.resolve()), part, number, onto)
    if tile.palette:
        SubElement(source, "ColorTableComponent").text = str(_COLOURS.index(colour) + 1)
    elif solid:
        SubElement(source, "ScaleOffset").text = "255"
        SubElement(source, "ScaleRatio").text = "0"


def _coloured_band(root: Element, colour: str) -> Element:
    band = new_band(root, "uint8")
    SubElement(band, "ColorInterp").text = colour
    return band


def _head(left: int, top: int, across: int, down: int, zoom: int, side: int) -> Element:
    """A virtual raster in EPSG:3857 whose first tile is that of a column and row."""
    step = 2 * _HALF / 2**zoom
    affine = (left * step - _HALF, step / side, 0.0, _HALF - top * step, 0.0, -step / side)
    return head(down, across, Placement("EPSG:3857", affine))


def _range(
    bbox: tuple[float, float, float, float], resolution: float
) -> tuple[tuple[int, int], tuple[int, int], int]:
    """First and last (column, row) of tiles that a box touches, and the zoom."""
    west, south, east, north = bbox
    inside = -180 <= west < east <= 180 and -90 <= south < north <= 90
    if not (inside and south < _FARTHEST_NORTH and north > -_FARTHEST_NORTH):
        raise SettingError(
            f"the box {west:g} {south:g} {east:g} {north:g} has no map tiles. "
            "Give --bbox WEST SOUTH EAST NORTH in degrees, between 85 S and 85 N."
        )
    zoom = min(max(round(math.log2(2 * _HALF / 256 / resolution)), 0), _DEEPEST)
    count: int = 2**zoom

    def row_of(latitude: float) -> float:
        """Row of tiles at a latitude, with its part below."""
        clipped = math.radians(min(max(latitude, -_FARTHEST_NORTH), _FARTHEST_NORTH))
        return count * (1 - math.asinh(math.tan(clipped)) / math.pi) / 2

    first = math.floor((west + 180) / 360 * count), math.floor(row_of(north))
    last = math.ceil((east + 180) / 360 * count) - 1, math.ceil(row_of(south)) - 1
    low = max(0, first[0]), max(0, first[1])
    high = min(count - 1, max(last[0], first[0])), min(count - 1, max(last[1], first[1]))
    return low, high, zoom


def _side_of(address: str, zoom: int, south: bool, places: list[tuple[int, int]]) -> int:
    """Pixels of a tile's side, from the first that there is among a few.

    Raises
    ------
    InputError
        If the server is out of reach, refuses, or answers with something else.
    """
    said = "it has none of the requested tiles"
    for col, row in places:
        row = 2**zoom - 1 - row if south else row
        filled = address.replace("{z}", str(zoom)).replace("{x}", str(col))
        try:
            asked = Request(filled.replace("{y}", str(row)), headers={"User-Agent": _AGENT})
            with urlopen(asked, timeout=_PATIENCE) as answer:
                data = answer.read(_MOST_BYTES)
            with quiet(), MemoryFile(data) as memory, memory.open() as tile:
                return int(max(tile.shape))
        except HTTPError as error:
            if error.code != 404:
                said = f"it answers {error.code} {error.reason}"
                break
        except (URLError, OSError, ValueError) as error:
            said = str(getattr(error, "reason", error))
            break
    raise InputError(f"{address} gives no map tiles of zoom {zoom}: {said}. {_MAKE_FILE}.")


def _service(address: str, zoom: int, side: int, south: bool) -> str:
    """What GDAL's WMS driver opens: all tiles of one zoom, those that are missing left empty."""
    root = Element("GDAL_WMS")
    service = SubElement(root, "Service", {"name": "TMS"})
    SubElement(service, "ServerUrl").text = re.sub(r"(\{[zxy]\})", r"$\1", address)
    window = {
        "UpperLeftX": -_HALF, "UpperLeftY": _HALF, "LowerRightX": _HALF, "LowerRightY": -_HALF,
        "TileLevel": zoom, "TileCountX": 1, "TileCountY": 1,
        "YOrigin": "bottom" if south else "top",
    }  # fmt: skip
    more = {
        "Projection": "EPSG:3857", "BlockSizeX": side, "BlockSizeY": side, "BandsCount": 4,
        "UserAgent": _AGENT, "Timeout": _PATIENCE, "ZeroBlockHttpCodes": "204,404",
    }  # fmt: skip
    for parent, values in ((SubElement(root, "DataWindow"), window), (root, more)):
        for key, value in values.items():
            SubElement(parent, key).text = str(value)
    return tostring(root, encoding="unicode")
