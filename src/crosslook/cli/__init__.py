"""The command line; each command imports what it needs when it runs."""

from __future__ import annotations

import sys

import typer

from crosslook.cli import (
    atlas,
    extractors,
    locate,
    plan,
    register,
    report,
    simulate,
    study,
    weights,
)
from crosslook.errors import CrosslookError

app = typer.Typer(
    name="crosslook",
    help="Match radar and optical satellite images with pretrained vision models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("study")(study.study)
app.command("demo")(study.demo)
app.command("simulate")(simulate.simulate)
app.command("extractors")(extractors.extractors)
app.add_typer(atlas.app, name="atlas")
app.command("locate")(locate.locate)
app.command("plan")(plan.plan)
app.command("register")(register.register)
app.command("audit")(register.audit)
app.add_typer(weights.app, name="weights")
app.command("report")(report.report)
app.command("compare")(report.compare)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Answer ``--version``; everything else is a command."""
    if version:
        from crosslook import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; errors of the family become one line and a code."""
    try:
        app()
    except CrosslookError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
