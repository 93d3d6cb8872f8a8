"""Peak memory of a study as the number of patches grows.

    python benchmarks/study_memory.py SENTINEL [--strides 192,64,32,20]

Patches of 64 px overlap more and more, so that 46 scenes give up to 110,000.
``hog:cell=8``, uncalibrated and standardised, CSLS, both directions. Two peaks
are told: memory that belongs to the process alone (what must fit), and the
resident set, which also counts pages of files that the system takes back when
it needs them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

import pandas as pd

_OPTIONS = (
    "--patch", "64", "--extractors", "hog:cell=8", "--calibrations", "none,standardize",
    "--scorings", "csls", "--tolerance", "0", "--no-structure",
)  # fmt: skip


def peaks(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Highest anonymous and whole resident memory in MiB while a process runs (Linux)."""
    own = whole = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            break
        own = max(own, int(lines.get("RssAnon", "0").split()[0]))
        whole = max(whole, int(lines.get("VmHWM", "0").split()[0]))
        sleep(0.05)
    return own // 1024, whole // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("--strides", default="192,64,32,20", help="pixels between patches")
    given = parser.parse_args()
    for stride in given.strides.split(","):
        with TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            call = [sys.executable, "-m", "crosslook", "study", str(given.sentinel)]
            started = perf_counter()
            process = subprocess.Popen(
                [*call, "--out", str(run), "--stride", stride, *_OPTIONS],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            own, whole = peaks(process)
            if process.wait():
                raise SystemExit(f"the study with stride {stride} failed")
            seconds = perf_counter() - started
            rows = pd.read_parquet(run / "results.parquet")
            patches = len(pd.read_parquet(run / "patches.parquet"))
            recall = rows[
                (rows.metric == "recall") & (rows.k == 1) & (rows.direction == "sar->optical")
            ].value.max()
        print(
            f"{patches} patches: {own} MiB own, {whole} MiB resident, {seconds:.0f} s, "
            f"recall at 1 {recall:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
