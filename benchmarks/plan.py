"""What ``crosslook plan`` foretells beside what real builds and queries then take.

    python benchmarks/plan.py [--sizes 2048,6144,10240]

Unit costs are measured first, on four blocks; then basemaps of three sizes are
built and asked in processes of their own.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from crosslook.atlas.plan import measure_costs, plan_atlas, run_stage, write_noise
from crosslook.atlas.settings import LevelOptions

GSD = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="2048,6144,10240", help="sides in pixels")
    given = parser.parse_args()
    costs = measure_costs()
    print(f"measured: {costs}", flush=True)
    for side in (int(text) for text in given.sizes.split(",")):
        plan = plan_atlas((side * GSD / 1000) ** 2, GSD, costs)
        with TemporaryDirectory() as folder:
            place = Path(folder)
            write_noise(place / "map.tif", side)
            built = run_stage("build", place, LevelOptions())
            queried = run_stage("ask", place, LevelOptions())
        seconds = built["block_seconds"] * plan.blocks
        stored = (built["block_bytes"] + built["manifest_bytes"]) * plan.blocks / 1e9
        query = queried["query_seconds"] + queried["search_seconds"] * plan.blocks
        print(
            f"{side} x {side}, {plan.blocks} blocks, planned / real: build "
            f"{plan.build_hours * 3600:.1f} / {seconds:.1f} s, memory {plan.build_memory_gb:.2f} / "
            f"{built['build_memory_bytes'] / 1e9:.2f} GB, storage {plan.storage_gb:.3f} / "
            f"{stored:.3f} GB, query {plan.search_seconds:.2f} / {query:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
