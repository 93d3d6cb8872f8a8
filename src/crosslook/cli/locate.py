"""``crosslook locate``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from crosslook.atlas.settings import LocateCall
from crosslook.cli.outcome import Item, check_places, finish_batch, finish_one
from crosslook.cli.stages import shown_stages
from crosslook.errors import SettingError
from crosslook.options import Cli, Settings
from crosslook.storage import name_of


class LocateInputs(Settings):
    """What is looked for, and where."""

    queries: Annotated[tuple[str, ...], Cli(positional=True, metavar="QUERY...", needed=True)] = (
        Field(default=(), description="SAR images: GeoTIFF, or plain images with --gsd.")
    )
    atlas: Annotated[str, Cli(metavar="ATLAS")] = Field(
        description="Folder or address of the atlas."
    )


def locate(inputs: LocateInputs, settings: LocateCall) -> None:
    """Find where on an atlas SAR images lie; exit code 3 where that is not sure.

    The files of several queries go into a folder each, named by their stems,
    and the results of all into matches.csv. One that cannot be read or matched
    does not stop the others: all such are listed at the end, and the exit code
    is 1.
    """
    from crosslook.atlas import locate as locating

    out = Path(settings.out or "")
    if len(inputs.queries) == 1:
        with shown_stages():
            result = locating.locate(inputs.queries[0], inputs.atlas, settings)
        finish_one(result, out)
        return
    items = _items_of(inputs.queries, out)
    check_places(items, out, settings)
    results = locating.locate_all(inputs.queries, inputs.atlas, settings)
    finish_batch(results, items, out, settings)


def _items_of(queries: Sequence[str], out: Path) -> list[Item]:
    """Names of the queries, and where the files of each go: ``out/<stem>``, each its own."""
    from crosslook.data.layouts import stem_of

    names = [name_of(query) for query in queries]
    items = [Item(name, out / stem_of(name)) for name in names]
    twice, count = Counter(item.folder.name for item in items).most_common(1)[0]
    if count > 1:
        raise SettingError(
            f"two queries are called '{twice}', and their files would go to one folder. "
            "Rename one, or locate it by itself."
        )
    return items
