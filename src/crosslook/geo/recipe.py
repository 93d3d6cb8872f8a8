"""How a raster is to be opened: a value that is compared, kept and sent to other processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from odc.geo.geobox import GeoBox

from crosslook.errors import RasterError
from crosslook.storage import Place, name_of

EXACT_PX = 0.01
"""Pixels by which GDAL may approximate a projection."""


@dataclass(frozen=True)
class Recipe:
    """How GDAL opens a raster: as it lies, or brought onto another grid.

    Attributes
    ----------
    place : path, address or name that GDAL knows
    bands : tuple of str
        Bands of a product folder, where others than its visible ones are requested.
    onto : GeoBox or None
        The grid to resample onto; None reads the raster's own pixels.
    resampling : str
        ``nearest``, ``bilinear``, ``cubic``, ``average`` ...
    height : float or None
        Metres above the ellipsoid, for rational polynomials.
    dem : str or None
        Elevation model, for the same.
    missing : tuple of float
        Stored numbers that mean no data though the file does not say so;
        heeded when the raster is brought onto another grid.
    indexed : bool
        Leave a palette its numbers instead of its colours.
    stored : bool
        Leave all numbers what they are in the file, complex ones too; see
        :mod:`crosslook.geo.stored`.
    label : str
        What to call it instead of its file, where that has a name of no meaning.
    driver : str
        Of GDAL, for a file from someone who is not trusted: no other driver is tried, the
        place is a file and no name of GDAL or product, and nothing that it names is opened.
    crs : str
        Of its map, where that has none; else not heeded.
    level : int
        Of the resolution levels of a format with wavelets, each half as fine as the one before;
        0 are the pixels.
    """

    place: Place
    bands: tuple[str, ...] = ()
    onto: GeoBox | None = None
    resampling: str = "bilinear"
    height: float | None = None
    dem: str | None = None
    missing: tuple[float, ...] = ()
    indexed: bool = False
    stored: bool = False
    label: str = ""
    driver: str = ""
    crs: str = ""
    level: int = 0

    def __post_init__(self) -> None:
        if self.driver and not Path(self.place).is_file():
            raise RasterError(f"{self.name} cannot be opened: it is no file of this machine.")

    @property
    def name(self) -> str:
        """What messages and outputs call it."""
        return self.label or name_of(self.place)
