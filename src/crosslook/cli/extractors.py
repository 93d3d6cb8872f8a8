"""``crosslook extractors`` and ``crosslook weights``: what there is, and its weights."""

from __future__ import annotations

from typing import Annotated

import click
from pydantic import Field
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crosslook.options import Cli, Settings


class ExtractorsInputs(Settings):
    """Which extractor."""

    name: Annotated[str | None, Cli(positional=True)] = Field(
        default=None, description="Show the options of one."
    )


def extractors(inputs: ExtractorsInputs) -> None:
    """List the extractors: size, channels, stride, input, licence, weights."""
    if inputs.name is not None:
        _print_options(inputs.name)
        return
    from crosslook.extract.registry import describe_rows

    console = Console()
    table = Table(title="Extractors", box=None, pad_edge=False, show_header=True)
    for name in ("spec", "parameters", "channels", "stride", "extra", "weights"):
        numeric = name in ("parameters", "channels", "stride")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=name == "spec")
    for row in describe_rows():
        numbers = (row.parameters, row.channels, row.stride)
        table.add_row(f"[bold]{escape(row.spec)}[/]", *numbers, row.extra or "-", row.weights)
    console.print(table)
    console.print("\nWhat each is, its input and its licence:", highlight=False)
    for row in describe_rows():
        what = f"{row.what}; input {row.input}; {row.licence}"
        console.print(f"[bold]{escape(row.spec)}[/]: {escape(what)}", highlight=False)


def matchers() -> None:
    """List the matchers: what each is, its extra and its licence."""
    from importlib.util import find_spec

    from crosslook.match.matchers import revision_of
    from crosslook.match.matchers.rows import all_rows

    table = Table(title="Matchers", box=None, pad_edge=False)
    for column in ("name", "what it is", "revision", "licence", "extra"):
        table.add_column(column, no_wrap=column == "name", overflow="fold")
    for row in all_rows().values():
        here = all(find_spec(name) is not None for name in row.needs)
        extra = row.extra or "-"
        revision = revision_of(row.name) if here else "-"
        shown = extra if here else f"{extra} (not installed)"
        table.add_row(
            f"[bold]{escape(row.name)}[/]", escape(row.summary), revision, row.licence, shown
        )
    console = Console()
    console.print(table)
    console.print(
        "Any extractor is a matcher by its name: template over its features "
        "('crosslook extractors'). hub:NAME reads matchers of other packages from local weights.",
        highlight=False,
    )


def _print_options(name: str) -> None:
    from crosslook.extract.registry import extractor_class, find_row

    cls = extractor_class(find_row(name))
    table = Table(title=f"Options of {name}")
    for column in ("option", "default", "allowed", "meaning"):
        table.add_column(column)
    for key, option in cls.OPTIONS.items():
        allowed = ", ".join(map(str, option.choices)) or (
            f"{option.low:g} to {option.high:g}"
            if option.low is not None and option.high is not None
            else "yes, no"
            if isinstance(option.default, bool)
            else "any"
        )
        table.add_row(key, str(option.default), allowed, option.help)
    Console().print(table)


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
