"""What ``register`` and ``locate`` print, and their exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crosslook.errors import MatchError

if TYPE_CHECKING:
    from crosslook.match.result import Failure, MatchResult

NO_MATCH = 3
"""Exit code of a run that worked and found no match, or none that is sure."""


def finish(
    results: Iterable[MatchResult | Failure], folders: Sequence[Path], *, force: bool = False
) -> None:
    """Write and print results as they come; exit with 1 after failures, with 3 after doubt.

    A single failure of a single image is raised as it is.
    """
    from crosslook.match.result import Failure

    failures: list[Failure] = []
    sure = True
    for result, folder in zip(results, folders, strict=True):
        if isinstance(result, Failure):
            failures.append(result)
            continue
        try:
            result.write(folder, force=force)
        except MatchError as error:  # there is nothing to force
            failures.append(Failure(result.sar.name, error))
            continue
        sure &= say(result, folder, name=len(folders) > 1)
    if failures and len(folders) == 1:
        raise failures[0].error
    if failures:
        click.echo(f"{len(failures)} of {len(folders)} images failed:", err=True)
        for failure in failures:
            click.echo(f"  {failure.name}: {failure.error}", err=True)
        raise click.exceptions.Exit(1)
    if not sure:
        raise click.exceptions.Exit(NO_MATCH)


def say(found: MatchResult, out: Path, *, name: bool = False) -> bool:
    """Print verdict, confidence, place and error, with the image's name on demand.

    Returns
    -------
    bool
        Whether it is a match.
    """
    parts = [f"{found.verdict}: confidence {found.confidence:.2f}"]
    if name:
        parts[0] = f"{found.sar.name}: {parts[0]}"
    centre = found.centre
    if centre is not None and "lonlat" in centre:
        longitude, latitude = centre["lonlat"]
        parts.append(f"centre {longitude:.6f} {latitude:.6f}")
    if found.expected_error_px is not None:
        metres = found.expected_error_m
        ground = "" if metres is None else f" ({metres:.1f} m)"
        parts.append(f"expected error {found.expected_error_px:.1f} px{ground}")
    click.echo(f"{', '.join(parts)}; see {out}")
    if found.is_hilly:
        click.echo(
            f"relief seems to move parts of it by {found.relief_px:.0f} px along one line; "
            "--model tps may follow the ground better"
        )
    return found.verdict == "match"
