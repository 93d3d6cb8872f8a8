"""``crosslook locate``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from crosslook.atlas.settings import LocateCall
from crosslook.cli.outcome import check_places, finish_batch, finish_one
from crosslook.cli.stages import shown_stages
from crosslook.errors import SettingError
from crosslook.options import Cli, Settings
from crosslook.storage import name_of

if TYPE_CHECKING:
    from crosslook.match.batch_so_far import Item


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
    is 1. Started again after it was stopped, a batch goes on with the queries
    that are left, and with those that failed; with --overwrite it begins anew.
    """
    from crosslook.atlas import locate as locating
    from crosslook.match.batch_so_far import MatchesSoFar

    out = Path(settings.out or "")
    if len(inputs.queries) == 1:
        with shown_stages():
            result = locating.locate(inputs.queries[0], inputs.atlas, settings)
        finish_one(result, out)
        return
    items = _items_of(inputs.queries, out)
    check_places(items, out, settings)
    job = locating.LocateJob(inputs.atlas, settings, is_batch=True)
    key = [*job.key, settings.force]
    so_far = MatchesSoFar(out, items, key, overwrite=settings.overwrite)
    waiting = [item.images[0] for item in items if item.name not in so_far.done]
    results = locating.locate_opened(waiting, settings, job)
    finish_batch(results, items, out, settings, so_far=so_far)


def _items_of(queries: Sequence[str], out: Path) -> list[Item]:
    """Names of the queries, and where the files of each go: ``out/<stem>``, each its own."""
    from crosslook.data.layouts import stem_of
    from crosslook.match.batch_so_far import Item

    names = [name_of(query) for query in queries]
    items = [
        Item(name, out / stem_of(name), (query,))
        for name, query in zip(names, queries, strict=True)
    ]
    twice, count = Counter(item.folder.name for item in items).most_common(1)[0]
    if count > 1:
        raise SettingError(
            f"two queries are called '{twice}', and their files would go to one folder. "
            "Rename one, or locate it by itself."
        )
    return items
