"""Compile the loops of matching now, which the first registration would do otherwise.

    python tools/compile_loops.py

numba stores what it compiles beside the sources, so this takes about a minute once after
an installation, and two seconds when nothing has changed.
"""

from __future__ import annotations

from crosslook.data.simulate.scene import make_pair
from crosslook.geo.raster import RasterArray
from crosslook.match.register import register


def main() -> None:
    """Register two simulated pairs, one of them with a wrong partner."""
    first, other = make_pair(256, 0), make_pair(256, 1)
    sar = RasterArray.of(first.sar, name="sar")
    for optical in (first.optical, other.optical):  # a match, and a search that finds none
        register(sar, RasterArray.of(optical, name="optical"))


if __name__ == "__main__":
    main()
