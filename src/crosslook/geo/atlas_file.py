"""The basemap of an atlas read in windows like a file: what ``atlas build`` has stored of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from odc.geo.geobox import GeoBox

from crosslook.errors import SettingError, StoreError
from crosslook.geo.basemap_source import BasemapSource, basemap_header
from crosslook.geo.block_store import FORMAT, NAME, BlockStore, pieces, read_block
from crosslook.geo.grid import make_grid
from crosslook.geo.image import ImageFile, Reading, as_read
from crosslook.geo.raster import Raster
from crosslook.json_text import json_object
from crosslook.storage import Folder, Place, as_place, is_gdal_name, is_remote, open_folder
from crosslook.types import FloatArray, Window


@dataclass(frozen=True, eq=False)
class AtlasFile(BasemapSource):
    """Blocks of pixels of 8 bits; a block that is damaged holds no data, and a note says so.

    Attributes
    ----------
    store : BlockStore
    grid : GeoBox
    count : int
        Bands, 1 or 3.
    damaged : dict of str to str
        Why a block could not be read, by the words of the error.
    """

    store: BlockStore
    grid: GeoBox
    count: int
    damaged: dict[str, str] = field(default_factory=dict)

    @property
    def header(self) -> Raster:
        """What a file would say; its notes grow as blocks turn out to be damaged."""
        notes = ("its pixels are those that an atlas holds", *self.damaged.values())
        return basemap_header(self.store.folder.name, self.grid, self.count, notes)

    def parts(self) -> tuple[str, ...]:
        """The file that names all others with their checksums."""
        return (str(self.store.folder.path / NAME),)

    def _strip(self, window: Window, bands: tuple[int, ...]) -> FloatArray:
        out = np.full((len(bands), *window.shape), np.nan, np.float32)
        # Block by block, so that one that is damaged costs itself alone.
        for block, here, _ in pieces(window.corner, window.shape, self.store.side):
            row, col = window.row + here[0].start, window.col + here[1].start
            shape = here[0].stop - here[0].start, here[1].stop - here[1].start
            try:
                values, valid = self.store.pixels((row, col), shape, self.count)
            except StoreError as error:
                self.damaged.setdefault(str(block), f"left open: {error}")
                continue
            chosen = values[[band - 1 for band in bands]].astype(np.float32)
            chosen[:, ~valid] = np.nan
            out[:, *here] = chosen
        return out


def is_atlas(place: Place) -> bool:
    """Whether a place is the folder of an atlas that is built, here or in an object store."""
    at = as_place(place)
    if isinstance(at, str) or is_gdal_name(at):
        return False
    if is_remote(at) and at.suffix:  # a file by its name: a store is not asked for each
        return False
    try:
        return open_folder(at).has(NAME)
    except (ImportError, OSError):  # a store whose package for listing is not installed
        return False


def open_atlas_image(place: Place, reading: Reading | None = None) -> ImageFile:
    """Open the basemap of an atlas as one optical image.

    Raises
    ------
    StoreError
        If ``atlas.json`` is damaged or of another format.
    SettingError
        If the reading asks for bands or a radiometry: those were chosen when it was built.
    """
    asked = reading or Reading()
    if asked.optical != Reading().optical:
        raise SettingError(
            f"'{place}' is an atlas: its bands and radiometry were chosen when it was built. "
            "Leave --bands and --optical out, or name the files that it was built from."
        )
    folder = open_folder(as_place(place))
    return as_read(_read_blocks(folder))


def _read_blocks(folder: Folder) -> AtlasFile:
    try:
        values = json_object(folder.read(NAME), finite=True)
        if values["format"] != FORMAT:
            raise StoreError(
                f"atlas '{folder}' has format {values['format']}; this version reads format "
                f"{FORMAT}. Build it again with atlas build."
            )
        rows, cols, side, count = (int(n) for n in (
            *values["shape"], values["block"], values["bands"]))  # fmt: skip
        if min(rows, cols, side) < 1 or count not in (1, 3):
            raise ValueError("a size is not possible")
        grid = make_grid(values["crs"], tuple(values["affine"]), rows, cols)
        blocks = {read_block(name): dict(files) for name, files in values["blocks"].items()}
    except (ArithmeticError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{NAME} of atlas '{folder}' is damaged ({error}). Build the atlas again."
        ) from error
    return AtlasFile(BlockStore(folder, side, blocks), grid, count)
