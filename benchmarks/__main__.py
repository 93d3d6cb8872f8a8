"""``make bench``: the short benchmarks, each a ratio to a floor measured in the same run.

Every one is a command of its own in this folder and runs in a process of its
own; ``docs/performance.md`` names the longer ones. Recall is measured where
the Sentinel pairs are (``CROSSLOOK_SENTINEL`` or ``../shared/data/sentinel``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).parent
SENTINEL = Path(os.environ.get("CROSSLOOK_SENTINEL", HERE.parents[1] / "shared/data/sentinel"))


def main() -> None:
    started = perf_counter()
    recall = ["--sentinel", str(SENTINEL)] if (SENTINEL / "optical").is_dir() else []
    if not recall:
        print(f"no recall: the Sentinel pairs are not at {SENTINEL}", flush=True)
    for name, *options in (
        ("hog.py",),
        ("search.py",),
        ("correlation.py",),
        ("correlation.py", "--poses", "9"),
        ("model_memory.py", "--models", "sd-vae,dinov2,clip,sam2"),
        ("extraction.py", *recall),
    ):
        subprocess.run([sys.executable, str(HERE / name), *options], check=True)
    print(f"{perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
