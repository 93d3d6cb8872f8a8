"""The misregistration of a scene all over: where the ground lies, less where its files put it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crosslook.errors import OutputError
from crosslook.geo.grid import is_placed, to_lonlat
from crosslook.geo.image import ImageFile
from crosslook.match.engine import Engine
from crosslook.match.files import AUDIT, MATCH_FILE, side_by_side
from crosslook.match.lattice import write_bands
from crosslook.match.matchers import open_features
from crosslook.match.scene.match import Followed, follow
from crosslook.match.scene.plan import REACH, ScenePlan, plan_scene
from crosslook.match.scene.report import SceneReport, write_report
from crosslook.match.scene.result import QUALITY_FILE, REPORT_FILE, SceneTile
from crosslook.match.scene.store import forget_tiles, tile_store
from crosslook.match.scene.tiles import TileJob, match_tiles
from crosslook.match.settings import DEFAULT_EXTRACTOR, AuditSettings, RegisterSettings
from crosslook.match.starts import start_of
from crosslook.match.working_grid import MARGIN, choose_grid
from crosslook.types import Array
from crosslook.written import is_marked, refuse_foreign

BANDS = (
    "misregistration along rows, optical pixels",
    "misregistration along columns, optical pixels",
    "standard deviation, optical pixels",
    "tie points, fraction of the places tried",
    "confidence",
)
COLUMNS = (
    "scene", "window_row", "window_col", "window_height", "window_width", "row", "col",
    "spread_px", "trusted", "verdict", "confidence", "expected_error_px", "tie_points", "inliers",
    "ground", "reason", "lon", "lat",
)  # fmt: skip
"""Of a line for each tile: ``row``, ``col`` and ``trusted`` mean what they do of a scene."""

WRITTEN = {QUALITY_FILE: is_marked, REPORT_FILE: is_marked}
"""Files of a scene, in a folder of its name."""

_SPREAD = 0.9
_TITLE = "As published"


@dataclass(frozen=True, eq=False)
class Misregistration:
    """A scene on a lattice of cells, and tile by tile.

    Attributes
    ----------
    sar, optical : ImageFile
    followed : Followed
        ``scene.base`` is the map that the georeferences say. ``scene.quality`` has, at each
        cell, the vector from where they put the ground of the SAR image to where the optical
        image has it: (row, column), optical pixels, NaN where the ground says nothing.
    """

    sar: ImageFile
    optical: ImageFile
    followed: Followed

    @property
    def tiles(self) -> tuple[SceneTile, ...]:
        """The tiles with their verdicts; what is ``match`` is trusted."""
        return self.followed.scene.tiles

    @property
    def shifts(self) -> Array:
        """Of each tile the median shift and its spread: (row, column, spread), shape (n, 3).

        Nine of ten cells lie within ``spread`` of the median; optical pixels, NaN where no
        cell of the tile says anything.
        """
        quality = self.followed.scene.quality
        out = np.full((len(self.tiles), 3), np.nan)
        for number, tile in enumerate(self.tiles):
            low = (np.array(tile.window.corner) - quality.corner) // quality.spacing
            high = low + np.array(tile.window.shape) // quality.spacing
            cells = quality.displacement[low[0] : high[0], low[1] : high[1]].reshape(-1, 2)
            cells = cells[np.isfinite(cells).all(axis=1)].astype(np.float64)
            if len(cells):
                median = np.median(cells, axis=0)
                away = np.linalg.norm(cells - median, axis=1)
                out[number] = [*median, np.quantile(away, _SPREAD)]
        return out

    @property
    def distances(self) -> Array:
        """Length of the shift of each trusted tile, optical pixels (n,)."""
        known = np.array([tile.verdict == "match" for tile in self.tiles], bool)
        lengths = np.linalg.norm(self.shifts[:, :2], axis=1)[known]
        return np.asarray(lengths[np.isfinite(lengths)], np.float64)

    def lines(self, scene: str) -> Iterator[list[object]]:
        """A line of :data:`COLUMNS` for each tile."""
        for tile, (row, col, spread) in zip(self.tiles, self.shifts, strict=True):
            window = tile.window
            centre = np.array([window.corner]) + np.array([window.shape]) / 2
            lonlat = to_lonlat(self.optical.grid, centre)[0] if is_placed(self.optical.grid) else ()
            values = (
                *window.corner, *window.shape, row, col, spread, int(tile.verdict == "match"),
                tile.verdict, tile.confidence, tile.expected_error_px, tile.points, tile.inliers,
                tile.ground, tile.reason, *(lonlat if len(lonlat) else ("", "")),
            )  # fmt: skip
            yield [scene, *map(_text, values)]

    def write(self, folder: Path, scene: str) -> None:
        """Write ``quality.tif`` and ``report.html``, and forget the tiles that were stored."""
        quality, followed = self.followed.scene.quality, self.followed
        grid = quality.grid_on(self.optical.grid)
        write_bands(folder / QUALITY_FILE, quality.bands, BANDS, grid, {"VERDICT": AUDIT})
        trusted = sum(tile.verdict == "match" for tile in self.tiles)
        label = "match" if 2 * trusted > len(self.tiles) else "uncertain" if trusted else "no match"
        report = SceneReport(
            self.sar, self.optical, followed.transform, followed.points, followed.scene,
            side_by_side(self.sar, self.optical, followed.transform), label, "",
            (f"An audit of {scene}: nothing was moved.",), _TITLE,
            f"{trusted} of {len(self.tiles)} tiles trusted",
        )  # fmt: skip
        write_report(folder / REPORT_FILE, report)
        forget_tiles(folder)


def measure_misregistration(
    images: tuple[ImageFile, ImageFile],
    settings: AuditSettings,
    out: Path | None = None,
    engine: Engine | None = None,
) -> Misregistration | None:
    """Measure how far the two images of a scene lie apart, tile by tile, at their own resolution.

    Parameters
    ----------
    images : (ImageFile, ImageFile)
        SAR and optical, as their files place them.
    settings : AuditSettings
        With ``spacing`` any pair is measured, else one larger than a working grid shows.
    out : Path, optional
        Folder of the scene, in which tiles wait, so that an audit that was stopped goes on.
    engine : Engine, optional

    Returns
    -------
    Misregistration or None
        None where the pair is not large, or no two tie points agree.
    """
    placed = start_of(*images, None)
    plan = plan_scene(images, placed, settings.spacing)
    working = choose_grid(*images, placed, MARGIN).factor
    if settings.spacing is None and working < 2 * plan.factor:
        return None
    # Chance is known for this reach: it may grow, and never shrinks.
    plan = replace(plan, reach=max(REACH, settings.radius / plan.factor))
    options = RegisterSettings(seed=settings.seed, device=settings.device, threads=settings.threads)
    with tile_store(out) as store:
        job = TileJob.of(plan, open_features(DEFAULT_EXTRACTOR, settings), settings, store)
        values, failed = match_tiles(job, engine or Engine())
    followed = follow(plan, values, failed, options)
    if followed is None and out is not None:
        forget_tiles(out)
    return None if followed is None else Misregistration(*images, _from_published(plan, followed))


def check_map(folder: Path, *, overwrite: bool) -> None:
    """See that a scene's folder has no file that its map would replace or remove wrongly.

    Raises
    ------
    OutputError
        If it has the result of a registration, whose files have the same names, or a file of
        other origin that ``overwrite`` does not replace.
    """
    if (folder / MATCH_FILE).exists():
        raise OutputError(
            f"{folder} has the result of a registration, whose {QUALITY_FILE} and {REPORT_FILE} "
            "would be lost. Give another --out."
        )
    refuse_foreign(folder, WRITTEN, overwrite=overwrite)


def forget_map(folder: Path) -> None:
    """Remove the map that an earlier audit left, and the folder where nothing else is in it."""
    if folder.is_dir():
        for name in WRITTEN:
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # not ours alone
            folder.rmdir()


def _from_published(plan: ScenePlan, followed: Followed) -> Followed:
    """The same, with displacements that count from where the files put the ground."""
    quality = followed.scene.quality
    centres = quality.centres.reshape(-1, 2)
    moved = (centres - plan.base(followed.transform.inverse(centres))).reshape(*quality.shape, 2)
    moved[~np.isfinite(quality.std)] = np.nan
    shown = replace(quality, displacement=moved.astype(np.float32))
    return replace(followed, scene=replace(followed.scene, base=plan.base, quality=shown))


def _text(value: object) -> object:
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    return round(float(value), 6) if isinstance(value, float | np.floating) else value
