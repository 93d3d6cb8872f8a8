"""``crosslook simulate``: synthetic pairs with exact truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from crosslook.data.simulate.settings import SimulateOptions
from crosslook.options import Cli, Settings


class SimulateInputs(Settings):
    """How much is simulated, and where it goes."""

    out: Annotated[Path, Cli(metavar="FOLDER")] = Field(
        description="Folder for optical/, sar/ and truth."
    )
    count: int = Field(default=4, description="Number of scene pairs, 1 to 100,000.")


def simulate(inputs: SimulateInputs, settings: SimulateOptions) -> None:
    """Write seeded synthetic SAR/optical pairs as GeoTIFFs, with their truth."""
    from crosslook.data.simulate.write import write_pairs

    written = write_pairs(inputs.out, inputs.count, settings)
    click.echo(f"{len(written)} synthetic pairs in {inputs.out}")
