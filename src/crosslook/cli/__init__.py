"""The command line; each command imports what it needs when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from crosslook._version import __version__
from crosslook.errors import did_you_mean

Table = Mapping[str, "str | tuple[str, Mapping[str, str]]"]


class Commands(click.Group):
    """Commands by name, each imported when it is called.

    Parameters
    ----------
    table : mapping of str to str or (str, mapping)
        The function of a command, as ``study.simulate`` below ``crosslook.cli``, with the
        help in one line; or the name of a group with its help and the table of its commands.
    """

    def __init__(self, name: str, table: Table, **more: Any) -> None:
        super().__init__(name, no_args_is_help=True, **more)
        self.table = {key.rpartition(".")[2]: (key, about) for key, about in table.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Build one command."""
        if name not in self.table:
            return None
        key, about = self.table[name]
        if not isinstance(about, str):
            return Commands(name, about[1], help=about[0])
        from crosslook.cli.command import make_command

        return make_command(
            name, getattr(import_module(f"crosslook.cli.{key.partition('.')[0]}"), name)
        )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of the name typed."""
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            known = list(self.table)
            raise click.UsageError(
                f"no command '{name}'; there are: {', '.join(known)}." + did_you_mean(name, known),
                ctx,
            )
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """End with lines to copy."""
        from crosslook.cli.command import write_examples

        write_examples(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table alone: nothing is imported."""
        rows = [(n, t if isinstance(t, str) else t[0]) for n, (_, t) in self.table.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


TABLE: Table = {
    "study.study": "Measure how well extractors match SAR and optical patches.",
    "study.demo": "Simulate pairs, study them, and register one pair: no data or weights needed.",
    "study.simulate": "Write seeded synthetic SAR/optical pairs as GeoTIFFs, with their truth.",
    "extractors.extractors": (
        "List the extractors: size, channels, stride, input, licence, weights."
    ),
    "extractors.matchers": "List the matchers: what each is, its extra and its licence.",
    "atlas": (
        "Make a basemap searchable; say what an atlas holds.",
        {
            "atlas.build": (
                "Bring basemaps onto one grid and compute their features; goes on if interrupted."
            ),
            "atlas.info": "Area, grid, extractors, size and date of an atlas.",
        },
    ),
    "locate.locate": "Find where on an atlas SAR images lie; exit code 3 where that is not sure.",
    "plan.plan": "How long, how much memory and storage an atlas of an area takes.",
    "register.register": (
        "Bring a SAR image onto an optical one; exit code 3 where they do not match."
    ),
    "register.apply": "Bring other files of the same acquisition where a match puts the SAR image.",
    "register.audit": (
        "Measure whether pairs are really aligned, and of large scenes where they are not."
    ),
    "trial.trial": (
        "Measure how near matchers come on pairs with truth, and how sure they are of it."
    ),
    "verdict": (
        "Verdicts of matchers: fit one to the answers of a trial.",
        {
            "trial.fit": (
                "Fit the verdict of a matcher to its answers in a trial, for register --verdict."
            ),
        },
    ),
    "weights": (
        "Weights of the pretrained models: status, fetch, check, where.",
        {
            "extractors.status": (
                "List all models: whether their weights are here, size and licence."
            ),
            "extractors.fetch": (
                "Fetch the weights of models from the Hugging Face hub, and check them."
            ),
            "extractors.check": (
                "Check weights: features against a direct call of the library, pairs against "
                "random ones."
            ),
            "extractors.where": "Print the folder where the weights of a model lie, or would lie.",
        },
    ),
    "study.report": "Write the HTML report and the figures of a run again, from its files.",
    "explore.explore": (
        "A local web page: atlas maps, dropped images located, runs and audits to click through."
    ),
    "study.compare": (
        "Say which differences between runs are significant, by a paired bootstrap over clusters."
    ),
    "study.export": "Write descriptors as GeoParquet in the columns of Major TOM's embeddings.",
    "study.leaderboard": "Set runs and data sets into one table, refusing what cannot be compared.",
}

app = click.version_option(__version__, message="%(version)s", help="Print the version.")(
    Commands(
        "crosslook",
        TABLE,
        help="Match radar and optical satellite images with pretrained vision models.",
    )
)
