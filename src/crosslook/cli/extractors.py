"""``crosslook extractors``: the table of extractors, or the options of one."""

from __future__ import annotations

from typing import Annotated

import typer


def extractors(
    name: Annotated[str | None, typer.Argument(help="Show the options of one.")] = None,
) -> None:
    """List the extractors: size, channels, stride, input, licence, weights."""
    from crosslook.pipeline.tables import print_extractor, print_extractors

    if name is None:
        print_extractors()
    else:
        print_extractor(name)
