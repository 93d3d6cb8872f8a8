"""The short benchmarks: scripts of this folder and their options."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
SENTINEL = Path(os.environ.get("CROSSLOOK_SENTINEL", HERE.parents[1] / "shared/data/sentinel"))


def quick() -> list[tuple[str, ...]]:
    """Scripts and options; recall is measured where the Sentinel pairs are."""
    recall = ("--sentinel", str(SENTINEL)) if (SENTINEL / "optical").is_dir() else ()
    return [
        ("hog.py",),
        ("search.py",),
        ("correlation.py",),
        ("correlation.py", "--poses", "9"),
        ("model_memory.py", "--models", "sd-vae,dinov2,clip,sam2"),
        ("extraction.py", *recall),
    ]
