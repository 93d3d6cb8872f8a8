"""What ``register`` and ``locate`` print, and their exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from crosslook.match.result import MatchResult

NO_MATCH = 3
"""Exit code of a run that worked and found no match, or none that is sure."""


def tell(found: MatchResult, out: Path) -> None:
    """Print what was found; exit with 3 unless it is a match."""
    if not say(found, out):
        raise typer.Exit(NO_MATCH)


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
    typer.echo(f"{', '.join(parts)}; see {out}")
    if found.is_hilly:
        typer.echo(
            f"relief seems to move parts of it by {found.relief_px:.0f} px along one line; "
            "--model tps may follow the ground better"
        )
    return found.verdict == "match"
