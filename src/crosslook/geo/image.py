"""One image type for all of crosslook: values, valid pixels and where they lie.

:func:`open_image` settles once what a file becomes (bands, validity,
radiometry); :meth:`ImageFile.read` then gives any window of it, on its own
pixels, reduced, or on another grid. :class:`Reading` holds the options for that.
Every command reads through here, so the same file is the same pixels everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.errors import GridError, RasterError, SettingError
from crosslook.geo.basemap_source import BasemapSource, BlockReader
from crosslook.geo.blocks import block_means, where_covered
from crosslook.geo.grey import GreyImage, make_grey_image
from crosslook.geo.grid import (
    between,
    crs_text,
    describe_grid,
    frame_name,
    has_map,
    is_invertible,
    is_placed,
    mean_metres,
    parse_crs,
    rim,
    same_grid,
    shape_of,
    shares_frame,
    text_of_crs,
    window_of,
    zoomed,
)
from crosslook.geo.levels import block_edges, level_for, read_blocks
from crosslook.geo.products.resolve import product_bands, product_notes
from crosslook.geo.radiometry import (
    OpticalRadiometry,
    Radiometry,
    SarRadiometry,
    Scale,
    Stretch,
    band_list,
)
from crosslook.geo.raster import Raster, RasterArray, RasterFile, Source
from crosslook.geo.valid import MARGIN, Survey, fill_small_holes, survey
from crosslook.options import ReadingText
from crosslook.storage import Place, as_place
from crosslook.types import FloatArray, Mask, Modality, Window


@dataclass(frozen=True)
class Reading:
    """How images are read: the options that mean the same in every command.

    Attributes
    ----------
    sar, optical : radiometry of each modality
    height : float or None
        Metres above the ellipsoid, for images placed by rational polynomials.
    dem : str or None
        Elevation model, for the same.
    crs : str or None
        CRS of images that have a map but none, as those with world files.
    """

    sar: SarRadiometry = field(default_factory=SarRadiometry)
    optical: OpticalRadiometry = field(default_factory=OpticalRadiometry)
    height: float | None = None
    dem: str | None = None
    crs: str | None = None

    @classmethod
    def parse(cls, text: ReadingText) -> Reading:
        """Read the options as text; ``bands`` is short for the optical bands.

        Raises
        ------
        SettingError
            For anything that is not allowed.
        """
        optical = OpticalRadiometry.parse(text.optical)
        if text.bands:
            try:
                optical = optical.model_copy(update={"bands": band_list(text.bands)})
            except ValueError as error:
                raise SettingError(f"--bands {text.bands} is not allowed: {error}.") from None
        crs = None if text.crs is None else text_of_crs(parse_crs(text.crs))
        return cls(SarRadiometry.parse(text.sar), optical, text.height, text.dem, crs)

    def of(self, modality: Modality) -> Radiometry:
        """The radiometry of a modality."""
        return self.sar if modality == "sar" else self.optical


_LEAST_COMMON = 0.5  # of what the fullest band holds, valid in all bands


def choose_bands(
    source: Source, radiometry: Radiometry, product_bands: tuple[int, ...] = ()
) -> tuple[tuple[int, ...], Survey]:
    """Choose the bands that are read, and survey them.

    Bands of a SAR image without data are passed over. Where its bands hold data in different
    places, as the dates of a stack may, the fullest alone is taken: a pixel counts only if it
    is valid in all bands.

    Parameters
    ----------
    source : Source
    radiometry : SarRadiometry or OpticalRadiometry
        Names bands, or leaves the choice.
    product_bands : tuple of int
        Bands that a product has laid out already.

    Raises
    ------
    RasterError
        If bands hold data, but no pixel does in all of them.
    """
    bands = product_bands or radiometry.choose(source.header)
    found = survey(source, bands, radiometry.zeros)
    free = isinstance(radiometry, SarRadiometry) and not radiometry.bands
    if free and not product_bands and any(found.empty):
        every = tuple(range(1, source.header.bands + 1))
        empty = survey(source, every, radiometry.zeros).empty
        bands = radiometry.choose(source.header, empty)
        found = replace(survey(source, bands, radiometry.zeros), empty=empty)
    fractions, common = found.fractions, found.common
    if free and found.sample.size and radiometry.scale_of(source.header, found.sample) == "power":
        # Power is above zero: zeros of one date alone lie outside its swath.
        positive = found.sample > 0
        fractions = tuple(np.multiply(fractions, positive.mean(axis=1)))
        common *= float(positive.all(axis=0).mean())
    if common >= _LEAST_COMMON * max(fractions):
        return bands, found
    if free:
        fullest = bands[fractions.index(max(fractions))]
        alone = survey(source, (fullest,), radiometry.zeros)
        alone = replace(alone, empty=found.empty, apart=bands)
        return (fullest,), replace(alone, fractions=(float(max(fractions)),))
    if common == 0:
        each = ", ".join(f"{n} {part:.0%}" for n, part in zip(bands, fractions, strict=True))
        raise RasterError(
            f"{source.header.name}: no pixel holds data in all of the bands that are read; they "
            f"hold data in different places (band {each} of the image). Name one band, with "
            "--bands or --sar bands=1."
        )
    return bands, found


def nothing_usable(source: Source) -> RasterError:
    """The error for an image without any valid pixel; names other images of the file."""
    other = ""
    if isinstance(source, RasterFile) and (names := source.others):
        other = f"It is the first of {len(names)} images in the file; name another: {names[-1]}. "
    return RasterError(
        f"{source.header.name} has no usable pixel: all is nodata, NaN or zeros outside the "
        f"swath. {other}Leave it out or get the file again."
    )


_PIECE_PIXELS, _LEAST_ROWS = 4_000_000, 256
_NODE_STEP = 16  # a projection is evaluated on this grid and interpolated between
_RECTIFIED = ("control points", "rational polynomials")


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels with their place.

    Attributes
    ----------
    values : float32 array, shape (C, H, W)
        After radiometry: 0..1 between its limits, a few beyond; 0 where invalid.
    valid : bool array, shape (H, W)
    grid : GeoBox
        Without CRS for a plain image.
    name : str
    filled : int
        Pixels of small holes that were filled from their neighbours.
    """

    values: FloatArray
    valid: Mask
    grid: GeoBox
    name: str
    filled: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.valid.shape[0]), int(self.valid.shape[1])

    def grey(self, modality: Modality) -> FloatArray:
        """One channel to match by, shape (H, W): the first of SAR, the mean of optical ones."""
        grey = self.values[0] if modality == "sar" else self.values.mean(axis=0)
        return np.asarray(grey, np.float32)

    def grey_image(self, modality: Modality) -> GreyImage:
        """The image as matching takes it; MatchError if it is all nodata or constant."""
        label = "SAR image" if modality == "sar" else "optical image"
        return make_grey_image(self.grey(modality), self.valid, f"{label} '{self.name}'")


@dataclass(frozen=True, eq=False)
class ImageFile:
    """A file (or an array) whose bands, validity and radiometry are settled.

    Attributes
    ----------
    source : Source
        What is read.
    modality : str
    bands : tuple of int
        From 1.
    radiometry : SarRadiometry or OpticalRadiometry
    survey : Survey
        Of the image on its own pixels.
    scale : str
        What its numbers are.
    stretch : Stretch
    own_grid : GeoBox
        Of its own pixels, which ``source`` may bring onto another grid.
    mask : RasterFile or None
        Where it is 0, ``read`` takes pixels for no data; what is stored is not touched.
    """

    source: Source
    modality: Modality
    bands: tuple[int, ...]
    radiometry: Radiometry
    survey: Survey
    scale: Scale
    stretch: Stretch
    own_grid: GeoBox
    mask: RasterFile | None = None

    @property
    def header(self) -> Raster:
        """What the file says."""
        return self.source.header

    @property
    def name(self) -> str:
        """What messages and outputs call it."""
        return self.header.name

    @property
    def grid(self) -> GeoBox:
        """Where the pixels that are read lie."""
        return self.header.grid

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return shape_of(self.grid)

    @property
    def nodata(self) -> float | None:
        """The file's nodata, declared or found."""
        return next((n for n in (self.header.nodata, *self.survey.fills) if n is not None), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how it was read."""
        notes = []
        if self.survey.fills:
            numbers = " and ".join(f"{number:g}" for number in self.survey.fills)
            notes.append(
                f"{self.name}: {numbers} {'is' if len(self.survey.fills) == 1 else 'are'} taken "
                f"for no data ({self.survey.fraction:.1%} of the image), though the file does not "
                "say so"
            )
        empty = [str(n) for n, nothing in enumerate(self.survey.empty, 1) if nothing]
        if self.survey.apart:
            those = ", ".join(str(band) for band in self.survey.apart)
            notes.append(
                f"{self.name}: bands {those} hold data in different places; band {self.bands[0]} "
                f"alone is used ({self.survey.fractions[0]:.0%} of the image); --sar bands= takes "
                "another"
            )
        elif empty and not self.radiometry.bands:
            used = ", ".join(str(band) for band in self.bands)
            notes.append(f"{self.name}: band {', '.join(empty)} is empty; band {used} is used")
        if self.header.stale_overviews:
            notes.append(
                f"{self.name}: its overviews differ from its pixels and are not read; build them "
                "anew, as with gdaladdo"
            )
        notes += self._notes_on_place()
        if isinstance(self.source, RasterFile):
            notes += product_notes(self.source.place)
        return tuple(notes)

    def _notes_on_place(self) -> list[str]:
        """Where its place comes from, if not from an affine map and a CRS of its own."""
        by, name = self.header.placed_by, self.name
        if by == "a map in the CRS given":
            return [f"{name}: its map says no CRS; it is taken in {crs_text(self.grid)}"]
        if by == "a map without CRS":
            return [
                f"{name}: its map says no CRS, so it has no longitude and latitude; "
                "--crs tells the CRS"
            ]
        said = [f"{name}: {note}" for note in self.header.notes]
        given = self.source.crs if isinstance(self.source, RasterFile) else ""
        if by == "affine" and given and given != crs_text(self.own_grid):
            said.append(f"{name}: --crs is not used, it has {frame_name(self.own_grid)}")
        return said

    def restretched(self, stretch: Stretch) -> ImageFile:
        """The same file under other limits, as when a set of images shares them."""
        return replace(self, stretch=stretch)

    def masked(self, place: Place) -> ImageFile:
        """The same file, of which only pixels are matched where a mask is not 0.

        Raises
        ------
        GridError
            If the mask has other pixels and no place on the map.
        """
        # A mask is made for its image, so a map without CRS is one in that of the image.
        mask = RasterFile(as_place(place), indexed=True, crs=crs_text(self.grid) or "")
        grid = mask.header.grid
        if shares_frame(grid, self.grid):
            if not same_grid(grid, self.grid):
                mask = mask.on(self.grid, "nearest")
        elif shape_of(grid) != self.shape:
            raise GridError(
                f"the mask {mask.name} ({describe_grid(grid)}) and {self.name} "
                f"({describe_grid(self.grid)}) have other pixels; give one of the same size."
            )
        return replace(self, mask=mask)

    def on(self, grid: GeoBox, resampling: str = "bilinear") -> ImageFile:
        """The same file brought onto another grid, window by window."""
        if not isinstance(self.source, RasterFile):
            raise SettingError(f"{self.name} is an array; only files are brought onto a grid.")
        zeros = self.survey.outside is not None and self.header.nodata is None
        # GDAL compares what is stored.
        scale, offset = self.header.scales[0], self.header.offsets[0]
        missing = self.survey.fills or ((0.0,) if zeros else ())
        missing = tuple((number - offset) / scale for number in missing)
        return replace(self, source=replace(self.source.on(grid, resampling), missing=missing))

    def read(self, window: Window | None = None, factor: int = 1) -> Image:
        """Read a window after radiometry.

        Parameters
        ----------
        window : Window, optional
            In pixels of ``grid``; may reach beyond, and is invalid there. The
            whole image by default.
        factor : int
            Pixels along a side that become one, by their mean over valid ones;
            what is left over is cut off. Memory holds a piece at a time. Levels of JPEG 2000
            are read in place of its pixels where they say the same.
        """
        window = window or Window.whole(self.shape)
        read_level = self._reader(factor)
        grid = zoomed(window_of(self.grid, window), factor)
        rows, cols = shape_of(grid)
        values = np.empty((len(self.bands), rows, cols), np.float32)
        valid = np.empty((rows, cols), np.bool_)
        filled = 0
        for part in _pieces(rows, cols, factor, len(self.bands)):
            high, wide = part.height * factor, part.width * factor
            corner = window.row + part.row * factor, window.col + part.col * factor
            if read_level is not None:
                means = self._from_level(*read_level(Window(*corner, high, wide)))
                values[:, *part.slices], valid[part.slices] = means
                continue
            unit, solid, holes = self._read_strip(Window(*corner, high, wide))
            filled += holes
            values[:, *part.slices], valid[part.slices] = _reduced(unit, solid, factor)
        return Image(values, valid, grid, self.name, filled)

    def _reader(self, factor: int) -> BlockReader | None:
        """What reads blocks of a window from levels; None where that are the pixels."""
        source = self.source
        if isinstance(source, BasemapSource):
            return source.block_reader(self.bands, factor) if self.mask is None else None
        if not (level := self.level(factor)):
            return None
        assert isinstance(source, RasterFile)

        def reader(part: Window) -> tuple[FloatArray, FloatArray]:
            edges = block_edges(part.corner, part.shape, factor)
            found = read_blocks(source, self.bands, edges, (factor, level), self.survey.clear)
            return found.means, found.cover

        return reader

    def _from_level(self, means: FloatArray, cover: FloatArray) -> tuple[FloatArray, Mask]:
        """Values after radiometry (C, h, w) and valid pixels, of means over blocks."""
        return where_covered(self.radiometry.apply(means, self.stretch), cover)

    def level(self, factor: int) -> int:
        """Of the format's levels the one from which blocks are read; 0 for the pixels.

        Those where a mean of levels may not be that of valid pixels: where a number means no data
        wherever it is, as nodata does, or the tone is no straight line.
        """
        source, found = self.source, self.survey
        straight = isinstance(self.radiometry, OpticalRadiometry) and self.scale != "power"
        if not (straight and isinstance(source, RasterFile)) or source.onto is not None:
            return 0
        moved = self.header.placed_by in _RECTIFIED
        if found.fills or self.nodata is not None or self.mask is not None or moved:
            return 0
        return level_for(source, factor)

    def _read_strip(self, window: Window) -> tuple[FloatArray, Mask, int]:
        """Values (C, h, w), valid pixels and the number of filled ones, seen with a margin."""
        raw = np.full((len(self.bands), *window.shape), np.nan, np.float32)
        solid = np.zeros(window.shape, np.bool_)
        # What lies beyond the image is no hole, so a hole at its rim is still small.
        inside, part = window.pad(MARGIN).clip(self.shape), window.clip(self.shape)
        if part.is_empty:
            return np.nan_to_num(raw, copy=False, nan=0.0), solid, 0
        seen = self._cleared(self.source.read(inside, self.bands), inside)
        valid: Mask = np.asarray(np.isfinite(seen).all(axis=0), np.bool_)
        if self.scale == "power":
            valid &= (seen > 0).all(axis=0)
        holes = fill_small_holes(seen, valid)
        if self.mask is not None:  # after the holes, so that small spots stay masked
            kept = self.mask.read(inside, (1,))[0]
            valid = valid & np.isfinite(kept) & (kept != 0)
        there, here = part.within(inside).slices, part.within(window).slices
        raw[:, *here], solid[here] = seen[:, *there], valid[there]
        unit = self.radiometry.apply(np.where(solid, raw, np.float32(np.nan)), self.stretch)
        return np.nan_to_num(unit, copy=False, nan=0.0), solid, int(holes[there].sum())

    def _cleared(self, raw: FloatArray, window: Window) -> FloatArray:
        """Raw values of a window without those that are no data by the survey."""
        found = self.survey
        if not found.fills and found.outside is None:
            return raw
        rows, cols = self._own_positions(window)
        restored = isinstance(self.source, RasterFile) and self.source.missing == (0.0,)
        if not (restored and found.outside is not None):
            return found.clear(raw, rows, cols)
        # GDAL left out all zeros, so that none bleed in; those inside the swath are data.
        height, width = shape_of(self.own_grid)
        inside = (rows > 0.5) & (rows < height - 0.5) & (cols > 0.5) & (cols < width - 0.5)
        raw[:, np.isnan(raw).all(axis=0) & inside & ~found.is_outside(rows, cols)] = 0.0
        return raw

    def _own_positions(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Row and column on the image's own pixels of every pixel of a window."""
        if self.own_grid == self.grid or not has_map(self.grid):
            rows = np.arange(window.row, window.bottom, dtype=np.float32)[:, None]
            return rows, np.arange(window.col, window.right, dtype=np.float32)[None]
        nodes = [np.arange(0.0, n + 2 * _NODE_STEP, _NODE_STEP) for n in window.shape]
        at = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1)
        moved = between(self.grid, self.own_grid, at.reshape(-1, 2) + window.corner)
        coarse = moved.reshape(at.shape).astype(np.float32)
        steps = [((np.arange(n) + 0.5) / _NODE_STEP).astype(np.float32) for n in window.shape]
        at_cols, at_rows = np.meshgrid(steps[1], steps[0])
        rows, cols = (
            cv2.remap(np.ascontiguousarray(one), at_cols, at_rows, cv2.INTER_LINEAR)
            for one in np.moveaxis(coarse, -1, 0)
        )
        return rows, cols


def open_image(
    place: Place | RasterArray | RasterFile | ImageFile,
    modality: Modality,
    reading: Reading | None = None,
    *,
    allow_empty: bool = False,
) -> ImageFile:
    """Open an image: choose its bands, survey it, fit its radiometry.

    Parameters
    ----------
    place : path, address, name that GDAL knows, product folder, STAC item, array or raster
        An image that is opened already is given back as it is.
    modality : str
        ``sar`` or ``optical``.
    reading : Reading, optional
    allow_empty : bool
        Take an image without any valid pixel too, as tiles of a mosaic may be.

    Raises
    ------
    RasterError
        If it is missing or damaged, or holds no valid pixel.
    InputError, SettingError
        If a folder is no product, or a band does not exist; or if an image that is
        opened already was opened as the other modality or under other options.
    """
    how = reading or Reading()
    if isinstance(place, ImageFile):
        _check_as_opened(place, modality, how)
        return place
    radiometry = how.of(modality)
    source = _source_of(place, radiometry, how)
    header = source.header
    product = isinstance(source, RasterFile) and bool(source.bands)
    named = tuple(range(1, header.bands + 1)) if product else ()
    bands, found = choose_bands(source, radiometry, named if radiometry.bands else named[:3])
    nothing = not found.sample.shape[1]
    if nothing and not allow_empty:
        raise nothing_usable(source)
    sample = np.zeros((len(bands), 1), np.float32) if nothing else found.sample
    scale = radiometry.scale_of(header, sample)
    stretch = radiometry.fit(header, scale, sample)
    return ImageFile(source, modality, bands, radiometry, found, scale, stretch, header.grid)


_PLACED_WITH = {
    "rational polynomials": ("height", "dem"),
    "a map without CRS": ("crs",),
    "a map in the CRS given": ("crs",),
}


def _check_as_opened(image: ImageFile, modality: Modality, reading: Reading) -> None:
    """Refuse options that an opened image cannot heed any more; those left at their defaults go."""
    if image.modality != modality:
        raise SettingError(
            f"'{image.name}' was opened as {image.modality} and is given as {modality}; open it "
            f"as {modality}."
        )
    known = (Reading().of(modality), image.radiometry)
    late = [] if reading.of(modality) in known else [f"--{modality}"]
    if isinstance(image.source, RasterFile):
        own = image.source
        names = _PLACED_WITH.get(image.header.placed_by, ())
        late += [f"--{n}" for n in names if getattr(reading, n) not in (None, getattr(own, n))]
    if late:
        raise SettingError(
            f"{', '.join(late)} cannot be heeded for '{image.name}', which is opened already; give "
            "the options to open_image, or give the file."
        )


def as_image(bands: NDArray[np.uint8], valid: Mask, grid: GeoBox, name: str) -> ImageFile:
    """Take optical pixels (B, H, W) of 8 bits whose validity is known, as a file would be."""
    return as_read(RasterArray.of(bands, valid, grid, name))


def as_read(source: Source) -> ImageFile:
    """Take an optical source of 8 bits, whose no data is known, with all of its bands."""
    count, grid = source.header.bands, source.header.grid
    found = Survey(np.empty((count, 0), np.float32), 1, None, (), 0.0, (False,) * count)
    limits = Stretch("stored", (0.0,) * count, (255.0,) * count)
    every = tuple(range(1, count + 1))
    return ImageFile(source, "optical", every, OpticalRadiometry(), found, "stored", limits, grid)


def on_optical_grid(sar: ImageFile, optical: ImageFile) -> ImageFile:
    """The SAR image on the pixels of the optical one.

    Equal grids (corners within 0.01 px, same CRS) are read as they lie, and so
    are two images without georeference and of equal size. Others are resampled
    window by window, by the mean where SAR pixels are half as large or less.

    Raises
    ------
    GridError
        If only one is georeferenced and the sizes differ, if neither is and
        the sizes differ, if a map has no inverse, or if the two do not
        overlap; both grids are named.
    """
    first, second = sar.grid, optical.grid
    if not (is_invertible(first) and is_invertible(second)):
        raise _refusal(sar, optical, "a transform has no inverse; write the georeference again")
    if not shares_frame(first, second):
        if first.shape != second.shape:
            why = "without a georeference on both sides their sizes must be equal"
            raise _refusal(sar, optical, f"{why}; --crs places a map without CRS")
        return sar
    if same_grid(first, second):
        return sar
    if not overlap(first, second):
        raise _refusal(sar, optical, "they do not overlap; check which files belong together")
    finer = _side_of(second) / max(_side_of(first), 1e-9)
    return sar.on(second, "average" if finer >= 2 else "bilinear")


def _side_of(grid: GeoBox) -> float:
    """Length of a pixel side at the centre: in metres on Earth, else in units of the frame."""
    if not is_placed(grid):
        return float(np.sqrt(abs(grid.affine.determinant)))
    return mean_metres(grid, np.array([[length / 2 for length in shape_of(grid)]]))


def overlap(first: GeoBox, second: GeoBox) -> bool:
    """Whether the rectangles around two grids share any ground."""
    try:
        moved = between(first, second, rim(first))
    except GridError:
        return False
    low, high = moved.min(axis=0), moved.max(axis=0)
    return bool((high > 0).all() and (low < shape_of(second)).all())


def _refusal(sar: ImageFile, optical: ImageFile, why: str) -> GridError:
    return GridError(
        f"the grids of a pair cannot be brought together: {sar.name} ({describe_grid(sar.grid)}) "
        f"and {optical.name} ({describe_grid(optical.grid)}): {why}."
    )


def _source_of(
    place: Place | RasterArray | RasterFile, radiometry: Radiometry, reading: Reading
) -> RasterArray | RasterFile:
    if isinstance(place, RasterArray | RasterFile):
        return place
    at, crs = as_place(place), reading.crs or ""
    names = () if product_bands(at) is None else radiometry.bands
    return RasterFile(at, names, height=reading.height, dem=reading.dem, crs=crs)


def _pieces(rows: int, cols: int, factor: int, bands: int) -> Iterator[Window]:
    """What is read at once, in pixels of which each is ``factor`` x ``factor`` of the image.

    Whole rows, unless these were so few at a time that the blocks under them, as of JPEG 2000,
    would be decoded many times over.
    """
    most = max(1, _PIECE_PIXELS // (factor * factor * bands))
    deep = max(1, most // max(1, cols), min(rows, -(-_LEAST_ROWS // factor)))
    return Window(0, 0, rows, cols).tiles(deep, max(1, min(cols, most // deep)))


def _reduced(values: FloatArray, valid: Mask, factor: int) -> tuple[FloatArray, Mask]:
    """Mean over the valid pixels of whole blocks; half of a block must be valid."""
    return (values, valid) if factor == 1 else where_covered(*block_means(values, valid, factor))
