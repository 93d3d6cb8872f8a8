"""``crosslook atlas``: build a searchable basemap, and say what one holds."""

from __future__ import annotations

from typing import Annotated

import click
from pydantic import Field

from crosslook.atlas.settings import BuildSettings
from crosslook.options import Cli, Settings


class BuildInputs(Settings):
    """What an atlas is built from, and where."""

    basemaps: Annotated[
        tuple[str, ...], Cli(positional=True, metavar="BASEMAP...", needed=True)
    ] = Field(default=(), description="GeoTIFF, COG, VRT or JPEG 2000 files, or folders of them.")
    out: Annotated[str, Cli(metavar="FOLDER")] = Field(
        description="Folder or address of the atlas."
    )


class InfoInputs(Settings):
    """Which atlas."""

    atlas: Annotated[str, Cli(positional=True)] = Field(
        description="Folder or address of an atlas."
    )


def build(inputs: BuildInputs, settings: BuildSettings) -> None:
    """Bring basemaps onto one grid and compute their features; goes on if interrupted."""
    from crosslook.atlas.build import build_atlas

    click.echo(build_atlas(inputs.basemaps, inputs.out, settings).describe())


def info(inputs: InfoInputs) -> None:
    """Area, grid, extractors, size and date of an atlas."""
    from crosslook.atlas.store import open_atlas

    click.echo(open_atlas(inputs.atlas).describe())
