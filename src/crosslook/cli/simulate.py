"""``crosslook simulate``: synthetic pairs with exact truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Option(help="Folder for optical/, sar/ and truth.")],
    count: Annotated[int, typer.Option(help="Number of scene pairs.")] = 4,
    size: Annotated[int, typer.Option(help="Side of a scene in pixels.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed; the same one gives the same bytes.")] = 0,
    gsd: Annotated[float, typer.Option(help="Metres per pixel.")] = 10.0,
    looks: Annotated[float, typer.Option(help="Looks of the speckle; more is smoother.")] = 4.0,
    shift: Annotated[
        str, typer.Option(help="ROWS,COLS by which the SAR georeference is off.")
    ] = "0,0",
    rotation: Annotated[float, typer.Option(help="Degrees by which it is rotated.")] = 0.0,
    scale: Annotated[float, typer.Option(help="Factor by which it is scaled.")] = 1.0,
) -> None:
    """Write seeded synthetic SAR/optical pairs as GeoTIFFs, with their truth."""
    from crosslook.errors import SettingError

    try:
        row, col = (float(part) for part in shift.split(","))
    except ValueError:
        raise SettingError(f"--shift {shift}: write ROWS,COLS in pixels, as 4,-2.5.") from None
    from crosslook.data.simulate.write import write_pairs

    written = write_pairs(
        out,
        count,
        size=size,
        seed=seed,
        gsd=gsd,
        looks=looks,
        shift=(row, col),
        rotation=rotation,
        scale=scale,
    )
    typer.echo(f"{len(written)} synthetic pairs in {out}")
