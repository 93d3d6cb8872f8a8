"""Settings of ``atlas build``, ``locate`` and ``plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from crosslook.errors import SettingError
from crosslook.match.settings import EngineOptions, FactorOption, FitOptions, MatcherOptions
from crosslook.options import (
    Cli,
    Extractors,
    ModelOptions,
    OpticalOptions,
    OverwriteOption,
    RayOptions,
    SarOptions,
    WritingOptions,
)
from crosslook.types import TileRows


class LevelOptions(ModelOptions):
    """The two sets of features that an atlas holds."""

    extractor: Annotated[str, Extractors(), Cli(metavar="SPEC")] = Field(
        default="hog", description="Features that are searched."
    )
    cell: Annotated[int | None, Cli(metavar="PIXELS", default="8")] = Field(
        default=None, ge=2, le=64, description="Side of a cell of the search."
    )
    fine: Annotated[str, Extractors(), Cli(metavar="SPEC")] = Field(
        default="hog:cell=4,blur=1", description="Features that verify what the search found."
    )


class BuildSettings(OverwriteOption, LevelOptions, OpticalOptions, RayOptions):
    """How an atlas is built."""

    crs: Annotated[str | None, Cli(metavar="CRS", default="that of the finest file")] = Field(
        default=None,
        description="CRS of the atlas, as EPSG:32632, and of files that have a map but none.",
    )
    resolution: Annotated[float | None, Cli(default="that of the finest file")] = Field(
        default=None, gt=0.0, description="Pixel size in units of the CRS."
    )
    every_file: bool = Field(
        default=False,
        description="Take files too that do not look like imagery: heights, masks, browse images.",
    )
    bbox: Annotated[tuple[float, float, float, float] | None, Cli(metavar="W S E N")] = Field(
        default=None, description="Box in degrees: the part of a tile address, as .../{z}/{x}/{y}."
    )
    tiles: TileRows = Field(
        default="auto", description="How rows of map tiles count: xyz from the north, or tms."
    )


class LocateSettings(MatcherOptions, FitOptions, SarOptions, ModelOptions):
    """How queries are looked for in an atlas."""

    gsd: Annotated[float | None, Cli(metavar="METRES")] = Field(
        default=None, gt=0.0, description="Size of a pixel of queries without georeference."
    )
    near: Annotated[tuple[float, float] | None, Cli(metavar="LON LAT")] = Field(
        default=None, description="Where the centre of a query may lie; with --radius."
    )
    radius_km: Annotated[float | None, Cli(name="radius", metavar="KM")] = Field(
        default=None,
        gt=0.0,
        description="Distance around --near, or around where a query says that it lies.",
    )
    bbox: Annotated[tuple[float, float, float, float] | None, Cli(metavar="W S E N")] = Field(
        default=None, description="Box in degrees in which the centre of a query lies."
    )
    rotation: Annotated[float, Cli(metavar="DEGREES")] = Field(
        default=0.0,
        ge=0.0,
        le=180.0,
        description="Rotation tried to either side; up to 2 degrees are found without.",
    )
    scale: FactorOption = Field(
        default="",
        description="Change of scale tried, as 0.1 (10 %), or factors, as 0.7:1.4; up to 2 % are "
        "found without.",
    )
    coarse: Annotated[
        str | None, Extractors(), Cli(metavar="SPEC", default="the finest that is cheap")
    ] = Field(default=None, description="Level of the atlas that is searched.")
    fine: Annotated[str | None, Extractors(), Cli(metavar="SPEC", default="the last level")] = (
        Field(default=None, description="Extractor that verifies the candidates; any.")
    )

    @model_validator(mode="after")
    def _one_prior(self) -> Self:
        if self.bbox is not None and (self.near is not None or self.radius_km is not None):
            raise SettingError("both a box and a place were given; use --bbox or --near, not both.")
        if self.near is not None and self.radius_km is None:
            raise SettingError("--near needs --radius, in kilometres.")
        return self


class LocateBatchSettings(EngineOptions, LocateSettings):
    """The same, and by how many processes."""


class LocateCall(WritingOptions, LocateBatchSettings):
    """The same, and where the files go."""


class PlanSettings(LevelOptions):
    """What an atlas is planned for."""

    gsd: Annotated[float, Cli(metavar="METRES")] = Field(
        default=10.0, gt=0.0, description="Size of a pixel of the basemap."
    )
    machines: int = Field(default=1, ge=1, description="Machines that build.")
    workers: int = Field(default=1, ge=1, description="Workers on each machine.")
    costs: Annotated[Path | None, Cli(metavar="FILE")] = Field(
        default=None, description="Unit costs: read, or written where the file is new."
    )
