"""What ``register`` and ``locate`` print, and their exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from crosslook.atlas.result import MatchResult

NO_MATCH = 3
"""Exit code of a run that worked and found no match, or none that is sure."""


def tell(found: MatchResult, out: Path) -> None:
    """Print verdict, confidence, place and error; exit with 3 unless it is a match."""
    parts = [f"{found.verdict}: confidence {found.confidence:.2f}"]
    centre = found.centre
    if centre is not None and "lonlat" in centre:
        longitude, latitude = centre["lonlat"]
        parts.append(f"centre {longitude:.6f} {latitude:.6f}")
    if found.expected_error_px is not None:
        metres = found.expected_error_m
        ground = "" if metres is None else f" ({metres:.1f} m)"
        parts.append(f"expected error {found.expected_error_px:.1f} px{ground}")
    typer.echo(f"{', '.join(parts)}; see {out}")
    if found.verdict != "match":
        raise typer.Exit(NO_MATCH)
