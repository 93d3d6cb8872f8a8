"""The options by which images are read, the same in every command."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from crosslook.errors import SettingError
from crosslook.geo.grid import parse_crs, text_of_crs
from crosslook.geo.radiometry import (
    OpticalRadiometry,
    Radiometry,
    SarRadiometry,
    Scale,
    Stretch,
    band_list,
)
from crosslook.geo.raster import Raster
from crosslook.options import ReadingText
from crosslook.types import FloatArray, Modality


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
                optical = replace(optical, bands=band_list(text.bands))
            except ValueError as error:
                raise SettingError(f"--bands {text.bands} is not allowed: {error}.") from None
        crs = None if text.crs is None else text_of_crs(parse_crs(text.crs))
        return cls(SarRadiometry.parse(text.sar), optical, text.height, text.dem, crs)

    def of(self, modality: Modality) -> Radiometry:
        """The radiometry of a modality."""
        return self.sar if modality == "sar" else self.optical


def fit_stretch(
    radiometry: Radiometry, header: Raster, scale: Scale, sample: FloatArray
) -> Stretch:
    """Fit the limits of an image, or of a set that shares them, on valid values (bands, n)."""
    if isinstance(radiometry, SarRadiometry):
        return radiometry.fit(scale, sample)
    return radiometry.fit(sample, radiometry.fixed(header))
