"""Which map two images ask for: candidate models are compared by cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook import threads
from crosslook.match.field import fit_field
from crosslook.match.matchers.template import points_at
from crosslook.match.pair import ImagePair
from crosslook.match.refine import InformationMeasure, fraction_of, information_measure, refine
from crosslook.match.relief import (
    HILLY_PX,
    NOTHING_KNOWN,
    ReliefFit,
    ViewGeometry,
    clear_points,
    direction_of,
    follow_relief,
    measure_relief,
    share_on_line,
)
from crosslook.match.robust_fit import Fit, fit_around, fit_tie_points
from crosslook.match.settings import Model, TransformModel
from crosslook.match.tie_points import Stage, TiePoints
from crosslook.match.transform import Transform, grid_points, identity, mean_distance
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
_LITTLE, _LITTLE_RELIEF = 3 / 7, 1 / 9  # over the best; three tenths and one of one's own
_SAME_PX = 0.5
_CLEARLY_MORE = 1.25  # times the mutual information
_MORE_CONSENSUS = 1.15
_MORE_SHARED = 1.03
_ON_LINE = 0.5  # of what is far; a sixth by chance, all of it over hills
_DENSE = 44  # templates along a side, at most


@dataclass(frozen=True)
class CandidateModel:
    """How well one model predicts tie points that it was not fitted to.

    Attributes
    ----------
    model : str
    error_px : float
        Mean distance over the squares that were predicted, each point's
        distance capped at 6 px; optical pixels. NaN where too few points agree.
    worse_px : float
        By how much that is above the best candidate's, and the standard error of
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
class Selection:
    """The model that was selected, and why.

    Attributes
    ----------
    transform : Transform
        SAR to optical pixels.
    points : TiePoints
        What it rests on.
    candidates : tuple of CandidateModel
        Simplest first; one where a model was given.
    relief : ReliefFit or None
    is_unchanged : bool
        Whether the transform before the choice is kept, refined as it is.
    """

    transform: Transform
    points: TiePoints
    candidates: tuple[CandidateModel, ...]
    relief: ReliefFit | None = None
    is_unchanged: bool = False

    def to_dict(self, pixel: int) -> dict[str, Any]:
        """For ``match.json``: the candidates, and of relief what was found of the sensor.

        ``pixel`` is the side in optical pixels of those that errors are counted in.
        """
        candidates = [
            {n: v if isinstance(v, str) else _rounded(v, 4) for n, v in asdict(one).items()}
            for one in self.candidates
        ]
        out: dict[str, Any] = {"working_pixel": pixel, "candidates": candidates}
        if self.relief is not None:
            smooth, per_metre = self.relief.field.smoothness, self.relief.per_metre
            length = np.nan if per_metre is None else float(np.hypot(*per_metre))
            out["relief"] = {
                "range_degrees": round(self.relief.direction, 2),
                "length_px": [
                    _rounded(s.length if np.isfinite(s.noise) else np.nan, 1) for s in smooth
                ],
                "px_per_metre": _rounded(length, 5),
            }
        return out


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if np.isfinite(value) else None


@dataclass(frozen=True, eq=False)
class ModelRequest:
    """What is asked of the choice.

    Attributes
    ----------
    models : tuple of str
        Those that are compared; ``relief`` where the ground shows it, or alone.
    reference : Transform
        SAR to optical pixels; what a shift is counted from.
    view : ViewGeometry
    heights : float64 array, shape (H, W), or None
        As for :func:`~crosslook.match.relief.follow_relief`.
    seed : int
    """

    models: tuple[TransformModel, ...]
    reference: Transform = field(default_factory=identity)
    view: ViewGeometry = NOTHING_KNOWN
    heights: Array | None = None
    seed: int = 0


def select_model(pair: ImagePair, current: Transform, request: ModelRequest) -> Selection | None:
    """Follow what a similarity cannot, as far as it predicts tie points that were not fitted.

    Rounds of small templates go on from ``current`` until the map no longer
    moves. Then each model is fitted to the points in one colour of a
    checkerboard and measured on the other, no pixel of a template in both; the
    simplest that is not much worse wins (as in Breiman et al.,
    "Classification and regression trees", 1984), and mutual information,
    which has seen no tie point, may object.

    Parameters
    ----------
    pair : ImagePair
    current : Transform
        What was found before: good over a part of the image at least.
    request : ModelRequest

    Returns
    -------
    Selection or None
        None where too few tie points agree for any of the models, or, of several,
        with none of them better than by chance.
    """
    fits = _Fits(pair, request.reference, request.seed)
    points = fits.grow(current)
    if len(points) < _LEAST_POINTS:
        return None
    models, several = tuple(m for m in FLAT_MODELS if m in request.models), len(request.models) > 1
    flat = candidates = _compare(fits, models, points, current)
    winner = _simplest(candidates)
    if several:
        credible = any(one.error_px <= _CREDIBLE_PX for one in candidates)  # false of NaN
        winner = _informed(winner if credible else None, candidates)
    relief = fits.relief(winner, points, current, request) if "relief" in request.models else None
    if relief is not None:
        candidates = _compare_relief(fits, flat, relief)
        if _prefers_relief(candidates, winner):
            if not several or fits.is_better(relief, flat):
                return Selection(relief.transform, relief.points, candidates, relief)
            winner, candidates = _informed("affine", flat), flat
    if several and winner == "shift" and not fits.is_shift(points, current):
        winner = "similarity"
    if several and winner == "similarity" and not fits.is_off(current, flat):
        return Selection(current, points, candidates, is_unchanged=True)
    finished = None if winner is None else fits.finish(winner, points)
    return finished and Selection(*finished, candidates)


Predictor = Callable[[NDArray[np.bool_]], Array | None]
"""From the points that are fitted to where the fit sends all of them; None of too few."""


@dataclass(frozen=True, eq=False)
class _Fits:
    """Models fitted to small templates over both images."""

    pair: ImagePair
    reference: Transform
    seed: int
    _fitted: dict[tuple[Model, int, float], tuple[TiePoints, Fit | None]] = field(
        default_factory=dict, init=False
    )
    _measured: dict[int, tuple[Transform, float]] = field(default_factory=dict, init=False)

    @property
    def template(self) -> float:
        """Side of a template, so small that several lie side by side in half of the image."""
        return max(40.0, min(64.0, 0.125 * min(self.pair.optical.shape)))

    def points(self, current: Transform, stage: Stage) -> TiePoints:
        """Clear tie points that are displaced as those around them."""
        return clear_points(points_at(self.pair, current, stage), current)

    def fit(self, model: Model, points: TiePoints, threshold: float) -> Fit | None:
        """The model from the SAR image as the reference places it to the optical one."""
        key = model, id(points), threshold
        if key not in self._fitted:  # the points are kept, so that no others get their id
            fit = fit_tie_points(points, self.reference, model, threshold, self.seed)
            self._fitted[key] = points, fit
        return self._fitted[key][1]

    def widest(self, points: TiePoints) -> Fit | None:
        """An affine map, or a homography where clearly more points agree with one."""
        affine = self.fit("affine", points, _LOOSE_PX)
        other = self.fit("homography", points, _LOOSE_PX)
        if affine is None or other is None:
            return affine
        return other if other.consensus > _MORE_CONSENSUS * affine.consensus else affine

    def grow(self, current: Transform) -> TiePoints:
        """Tie points around an affine map or a homography that no longer moves."""
        side = self.template
        apart = max(side / 3, max(self.pair.optical.shape) / _DENSE)
        stage = Stage(side, _RADIUS, apart, _LOOSE_PX)
        grid = grid_points(*self.pair.sar.shape)
        points, most = self.points(current, stage), 0.0
        for _ in range(_ROUNDS):
            fit = self.widest(points) if len(points) >= _LEAST_POINTS else None
            if fit is None or mean_distance(fit.transform, current, grid) < _STILL_PX:
                break
            if fit.consensus <= most:  # it wanders
                break
            current, most = fit.transform, fit.consensus
            points = self.points(current, stage)
        return points

    def predictor(self, model: Model, points: TiePoints) -> Predictor:
        """For :meth:`_Checkerboard.errors`: fits to some points, begun at that to all."""
        fit, placed = self.fit(model, points, _LOOSE_PX), self.reference(points.sar)

        def predicted(used: NDArray[np.bool_]) -> Array | None:
            if fit is None:
                return None
            matrix = fit_around(fit, placed[used], points.only(used), _LOOSE_PX)
            return None if matrix is None else Transform(matrix, model)(placed)

        return predicted

    def relief(
        self,
        winner: TransformModel | None,
        points: TiePoints,
        current: Transform,
        request: ModelRequest,
    ) -> ReliefFit | None:
        """The relief where hills show, over an affine map where a similarity predicts worse."""
        if winner is not None and not self.is_hilly(winner, points):
            return None
        base = current
        if winner not in (None, "shift", "similarity"):
            fit = self.fit("affine", points, _LOOSE_PX)
            base = current if fit is None else fit.transform
        if winner is None or request.heights is not None:
            return follow_relief(self.pair, base, request.view, request.heights)
        least = self.information(base)
        return follow_relief(
            self.pair, base, request.view, worth=lambda one: self.information(one) > least
        )

    def is_better(self, relief: ReliefFit, flat: tuple[CandidateModel, ...]) -> bool:
        """Whether mutual information is higher under the relief than under what is flat.

        Along one line a relief can follow much of what shear does.
        """
        others = [one.information for one in flat if one.model == "affine"]
        most = np.nanmax([self.information(relief.base), *others])
        return bool(self.information(relief.transform) > most)

    @cached_property
    def _measure(self) -> InformationMeasure:
        return information_measure(self.pair.sar, self.pair.optical, 1.0, sparse=True)

    def information(self, transform: Transform) -> float:
        """Mutual information under a transform: a judge who has seen no tie point."""
        if id(transform) not in self._measured:
            self._measured[id(transform)] = transform, self._measure(transform)
        return self._measured[id(transform)][1]

    def is_hilly(self, model: TransformModel, points: TiePoints) -> bool:
        """Whether what a flat model leaves spreads along one line."""
        fit = self.fit(_flat(model), points, _LOOSE_PX)
        if fit is None:
            return True
        left = points.optical - fit.transform(points.sar)
        relief = measure_relief(left)
        if relief is None or relief.extent <= HILLY_PX:
            return False
        return share_on_line(left, relief) >= _ON_LINE

    def is_shift(self, points: TiePoints, current: Transform) -> bool:
        """Whether a shift says the same as a similarity, also where no points are."""
        fit = self.fit("shift", points, _LOOSE_PX)
        grid = grid_points(*self.pair.sar.shape)
        return fit is not None and mean_distance(fit.transform, current, grid) <= _SAME_PX

    def is_off(self, current: Transform, flat: tuple[CandidateModel, ...]) -> bool:
        """Whether the tie points have found a better similarity than the one before.

        After a search of all poses the last stage before had few templates, and
        small ones over all of the image may know better.
        """
        known = max((one.information for one in flat if one.model == "similarity"), default=0.0)
        return known > _MORE_SHARED * max(0.0, self.information(current))

    def finish(
        self, model: TransformModel, points: TiePoints
    ) -> tuple[Transform, TiePoints] | None:
        """The winner through larger templates around it, refined by mutual information."""
        flat = _flat(model)
        fit = self.fit(flat, points, _LOOSE_PX)
        if fit is None:
            return None
        side = 1.5 * self.template
        last = self.points(fit.transform, Stage(side, _LAST_RADIUS, side / 4, _TIGHT_PX))
        again = self.fit(flat, last, _TIGHT_PX)
        if again is not None:
            points, fit = last, again
        refined = refine(self.pair, fit.transform, fraction=fraction_of(fit.residual))
        return refined.transform, points.marked(fit.inlier)


def _relief_predictor(relief: ReliefFit) -> Predictor:
    """The field as smooth as it was chosen; what terrain predicts stays as it was fitted."""
    smooth, axes = relief.field.smoothness, direction_of(relief.direction)
    sar, optical = relief.points.sar, relief.points.optical
    flat = relief.transform(sar) - relief.field(optical)
    rest = optical - flat

    def predicted(used: NDArray[np.bool_]) -> Array | None:
        if used.sum() < _LEAST_POINTS:
            return None
        moved = fit_field(optical[used], rest[used], axes, relief.template, smooth)
        return np.asarray(flat + moved(optical), np.float64)

    return predicted


class _Checkerboard:
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

    def errors(self, predictor: Predictor) -> Array | None:
        """Mean capped error of each square as predicted from those of the other colour."""
        error = np.zeros(len(self.points))
        for colour in (0, 1):
            predicted = predictor(self.inner & (self.colour == colour))
            if predicted is None:
                return None
            off = np.linalg.norm(predicted - self.points.optical, axis=1)
            other = self.colour != colour
            error[other] = np.minimum(off, _CAP_PX)[other]
        means = [error[self.inner & (self.square == one)].mean() for one in self.ids]
        return np.array(means) if means else None


def _flat(model: TransformModel) -> Model:
    """The model as a robust fit takes it."""
    return next(m for m in FLAT_MODELS if m == model)


def _compare(
    fits: _Fits, models: tuple[Model, ...], points: TiePoints, current: Transform
) -> tuple[CandidateModel, ...]:
    """Every flat model on the same tie points."""
    board = _Checkerboard(points, fits.template)
    fits.information(current)

    def compared(model: Model) -> tuple[Array | None, float]:
        fit = fits.fit(model, points, _LOOSE_PX)
        known = [] if fit is None else [fits.information(fit.transform)]
        if model == "similarity":
            known.append(fits.information(current))
        errors = board.errors(fits.predictor(model, points))
        return errors, max(known, default=float("nan"))

    found = dict(zip(models, threads.run(compared, models), strict=True))
    return _table({m: e for m, (e, _) in found.items()}, {m: i for m, (_, i) in found.items()})


def _compare_relief(
    fits: _Fits, flat: tuple[CandidateModel, ...], relief: ReliefFit
) -> tuple[CandidateModel, ...]:
    """A relief, and the flat candidates beside it, on the points of the relief.

    They reach further along the range than those before.
    """
    board = _Checkerboard(relief.points, relief.template)
    errors: dict[TransformModel, Array | None] = {
        one.model: board.errors(fits.predictor(_flat(one.model), relief.points)) for one in flat
    }
    errors["relief"] = board.errors(_relief_predictor(relief))
    information = {one.model: one.information for one in flat}
    return _table(errors, {**information, "relief": fits.information(relief.transform)})


def _table(
    errors: dict[TransformModel, Array | None], information: dict[TransformModel, float]
) -> tuple[CandidateModel, ...]:
    """Every candidate against the best one, square by square."""
    known = {model: error for model, error in errors.items() if error is not None}
    best = min(known.values(), key=lambda error: float(error.mean()), default=None)
    nan = float("nan")
    out = []
    for model, nats in information.items():
        error = known.get(model)
        if error is None or best is None:
            out.append(CandidateModel(model, nan, nan, nan, nats))
            continue
        apart = error - best
        noise = float(apart.std(ddof=1) / np.sqrt(len(apart))) if len(apart) > 1 else 0.0
        out.append(CandidateModel(model, float(error.mean()), float(apart.mean()), noise, nats))
    return tuple(out)


def _informed(
    winner: TransformModel | None, candidates: tuple[CandidateModel, ...]
) -> TransformModel | None:
    """The winner, unless mutual information speaks against it or far more for another one.

    Over hills an affine map fits tie points better than a similarity, and
    mutual information hardly (up to a fifth, where shear and unequal pixels
    make it 1.3 to 4 times as much): slopes go up and down.
    """
    nats = {one.model: one.information for one in candidates if one.information > 0.0}
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


def _simplest(candidates: tuple[CandidateModel, ...]) -> TransformModel | None:
    """The first that is hardly worse than the best, be it by noise or by little.

    A shift is taken where it predicts as well as any. An affine map or a
    homography follows outliers and slopes too, and has to take away three
    tenths of the error, and more than its standard error. Where points are too
    few to leave any out, a model that is alone is kept.
    """
    known = [one for one in candidates if np.isfinite(one.error_px)]
    if not known:
        return candidates[0].model if len(candidates) == 1 else None
    best = min(known, key=lambda one: one.error_px)
    for one in known:
        allowed = max(one.standard_error_px, best.error_px * _LITTLE)
        if one.worse_px <= (_SLIGHT_PX if one.model == "shift" else allowed):
            return one.model
    return best.model


def _prefers_relief(candidates: tuple[CandidateModel, ...], flat: TransformModel | None) -> bool:
    """Whether the relief is to be followed instead of a flat model.

    It can follow nothing but one line, so a tenth of the error will do, if
    that is more than a standard error. None may be better but by chance.
    """
    by_model = {one.model: one for one in candidates}
    relief = by_model["relief"]
    if flat is None or len(candidates) == 1:
        return len(candidates) == 1 or relief.worse_px == 0.0
    other = by_model[flat]
    least = max(other.standard_error_px, relief.error_px * _LITTLE_RELIEF)
    is_best = relief.worse_px <= relief.standard_error_px  # false of NaN
    return is_best and not other.error_px - relief.error_px <= least
