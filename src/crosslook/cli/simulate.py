"""``crosslook simulate``: synthetic pairs with exact truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from crosslook.options import Cli, SeedOption


class SimulateSettings(SeedOption):
    """What is simulated."""

    out: Annotated[Path, Cli(metavar="FOLDER")] = Field(
        description="Folder for optical/, sar/ and truth."
    )
    count: int = Field(default=4, ge=1, le=100_000, description="Number of scene pairs.")
    size: int = Field(default=1024, ge=16, le=65_536, description="Side of a scene in pixels.")
    gsd: float = Field(default=10.0, ge=0.5, le=60.0, description="Metres per pixel.")
    looks: float = Field(
        default=4.0,
        ge=0.5,
        allow_inf_nan=True,
        description="Looks of the speckle; more is smoother.",
    )
    shift: Annotated[tuple[float, float], Cli(metavar="ROWS COLS")] = Field(
        default=(0.0, 0.0), description="Pixels by which the SAR georeference is off."
    )
    rotation: float = Field(
        default=0.0, ge=-180.0, le=180.0, description="Degrees by which it is rotated."
    )
    scale: float = Field(default=1.0, ge=0.5, le=2.0, description="Factor by which it is scaled.")


def simulate(settings: SimulateSettings) -> None:
    """Write seeded synthetic SAR/optical pairs as GeoTIFFs, with their truth."""
    from crosslook.data.simulate.write import write_pairs

    options = settings.model_dump(exclude={"out", "count"})
    written = write_pairs(settings.out, settings.count, **options)
    click.echo(f"{len(written)} synthetic pairs in {settings.out}")
