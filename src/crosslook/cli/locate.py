"""``crosslook locate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from crosslook.atlas.settings import LocateCall
from crosslook.cli.outcome import finish
from crosslook.errors import SettingError
from crosslook.options import Cli, Settings


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

    The files of several queries go into a folder each, named by their stems.
    One that cannot be read or matched does not stop the others: all such are
    listed at the end, and the exit code is 1.
    """
    from crosslook.atlas.locate import locate_all

    queries = inputs.queries
    folders = folders_of(queries, Path(settings.out or ""))
    results = locate_all(queries, inputs.atlas, settings)
    finish(results, folders, force=settings.force)


def folders_of(queries: Sequence[str], out: Path) -> list[Path]:
    """Where the files of every query go: ``out`` for one, ``out/<stem>`` for several.

    Raises
    ------
    SettingError
        If two queries have the same stem.
    """
    if len(queries) == 1:
        return [out]
    folders = [out / Path(query).stem for query in queries]
    twice = [folder.name for folder in folders if folders.count(folder) > 1]
    if twice:
        raise SettingError(
            f"two queries are called '{twice[0]}', and their files would go to one folder. "
            "Rename one, or locate it by itself."
        )
    return folders
