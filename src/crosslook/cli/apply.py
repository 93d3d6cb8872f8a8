"""``crosslook apply``."""

from __future__ import annotations

from typing import Annotated

import click
from pydantic import Field

from crosslook.match.settings import ApplyCall
from crosslook.options import Cli, Settings


class ApplyInputs(Settings):
    """Which match, and which files."""

    match: Annotated[str, Cli(positional=True, metavar="MATCH.JSON")] = Field(
        description="match.json that register or locate wrote, or its folder."
    )
    files: Annotated[tuple[str, ...], Cli(positional=True, metavar="FILE...", needed=True)] = Field(
        default=(),
        description="Other bands, polarisations, masks or resolutions of the SAR image.",
    )


def apply(inputs: ApplyInputs, settings: ApplyCall) -> None:
    """Bring other files of the same acquisition where a match puts the SAR image.

    A file that cannot be brought along does not stop the others: all such are
    listed at the end, and the exit code is 1.
    """
    from crosslook.match.apply import apply_match
    from crosslook.match.result import Failure

    done = apply_match(inputs.match, inputs.files, settings)
    failed = [one for one in done if isinstance(one, Failure)]
    for one in done:
        if not isinstance(one, Failure):
            click.echo(str(one))
    for one in failed:
        click.echo(f"failed: {one.name}: {one.error}", err=True)
    if failed:
        raise click.exceptions.Exit(1)
