"""``crosslook register`` and ``crosslook audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from crosslook.cli.outcome import NO_MATCH, say
from crosslook.match.settings import AuditCall, RegisterCall
from crosslook.options import Cli, Settings


class RegisterInputs(Settings):
    """Which two images."""

    sar_image: Annotated[str, Cli(positional=True, metavar="SAR")] = Field(description="SAR image.")
    optical_image: Annotated[str, Cli(positional=True, metavar="OPTICAL")] = Field(
        description="Optical image of roughly the same place."
    )


class AuditInputs(Settings):
    """Which pairs."""

    pairs: Annotated[str, Cli(positional=True)] = Field(
        description="As for study: folder, table or public set."
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


def audit(inputs: AuditInputs, settings: AuditCall) -> None:
    """Measure whether the pairs of a data set are really aligned."""
    from crosslook.data.pairs import open_pairs
    from crosslook.match.audit import audit as run

    found = run(open_pairs(inputs.pairs, inputs.layout), settings)
    for name, value in found.summary().items():
        click.echo(f"{name.replace('_', ' ')}: {value:g}")
    click.echo(f"see {settings.out}")
    for scene, why in found.failed.items():
        click.echo(f"failed {scene}: {why}", err=True)
    if found.failed:
        raise click.exceptions.Exit(1)
