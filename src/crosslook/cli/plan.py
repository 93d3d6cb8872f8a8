"""``crosslook plan``."""

from __future__ import annotations

import json
from typing import Annotated

import click
from pydantic import Field

from crosslook.atlas.settings import PlanSettings
from crosslook.errors import SettingError
from crosslook.options import Cli, Settings


class PlanInputs(Settings):
    """Which area, and how the answer is printed."""

    area: Annotated[str | None, Cli(positional=True)] = Field(
        default=None, description="Square kilometres, a country, or 'land'."
    )
    bbox: Annotated[tuple[float, float, float, float] | None, Cli(metavar="W S E N")] = Field(
        default=None, description="A box in degrees instead."
    )
    as_json: Annotated[bool, Cli(name="json")] = Field(default=False, description="Print JSON.")


def plan(inputs: PlanInputs, settings: PlanSettings) -> None:
    """How long, how much memory and storage an atlas of an area takes.

    Unit costs are measured on this machine, which takes a minute, unless
    --costs names a file that holds them.
    """
    if (inputs.area is None) == (inputs.bbox is None):
        raise SettingError("give either an area (km2, a country, land) or --bbox W S E N.")
    from crosslook.atlas.plan import area_km2, box_km2, costs_for, plan_atlas

    km2 = area_km2(inputs.area or "") if inputs.bbox is None else box_km2(inputs.bbox)
    unit = costs_for(settings.costs, settings)
    result = plan_atlas(km2, settings.gsd, unit, settings.machines, settings.workers)
    click.echo(json.dumps(result.to_dict(), indent=1) if inputs.as_json else result.describe(unit))
