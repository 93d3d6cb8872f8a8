"""``crosslook atlas``: build a searchable basemap, and tell what one holds."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Make a basemap searchable; tell what an atlas holds.", no_args_is_help=True)


@app.command()
def build(
    basemaps: Annotated[
        list[str], typer.Argument(help="GeoTIFF, COG, VRT or JPEG 2000 files, or folders of them.")
    ],
    out: Annotated[str, typer.Option(help="Folder or address of the atlas.")],
    extractor: Annotated[str, typer.Option(help="Features that are searched.")] = "hog",
    cell: Annotated[int | None, typer.Option(help="Pixels per cell of the search [8].")] = None,
    fine: Annotated[str, typer.Option(help="Features that verify [hog:cell=4,blur=1].")] = "",
    crs: Annotated[str | None, typer.Option(help="CRS of the atlas [of the first file].")] = None,
    resolution: Annotated[
        float | None, typer.Option(help="Pixel size in units of the CRS [of the first file].")
    ] = None,
    engine: Annotated[str, typer.Option(help="Where blocks are made: local or ray.")] = "local",
    workers: Annotated[int | None, typer.Option(help="Actors of the ray engine [2].")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Cluster [one on this machine].")] = None,
) -> None:
    """Bring basemaps onto one grid and compute their features; goes on if interrupted."""
    from typing import Literal, cast

    from crosslook.atlas.build import FINE, build_atlas
    from crosslook.atlas.describe import describe

    atlas = build_atlas(
        list(basemaps),
        out,
        extractor=extractor,
        cell=cell,
        fine=fine or FINE,
        crs=crs,
        resolution=resolution,
        engine=cast(Literal["local", "ray"], engine),
        workers=workers,
        ray_address=ray_address,
    )
    typer.echo(describe(atlas))


@app.command()
def info(atlas: Annotated[str, typer.Argument(help="Folder or address of an atlas.")]) -> None:
    """Area, grid, extractors, size and date of an atlas."""
    from crosslook.atlas.describe import describe
    from crosslook.atlas.store import open_atlas

    typer.echo(describe(open_atlas(atlas)))
