"""The options by which images are read, the same in every command."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from crosslook.errors import SettingError
from crosslook.geo.radiometry import (
    OpticalRadiometry,
    Radiometry,
    SarRadiometry,
    Scale,
    Stretch,
    band_list,
)
from crosslook.geo.raster import Raster
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
    """

    sar: SarRadiometry = field(default_factory=SarRadiometry)
    optical: OpticalRadiometry = field(default_factory=OpticalRadiometry)
    height: float | None = None
    dem: str | None = None

    @classmethod
    def parse(
        cls,
        sar: str = "",
        optical: str = "",
        bands: str = "",
        height: float | None = None,
        dem: str | Path | None = None,
    ) -> Reading:
        """Read the options as text; ``bands`` is short for the optical bands.

        Raises
        ------
        SettingError
            For anything that is not allowed, or options that exclude each other.
        """
        colours = OpticalRadiometry.parse(optical)
        if bands:
            if colours.bands:
                raise SettingError("both --bands and --optical bands=... were given; give one.")
            try:
                colours = replace(colours, bands=band_list(bands))
            except ValueError as error:
                raise SettingError(f"--bands {bands} is not allowed: {error}.") from None
        if height is not None and dem is not None:
            raise SettingError("both --height and --dem were given; give one.")
        return cls(SarRadiometry.parse(sar), colours, height, None if dem is None else str(dem))

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
