"""The shifts of trusted Sentinel scenes, as ``crosslook trial --alignment`` takes them.

    python benchmarks/trusted.py SENTINEL TRUSTED.csv

Trusted are scenes on which the two measures of ``alignment.csv`` agree within 1.5 px.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from registration_cases import trusted_shifts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    with given.out.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["scene", "row", "col"])
        for scene, shift in trusted_shifts(given.sentinel).items():
            lines.writerow([scene, *shift])


if __name__ == "__main__":
    main()
