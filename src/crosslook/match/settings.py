"""Settings of ``register`` and ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from crosslook.options import Cli, ModelOptions, ReadingOptions, SeedOption, WritingOptions

Model = Literal["shift", "similarity", "affine", "homography", "tps"]
DEFAULT_EXTRACTOR = "hog:cell=3,blur=1"


class FitOptions(SeedOption):
    """What is fitted between two images."""

    model: Model = Field(default="similarity", description="Transform that is fitted.")


class RegisterSettings(FitOptions, ReadingOptions, ModelOptions):
    """How one image is brought onto another."""

    extractor: Annotated[str, Cli(metavar="SPEC")] = Field(
        default=DEFAULT_EXTRACTOR, description="Features that are correlated."
    )


class RegisterCall(WritingOptions, RegisterSettings):
    """The same, and where the files go."""


class AuditSettings(SeedOption, ReadingOptions, ModelOptions):
    """How the alignment of pairs is measured."""

    radius: Annotated[float, Cli(metavar="PIXELS")] = Field(
        default=24.0, gt=0.0, le=1024.0, description="Largest shift looked for."
    )
    shift_features: Annotated[str, Cli(metavar="SPEC")] = Field(
        default="hog:cell=2,blur=1.5", description="Features that give the shift of a scene."
    )
    part_features: Annotated[str, Cli(metavar="SPEC")] = Field(
        default="hog:cell=4,blur=1", description="Features that give its rotation and relief."
    )


class AuditCall(AuditSettings):
    """The same, and where the files go."""

    out: Annotated[Path | str | None, Cli(metavar="FOLDER", needed=True)] = Field(
        default=None, description="Folder for the table, the pictures, the alignment file."
    )
