"""Which map two images ask for: models compete for tie points that were left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.extract.base import Extractor
from crosslook.geo.grey import GreyImage
from crosslook.match.channels import Channels, dense_channels
from crosslook.match.refine import (
    InformationMeasure,
    fraction_of,
    information_measure,
    refine,
)
from crosslook.match.relief import HILLY_PX, is_consistent, measure_relief
from crosslook.match.relief_fit import (
    CLEAR,
    NOTHING_KNOWN,
    Look,
    ReliefFit,
    fit_field,
    follow_relief,
)
from crosslook.match.robust_fit import Fit, fit_robust
from crosslook.match.settings import Model, TransformModel
from crosslook.match.tie_points import Pass, TiePoints, find_tie_points, score_maps
from crosslook.match.transform import Transform, grid_points, mean_distance
from crosslook.match.warp import warp
from crosslook.types import Array

FLAT_MODELS: tuple[Model, ...] = ("shift", "similarity", "affine", "homography")
_RADIUS, _LOOSE_PX = 20.0, 8.0
_LAST_RADIUS, _TIGHT_PX = 10.0, 3.5
_ROUNDS = 4
_STILL_PX = 1.0
_CAP_PX = 6.0
_CREDIBLE_PX = 4.5  # points that agree by chance are about 5 px off, as far as they are counted
_LEAST_POINTS = 12
_LEAST_IN_SQUARE = 3
_SLIGHT_PX = 0.03
_LITTLE, _LITTLE_BENT = 3 / 7, 1 / 9  # over the best; three tenths and one of one's own
_SAME_PX = 0.5
_CLEARLY_MORE = 1.25  # times the mutual information
_MORE_SUPPORT = 1.15
_MORE_SHARED = 1.03
_DENSE = 44  # templates along a side, at most


@dataclass(frozen=True)
class Rival:
    """How well one model predicts tie points that it was not fitted to.

    Attributes
    ----------
    model : str
    error_px : float
        Mean distance over the squares that were left out, each point's
        distance capped at 6 px; optical pixels. NaN where too few points agree.
    worse_px : float
        By how much that is above the best rival's, and the standard error of
        this over the squares.
    standard_error_px : float
    information : float
        Mutual information of the images under it, in nats, which has seen no
        tie point; of the similarity the larger of two, as it is fitted to the
        points and as it was there before. NaN where it cannot be fitted.
    """

    model: TransformModel
    error_px: float
    worse_px: float
    standard_error_px: float
    information: float


@dataclass(frozen=True, eq=False)
class Geometry:
    """The model that won, and by what.

    Attributes
    ----------
    transform : Transform
        SAR to optical pixels.
    points : TiePoints
        What it rests on.
    rivals : tuple of Rival
        Simplest first; one where a model was given.
    relief : ReliefFit or None
    """

    transform: Transform
    points: TiePoints
    rivals: tuple[Rival, ...]
    relief: ReliefFit | None

    def to_dict(self, pixel: int) -> dict[str, Any]:
        """For ``match.json``: the rivals, and of relief what was found of the sensor.

        ``pixel`` is the side in optical pixels of those that errors are counted in.
        """
        out: dict[str, Any] = {"working_pixel": pixel, "rivals": self._table()}
        if self.relief is not None:
            per_metre = self.relief.per_metre
            out["relief"] = {
                "range_degrees": round(self.relief.direction, 2),
                "length_px": [
                    round(s.length, 1) if np.isfinite(s.noise) else None
                    for s in self.relief.field.smoothness
                ],
                "px_per_metre": None
                if per_metre is None
                else round(float(np.hypot(*per_metre)), 5),
            }
        return out

    def _table(self) -> list[dict[str, Any]]:
        return [
            {"model": rival.model}
            | {
                name: round(value, 4) if np.isfinite(value) else None
                for name, value in asdict(rival).items()
                if name != "model"
            }
            for rival in self.rivals
        ]


def choose_geometry(
    sar: GreyImage,
    optical: GreyImage,
    extractor: Extractor,
    start: Transform,
    current: Transform,
    wanted: tuple[TransformModel, ...],
    look: Look = NOTHING_KNOWN,
    heights: Array | None = None,
    seed: int = 0,
) -> Geometry | None:
    """Follow what a similarity cannot, as far as tie points that are left out ask for it.

    Passes of small templates go round from ``current`` until the map no longer
    moves. Then each model is fitted to the points in one colour of a
    checkerboard and measured on the other, no pixel of a template in both; the
    simplest that is not much worse wins (as in Breiman et al.,
    "Classification and regression trees", 1984), and mutual information,
    which has seen no tie point, may object.

    Parameters
    ----------
    sar, optical, extractor, start
        As for :func:`~crosslook.match.align.align`.
    current : Transform
        What it found: good over a part of the image at least.
    wanted : tuple of str
        Models that compete; ``relief`` where the ground shows it, or alone.
    look, heights : as for :func:`~crosslook.match.relief_fit.follow_relief`

    Returns
    -------
    Geometry or None
        None where too few tie points agree for any of them, or, of several,
        with none of them better than by chance.
    """
    search = _Search(sar, optical, extractor, start, seed)
    points = search.grow(current)
    if len(points) < _LEAST_POINTS:
        return None
    flat, several = tuple(m for m in FLAT_MODELS if m in wanted), len(wanted) > 1
    level = rivals = _compete(search, flat, points, search.template, current)
    winner = _simplest(rivals)
    if several:
        winner = _informed(winner if _best_error(rivals) <= _CREDIBLE_PX else None, rivals)
    bent = search.relief(winner, points, current, look, heights) if "relief" in wanted else None
    if bent is not None:
        # On its own points, which reach further along the range than those before.
        rivals = _compete(search, flat, bent.points, bent.template, current, bent)
        if _bends(rivals, winner):
            if not several or search.is_bent(bent, level):
                return Geometry(bent.transform, bent.points, rivals, bent)
            winner, rivals = _informed("affine", level), level
    if several and winner == "shift" and not search.is_shift(points, current):
        winner = "similarity"
    if several and winner == "similarity" and not search.is_off(current, level):
        return Geometry(current, points, rivals, None)  # which is sharpened already
    finished = None if winner is None else search.finish(winner, points)
    return finished and Geometry(*finished, rivals, None)


Fitting = Callable[[NDArray[np.bool_]], Array | None]
"""From the points that are fitted to where the result sends all of them; None of too few."""


@dataclass(frozen=True, eq=False)
class _Search:
    """Both images, and the passes of small templates over them."""

    sar: GreyImage
    optical: GreyImage
    extractor: Extractor
    start: Transform
    seed: int

    @property
    def template(self) -> float:
        """Side of a template, so small that several lie side by side in half of the image."""
        return max(40.0, min(64.0, 0.125 * min(self.optical.shape)))

    @cached_property
    def _fixed(self) -> Channels:
        return dense_channels(self.optical, self.extractor)

    def points(self, current: Transform, settings: Pass) -> TiePoints:
        """Clear tie points that are displaced as those around them."""
        moved = dense_channels(warp(self.sar, current, self.optical.shape), self.extractor)
        tie_points = find_tie_points(score_maps(moved, self._fixed, settings), current)
        keep = tie_points.ratio >= CLEAR
        displacement = tie_points.optical - current(tie_points.sar)
        keep[keep] = is_consistent(tie_points.optical[keep], displacement[keep])
        return tie_points.only(keep)

    def fit(self, model: Model, points: TiePoints, threshold: float) -> Fit | None:
        """The model from the SAR image as it starts to the optical one, and from its pixels."""
        trust = np.maximum(points.ratio - 1.0, 0.01)
        fit = fit_robust(self.start(points.sar), points.optical, model, threshold, trust, self.seed)
        return fit and replace(fit, transform=fit.transform.compose(self.start))

    def widest(self, points: TiePoints) -> Fit | None:
        """An affine map, or a homography where clearly more points agree with one."""
        affine, other = (self.fit(m, points, _LOOSE_PX) for m in FLAT_MODELS[2:])
        if affine is None or other is None:
            return affine
        return other if other.support > _MORE_SUPPORT * affine.support else affine

    def grow(self, current: Transform) -> TiePoints:
        """Tie points around an affine map or a homography that no longer moves."""
        side = self.template
        settings = Pass(side, _RADIUS, max(side / 3, max(self.optical.shape) / _DENSE), _LOOSE_PX)
        grid = grid_points(*self.sar.shape)
        points = self.points(current, settings)
        for _ in range(_ROUNDS):
            fit = self.widest(points) if len(points) >= _LEAST_POINTS else None
            if fit is None or mean_distance(fit.transform, current, grid) < _STILL_PX:
                break
            current = fit.transform
            points = self.points(current, settings)
        return points

    def fitting(self, model: Model, points: TiePoints) -> Fitting:
        """For :meth:`_Squares.left_out`."""

        def sent(kept: NDArray[np.bool_]) -> Array | None:
            fit = self.fit(model, points.only(kept), _LOOSE_PX)
            return None if fit is None else fit.transform(points.sar)

        return sent

    def relief(
        self,
        winner: TransformModel | None,
        points: TiePoints,
        current: Transform,
        look: Look,
        heights: Array | None,
    ) -> ReliefFit | None:
        """The relief where hills show; it bends an affine map where a similarity predicts worse."""
        if winner is not None and not self.is_hilly(winner, points):
            return None
        level = current
        if winner not in (None, "shift", "similarity"):
            fit = self.fit("affine", points, _LOOSE_PX)
            level = current if fit is None else fit.transform
        return follow_relief(self.sar, self.optical, self.extractor, level, look, heights)

    def is_bent(self, bent: ReliefFit, level: tuple[Rival, ...]) -> bool:
        """Whether mutual information is higher under the relief than under what is level.

        Along one line a relief can follow much of what shear does.
        """
        others = [r.information for r in level if r.model == "affine"]
        most = np.nanmax([self.information(bent.base), *others])
        return bool(self.information(bent.transform) > most)

    @cached_property
    def information(self) -> InformationMeasure:
        """Mutual information under a transform: a judge who has seen no tie point."""
        return information_measure(self.sar, self.optical, 1.0)

    def is_hilly(self, model: TransformModel, points: TiePoints) -> bool:
        """Whether what a flat model leaves spreads along one line."""
        fit = self.fit(_flat(model), points, _LOOSE_PX)
        if fit is None:
            return True
        relief = measure_relief(points.optical - fit.transform(points.sar))
        return relief is not None and relief.extent > HILLY_PX

    def is_shift(self, points: TiePoints, current: Transform) -> bool:
        """Whether a shift says the same as a similarity, also where no points are."""
        fit = self.fit("shift", points, _LOOSE_PX)
        grid = grid_points(*self.sar.shape)
        return fit is not None and mean_distance(fit.transform, current, grid) <= _SAME_PX

    def is_off(self, current: Transform, level: tuple[Rival, ...]) -> bool:
        """Whether the tie points have found a better similarity than the one before.

        After a search of all poses the last pass before had few templates, and
        small ones over all of the image may know better.
        """
        known = max((r.information for r in level if r.model == "similarity"), default=0.0)
        return known > _MORE_SHARED * max(0.0, self.information(current))

    def finish(
        self, model: TransformModel, points: TiePoints
    ) -> tuple[Transform, TiePoints] | None:
        """The winner through larger templates around it, sharpened by mutual information."""
        flat = _flat(model)
        fit = self.fit(flat, points, _LOOSE_PX)
        if fit is None:
            return None
        side = 1.5 * self.template
        last = self.points(fit.transform, Pass(side, _LAST_RADIUS, side / 4, _TIGHT_PX))
        again = self.fit(flat, last, _TIGHT_PX)
        if again is not None:
            points, fit = last, again
        part = fraction_of(fit.residual)
        refined = refine(self.sar, self.optical, fit.transform, fraction=part)
        return refined.transform, points.marked(fit.inlier)


def _fitting_relief(bent: ReliefFit) -> Fitting:
    """The field as smooth as it was chosen; what terrain predicts stays as it was fitted."""
    smooth = bent.field.smoothness
    sar, optical = bent.points.sar, bent.points.optical
    flat = bent.transform(sar) - bent.field(optical)
    rest = optical - flat

    def sent(kept: NDArray[np.bool_]) -> Array | None:
        if kept.sum() < _LEAST_POINTS:
            return None
        field = fit_field(optical[kept], rest[kept], bent.direction, bent.template, smooth)
        return flat + field(optical)

    return sent


class _Squares:
    """Tie points in the two colours of a checkerboard.

    A square is two templates wide and only the points in its inner half count,
    so that no template reaches into a square of the other colour.
    """

    def __init__(self, points: TiePoints, template: float) -> None:
        at = points.optical / (2.0 * template)
        square = np.floor(at).astype(int)
        self.inner = (np.abs(at - square - 0.5) <= 0.25).all(axis=1)
        self.colour = square.sum(axis=1) % 2
        self.square = square[:, 0] * 10_000 + square[:, 1]
        self.points = points
        ids, count = np.unique(self.square[self.inner], return_counts=True)
        self.ids = ids[count >= _LEAST_IN_SQUARE]

    def left_out(self, fitting: Fitting) -> Array | None:
        """Mean capped error of each square under the fit to those of the other colour."""
        error = np.zeros(len(self.points))
        for colour in (0, 1):
            sent = fitting(self.inner & (self.colour == colour))
            if sent is None:
                return None
            off = np.linalg.norm(sent - self.points.optical, axis=1)
            other = self.colour != colour
            error[other] = np.minimum(off, _CAP_PX)[other]
        means = [error[self.inner & (self.square == one)].mean() for one in self.ids]
        return np.array(means) if means else None


def _best_error(rivals: tuple[Rival, ...]) -> float:
    """Of the best rival; infinite where none is known."""
    return min((r.error_px for r in rivals if np.isfinite(r.error_px)), default=np.inf)


def _flat(model: TransformModel) -> Model:
    """The model as a robust fit takes it."""
    return next(m for m in FLAT_MODELS if m == model)


def _compete(
    search: _Search,
    models: tuple[Model, ...],
    points: TiePoints,
    template: float,
    current: Transform,
    bent: ReliefFit | None = None,
) -> tuple[Rival, ...]:
    """Every model on the same tie points, and the relief beside them."""
    squares = _Squares(points, template)
    errors: dict[TransformModel, Array | None] = {
        m: squares.left_out(search.fitting(m, points)) for m in models
    }
    information: dict[TransformModel, float] = {}
    for model in models:
        fit = search.fit(model, points, _LOOSE_PX)
        known = [] if fit is None else [search.information(fit.transform)]
        if model == "similarity":
            known.append(search.information(current))
        information[model] = max(known, default=float("nan"))
    if bent is not None:
        errors["relief"] = squares.left_out(_fitting_relief(bent))
        information["relief"] = search.information(bent.transform)
    return _table(errors, information)


def _table(
    errors: dict[TransformModel, Array | None], information: dict[TransformModel, float]
) -> tuple[Rival, ...]:
    """Every rival against the best one, square by square."""
    known = {model: error for model, error in errors.items() if error is not None}
    best = min(known.values(), key=lambda error: float(error.mean()), default=None)
    nan = float("nan")
    out = []
    for model, nats in information.items():
        error = known.get(model)
        if error is None or best is None:
            out.append(Rival(model, nan, nan, nan, nats))
            continue
        apart = error - best
        noise = float(apart.std(ddof=1) / np.sqrt(len(apart))) if len(apart) > 1 else 0.0
        out.append(Rival(model, float(error.mean()), float(apart.mean()), noise, nats))
    return tuple(out)


def _informed(winner: TransformModel | None, rivals: tuple[Rival, ...]) -> TransformModel | None:
    """The winner, unless mutual information speaks against it or far more for another one.

    Over hills an affine map fits tie points better than a similarity, and
    mutual information hardly (up to a fifth, where shear and unequal pixels
    make it 1.3 to 4 times as much): slopes go up and down.
    """
    nats = {r.model: r.information for r in rivals if r.information > 0.0}
    most = nats.get("similarity", 0.0)
    if winner in ("affine", "homography"):
        if nats.get(winner, 0.0) >= most:
            most = nats[winner]
        else:
            winner = "similarity"
    for model in ("affine", "homography"):
        if model != winner and nats.get(model, 0.0) > _CLEARLY_MORE * most:
            winner, most = model, nats[model]
    return winner


def _simplest(rivals: tuple[Rival, ...]) -> TransformModel | None:
    """The first that is hardly worse than the best, be it by noise or by little.

    A shift is taken where it predicts as well as any. An affine map or a
    homography follows outliers and slopes too, and has to take away three
    tenths of the error, and more than its standard error. Where points are too
    few to leave any out, a model that is alone stands.
    """
    known = [r for r in rivals if np.isfinite(r.error_px)]
    if not known:
        return rivals[0].model if len(rivals) == 1 else None
    best = min(known, key=lambda r: r.error_px)
    for rival in known:
        allowed = max(rival.standard_error_px, best.error_px * _LITTLE)
        if rival.worse_px <= (_SLIGHT_PX if rival.model == "shift" else allowed):
            return rival.model
    return best.model


def _bends(rivals: tuple[Rival, ...], flat: TransformModel | None) -> bool:
    """Whether the relief, last of the rivals, is to be followed instead of a flat model.

    It can follow nothing but one line, so a tenth of the error will do, if
    that is more than a standard error.
    """
    relief = rivals[-1]
    if flat is None or len(rivals) == 1:
        return len(rivals) == 1 or relief.worse_px == 0.0
    other = next(r for r in rivals if r.model == flat)
    least = max(other.standard_error_px, relief.error_px * _LITTLE_BENT)
    return relief.worse_px == 0.0 and not other.worse_px <= least
