"""The command line; each command imports what it needs when it is asked for."""

from __future__ import annotations

import click

from crosslook.cli.command import Commands, Table
from crosslook.console import run

TABLE: Table = {
    "study": (
        "crosslook.cli.study:study",
        "Measure how well extractors match SAR and optical patches.",
    ),
    "demo": (
        "crosslook.cli.study:demo",
        "Simulate pairs, study them and write a report: no data or weights needed.",
    ),
    "simulate": (
        "crosslook.cli.study:simulate",
        "Write seeded synthetic SAR/optical pairs as GeoTIFFs, with their truth.",
    ),
    "extractors": (
        "crosslook.cli.extractors:extractors",
        "List the extractors: size, channels, stride, input, licence, weights.",
    ),
    "atlas": (
        "Make a basemap searchable; say what an atlas holds.",
        {
            "build": (
                "crosslook.cli.atlas:build",
                "Bring basemaps onto one grid and compute their features; goes on if interrupted.",
            ),
            "info": (
                "crosslook.cli.atlas:info",
                "Area, grid, extractors, size and date of an atlas.",
            ),
        },
    ),
    "locate": (
        "crosslook.cli.locate:locate",
        "Find where on an atlas SAR images lie; exit code 3 where that is not sure.",
    ),
    "plan": (
        "crosslook.cli.plan:plan",
        "How long, how much memory and storage an atlas of an area takes.",
    ),
    "register": (
        "crosslook.cli.register:register",
        "Bring a SAR image onto an optical one; exit code 3 where they do not match.",
    ),
    "apply": (
        "crosslook.cli.register:apply",
        "Bring other files of the same acquisition where a match puts the SAR image.",
    ),
    "audit": (
        "crosslook.cli.register:audit",
        "Measure whether the pairs of a data set are really aligned.",
    ),
    "weights": (
        "Weights of the pretrained models: status, fetch, where.",
        {
            "status": (
                "crosslook.cli.extractors:status",
                "List all models: whether their weights are here, size and licence.",
            ),
            "fetch": (
                "crosslook.cli.extractors:fetch",
                "Fetch the weights of models from the Hugging Face hub.",
            ),
            "where": (
                "crosslook.cli.extractors:where",
                "Print the folder where the weights of a model lie, or would lie.",
            ),
        },
    ),
    "report": (
        "crosslook.cli.study:report",
        "Write the HTML report and the figures of a run again, from its files.",
    ),
    "explore": (
        "crosslook.cli.explore:explore",
        "A local web page: atlas maps, dropped images located, runs and audits to click through.",
    ),
    "compare": (
        "crosslook.cli.study:compare",
        "Say which differences between runs are significant, by a paired bootstrap over clusters.",
    ),
    "export": (
        "crosslook.cli.study:export",
        "Write descriptors as GeoParquet in the columns of Major TOM's embeddings.",
    ),
    "leaderboard": (
        "crosslook.cli.study:leaderboard",
        "Set runs and data sets into one table, refusing what cannot be compared.",
    ),
}


def _print_version(ctx: click.Context, _: click.Parameter, requested: bool) -> None:
    if requested:
        from crosslook._version import __version__

        click.echo(__version__)
        ctx.exit()


app = Commands(
    "crosslook",
    TABLE,
    help="Match radar and optical satellite images with pretrained vision models.",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version.",
        )
    ],
)


def main() -> None:
    """Run the command line and exit with its code."""
    run(lambda: app)
