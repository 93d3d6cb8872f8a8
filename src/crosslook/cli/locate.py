"""``crosslook locate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crosslook.cli.outcome import NO_MATCH, say
from crosslook.errors import SettingError


def locate(
    queries: Annotated[
        list[str], typer.Argument(help="SAR images: GeoTIFF, or pictures with --gsd.")
    ],
    atlas: Annotated[str, typer.Option(help="Folder or address of the atlas.")],
    out: Annotated[Path, typer.Option(help="Folder for transform, aligned image, tie points.")],
    gsd: Annotated[
        float | None, typer.Option(help="Metres per pixel of a query without georeference.")
    ] = None,
    near: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LON LAT", help="Where its middle may lie; with --radius."),
    ] = None,
    radius: Annotated[
        float | None, typer.Option(help="Kilometres around --near, or around the query's place.")
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="W S E N", help="Box in degrees in which its middle lies."),
    ] = None,
    rotation: Annotated[float, typer.Option(help="Turn tried to either side, degrees.")] = 0.0,
    scale: Annotated[
        float, typer.Option(help="Relative change of scale tried; 0.1 is 10 per cent.")
    ] = 0.0,
    coarse: Annotated[
        str | None,
        typer.Option(
            help="Level of the atlas that is searched; by default the finest that is cheap."
        ),
    ] = None,
    fine: Annotated[
        str | None, typer.Option(help="Extractor that verifies the candidates; any.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="shift, similarity, affine, homography or tps.")
    ] = "similarity",
    device: Annotated[str, typer.Option(help="Of the search: auto, cpu or cuda.")] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Write the pictures without a match.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the robust fit.")] = 0,
) -> None:
    """Find where on an atlas SAR images lie; exit code 3 where that is not sure.

    The files of several queries go into a folder each, named by their stems.
    """
    from typing import cast

    from crosslook.atlas.locate import locate_all
    from crosslook.match.transform import Model

    folders = folders_of(queries, out)
    found = locate_all(
        queries,
        atlas,
        gsd=gsd,
        near=near,
        radius_km=radius,
        bbox=bbox,
        rotation=rotation,
        scale=scale,
        coarse=coarse,
        fine=fine,
        model=cast(Model, model),
        device=device,
        seed=seed,
    )
    sure = True
    for result, folder in zip(found, folders, strict=True):
        result.write(folder, force=force)
        sure &= say(result, folder, name=len(queries) > 1)
    if not sure:
        raise typer.Exit(NO_MATCH)


def folders_of(queries: list[str], out: Path) -> list[Path]:
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
