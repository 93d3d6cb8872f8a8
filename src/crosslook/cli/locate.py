"""``crosslook locate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crosslook.cli.outcome import tell


def locate(
    query: Annotated[Path, typer.Argument(help="SAR image: GeoTIFF, or a picture with --gsd.")],
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
    coarse: Annotated[str | None, typer.Option(help="Level of the atlas that is searched.")] = None,
    fine: Annotated[
        str | None, typer.Option(help="Extractor that verifies the candidates; any.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="shift, similarity, affine, homography or tps.")
    ] = "similarity",
    force: Annotated[
        bool, typer.Option("--force", help="Write the pictures without a match.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the robust fit.")] = 0,
) -> None:
    """Find where on an atlas a SAR image lies; exit code 3 where that is not sure."""
    from typing import cast

    from crosslook.atlas.locate import locate as run
    from crosslook.match.transform import Model

    found = run(
        query,
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
        out=out,
        force=force,
        seed=seed,
    )
    tell(found, out)
