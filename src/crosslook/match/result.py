"""What locating and registering return."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from crosslook import threads
from crosslook.atomic import check_writable, write_text
from crosslook.errors import CrosslookError, MatchError
from crosslook.geo.grid import (
    crs_text,
    has_map,
    is_placed,
    make_grid,
    mean_metres,
    to_lonlat,
    to_map,
)
from crosslook.geo.image import ImageFile
from crosslook.geo.raster import RasterFile
from crosslook.geo.sensor_view import view_problem
from crosslook.match.drawn import Scene, write_drawings
from crosslook.match.evidence import Evidence, Explanation, Label, Values, explain
from crosslook.match.files import (
    MATCH_FILE,
    WRITTEN,
    Pixels,
    check_folder,
    jpeg_of,
    overlay,
    side_by_side,
    write_footprint,
    write_tie_points,
)
from crosslook.match.hints import HeldOut, heights_note, held_out, relief_hint
from crosslook.match.lattice import FIELD_FILE, node_grid, write_lattice
from crosslook.match.next_search import NextSearch, next_searches
from crosslook.match.overlays import LeftOut
from crosslook.match.placement import placement
from crosslook.match.relief import view_sources
from crosslook.match.scene.report import SceneReport, write_report
from crosslook.match.scene.result import REPORT_FILE, SceneMatch
from crosslook.match.scene.store import forget_tiles
from crosslook.match.settings import Search
from crosslook.match.sides import Warned
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform
from crosslook.match.warped_file import write_aligned
from crosslook.notebook import card, image
from crosslook.storage import path_to_keep
from crosslook.types import Array, Window

_SIDE_POINTS = 8


@dataclass(frozen=True, eq=False)
class MatchResult:
    """Where a SAR image lies in an optical one, and how sure that is.

    Attributes
    ----------
    verdict : str
        ``match``, ``uncertain`` or ``no match``.
    confidence : float
        Probability that the match is right, 0..1; NaN (``null`` in ``match.json``) where
        none is fitted to the evidence of the matcher.
    transform : Transform or None
        SAR pixels to optical pixels; None where nothing was found.
    expected_error_px, expected_error_m : float or None
        What the mean error over the image stays below in 68 of 100 cases, in
        optical pixels and on the ground.
    tie_points : TiePoints
    evidence : Evidence
    sar, optical : ImageFile
        The images that pixels are counted in.
    alternatives : tuple of dict
        Other candidates of a search, best first.
    timings : dict of str to float
        Seconds of each stage.
    settings : dict of str to value
        What ``match.json`` records of the settings.
    window : Window or None
        The part of an atlas that the optical image is; None for a file.
    working_pixel : int
        Optical pixels along a side of a pixel of the grid that was matched on.
    error_bound_px : float or None
        What the error over the image stays below in 95 of 100 cases, optical pixels.
    search : str
        From the ``initial`` start, over the range ``requested``, ``expanded`` because
        the initial start led to no match, or over an ``atlas``.
    reason : str
        Of no match: the likeliest cause and what to do next.
    judged_as : str
        The search that led to this answer, whose calibration the confidence is of; ``search`` says
        how far was searched in the end.
    geometry : dict or None
        Candidate models, by how well they predict tie points that they were not fitted to;
        None where a model was given that needs no comparison, or too few points agreed.
    left_out : tuple of LeftOut
        What both images show at the same pixels of their frames, and is no ground.
    repeats : tuple of dict
        Other places that fit nearly as well, since the ground repeats itself: ``shift`` from
        the answer in optical pixels (rows, columns), ``score`` over that of the answer.
    fitted : mapping or None
        Of the verdict, where another fit than that of the package gave it.
    warnings : tuple of Warned
        What makes the result mean less than it says, as swapped images; ``notes`` begin with it.
    scene : SceneMatch or None
        What matching in tiles added, where the pair was larger than the working grid;
        ``transform`` and ``tie_points`` are then those of the whole scene at its own resolution.
    """

    verdict: Label
    confidence: float
    transform: Transform | None
    expected_error_px: float | None
    tie_points: TiePoints
    evidence: Evidence
    sar: ImageFile = field(repr=False)
    optical: ImageFile = field(repr=False)
    alternatives: tuple[dict[str, Any], ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    window: Window | None = None
    working_pixel: int = 1
    error_bound_px: float | None = None
    search: Search = "initial"
    reason: str = ""
    geometry: dict[str, Any] | None = None
    judged_as: Search = "initial"
    left_out: tuple[LeftOut, ...] = ()
    repeats: tuple[dict[str, Any], ...] = ()
    fitted: Values | None = field(default=None, repr=False)
    warnings: tuple[Warned, ...] = ()
    scene: SceneMatch | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the images were read and matched."""
        said = [one.sentence for one in self.left_out]
        if self.repeats:
            down, right = self.repeats[0]["shift"]
            said.append(
                "the ground repeats itself: a place "
                f"{abs(down):.0f} px {'down' if down > 0 else 'up'} and {abs(right):.0f} px "
                f"{'right' if right > 0 else 'left'} fits nearly as well "
                f"({self.repeats[0]['score']:.0%}), so no answer is more than uncertain"
            )
        heights = heights_note(self._compared(), view_sources(self.sar, self.settings))
        gaps = "" if self.scene is None else self.scene.gap_note
        problem = view_problem(self.sar) if self.settings.get("dem") else ""
        said += [note for note in (heights, problem, gaps) if note]
        first = [one.text.rstrip(".") for one in self.warnings]
        return (*first, *self.sar.notes, *self.optical.notes, *said)

    @property
    def confidence_text(self) -> str:
        """The confidence in words: two digits, or that there is none."""
        return "not fitted" if np.isnan(self.confidence) else f"{self.confidence:.2f}"

    @property
    def inverse(self) -> Transform | None:
        """Optical pixels to SAR pixels."""
        return None if self.transform is None else self.transform.inverse

    @property
    def centre(self) -> dict[str, tuple[float, float]] | None:
        """Centre of the SAR image as ``pixel``, ``map`` and ``lonlat``; None of no match."""
        if self.transform is None or self.verdict == "no match":
            return None
        centre = np.array([self.sar.shape], np.float64) / 2
        return {k: v[0] for k, v in self._positions(self.transform(centre)).items()}

    @property
    def footprint(self) -> dict[str, list[tuple[float, float]]] | None:
        """Closed outline of the SAR image in the same three kinds of position; None of no match."""
        if self.transform is None or self.verdict == "no match":
            return None
        return self._positions(self.transform(outline(*self.sar.shape)))

    @property
    def expected_error_m(self) -> float | None:
        """The expected error on the ground; None without georeference."""
        grid = self.optical.grid
        if not is_placed(grid) or self.expected_error_px is None or self.transform is None:
            return None
        centre = self.transform(np.array([self.sar.shape], np.float64) / 2)
        return self.expected_error_px * mean_metres(grid, centre)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``match.json``."""
        transform, inverse = self.transform, self.inverse
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "next": [asdict(one) for one in self.next_searches],
            "search": self.search,
            "judged_as": self.judged_as,
            "confidence": None if np.isnan(self.confidence) else round(self.confidence, 4),
            "centre": self.centre,
            "footprint": self.footprint,
            "transform": None if transform is None else transform.to_dict(),
            "inverse": None if inverse is None else inverse.to_dict(),
            "geometry": self.geometry,
            "movement": self.movement,
            "expected_error_px": self.expected_error_px,
            "expected_error_m": self.expected_error_m,
            "error_bound_px": self.error_bound_px,
            "evidence": asdict(self.evidence),
            "explanation": asdict(self.explanation),
            "tie_points": {
                "count": len(self.tie_points),
                "inliers": int(self.tie_points.inlier.sum()),
                "median_residual_px": self.median_residual_px,
            },
            "held_out": None if self.held_out is None else self.held_out._asdict(),
            "alternatives": list(self.alternatives),
            "crs": crs_text(self.optical.grid),
            "images": {"sar": _described(self.sar), "optical": _described(self.optical)},
            "repeats": list(self.repeats),
            "masked": [asdict(one) for one in self.left_out],
            "warnings": [asdict(one) for one in self.warnings],
            "notes": list(self.notes),
            "timings_s": {name: round(value, 4) for name, value in self.timings.items()},
            "window": None if self.window is None else asdict(self.window),
            "working_pixel": self.working_pixel,
            "settings": self.settings,
            **({} if self.scene is None else {"scene": self.scene.to_dict()}),
        }

    @property
    def relief_px(self) -> float:
        """Relief of the evidence in optical pixels, not those of the grid that was matched on."""
        return float(self.evidence.relief * self.working_pixel)

    @property
    def explanation(self) -> Explanation:
        """What each term of the evidence adds to the confidence; nothing where there is none."""
        return (
            Explanation(0.0, ())
            if np.isnan(self.confidence)
            else explain(self.evidence, self.judged_as, self.fitted)
        )

    @property
    def hint(self) -> str:
        """What is known of hills that the model does not follow; empty where nothing is."""
        return relief_hint(self._compared())

    @property
    def next_searches(self) -> list[NextSearch]:
        """What to search after a no match, the likeliest first; nothing after any other."""
        images = {"optical": _described(self.optical)}
        return next_searches({"verdict": self.verdict, "settings": self.settings, "images": images})

    @property
    def held_out(self) -> HeldOut | None:
        """How well the model predicts tie points that it was not fitted to; None if unknown."""
        return held_out(self._compared())

    @property
    def median_residual_px(self) -> float | None:
        """Median distance of an inlier from where the transform puts it, optical pixels."""
        if self.transform is None or not self.tie_points.inlier.any():
            return None
        points = self.tie_points.only(self.tie_points.inlier)
        away = np.linalg.norm(self.transform(points.sar) - points.optical, axis=1)
        return float(np.median(away))

    @property
    def error_text(self) -> str:
        """The expected error in words; of a relief that was followed, that of held-out points."""
        if self.expected_error_px is None:
            return ""
        followed, metres = self.held_out, self.expected_error_m
        if followed is not None and followed.model == "relief":
            before = followed.similarity_px
            instead = "" if before is None else f" instead of {before:.1f} px of the similarity"
            return f"the relief predicts held-out tie points to {followed.error_px:.1f} px{instead}"
        ground = "" if metres is None else f" ({metres:.1f} m)"
        return f"expected error {self.expected_error_px:.1f} px{ground}"

    def _compared(self) -> dict[str, Any]:
        """What the words on models are made from, as ``match.json`` has it."""
        model = None if self.transform is None else {"model": self.transform.model}
        return {
            "verdict": self.verdict,
            "transform": model,
            "geometry": self.geometry,
            "evidence": {"relief": self.evidence.relief},
            "working_pixel": self.working_pixel,
            "settings": self.settings,
            **({} if self.scene is None else {"scene": {"geometry": self.scene.geometry}}),
        }

    def write(self, out: str | Path, *, force: bool = False, overwrite: bool = False) -> list[Path]:
        """Write ``match.json`` and, where there is a match, everything it allows.

        ``match.json``, the tie points and, where there is a transform, images for the eye
        are always written; those of no match say on themselves that it is refused.
        ``aligned.tif`` misleads where it is wrong: it is written for the verdict ``match``,
        or with ``force`` for any transform at all. What an earlier run left under these
        names is removed first, so that a folder never mixes two matches; a file of
        other origin is in the way, unless ``overwrite`` replaces it.

        Returns
        -------
        list of Path
            What was written, in order.

        Raises
        ------
        MatchError
            If ``force`` is set but no transform was found.
        OutputError
            If the folder cannot be written, or a file of other origin or an audit's map is there.
        """
        out, transform = Path(out), self.transform
        check_writable(out)
        check_folder(out, overwrite=overwrite)
        if force and transform is None:
            raise MatchError(
                "there is no transform to warp by: too few tie points agree. "
                "--force can write an uncertain match, not a missing one."
            )
        for name in WRITTEN:
            if name != "tie_points.csv":  # replaced: it tells of others that they are ours
                (out / name).unlink(missing_ok=True)
        grids = self.sar.grid, self.optical.grid
        parts = [partial(write_tie_points, out, self.tie_points, transform, *grids)]
        if transform is not None:
            parts += [partial(self._write_aligned, out, transform, force)]
            parts += [partial(self._write_pictures, out, transform)]
        # Of a scene each takes its time; of a pair threads serve each of them better.
        threads.run(_done, parts, most=1 if self.scene is None else None)
        if transform is not None and (field := transform.lattice) is not None:
            nodes = node_grid(self.optical.grid, field.nodes, field.values.shape[:2])
            write_lattice(out / FIELD_FILE, field.values, nodes, self.verdict)
        if self.scene is not None:
            self.scene.write(out, self.optical.grid, self.verdict)
        if self.footprint is not None and "lonlat" in self.footprint:
            about = {"verdict": self.verdict, "confidence": self.to_dict()["confidence"],
                     "expected_error_m": self.expected_error_m, "sar": self.sar.name,
                     "optical": self.optical.name}  # fmt: skip
            write_footprint(out / "footprint.geojson", np.array(self.footprint["lonlat"]), about)
        # Last, so that its presence says that the others are complete.
        write_text(out / MATCH_FILE, json.dumps(self.to_dict(), indent=2, default=_plain) + "\n")
        forget_tiles(out)
        return [out / name for name in WRITTEN if (out / name).exists()]

    def drawn(self, transform: Transform) -> Scene:
        """What is drawn of the match under a transform."""
        return Scene(
            self.sar, self.optical, transform, self.tie_points, self.verdict,
            self.confidence_text, self.error_text, self.reason,
        )  # fmt: skip

    def _write_aligned(self, out: Path, transform: Transform, force: bool) -> None:
        if force or self.verdict == "match":
            write_aligned(out / "aligned.tif", self.sar, self.optical, transform, self.verdict)

    def _write_pictures(self, out: Path, transform: Transform) -> None:
        panels = write_drawings(out, self.drawn(transform))
        if self.scene is not None:
            self._write_report(out / REPORT_FILE, transform, self.scene, panels.colours)

    def _write_report(
        self, path: Path, transform: Transform, scene: SceneMatch, panels: tuple[Pixels, Pixels]
    ) -> None:
        """Of a scene, whatever its verdict: the page says it, and shows where it fits."""
        report = SceneReport(
            self.sar, self.optical, transform, self.tie_points, scene, panels,
            self.verdict, self.confidence_text, self.notes,
        )  # fmt: skip
        write_report(path, report)

    def _repr_html_(self) -> str:
        """Show the verdict in a notebook, and the overlay where it is a match."""
        facts = {"confidence": self.confidence_text}
        if self.centre is not None and "lonlat" in self.centre:
            facts["centre"] = "{:.6f} {:.6f}".format(*self.centre["lonlat"])
        if self.error_text:
            facts["error"] = self.error_text
        if self.reason:
            facts["reason"] = self.reason
        if self.transform is not None and self.movement is not None:
            moved = self.movement.items()
            facts[self.transform.model] = ", ".join(f"{k} {v:.4g}" for k, v in moved)
        facts["tie points"] = self.tie_point_text
        if self.hint:
            facts["hint"] = self.hint
        facts |= {f"note {n}": note for n, note in enumerate(self.notes, 1)}
        shown = ""
        if self.verdict == "match" and self.transform is not None:
            with suppress(CrosslookError):  # a file that is gone by now
                panels = side_by_side(self.sar, self.optical, self.transform)
                words = "checkerboard of both, and edges of the SAR image over the optical one"
                shown = image(jpeg_of(overlay(*panels)), words, "jpeg")
        return card(f"{self.sar.name} on {self.optical.name}: {self.verdict}", facts, shown)

    @property
    def tie_point_text(self) -> str:
        """How many tie points there are, and how far the inliers are from the transform."""
        points, residual = self.tie_points, self.median_residual_px
        text = f"{len(points)}, {int(points.inlier.sum())} of them inliers"
        return text if residual is None else f"{text} with a median residual of {residual:.1f} px"

    @property
    def movement(self) -> dict[str, float] | None:
        """Shift, and of a similarity rotation and scale, from where the georeference says.

        None of no match, and where the georeference lies far away. Other models rotate each place
        in another way, so they have no rotation.
        """
        transform = self.transform
        is_far = any(one.kind == "far away" for one in self.warnings)
        if transform is None or self.verdict == "no match" or is_far:
            return None
        placed = placement(self.sar.grid, self.optical.grid)
        centre = np.array(self.sar.shape, np.float64) / 2
        moved = Transform((*placed.inverse.maps, *transform.maps), transform.model)
        said = moved.describe(placed(centre))
        if transform.model not in ("shift", "similarity"):
            said = {name: said[name] for name in ("row_px", "col_px")}
        return said

    def _positions(self, pixels: Array) -> dict[str, list[tuple[float, float]]]:
        out = {"pixel": _pairs(pixels)}
        grid = self.optical.grid
        if has_map(grid):
            out["map"] = _pairs(to_map(grid, pixels))
        if is_placed(grid):
            out["lonlat"] = _pairs(to_lonlat(grid, pixels))
        return out


@dataclass(frozen=True)
class Failure:
    """An image of a batch that could not be matched, and why; the others go on.

    Attributes
    ----------
    name : str
        Of the image.
    error : CrosslookError
    """

    name: str
    error: CrosslookError


def outline(height: int, width: int) -> Array:
    """Closed outline of an image in pixels, eight points a side, shape (33, 2)."""
    step = np.arange(_SIDE_POINTS) / _SIDE_POINTS
    zero, one = np.zeros(_SIDE_POINTS), np.ones(_SIDE_POINTS)
    rows = np.concatenate([zero, step, one, 1 - step, [0.0]]) * height
    cols = np.concatenate([step, one, 1 - step, zero, [0.0]]) * width
    return np.column_stack([rows, cols])


def _described(image: ImageFile) -> dict[str, Any]:
    """What ``match.json`` says of an image: the grid is what its pixels are counted on."""
    source, path = image.source, None
    if isinstance(source, RasterFile) and not source.label:
        path = path_to_keep(source.place)  # a label stands for a file whose name means nothing
    return {
        "name": image.name,
        "path": path,
        "shape": image.shape,
        "bands": image.bands,
        "placed_by": image.header.placed_by,
        "crs": crs_text(image.grid),
        "affine": list(tuple(image.grid.affine)[:6]) if has_map(image.grid) else None,
        "nodata": None if image.nodata is None or np.isnan(image.nodata) else image.nodata,
        "scale": image.scale,
    }


def grid_of(image: dict[str, Any]) -> GeoBox:
    """The grid of an image of ``match.json``, on which its pixels are counted."""
    affine = image["affine"] or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return make_grid(image["crs"], tuple(affine), *image["shape"])


def _done(part: Callable[[], None]) -> None:
    part()


def _pairs(points: Array) -> list[tuple[float, float]]:
    return [(float(a), float(b)) for a, b in points]


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written to match.json")
