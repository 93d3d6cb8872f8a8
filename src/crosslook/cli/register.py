"""``crosslook register`` and ``crosslook audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from crosslook.cli.outcome import Item, finish_batch, finish_one
from crosslook.errors import SettingError
from crosslook.match.settings import AuditCall, RegisterCall
from crosslook.options import Cli, Settings


class LayoutOption(Settings):
    """How a set of pairs lies on disk."""

    layout: Annotated[str, Cli(metavar="NAME")] = Field(
        default="auto", description="Layout of a public set."
    )


class RegisterInputs(LayoutOption):
    """Which images: two, or pairs of them."""

    images: Annotated[
        tuple[str, ...], Cli(positional=True, metavar="SAR OPTICAL | PAIRS", needed=True)
    ] = Field(
        default=(),
        description="SAR image and optical image of roughly the same place; "
        "or pairs as for study: folder, table or public set.",
    )


class AuditInputs(LayoutOption):
    """Which pairs."""

    pairs: Annotated[str, Cli(positional=True)] = Field(
        description="As for study: folder, table or public set."
    )


def register(inputs: RegisterInputs, settings: RegisterCall) -> None:
    """Bring a SAR image onto an optical one; exit code 3 where they do not match.

    The files of several pairs go into a folder each, named by the pairs, and
    the results of all into matches.csv. A pair that cannot be read or matched
    does not stop the others: all such are listed at the end, and the exit code
    is 1.
    """
    from crosslook.data.pairs import open_pairs
    from crosslook.match import register as registering

    out = Path(settings.out or "")
    if len(inputs.images) == 2:
        if inputs.layout != "auto":
            raise SettingError("--layout is of a set of pairs; two images were given.")
        finish_one(registering.register(*inputs.images, settings), out)
        return
    if len(inputs.images) != 1:
        raise SettingError(
            f"{len(inputs.images)} images were given; give SAR and OPTICAL, or one set of PAIRS."
        )
    pairs = open_pairs(inputs.images[0], inputs.layout)
    items = [Item(pair.id, out / pair.id) for pair in pairs]
    results = registering.register_all(pairs, settings)
    finish_batch(results, items, out, settings)


def audit(inputs: AuditInputs, settings: AuditCall) -> None:
    """Measure whether the pairs of a data set are really aligned."""
    from crosslook.data.pairs import open_pairs
    from crosslook.match.audit import audit as run

    result = run(open_pairs(inputs.pairs, inputs.layout), settings)
    for name, value in result.summary().items():
        click.echo(f"{name.replace('_', ' ')}: {value:g}")
    click.echo(f"see {settings.out}")
    for scene, why in result.failed.items():
        click.echo(f"failed: {scene}: {why}", err=True)
    if result.failed:
        raise click.exceptions.Exit(1)
