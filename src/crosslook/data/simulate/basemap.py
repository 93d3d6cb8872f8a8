"""One large synthetic basemap, written block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from crosslook.atomic import atomic_path, check_writable
from crosslook.data.simulate.optical import render_optical
from crosslook.data.simulate.scene import SceneSettings
from crosslook.data.simulate.write import TAG, profile_of, tags_of
from crosslook.errors import OutputError, SettingError
from crosslook.progress import track
from crosslook.types import Window

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
    _refuse_foreign(path)
    check_writable(path.parent)
    profile = profile_of((WEST, NORTH), settings.gsd, 3, "uint8")
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel"}
    windows = list(_blocks(settings, block))
    with (
        atomic_path(path) as temporary,
        rasterio.open(temporary, "w", height=size, width=size, **profile) as file,
    ):
        file.update_tags(**tags_of(settings))
        for at in track(windows, "Simulating the basemap"):
            place = replace(at, row=at.row + settings.origin[0], col=at.col + settings.origin[1])
            image = render_optical(settings.world, place, settings.optical)
            file.write(image, window=FileWindow(at.col, at.row, at.width, at.height))
    return settings


def _blocks(settings: SceneSettings, block: int) -> Iterator[Window]:
    for row in range(0, settings.size, block):
        for col in range(0, settings.size, block):
            height, width = min(block, settings.size - row), min(block, settings.size - col)
            yield Window(row, col, height, width)


def _refuse_foreign(path: Path) -> None:
    import rasterio

    if not path.exists():
        return
    try:
        with rasterio.open(path) as file:
            ours = file.tags().get(TAG) == "yes"
    except rasterio.errors.RasterioIOError:
        ours = False
    if not ours:
        raise OutputError(
            f"{path} is there and was not written by the simulator. Choose another name."
        )
