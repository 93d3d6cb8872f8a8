"""What matching a scene tile by tile gives: tie points all over, a map of how sure it is, tiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from crosslook.atomic import write_csv
from crosslook.geo.grid import is_placed, to_lonlat, window_of, zoomed
from crosslook.match.evidence import Label
from crosslook.match.lattice import write_bands
from crosslook.match.transform import Transform
from crosslook.types import Array, FloatArray, Window

QUALITY_FILE, TILES_FILE, REPORT_FILE = "quality.tif", "tiles.csv", "report.html"
QUALITY_BANDS = (
    "displacement along rows, optical pixels",
    "displacement along columns, optical pixels",
    "standard deviation, optical pixels",
    "tie points, fraction of the places tried",
    "confidence",
)
_LEAST_GROUND = 0.1  # fraction of a tile with data of both; below it the reason is a gap
TILE_COLUMNS = (
    "row", "col", "height", "width", "verdict", "confidence", "expected_error_px", "tie_points",
    "inliers", "ground", "residual_px", "held_out_px", "reason", "lon", "lat",
)  # fmt: skip


@dataclass(frozen=True)
class SceneTile:
    """What is known of the match in a part of the scene.

    Attributes
    ----------
    window : Window
        Optical pixels.
    verdict : str
        ``match``, ``uncertain`` or ``no match``.
    confidence : float
        That the map is right to five pixels of the matched grid over this tile, 0..1.
    expected_error_px : float or None
        What the error in the tile stays below in 68 of 100 cases, optical pixels; None where
        nothing is known.
    points, inliers : int
        Tie points measured, and those that agree with their neighbours.
    ground : float
        Fraction of the tile where both images hold data.
    residual_px, held_out_px : float
        Median distance of the inliers from the map, and from a map that was fitted without the
        block that they lie in; optical pixels, NaN where there are none.
    reason : str
        Of what is no match: why.
    """

    window: Window
    verdict: Label
    confidence: float
    expected_error_px: float | None
    points: int
    inliers: int
    ground: float
    residual_px: float
    held_out_px: float
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Quality:
    """The scene on a lattice of cells, one for each place where a template was tried.

    Cell (i, j) covers optical rows ``corner[0] + [i, i + 1) * spacing``, columns likewise; the
    template lies around its centre. NaN where the ground says nothing and the map is only
    carried on from elsewhere.

    Attributes
    ----------
    corner : (int, int)
        Optical pixel of the upper left corner.
    spacing : int
        Optical pixels along a side of a cell.
    displacement : float32 array, shape (h, w, 2)
        Where the ground is, less where the one map of the scene puts it: rows and columns,
        optical pixels.
    std : float32 array, shape (h, w)
        Standard deviation of that along either axis, optical pixels.
    density : float32 array, shape (h, w)
        Of the templates tried around the cell, the fraction that became inliers.
    confidence : float32 array, shape (h, w)
        That the map is right there to five pixels of the matched grid, 0..1.
    """

    corner: tuple[int, int]
    spacing: int
    displacement: FloatArray
    std: FloatArray
    density: FloatArray
    confidence: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return int(self.std.shape[0]), int(self.std.shape[1])

    @property
    def centres(self) -> Array:
        """Optical positions (h, w, 2) of the centres of the cells."""
        axes = [c + (np.arange(n) + 0.5) * self.spacing
                for c, n in zip(self.corner, self.shape, strict=True)]  # fmt: skip
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    @property
    def bands(self) -> FloatArray:
        """All of it as bands (5, h, w), in the order of :data:`QUALITY_BANDS`."""
        planes = [*np.moveaxis(self.displacement, -1, 0), self.std, self.density, self.confidence]
        return np.stack(planes).astype(np.float32)

    def grid_on(self, optical: GeoBox) -> GeoBox:
        """The grid of the cells on that of the optical image."""
        rows, cols = (length * self.spacing for length in self.shape)
        return zoomed(window_of(optical, Window(*self.corner, rows, cols)), self.spacing)


@dataclass(frozen=True, eq=False)
class SceneMatch:
    """What matching a scene in tiles adds to the one map found before.

    Attributes
    ----------
    base : Transform
        The one map of the scene, SAR pixels to optical pixels, from which displacements count.
    pixel : int
        Optical pixels along a side of a pixel of the matched grid.
    quality : Quality
    tiles : tuple of SceneTile
    geometry : dict
        Candidates, one map, one map with relief along the range, a free field, by how far tie
        points in blocks that were left out lie from them; which was taken.
    """

    base: Transform
    pixel: int
    quality: Quality
    tiles: tuple[SceneTile, ...]
    geometry: dict[str, Any]

    @property
    def gap_note(self) -> str:
        """How much of the scene one of the images lacks, as a gap of the basemap; else empty."""
        empty = sum(tile.ground < _LEAST_GROUND for tile in self.tiles)
        if not empty:
            return ""
        return (
            f"in {empty} of {len(self.tiles)} tiles one of the two images holds no data: they are "
            "left open, and the map is only carried on there from around"
        )

    def to_dict(self) -> dict[str, Any]:
        """What ``match.json`` says: counts and the comparison; the rest lies in files beside it."""
        labels = [tile.verdict for tile in self.tiles]
        return {
            "spacing_px": self.quality.spacing,
            "matched_pixel": self.pixel,
            "tiles": {
                "count": len(labels),
                **{name.replace(" ", "_"): labels.count(name)
                   for name in ("match", "uncertain", "no match")},
            },
            "covered": round(float(np.isfinite(self.quality.std).mean()), 4),
            "geometry": self.geometry,
            "one_map": self.base.to_dict(),
            "files": [QUALITY_FILE, TILES_FILE],
        }  # fmt: skip

    def write(self, out: Path, optical: GeoBox, verdict: str) -> None:
        """Write ``quality.tif`` and ``tiles.csv``."""
        write_bands(
            out / QUALITY_FILE,
            self.quality.bands,
            QUALITY_BANDS,
            self.quality.grid_on(optical),
            {"VERDICT": verdict},
        )
        write_csv(out / TILES_FILE, TILE_COLUMNS, self._rows(optical))

    def _rows(self, optical: GeoBox) -> Iterable[list[object]]:
        for tile in self.tiles:
            row = asdict(tile)
            window = row.pop("window")
            at = np.array([[tile.window.row + tile.window.height / 2,
                            tile.window.col + tile.window.width / 2]])  # fmt: skip
            lon, lat = to_lonlat(optical, at)[0] if is_placed(optical) else ("", "")
            row |= {**window, "tie_points": row.pop("points"), "lon": lon, "lat": lat}
            yield [_text(row[name]) for name in TILE_COLUMNS]


def _text(value: object) -> object:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return round(float(value), 6) if isinstance(value, float | np.floating) else value
