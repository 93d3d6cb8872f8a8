"""``crosslook register`` and ``crosslook audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from crosslook.cli.outcome import NO_MATCH, say
from crosslook.match.settings import AuditSettings, RegisterCall
from crosslook.options import Cli, Settings


class RegisterInputs(Settings):
    """Which two images."""

    sar_image: Annotated[str, Cli(positional=True, metavar="SAR")] = Field(description="SAR image.")
    optical_image: Annotated[str, Cli(positional=True, metavar="OPTICAL")] = Field(
        description="Optical image of roughly the same place."
    )


class AuditInputs(Settings):
    """Which pairs, and where the answer goes."""

    pairs: Annotated[str, Cli(positional=True)] = Field(
        description="As for study: folder, table or public set."
    )
    out: Annotated[Path, Cli(metavar="FOLDER")] = Field(
        description="Folder for the table, the pictures, the alignment file."
    )
    layout: Annotated[str, Cli(metavar="NAME")] = Field(
        default="auto", description="Layout of a public set."
    )


def register(inputs: RegisterInputs, settings: RegisterCall) -> None:
    """Bring a SAR image onto an optical one; exit code 3 where they do not match."""
    from crosslook.match.register import register as run

    found = run(inputs.sar_image, inputs.optical_image, settings)
    if not say(found, Path(settings.out or "")):
        raise click.exceptions.Exit(NO_MATCH)


def audit(inputs: AuditInputs, settings: AuditSettings) -> None:
    """Measure whether the pairs of a data set are really aligned."""
    from crosslook.data.pairs import open_pairs
    from crosslook.match.audit import audit as run

    found = run(open_pairs(inputs.pairs, inputs.layout), settings)
    files = found.write(inputs.out)
    for name, value in found.summary().items():
        click.echo(f"{name.replace('_', ' ')}: {value:g}")
    click.echo(f"{len(files)} files in {inputs.out}")
