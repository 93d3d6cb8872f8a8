"""Settings of ``explore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from crosslook.options import Cli, Settings


class ExploreSettings(Settings):
    """What the explorer shows, where it listens, and what it lets in."""

    places: Annotated[
        tuple[str, ...], Cli(positional=True, metavar="[ATLAS | RUN | MATCH | AUDIT | PAIRS]...")
    ] = Field(
        default=(),
        description="Folders that atlas build, study, locate, register or audit wrote, a "
        "match.json, and sets of pairs as for study.",
    )
    port: int = Field(
        default=8765, ge=0, le=65_535, description="Port of the page; 0 takes a free one."
    )
    host: Annotated[str, Cli(metavar="ADDRESS")] = Field(
        default="127.0.0.1",
        description="Address to listen on; any but this machine's own asks for a token.",
    )
    browser: bool = Field(default=True, description="Open the page in a browser.")
    demo: bool = Field(default=False, description="Simulate an atlas, chips, a run and an audit.")
    root: Annotated[Path | None, Cli(metavar="FOLDER", default="none")] = Field(
        default=None,
        description="Folder below which the page may open and use files, never above it.",
    )
    out: Annotated[Path, Cli(metavar="FOLDER")] = Field(
        default=Path("crosslook-explorer"),
        description="Folder for uploads and results; they are there again after a restart.",
    )
    workers: int = Field(
        default=2, ge=1, le=64, description="Processes that read images and match, at most."
    )
    max_upload: Annotated[int, Cli(metavar="MIB")] = Field(
        default=512, ge=1, le=65_536, description="Largest file that may be uploaded."
    )
    max_pixels: Annotated[int, Cli(metavar="MEGAPIXELS")] = Field(
        default=400, ge=1, le=65_536, description="Largest image that is read, over all bands."
    )
    max_stored: Annotated[int, Cli(metavar="GIB")] = Field(
        default=20,
        ge=1,
        le=65_536,
        description="Most that uploads and results may take in the folder together.",
    )
    max_queued: Annotated[int, Cli(metavar="JOBS")] = Field(
        default=100, ge=1, le=10_000, description="Most jobs that wait at one time."
    )
    max_minutes: Annotated[float, Cli(metavar="MINUTES")] = Field(
        default=30.0, gt=0.0, le=100_000.0, description="Longest that one job may run."
    )
