"""The map from SAR pixels to optical pixels, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from odc.geo.geobox import GeoBox

from crosslook.errors import MatchError, SettingError, did_you_mean
from crosslook.geo.grid import between, crs_text, make_grid, shape_of
from crosslook.match.displacement import ReliefField, ThinPlate
from crosslook.match.settings import TransformModel
from crosslook.types import Array

MODELS: tuple[TransformModel, ...] = get_args(TransformModel)

_TOLERANCE_PX = 1e-9
_MAX_ITERATIONS = 200


@dataclass(frozen=True)
class Projection:
    """The exact map between the pixels of two grids of different CRS.

    Attributes
    ----------
    source, target : GeoBox
    """

    source: GeoBox
    target: GeoBox

    def __call__(self, points: Array) -> Array:
        """Pixels of ``source`` to pixels of ``target``, shape (n, 2)."""
        return between(self.source, self.target, points)

    @property
    def inverse(self) -> Projection:
        """The map back."""
        return Projection(self.target, self.source)

    def after(self, matrix: Array) -> Projection:
        """The map of positions that an affine ``matrix`` (3, 3) moves first."""
        (a, b, c), (d, e, f) = matrix[1, [1, 0, 2]], matrix[0, [1, 0, 2]]
        affine = Affine(
            *np.ravel(_affine_matrix(self.source) @ [[a, b, c], [d, e, f], [0, 0, 1]])[:6]
        )
        return Projection(GeoBox(self.source.shape, affine, self.source.crs), self.target)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: CRS, affine map and shape of both grids."""
        return {
            name: {
                "crs": crs_text(grid),
                "affine": list(tuple(grid.affine)[:6]),
                "shape": list(shape_of(grid)),
            }
            for name, grid in (("from", self.source), ("to", self.target))
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Projection:
        """Rebuild what :meth:`to_dict` gave."""
        grids = [
            make_grid(v["crs"], tuple(v["affine"]), *v["shape"])
            for v in (values["from"], values["to"])
        ]
        return cls(*grids)


def _affine_matrix(grid: GeoBox) -> Array:
    """Pixel (column, row, 1) to map (x, y, 1)."""
    a, b, c, d, e, f = tuple(grid.affine)[:6]
    return np.array([[a, b, c], [d, e, f], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class Transform:
    """Maps SAR pixel positions to optical pixel positions.

    Positions are (row, column), continuous, pixel centres at +0.5. A position
    ``p`` goes to ``H(q) + D(q)``: ``q`` is ``p`` itself or, between two CRSs,
    where the projection puts it; ``H`` is the projective map of ``matrix``,
    ``D`` a displacement, absent but for the models ``tps`` (a thin plate) and
    ``relief`` (:class:`~crosslook.match.displacement.ReliefField`).

    Attributes
    ----------
    matrix : float64 array, shape (3, 3)
        Acts on (row, column, 1).
    model : str
        ``shift``, ``similarity``, ``affine``, ``homography``, ``tps`` or ``relief``.
    field : ThinPlate, ReliefField or None
    inverted : bool
        True when all the rest describes the opposite direction; a spline needs
        this, as it has no closed inverse, and a projection, as it comes first.
    projection : Projection or None
    """

    matrix: NDArray[np.float64]
    model: TransformModel = "similarity"
    field: ThinPlate | ReliefField | None = None
    inverted: bool = False
    projection: Projection | None = None

    unit = "pixel"

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if self.model not in MODELS:
            raise SettingError(
                f"unknown model '{self.model}'; one of {', '.join(MODELS)} is needed."
                + did_you_mean(self.model, MODELS)
            )
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise MatchError(f"a transform needs a finite 3 x 3 matrix, not {matrix.tolist()}.")
        if abs(_determinant(matrix)) < 1e-12:
            raise MatchError("the transform is singular: it maps the image onto a line.")
        matrix = matrix / matrix[2, 2] if matrix[2, 2] else matrix
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    def __call__(self, points: ArrayLike) -> Array:
        """Map positions, shape (n, 2) or (2,), row and column; same shape back."""
        given = np.asarray(points, np.float64)
        flat = given.reshape(-1, 2)
        mapped = self._solve(flat) if self.inverted else self._forward(flat)
        return mapped.reshape(given.shape)

    @property
    def is_flat(self) -> bool:
        """Whether the matrix alone is the map: no spline, no projection."""
        return self.field is None and self.projection is None

    @property
    def inverse(self) -> Transform:
        """The map from optical to SAR pixels; of a spline solved to 1e-9 px."""
        if self.is_flat:
            return replace(self, matrix=_invert(self.matrix))
        return replace(self, inverted=not self.inverted)

    def compose(self, first: Transform) -> Transform:
        """Return the map that applies ``first`` and then this one.

        Raises
        ------
        MatchError
            If one is a spline, or this one projects, and the other is not affine.
        """
        if self.inverted or first.inverted:
            return first.inverse.compose(self.inverse).inverse
        if self.projection is not None:
            if first.field is not None or first.projection or not _is_affine(first.matrix):
                raise MatchError("what comes before a projection can be affine only.")
            return replace(self, projection=self.projection.after(first.matrix))
        if first.projection is not None:
            flat = self.compose(replace(first, projection=None))
            return replace(flat, projection=first.projection)
        model = _wider(self.model, first.model)
        if self.field is None and first.field is None:
            return Transform(self.matrix @ first.matrix, model)
        if self.field is not None and first.field is None and _is_affine(first.matrix):
            return Transform(self.matrix @ first.matrix, model, self.field.after(first.matrix))
        if first.field is not None and self.field is None and _is_affine(self.matrix):
            return Transform(self.matrix @ first.matrix, model, first.field.before(self.matrix))
        raise MatchError("a spline or relief composes with shift, similarity and affine only.")

    def shifted(self, sar: tuple[float, float], optical: tuple[float, float]) -> Transform:
        """The same map for positions counted from other origins.

        ``sar`` and ``optical`` are the (row, column) at which the two images of
        this transform begin in the larger images wanted.
        """
        into = Transform(translation(-sar[0], -sar[1]), "shift")
        back = Transform(translation(*optical), "shift")
        return back.compose(self.compose(into))

    def local_scale(self, point: ArrayLike) -> float:
        """Optical pixels per SAR pixel at a SAR position: root of the area ratio."""
        return describe_map(self, point)["scale"]

    def describe(self, point: ArrayLike) -> dict[str, float]:
        """Shift (px), rotation (degrees, positive turns columns to rows) and scale there."""
        return describe_map(self, point)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``match.json``; :meth:`from_dict` reads them back."""
        out: dict[str, Any] = {
            "model": self.model,
            "unit": self.unit,
            "axes": "row, column; pixel centres at +0.5",
            "matrix": self.matrix.tolist(),
        }
        if self.projection is not None:
            # Applied to a position before the matrix, or after its inverse where inverted.
            out["projection"] = {**self.projection.to_dict(), "inverted": self.inverted}
        if self.field is not None:
            name = "relief" if isinstance(self.field, ReliefField) else "spline"
            out[name] = {"inverted": self.inverted, **self.field.to_dict()}
        return out

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Transform:
        """Rebuild what :meth:`to_dict` gave."""
        spline, relief = values.get("spline"), values.get("relief")
        field: ThinPlate | ReliefField | None = None
        if spline is not None:
            field = ThinPlate.from_dict(spline)
        elif relief is not None:
            field = ReliefField.from_dict(relief)
        projected = values.get("projection")
        inverted = bool((spline or relief or projected or {}).get("inverted"))
        projection = None if projected is None else Projection.from_dict(projected)
        model = cast("TransformModel", values["model"])
        return cls(np.array(values["matrix"]), model, field, inverted, projection)

    def _forward(self, points: Array) -> Array:
        if self.projection is not None:
            points = self.projection(points)
        return self._bent(points)

    def _bent(self, points: Array) -> Array:
        mapped = _project(self.matrix, points)
        return mapped if self.field is None else mapped + self.field.displacement(points)

    def _solve(self, points: Array) -> Array:
        """Positions whose forward image is ``points``; through a spline by fixed-point steps."""
        solution = self._unbent(points)
        return solution if self.projection is None else self.projection.inverse(solution)

    def _unbent(self, points: Array) -> Array:
        back = _invert(self.matrix)
        unbent = _project(back, points)
        if self.field is None:
            return unbent
        if isinstance(self.field, ReliefField):
            return _project(back, points - self.field.at(unbent))
        for _ in range(_MAX_ITERATIONS):
            error = points - self._bent(unbent)
            if float(np.abs(error).max(initial=0.0)) < _TOLERANCE_PX:
                return unbent
            unbent = unbent + error @ back[:2, :2].T
        raise MatchError(
            "the spline folds over itself and has no inverse. Use --model affine instead."
        )


def _determinant(matrix: Array) -> float:
    """Of a 3 x 3 matrix, by hand: ten times as fast as a call for any size."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


def describe_map(mapped: Callable[[Array], Array], point: ArrayLike) -> dict[str, float]:
    """Shift (px), rotation (degrees, positive turns columns to rows) and scale of a map there."""
    at = np.asarray(point, np.float64)
    steps = at + np.array([[0, 0], [0, 1.0], [0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    here, along, *around = mapped(steps)
    jacobian = np.stack([around[0] - around[1], around[2] - around[3]])
    return {
        "row_px": float(here[0] - at[0]),
        "col_px": float(here[1] - at[1]),
        "rotation_degrees": float(np.degrees(np.arctan2(along[0] - here[0], along[1] - here[1]))),
        "scale": float(np.sqrt(abs(np.linalg.det(jacobian)))),
    }


def identity(model: TransformModel = "similarity") -> Transform:
    """The map that moves nothing."""
    return Transform(np.eye(3), model)


def translation(row: float, col: float) -> Array:
    """Matrix of a shift in pixels."""
    matrix = np.eye(3)
    matrix[:2, 2] = row, col
    return matrix


def scaling(factor: float) -> Transform:
    """The map that multiplies positions, as between an image and its reduction."""
    return Transform(np.diag([factor, factor, 1.0]), "shift" if factor == 1 else "similarity")


def similarity(
    shift: tuple[float, float],
    rotation: float = 0.0,
    scale: float = 1.0,
    centre: tuple[float, float] = (0.0, 0.0),
) -> Transform:
    """Build a similarity about ``centre``.

    Parameters
    ----------
    shift : (row, column) in pixels, where ``centre`` moves.
    rotation : float
        Degrees; positive turns the column axis towards the row axis
        (clockwise as seen with rows pointing down).
    scale : float
        Optical pixels per SAR pixel.
    """
    angle = np.radians(rotation)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    to_centre = translation(-centre[0], -centre[1])
    back = translation(centre[0] + shift[0], centre[1] + shift[1])
    return Transform(back @ linear @ to_centre, "similarity")


def narrowest(matrix: Array, tolerance: float = 1e-9) -> TransformModel:
    """The least general model that a matrix belongs to."""
    if not _is_affine(matrix):
        return "homography"
    linear = matrix[:2, :2]
    if np.allclose(linear, np.eye(2), rtol=0.0, atol=tolerance):
        return "shift"
    rotated = np.array([[linear[1, 1], -linear[1, 0]], [-linear[0, 1], linear[0, 0]]])
    return "similarity" if np.allclose(linear, rotated, rtol=0.0, atol=tolerance) else "affine"


def grid_points(height: int, width: int, count: int = 9) -> Array:
    """``count`` x ``count`` positions spread over an image, shape (count^2, 2)."""
    fraction = (np.arange(count) + 0.5) / count
    rows, cols = np.meshgrid(fraction * height, fraction * width, indexing="ij")
    return np.column_stack([rows.ravel(), cols.ravel()])


def mean_distance(first: Transform, second: Transform, points: Array) -> float:
    """Mean distance in optical pixels between where two maps send ``points``."""
    return float(np.linalg.norm(first(points) - second(points), axis=1).mean())


def _project(matrix: Array, points: Array) -> Array:
    mapped = points @ matrix[:2, :2].T + matrix[:2, 2]
    if _is_affine(matrix):
        return mapped
    depth = points @ matrix[2, :2] + matrix[2, 2]
    result: Array = mapped / depth[:, None]
    return result


def _invert(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _is_affine(matrix: Array) -> bool:
    return bool(np.all(matrix[2] == (0.0, 0.0, 1.0)))


def _wider(first: TransformModel, second: TransformModel) -> TransformModel:
    return MODELS[max(MODELS.index(first), MODELS.index(second))]
