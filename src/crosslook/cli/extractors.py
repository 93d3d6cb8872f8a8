"""``crosslook extractors`` and ``crosslook weights``: what there is, and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
from pydantic import BeforeValidator, Field
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from crosslook.errors import CrosslookError, MissingExtraError, WeightsError
from crosslook.options import Cli, Settings, folders


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
        default=(), description="As dinov2, sd-unet:sd21, hf:<hub id>; article is all five."
    )
    check: bool = Field(
        default=True, description="Check each model by a direct call of its library, once fetched."
    )


class CheckInputs(Settings):
    """Which models are checked."""

    specs: Annotated[tuple[str, ...], Cli(positional=True, metavar="[SPEC...]")] = Field(
        default=(), description="As dinov2 or article; by default all whose weights are here."
    )
    weights: Annotated[dict[str, Path], BeforeValidator(folders), Cli(metavar="NAME=FOLDER")] = (
        Field(default_factory=dict, description="A local checkpoint of a model; repeatable.")
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
        # What one copies is never cut: a narrow terminal wraps whole lines instead.
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=True)
    for item in weights_status():
        restricted = f"{item.licence} (restricts use)" if item.notice else item.licence
        here = "yes" if item.here else "no"
        table.add_row(item.spec, item.model, here, str(item.megabytes), restricted)
    console = Console()
    widest = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    Console(width=max(console.width, widest)).print(table)
    console.print(f"cache  {cache_folder()}", highlight=False, soft_wrap=True)


def fetch(inputs: FetchInputs) -> None:
    """Fetch the weights of models from the Hugging Face hub, and check them."""
    from crosslook.extract import fetch as fetching

    specs = fetching.expand(inputs.specs)
    if len(specs) > 1:
        click.echo(f"{len(specs)} models, {fetching.size_of(specs) / 1000:.1f} GB to fetch")
    failed: list[str] = []
    for spec in specs:
        try:
            click.echo(f"{spec}: in {fetching.fetch(spec, click.echo)}")
            if inputs.check:
                failed += _checked(spec, {})
        except CrosslookError as error:  # the others are fetched all the same
            if len(specs) == 1:
                raise
            click.echo(f"{spec}: {error}", err=True)
            failed.append(spec)
    _refuse(failed, "were not fetched or are not as their library has them")


def check(inputs: CheckInputs) -> None:
    """Check weights: features against a direct call of the library, pairs against random ones."""
    from crosslook.extract import fetch as fetching

    named = fetching.expand(inputs.specs)
    specs = named or [item.spec for item in fetching.weights_status() if item.here]
    specs += [name for name in inputs.weights if not inputs.specs and name not in specs]
    if not specs:
        raise WeightsError(
            "no weights are here to check; 'crosslook weights status' lists them, and "
            "'crosslook weights fetch article' gets those of the five models."
        )
    failed: list[str] = []
    for spec in specs:
        try:
            failed += _checked(spec, inputs.weights)
        except CrosslookError as error:
            if len(specs) == 1:
                raise
            click.echo(f"{spec}: {error}", err=True)
            failed.append(spec)
    _refuse(failed, "do not give the features of their library or cannot be read")


def _checked(spec: str, weights: dict[str, Path]) -> list[str]:
    """Check one model in sight of the user; gives its spec where it is not the library's."""
    from crosslook.extract.check import check_weights

    try:
        found = check_weights(spec, weights)
    except MissingExtraError as error:
        click.echo(f"{spec}: not checked: {error}")
        return []
    click.echo(str(found))
    return [] if found.agrees else [spec]


def _refuse(failed: list[str], why: str) -> None:
    if failed:
        raise WeightsError(f"{', '.join(failed)}: {why}; see above.")


def where(inputs: WhereInputs) -> None:
    """Print the folder where the weights of a model lie, or would lie."""
    from crosslook.extract import fetch as fetching

    click.echo(str(fetching.where(inputs.spec)))
