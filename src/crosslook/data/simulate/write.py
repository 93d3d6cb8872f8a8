"""Synthetic pairs and basemaps as georeferenced files.

Images are made and written a few rows at a time, so that memory does not grow
with their size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.atomic import atomic_path, check_writable, is_temporary, sweep, write_text
from crosslook.data.simulate.dense import STATES, STEP, cells_of, dense_truth, heights
from crosslook.data.simulate.geometry import truth_matrix
from crosslook.data.simulate.noise import mix
from crosslook.data.simulate.optical import render_optical
from crosslook.data.simulate.scene import SceneSettings, is_straight, render_sar, seen_window
from crosslook.data.simulate.settings import SceneOptions, SimulateOptions
from crosslook.errors import OutputError, SettingError
from crosslook.geo.whole import whole_raster
from crosslook.options import after_two
from crosslook.progress import track
from crosslook.types import Window
from crosslook.written import has_header, has_keys, refuse_foreign

Render = Callable[[Window], NDArray[Any]]

_TILE = 512
"""Side of what is rendered at once of an optical image: what shades it is rendered too."""
_BAND_PIXELS = 1 << 22
"""Of a band of the SAR image."""
_WHOLE_PIXELS = 48_000_000
"""A SAR image that is resampled from so many pixels is made in one piece."""


def optical_bands(settings: SceneSettings, rows: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the first row and the pixels, uint8 (3, h, w), of bands of the optical image.

    Parameters
    ----------
    settings : SceneSettings
    rows : int
        Of a strip of the file; bands are whole strips.
    """

    def render(at: Window) -> NDArray[np.uint8]:
        return render_optical(settings, at.shifted(*settings.origin))

    yield from _bands(settings.shape, rows, (_TILE, _TILE), render)


def sar_bands(settings: SceneSettings, rows: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the first row and the pixels, float32 (1, h, w), of bands of the SAR image."""
    shape = settings.shape
    deep = max(1, _BAND_PIXELS // shape[1])

    def render(at: Window) -> NDArray[np.float32]:
        return render_sar(settings, at)[None]

    if is_straight(settings):  # rows are rendered one by one
        yield from _bands(shape, rows, (deep, shape[1]), render)
        return
    whole = Window.whole(shape)
    seen = seen_window(settings, whole)
    if seen.height * seen.width <= _WHOLE_PIXELS:
        yield 0, render(whole)
        return
    # Rows that are not turned need few more rows of the ground than they are.
    across = shape[1] if settings.rotation == 0 else 2 * _TILE
    yield from _bands(shape, rows, (deep, across), render)


def displacement_bands(settings: SceneSettings, rows: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the first row and float32 (2, h, w), rows and columns, of bands of the truth."""

    def render(at: Window) -> NDArray[np.float32]:
        return np.moveaxis(dense_truth(settings, at).displacement, -1, 0)

    yield from _cells(settings, rows, render)


def ground_bands(settings: SceneSettings, rows: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the first row and uint8 (1, h, w) of bands of what each place is."""
    yield from _cells(settings, rows, lambda at: dense_truth(settings, at).state[None])


def height_bands(settings: SceneSettings, rows: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the first row and float32 (1, h, w) of bands of the heights."""
    yield from _cells(settings, rows, lambda at: heights(settings, at)[None])


def _cells(
    settings: SceneSettings, strip: int, render: Render
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Bands of cells of the truth, each rendered from its pixels."""

    def cells(at: Window) -> NDArray[Any]:
        return render(Window(*(STEP * side for side in (at.row, at.col, at.height, at.width))))

    yield from _bands(cells_of(settings.shape), strip, (_TILE, 2 * _TILE), cells)


def _bands(
    shape: tuple[int, int], strip: int, tile: tuple[int, int], render: Render
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Bands of whole strips, each put together from tiles of about so many rows and columns."""
    deep, width = max(strip, min(shape[0], tile[0]) // strip * strip), tile[1]
    for band in Window.whole(shape).tiles(deep, shape[1]):
        tiles = [render(tile) for tile in band.tiles(deep, width)]
        yield band.row, tiles[0] if len(tiles) == 1 else np.concatenate(tiles, axis=2)


@dataclass(frozen=True)
class _Part:
    """One kind of file: how many bands of which type, who makes them, and pixels along a cell."""

    bands: int
    dtype: str
    render: Callable[[SceneSettings, int], Iterator[tuple[int, NDArray[Any]]]]
    step: int = 1
    descriptions: tuple[str, ...] = ()


_PAIR = {"optical": _Part(3, "uint8", optical_bands), "sar": _Part(1, "float32", sar_bands)}
_DENSE = {
    "displacement": _Part(2, "float32", displacement_bands, STEP, ("rows", "columns")),
    "ground": _Part(1, "uint8", ground_bands, STEP),
    "heights": _Part(1, "float32", height_bands, STEP),
}
_PARTS = _PAIR | _DENSE
_STATE_COLOURS = (
    (0, 0, 0, 0), (214, 201, 160, 255), (70, 120, 180, 255),
    (245, 245, 245, 255), (200, 90, 60, 255), (90, 70, 110, 255),
)  # fmt: skip


TAG = "CROSSLOOK_SYNTHETIC"
"""GeoTIFF tag, value ``yes``, of every file that the simulator writes."""
CRS = "EPSG:32633"
MOST_PAIRS = 100_000

_WEST, _NORTH = 300_000.0, 5_500_000.0
_PER_ROW = 10
_WIDE, _BLOCK = 2048, 256
_CACHE = 64 << 20  # bytes
_TRUTH, _TABLE = "truth.json", "truth.csv"
_COLUMNS = ("id", "synthetic", *(f"m{i}{j}" for i in range(3) for j in range(3)))
_WRITTEN = {_TRUTH: has_keys("synthetic", "pairs"), _TABLE: has_header(_COLUMNS)}


@after_two(SimulateOptions)
def write_pairs(out: Path | str, count: int, settings: SimulateOptions) -> list[str]:
    """Write pairs of separate worlds as GeoTIFFs, with their truth.

    ``out/optical/<id>.tif`` is uint8 red, green, blue; ``out/sar/<id>.tif``
    float32 linear intensity. Both claim the same UTM grid: where a shift,
    rotation or scale is set, the SAR file's georeference is wrong by it.
    ``truth.csv`` has the matrix of every pair, ``truth.json`` the settings
    beside them. Of scenes that are more than shifted, rotated and scaled
    there are also ``displacement/``, ``ground/`` and ``heights/``
    (:mod:`crosslook.data.simulate.dense`), the last as an elevation model.
    Files from an earlier call are replaced; one that was killed is gone on with:
    ``truth.csv`` is written when the rest is there.

    Parameters
    ----------
    out : path
    count : int
        Pairs, 1 to 100,000.
    settings : SimulateOptions
        Or its fields as keywords.

    Returns
    -------
    list of str
        The ids, ``sim-0000`` and so on.

    Raises
    ------
    SettingError
        For a value that is not allowed.
    OutputError
        If the folder cannot be written or holds anything else; ``overwrite``
        replaces a truth of other origin, never images.
    """
    folder = Path(out)
    base = SceneSettings(**settings.model_dump(include=set(SceneOptions.model_fields)))
    if not 1 <= count <= MOST_PAIRS:
        raise SettingError(f"count is {count}; 1 to {MOST_PAIRS} pairs are allowed.")
    scenes = {f"sim-{i:04d}": _scene_of(base, i) for i in range(count)}
    # Upper left corners on a grid whose scenes do not touch.
    step = 1.25 * max(base.shape) * base.gsd
    truth = _truth_json(scenes)
    refuse_foreign(folder, _WRITTEN, overwrite=settings.overwrite)
    if not _WRITTEN[_TRUTH](folder / _TRUTH):
        (folder / _TRUTH).unlink(missing_ok=True)
    _refuse_foreign(folder)
    check_writable(folder)
    sweep(folder)
    if (folder / _TABLE).exists() or not _is_truth(folder / _TRUTH, truth):
        _clear(folder)
        # Before the pairs: it tells a later call that the files are ours, and of which settings.
        write_text(folder / _TRUTH, truth)
    for index, (name, scene) in enumerate(track(scenes.items(), "Simulating pairs", total=count)):
        if not all(_is_made(path, scene) for path in _files(folder, name, scene).values()):
            row, col = divmod(index, _PER_ROW)
            write_pair(folder, name, scene, (_WEST + col * step, _NORTH - row * step))
    write_text(folder / _TABLE, _truth_csv(scenes))
    return list(scenes)


def _scene_of(base: SceneSettings, index: int) -> SceneSettings:
    """A world of its own per scene; the first is the seed's, as in make_pair."""
    seed = int(mix(base.seed & 0xFFFFFFFF, base.seed >> 32, index)) if index else base.seed
    return base.model_copy(update={"seed": seed})


def _is_truth(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def write_pair(
    folder: Path, name: str, settings: SceneSettings, corner: tuple[float, float]
) -> None:
    """Render one pair and what else belongs to it; ``corner`` is west, north in UTM.

    The pixels are those of :func:`~crosslook.data.simulate.scene.make_pair`.
    They are made and written a band of rows at a time: memory stays below
    2 GiB, whatever the size. A file that is there, whole and of these
    settings is left as it is.
    """
    for part, file in _files(folder, name, settings).items():
        if not _is_made(file, settings):
            with atomic_path(file) as path, whole_raster(path):
                _write_raster(path, settings, corner, _PARTS[part])


def profile_of(corner: tuple[float, float], gsd: float, bands: int, dtype: str) -> dict[str, Any]:
    """Creation options of the simulator's GeoTIFFs, without height and width."""
    from rasterio.transform import from_origin

    return {
        "driver": "GTiff",
        "count": bands,
        "dtype": dtype,
        "crs": CRS,
        "transform": from_origin(*corner, gsd, gsd),
        "compress": "deflate",
        "zlevel": 1,
        "bigtiff": "if_safer",
        **({"photometric": "RGB", "predictor": 2} if bands == 3 else {}),
    }


def tags_of(settings: SceneSettings) -> dict[str, str]:
    """The tags of a file: that it is synthetic, and how it was made."""
    return {TAG: "yes", "CROSSLOOK_SETTINGS": json.dumps(settings.as_dict(), sort_keys=True)}


def _write_raster(
    path: Path, settings: SceneSettings, corner: tuple[float, float], part: _Part
) -> None:
    import rasterio
    from rasterio.windows import Window as FileWindow

    height, width = settings.shape if part.step == 1 else cells_of(settings.shape)
    profile = profile_of(corner, settings.gsd * part.step, part.bands, part.dtype)
    profile |= {"height": height, "width": width}
    if width > _WIDE:  # so that a window of it can be read by itself
        profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    # GDAL's cache would take a part of all memory.
    with rasterio.Env(GDAL_CACHEMAX=_CACHE), rasterio.open(path, "w", **profile) as file:
        if part is _DENSE["ground"]:
            file.write_colormap(1, dict(enumerate(_STATE_COLOURS)))
            file.update_tags(1, **{str(code): name for code, name in enumerate(STATES)})
        for band, text in enumerate(part.descriptions, 1):
            file.set_band_description(band, text)
        for top, bands in part.render(settings, int(file.block_shapes[0][0])):
            file.write(bands, window=FileWindow(0, top, width, bands.shape[1]))
        file.update_tags(**tags_of(settings))


def _files(folder: Path, name: str, settings: SceneSettings | None = None) -> dict[str, Path]:
    """The files of a pair by their kind; of any settings where none are given."""
    parts = _PARTS if settings is None or settings.is_bent else _PAIR
    return {part: folder / part / f"{name}.tif" for part in parts}


def _is_made(path: Path, settings: SceneSettings) -> bool:
    """Tell whether a file is there, whole, and of these settings."""
    return _read_tags(path).items() >= tags_of(settings).items()


def _read_tags(path: Path) -> dict[str, str]:
    """The tags of a raster; none where it is missing or damaged."""
    import rasterio

    try:
        with rasterio.open(path) as file:
            return dict(file.tags())
    except rasterio.errors.RasterioIOError:
        return {}


def _refuse_foreign(folder: Path) -> None:
    """See that the folders of the pairs hold nothing but pairs, and what a killed call left."""
    ours = _known(folder)
    for part in _PARTS:
        for path in sorted((folder / part).glob("*")) if (folder / part).is_dir() else []:
            pair = path.suffix == ".tif" and path.stem in ours
            if not pair and not is_temporary(path):
                raise OutputError(
                    f"{path} was not written by the simulator. "
                    "Choose an empty folder, so that nothing is lost or mixed."
                )


def _clear(folder: Path) -> None:
    """Remove the pairs of an earlier call.

    The table goes first, the truth is replaced afterwards: killed in between,
    the earlier call is one that was not finished.
    """
    (folder / _TABLE).unlink(missing_ok=True)
    for name in _known(folder):
        for path in _files(folder, name).values():
            path.unlink(missing_ok=True)


def _known(folder: Path) -> set[str]:
    path = folder / _TRUTH
    if not path.exists():
        return set()
    try:
        truth = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError(f"cannot read {path}: {error}. Choose an empty folder.") from error
    if not isinstance(truth, dict) or truth.get("synthetic") is not True:
        raise OutputError(f"{path} was not written by the simulator. Choose an empty folder.")
    return set(truth.get("pairs", {}))


def _truth_json(scenes: dict[str, SceneSettings]) -> str:
    pairs = {
        name: {"settings": s.as_dict(), "sar_to_optical": truth_matrix(s).tolist()}
        for name, s in scenes.items()
    }
    convention = "sar_to_optical acts on (row, column, 1); pixel centres at +0.5"
    truth = {"synthetic": True, "convention": convention, "pairs": pairs}
    return json.dumps(truth, indent=1) + "\n"


def _truth_csv(scenes: dict[str, SceneSettings]) -> str:
    lines = [",".join(_COLUMNS)]
    for name, scene in scenes.items():
        lines.append(",".join([name, "yes", *map(repr, np.ravel(truth_matrix(scene)).tolist())]))
    return "\n".join(lines) + "\n"


WEST, NORTH = 200_000.0, 5_500_000.0
"""Upper left corner of every basemap, in metres of its CRS."""


def write_basemap(
    out_path: Path | str, size: int, seed: int = 0, *, block: int = 1024, **options: Any
) -> SceneSettings:
    """Write the optical image of a world as one tiled GeoTIFF.

    Memory holds one block and what shades it, whatever the size. The pixels
    are those of ``make_pair(size, seed, ...)``; a SAR query from any place is
    ``make_pair(chip, seed, origin=(row, col), ...).sar``.

    Parameters
    ----------
    out_path : path
        Ends in ``.tif``; a synthetic file of that name is replaced.
    size, seed, **options
        The fields of :class:`~crosslook.data.simulate.scene.SceneSettings`.
    block : int
        Side of what is made at once, a multiple of 256 up to 8192 pixels.

    Raises
    ------
    SettingError
        For a value that is not allowed.
    OutputError
        If the file cannot be written, or is there and is not synthetic.
    """
    import rasterio
    from rasterio.windows import Window as FileWindow

    path = Path(out_path)
    settings = SceneSettings(size=size, seed=seed, **options)
    if block % 256 or not 256 <= block <= 8192:
        raise SettingError(f"block is {block}; a multiple of 256 from 256 to 8192 is allowed.")
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise SettingError(f"{path.name}: the basemap is a GeoTIFF; the name must end in .tif.")
    if path.exists() and _read_tags(path).get(TAG) != "yes":
        raise OutputError(
            f"{path} is there and was not written by the simulator. Choose another name."
        )
    check_writable(path.parent)
    profile = profile_of((WEST, NORTH), settings.gsd, 3, "uint8")
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel"}
    height, width = settings.shape
    windows = list(Window(0, 0, height, width).tiles(block))
    with (
        atomic_path(path) as temporary,
        whole_raster(temporary),
        rasterio.open(temporary, "w", height=height, width=width, **profile) as file,
    ):
        file.update_tags(**tags_of(settings))
        for at in track(windows, "Simulating the basemap"):
            image = render_optical(settings, at.shifted(*settings.origin))
            file.write(image, window=FileWindow(at.col, at.row, at.width, at.height))
    return settings
