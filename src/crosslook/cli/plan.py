"""``crosslook plan``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from crosslook.errors import SettingError


def plan(
    area: Annotated[
        str | None, typer.Argument(help="Square kilometres, a country, or 'land'.")
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="W S E N", help="A box in degrees instead."),
    ] = None,
    gsd: Annotated[float, typer.Option(help="Metres per pixel of the basemap.")] = 10.0,
    machines: Annotated[int, typer.Option(help="Machines that build.")] = 1,
    workers: Annotated[int, typer.Option(help="Workers on each machine.")] = 1,
    extractor: Annotated[str, typer.Option(help="Features that are searched.")] = "hog",
    cell: Annotated[int | None, typer.Option(help="Pixels per cell of the search [8].")] = None,
    fine: Annotated[str, typer.Option(help="Features that verify [hog:cell=4,blur=1].")] = "",
    costs: Annotated[
        Path | None, typer.Option(help="File of unit costs: read, or written where it is new.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How long, how much memory and storage an atlas of an area takes.

    Unit costs are measured on this machine, which takes a minute, unless
    --costs names a file that holds them.
    """
    if (area is None) == (bbox is None):
        raise SettingError("give either an area (km2, a country, land) or --bbox W S E N.")
    from crosslook.atlas.plan import area_km2, box_km2, check_numbers, plan_atlas
    from crosslook.atlas.unit_costs import costs_for

    km2 = box_km2(bbox) if bbox is not None else area_km2(area or "")
    check_numbers(km2, gsd, machines, workers)
    unit = costs_for(costs, extractor, cell, fine)
    found = plan_atlas(km2, gsd, unit, machines, workers)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.describe(unit))
