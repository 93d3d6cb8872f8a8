"""What a synthetic scene is: the options of ``simulate`` and of its Python calls."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from crosslook.errors import SettingError
from crosslook.options import Cli, OverwriteOption, SeedOption

Look = Literal["east", "west"]
_FARTHEST = 2**30
_WIDEST_SEAM = 64


class SceneOptions(SeedOption):
    """A scene of a synthetic world, and how it was seen.

    The SAR image is off by ``shift``, ``rotation`` and ``scale`` about the
    scene's centre; see :func:`~crosslook.data.simulate.geometry.truth_matrix`.
    What displaces parts of it (``wander``, ``seam``, ``uncorrected``) and what
    hides them (``sea``, ``clouds``, ``changed``) come on top;
    :mod:`crosslook.data.simulate.dense` has the truth of every place.

    Hills that are left displaced lean towards the sensor along the columns of the ground: to the
    west where it looks east. ``rotation`` turns the image afterwards, and their direction in it.
    """

    size: Annotated[int, Cli(metavar="PIXELS")] = Field(
        default=1024,
        ge=16,
        le=65_536,
        description="Rows of a scene; columns too, unless width is set.",
    )
    width: Annotated[int | None, Cli(metavar="PIXELS")] = Field(
        default=None, ge=16, le=65_536, description="Columns of a scene that is not square."
    )
    gsd: Annotated[float, Cli(metavar="METRES")] = Field(
        default=10.0, ge=0.5, le=60.0, description="Size of a pixel."
    )
    looks: float = Field(
        default=4.0,
        ge=0.5,
        allow_inf_nan=True,
        description="Looks of the speckle; more is smoother, inf has none.",
    )
    shift: Annotated[tuple[float, float], Cli(metavar="ROWS COLS")] = Field(
        default=(0.0, 0.0),
        description="Pixels by which the SAR georeference is off, at most half a scene.",
    )
    rotation: Annotated[float, Cli(metavar="DEGREES")] = Field(
        default=0.0, ge=-180.0, le=180.0, description="Rotation by which it is off."
    )
    scale: Annotated[float, Cli(metavar="FACTOR")] = Field(
        default=1.0, ge=0.5, le=2.0, description="Scale by which it is off."
    )
    origin: Annotated[tuple[int, int], Cli(metavar="ROW COL")] = Field(
        default=(0, 0),
        description="First pixel in the endless world of the seed; 100 0 lies 100 rows south.",
    )
    relief: Annotated[float, Cli(metavar="METRES")] = Field(
        default=120.0, ge=0.0, le=1000.0, description="Height of the hills."
    )
    objects: Annotated[float, Cli(metavar="FACTOR")] = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Height of houses and trees, as a factor; at 0 only terrain is displaced.",
    )
    look: Look = Field(
        default="east", description="Direction in which the radar looks; hills lean the other way."
    )
    incidence: Annotated[float, Cli(metavar="DEGREES")] = Field(
        default=38.0, ge=20.0, le=60.0, description="Incidence angle of the radar."
    )
    uncorrected: bool = Field(
        default=False,
        description="Leave hills displaced, as in a product that is not terrain-corrected.",
    )
    wander: Annotated[float, Cli(metavar="PIXELS")] = Field(
        default=0.0,
        ge=0.0,
        le=32.0,
        description="Pixels by which the SAR image sways along its track, at most.",
    )
    seam: Annotated[tuple[int, int], Cli(metavar="ROWS COLS")] = Field(
        default=(0, 0),
        description="Shift of the eastern half of the optical image, as of a mosaic; up to 64.",
    )
    sea: Annotated[float, Cli(metavar="FRACTION")] = Field(
        default=0.0, ge=0.0, le=0.9, description="Fraction of the scene that is open water."
    )
    clouds: Annotated[float, Cli(metavar="FRACTION")] = Field(
        default=0.0, ge=0.0, le=0.9, description="Fraction of the optical image under clouds."
    )
    changed: Annotated[float, Cli(metavar="FRACTION")] = Field(
        default=0.0, ge=0.0, le=0.9, description="Fraction of the land that the SAR image sees new."
    )
    sun_azimuth: Annotated[float, Cli(metavar="DEGREES")] = Field(
        default=150.0, ge=0.0, le=360.0, description="Azimuth of the sun, from north."
    )
    sun_elevation: Annotated[float, Cli(metavar="DEGREES")] = Field(
        default=45.0, ge=15.0, le=85.0, description="Elevation of the sun."
    )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.size, self.width or self.size

    @property
    def is_bent(self) -> bool:
        """Whether no single matrix is the truth of all places, or places have none."""
        hides = self.sea or self.clouds or self.changed
        return bool(self.uncorrected or self.wander or any(self.seam) or hides)

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        side = min(self.shape)
        if not all(abs(part) <= side / 2 for part in self.shift):
            raise SettingError(
                f"shift is {self.shift}; two numbers of at most half the size "
                f"({side / 2:g} pixels) are allowed."
            )
        if not all(abs(part) <= _WIDEST_SEAM for part in self.seam):
            raise SettingError(
                f"seam is {self.seam}; two whole numbers of at most {_WIDEST_SEAM} are allowed."
            )
        if not all(abs(part) <= _FARTHEST for part in self.origin):
            raise SettingError(
                f"origin is {self.origin}; two whole numbers of at most {_FARTHEST} are allowed."
            )
        return self


class SimulateOptions(OverwriteOption, SceneOptions):
    """The same, and what becomes of files that are in the way."""
