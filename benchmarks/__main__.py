"""``make bench``: the short benchmarks, each a ratio to a floor measured in the same run.

Every one is a command of its own in this folder and runs in a process of its
own; ``docs/performance.md`` names the longer ones. Recall is measured where
the Sentinel pairs are (``CROSSLOOK_SENTINEL`` or ``../shared/data/sentinel``).
What is measured is kept too, a line each in ``benchmarks/history``.
"""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter

from quick import HERE, SENTINEL, quick


def main() -> None:
    started = perf_counter()
    if not (SENTINEL / "optical").is_dir():
        print(f"no recall: the Sentinel pairs are not at {SENTINEL}", flush=True)
    for name, *options in quick():
        subprocess.run([sys.executable, str(HERE / name), *options], check=True)
    print(f"{perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
