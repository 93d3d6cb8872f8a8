"""Find where on a basemap a SAR image without georeference lies."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import crosslook
from crosslook.data.simulate.write import write_basemap
from crosslook.geo.raster import RasterArray

ROW, COL, SIDE, SEED = 300, 420, 256, 4


def main(folder: Path) -> float:
    """Locate a chip of 256 pixels; return how far its centre is off, in pixels."""
    write_basemap(folder / "basemap.tif", 1024, seed=SEED)
    atlas = crosslook.build_atlas([str(folder / "basemap.tif")], str(folder / "atlas"))

    radar = crosslook.make_pair(SIDE, SEED, origin=(ROW, COL)).sar
    result = crosslook.locate(RasterArray.of(radar[None]), atlas, gsd=10.0)
    if result.centre is None or result.window is None:
        raise SystemExit("nothing was found")
    longitude, latitude = result.centre["lonlat"]
    print(f"{result.verdict} at {longitude:.5f} {latitude:.5f}")
    # Pixels are counted in the part of the atlas around the place, which `window` names.
    row, col = result.centre["pixel"]
    place = np.array([row + result.window.row, col + result.window.col])
    off = float(np.linalg.norm(place - (ROW + SIDE / 2, COL + SIDE / 2)))
    print(f"{off:.2f} px from the truth")
    return off


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(temporary))
