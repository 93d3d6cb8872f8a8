"""Registration of Sentinel windows of every size, with right and wrong partners.

    python benchmarks/sizes.py SENTINEL [--sides 192,256,...] [--count 40] [--out FILE.csv]

Windows of random ground, moved by up to 24 px, 2 degrees and 2 per cent, each registered on
its own optical window and on that of another place. Windows larger than a
scene span several. ``--near-only`` keeps
``register`` from widening its search.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from crosslook.progress import track
from registration_cases import windows
from sensors import Line, measure, report, write_lines

SIDES = "192,256,384,512,1024,2048"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("--sides", default=SIDES)
    parser.add_argument("--count", type=int, default=40, help="windows of each size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--near-only", action="store_true")
    parser.add_argument("--out", type=Path, default=None, help="CSV with one line per answer")
    given = parser.parse_args()
    cv2.setNumThreads(2)
    lines: list[Line] = []
    for side in map(int, given.sides.split(",")):
        cases = track(windows(given.sentinel, side, given.count, given.seed), f"{side} px")
        mine = measure(cases, {"near_only": given.near_only})
        report(f"{side} px", mine)
        lines += mine
    write_lines(lines, given.out)


if __name__ == "__main__":
    main()
