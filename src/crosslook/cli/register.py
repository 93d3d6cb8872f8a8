"""``crosslook register`` and ``crosslook audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crosslook.cli.outcome import tell


def register(
    sar: Annotated[str, typer.Argument(help="SAR image.")],
    optical: Annotated[str, typer.Argument(help="Optical image of roughly the same place.")],
    out: Annotated[Path, typer.Option(help="Folder for transform, aligned image, tie points.")],
    model: Annotated[
        str, typer.Option(help="shift, similarity, affine, homography or tps.")
    ] = "similarity",
    extractor: Annotated[str, typer.Option(help="Features to correlate [hog].")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Write the pictures without a match.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the robust fit.")] = 0,
) -> None:
    """Bring a SAR image onto an optical one; exit code 3 where they do not match."""
    from typing import cast

    from crosslook.match.register import DEFAULT_EXTRACTOR
    from crosslook.match.register import register as run
    from crosslook.match.transform import Model

    found = run(
        sar,
        optical,
        model=cast(Model, model),
        extractor=extractor or DEFAULT_EXTRACTOR,
        out=out,
        force=force,
        seed=seed,
    )
    tell(found, out)


def audit(
    pairs: Annotated[str, typer.Argument(help="As for study: folder, table or public set.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the table, the pictures, the alignment file.")
    ],
    layout: Annotated[str, typer.Option(help="Name of a public set's layout, or auto.")] = "auto",
    radius: Annotated[float, typer.Option(help="Largest shift looked for, pixels.")] = 24.0,
) -> None:
    """Measure whether the pairs of a data set are really aligned."""
    from crosslook.data.pairs import open_pairs
    from crosslook.match.audit import audit as run

    found = run(open_pairs(pairs, layout), radius=radius)
    files = found.write(out)
    for name, value in found.summary().items():
        typer.echo(f"{name.replace('_', ' ')}: {value:g}")
    typer.echo(f"{len(files)} files in {out}")
