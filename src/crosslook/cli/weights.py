"""``crosslook weights``: what is here, fetch it, where it lies."""

from __future__ import annotations

from typing import Annotated

import click
from pydantic import Field

from crosslook.options import Cli, Settings


class FetchInputs(Settings):
    """Whose weights."""

    specs: Annotated[tuple[str, ...], Cli(positional=True, metavar="SPEC...", needed=True)] = Field(
        default=(), description="As dinov2, sd-unet:sd21, hf:<hub id>."
    )


class WhereInputs(Settings):
    """Whose weights."""

    spec: Annotated[str, Cli(positional=True)] = Field(description="As dinov2 or sd-unet:sd21.")


def status() -> None:
    """List all models: whether their weights are here, size and licence."""
    from rich.console import Console
    from rich.table import Table

    from crosslook.extract.fetch import weights_status
    from crosslook.extract.weights import cache_folder

    table = Table(title="Weights")
    for name in ("spec", "model", "here", "MB", "licence"):
        table.add_column(name, justify="right" if name == "MB" else "left")
    for item in weights_status():
        restricted = f"{item.licence} (restricts use)" if item.notice else item.licence
        here = "yes" if item.here else "no"
        table.add_row(item.spec, item.model, here, str(item.megabytes), restricted)
    console = Console()
    console.print(table)
    console.print(f"cache  {cache_folder()}", highlight=False)


def fetch(inputs: FetchInputs) -> None:
    """Fetch the weights of models from the Hugging Face hub."""
    from crosslook.extract import fetch as fetching

    for spec in inputs.specs:
        click.echo(f"{spec}: in {fetching.fetch(spec, click.echo)}")


def where(inputs: WhereInputs) -> None:
    """Print the folder where the weights of a model lie, or would lie."""
    from crosslook.extract import fetch as fetching

    click.echo(str(fetching.where(inputs.spec)))
