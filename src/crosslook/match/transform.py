"""The map from SAR pixels to optical pixels, and back: a chain of simple maps.

Positions are (row, column), continuous, pixel centres at +0.5. ``second @ first``
applies ``first`` and then ``second``, as matrices do; neighbours that one map can do
the work of become one. scikit-image's geometric classes and ITK's composite transforms
are built alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast, get_args

import numpy as np
from affine import Affine as GridMap
from numpy.typing import ArrayLike, NDArray
from odc.geo.geobox import GeoBox

from crosslook.errors import MatchError, SettingError, did_you_mean
from crosslook.geo.grid import between, crs_text, make_grid, shape_of
from crosslook.match.lattice import FIELD_FILE, digest_of_lattice, read_lattice
from crosslook.match.settings import TransformModel
from crosslook.types import Array, Window

MODELS: tuple[TransformModel, ...] = get_args(TransformModel)

_TOLERANCE_PX = 1e-9
_MAX_ITERATIONS = 200
_RELIEF_ITERATIONS = 60
_FRACTIONS = 1024  # of a pixel, to which the displacement of a scene is stored
_AT_ONCE = 65536  # positions, which bounds memory for whole images


class Map(ABC):
    """A map of positions that knows its inverse and its JSON."""

    @abstractmethod
    def __call__(self, points: Array) -> Array:
        """Positions (n, 2) to positions (n, 2)."""

    @property
    @abstractmethod
    def inverse(self) -> Map:
        """The map back."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values; :func:`maps_from_dict` reads them back."""

    @property
    def spacing(self) -> float:
        """Target pixels over which positions may be interpolated instead of mapped."""
        return 16.0


@dataclass(frozen=True, eq=False)
class Homography(Map):
    """A projective map.

    Attributes
    ----------
    matrix : float64 array, shape (3, 3)
        Acts on (row, column, 1); its last number is 1.

    Raises
    ------
    MatchError
        If the matrix is not finite, of another shape, or singular.
    """

    matrix: NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise MatchError(f"a transform needs a finite 3 x 3 matrix, not {matrix.tolist()}.")
        if abs(_determinant(matrix)) < 1e-12:
            raise MatchError("the transform is singular: it maps the image onto a line.")
        matrix = matrix / matrix[2, 2] if matrix[2, 2] else matrix
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    def __call__(self, points: Array) -> Array:
        """Positions (n, 2) to positions (n, 2)."""
        depth = points @ self.matrix[2, :2] + self.matrix[2, 2]
        return np.asarray(_linear(self.matrix, points) / depth[:, None])

    @property
    def inverse(self) -> Homography:
        """The map back."""
        return flat(np.linalg.inv(self.matrix))

    def to_dict(self) -> dict[str, Any]:
        """The matrix as lists."""
        return {"matrix": self.matrix.tolist()}


class Affine(Homography):
    """A map that keeps parallels: the last row of its matrix is 0, 0, 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _keeps_parallels(self.matrix):
            raise MatchError(f"an affine map needs 0, 0, 1 as last row, not {self.matrix[2]}.")

    def __call__(self, points: Array) -> Array:
        """Positions (n, 2) to positions (n, 2)."""
        return _linear(self.matrix, points)


def flat(matrix: ArrayLike) -> Homography:
    """The affine map of a matrix (3, 3), or where it has perspective the projective one."""
    values = np.asarray(matrix, np.float64)
    return Affine(values) if _keeps_parallels(values) else Homography(values)


def _linear(matrix: Array, points: Array) -> Array:
    """Positions (n, 2) by the first two rows of a matrix (3, 3)."""
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2])


def _keeps_parallels(matrix: Array) -> bool:
    return matrix.shape == (3, 3) and matrix[2, :2].tolist() == [0.0, 0.0] and matrix[2, 2] != 0


def _determinant(matrix: Array) -> float:
    """Of a 3 x 3 matrix, by hand: ten times as fast as a call for any size."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


@dataclass(frozen=True)
class Projection(Map):
    """The exact map between the pixels of two grids of different CRS.

    Attributes
    ----------
    source, target : GeoBox
    """

    source: GeoBox
    target: GeoBox

    def __call__(self, points: Array) -> Array:
        """Pixels (n, 2) of ``source`` to pixels of ``target``."""
        return between(self.source, self.target, points)

    @property
    def inverse(self) -> Projection:
        """The map back."""
        return Projection(self.target, self.source)

    def after(self, first: Affine) -> Projection:
        """The projection of positions that ``first`` has moved: its source is another grid."""
        columns_first = first.matrix[np.ix_([1, 0, 2], [1, 0, 2])]
        moved = np.reshape(self.source.affine, (3, 3)) @ columns_first
        grid = GeoBox(self.source.shape, GridMap(*np.ravel(moved)[:6]), self.source.crs)
        return Projection(grid, self.target)

    def to_dict(self) -> dict[str, Any]:
        """CRS, affine map and shape of both grids."""
        grids = {
            name: {
                "crs": crs_text(grid),
                "affine": list(tuple(grid.affine)[:6]),
                "shape": list(shape_of(grid)),
            }
            for name, grid in (("from", self.source), ("to", self.target))
        }
        return {"projection": grids}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Projection:
        """Rebuild what :meth:`to_dict` gave."""
        grids = (values["projection"][name] for name in ("from", "to"))
        return cls(*(make_grid(g["crs"], tuple(g["affine"]), *g["shape"]) for g in grids))


@dataclass(frozen=True, eq=False)
class DisplacementField(Map):
    """An affine map and a displacement of each position, in target pixels.

    Attributes
    ----------
    affine : Affine
    frame : float64 array, shape (3, 3)
        Affine map from a position to where the field is defined.
    """

    affine: Affine
    frame: Array

    @abstractmethod
    def displacement(self, points: Array) -> Array:
        """What is added to the affine map at positions (n, 2); pixels, shape (n, 2)."""

    @abstractmethod
    def solve(self, points: Array) -> Array:
        """Positions (n, 2) that go to ``points``."""

    @abstractmethod
    def before(self, second: Affine) -> Self:
        """The field, and ``second`` after it."""

    def after(self, first: Affine) -> Self:
        """The field of positions that ``first`` has moved."""
        affine = Affine(self.affine.matrix @ first.matrix)
        return replace(self, affine=affine, frame=self.frame @ first.matrix)

    def __call__(self, points: Array) -> Array:
        """Positions (n, 2) to positions (n, 2)."""
        return np.asarray(self.affine(points) + self.displacement(points))

    @property
    def inverse(self) -> Inverse:
        """The map back."""
        return Inverse(self)


@dataclass(frozen=True, eq=False)
class Inverse(Map):
    """The way back through a field.

    Attributes
    ----------
    field : DisplacementField
    """

    field: DisplacementField

    def __call__(self, points: Array) -> Array:
        """Positions (n, 2) to positions (n, 2); solved to 1e-9 px where no formula gives them."""
        return self.field.solve(points)

    @property
    def inverse(self) -> DisplacementField:
        """The field."""
        return self.field

    @property
    def spacing(self) -> float:
        """That of the field."""
        return self.field.spacing

    def to_dict(self) -> dict[str, Any]:
        """Values of the field, marked as inverted."""
        (_, matrix), (name, field) = self.field.to_dict().items()
        return {"matrix": matrix, name: {**field, "inverted": True}}


@dataclass(frozen=True, eq=False)
class ThinPlate(DisplacementField):
    """A thin-plate spline: displacements ``U(|frame(p) - knots|) @ weights``.

    Bookstein, "Principal warps: thin-plate splines and the decomposition of
    deformations", PAMI 1989; ``U(r) = r^2 log r``.

    Attributes
    ----------
    affine : Affine
    frame : float64 array, shape (3, 3)
        It keeps the numbers near one.
    knots : float64 array, shape (n, 2)
        Row and column, in units of ``frame``.
    weights : float64 array, shape (n, 2)
        Target pixels.
    """

    knots: Array
    weights: Array

    @classmethod
    def fit(cls, source: Array, target: Array, smoothing: float) -> ThinPlate:
        """Fit a smoothing spline that sends ``source`` to ``target``.

        Parameters
        ----------
        source, target : float64 array, shape (n, 2)
            Positions, row and column, in pixels; n >= 3, not on one line.
        smoothing : float
            0 interpolates; larger values smooth more (Wahba, "Spline models for
            observational data", 1990), in units of the kernel at the spread of
            the points.
        """
        centre, scale = source.mean(axis=0), float(source.std()) or 1.0
        frame = np.diag([1.0 / scale, 1.0 / scale, 1.0])
        frame[:2, 2] = -centre / scale
        knots = (source - centre) / scale
        n = len(knots)
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = _kernel(knots, knots) + smoothing * n * np.eye(n)
        system[:n, n], system[:n, n + 1 :] = 1.0, knots
        system[n:, :n] = system[:n, n:].T
        right = np.zeros((n + 3, 2))
        right[:n] = target
        solved = np.asarray(np.linalg.lstsq(system, right, rcond=None)[0], np.float64)
        matrix = np.eye(3)
        matrix[:2, :2], matrix[:2, 2] = solved[n + 1 :].T, solved[n]
        return cls(Affine(matrix @ frame), frame, knots, solved[:n])

    def displacement(self, points: Array) -> Array:
        """What is added to the affine map at positions (n, 2); pixels, shape (n, 2)."""
        framed = _linear(self.frame, points)
        out = np.empty_like(points)
        for start in range(0, len(points), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            out[part] = _kernel(framed[part], self.knots) @ self.weights
        return out

    def solve(self, points: Array) -> Array:
        """Positions (n, 2) that go to ``points``, to 1e-9 px by fixed-point steps.

        Raises
        ------
        MatchError
            If the spline folds.
        """
        back = self.affine.inverse
        solution = back(points)
        for _ in range(_MAX_ITERATIONS):
            error = points - self(solution)
            if float(np.abs(error).max(initial=0.0)) < _TOLERANCE_PX:
                return solution
            solution = solution + error @ back.matrix[:2, :2].T
        raise MatchError(
            "the spline folds over itself and has no inverse. Use --model affine instead."
        )

    def before(self, second: Affine) -> ThinPlate:
        """The spline, and ``second`` after it."""
        affine = Affine(second.matrix @ self.affine.matrix)
        return replace(self, affine=affine, weights=self.weights @ second.matrix[:2, :2].T)

    def to_dict(self) -> dict[str, Any]:
        """The matrix and the spline."""
        arrays = {name: getattr(self, name).tolist() for name in ("frame", "knots", "weights")}
        spline = {"inverted": False, "kernel": "r^2 log r", **arrays}
        return {**self.affine.to_dict(), "spline": spline}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ThinPlate:
        """Rebuild what :meth:`to_dict` gave."""
        arrays = (np.array(values["spline"][k]) for k in ("frame", "knots", "weights"))
        return cls(Affine(np.array(values["matrix"])), *arrays)


def _kernel(points: Array, knots: Array) -> Array:
    """``r^2 log r`` between positions (n, 2) and knots (m, 2), shape (n, m)."""
    squared = ((points[:, None, :] - knots[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(0.5 * squared * np.log(np.maximum(squared, 1e-300)))


@dataclass(frozen=True, eq=False)
class ReliefField(DisplacementField):
    """Where hills appear: displacements on a grid over the ground.

    A position ``p`` that the affine map sends to ``u`` goes to the ``q`` with
    ``q = u + d(q)``: ``d`` belongs to the ground, where it has one value, and
    not to the SAR image, where layover brings several together. So the way
    back has a closed form, and the way there exists once wherever ``d``
    changes by less than a pixel per pixel, that is, without layover.

    Attributes
    ----------
    affine : Affine
    frame : float64 array, shape (3, 3)
        Affine map from a position ``p`` to the node (row, column) under ``u``.
    values : float64 array, shape (h, w, 2)
        Displacement in target pixels at the nodes, bilinear between them and
        that of the rim beyond.
    step : float64 array, shape (2, 2)
        From displacements to nodes.
    """

    values: NDArray[np.float64]
    step: Array

    @classmethod
    def on_grid(cls, values: Array, spacing: float, base: Affine) -> Self:
        """Displacements (h, w, 2) at target positions ``spacing`` apart from (0, 0)."""
        shrink = np.diag([1.0 / spacing, 1.0 / spacing, 1.0])
        grid = np.asarray(values, np.float64)
        return cls(base, shrink @ base.matrix, grid, shrink[:2, :2].copy())

    @property
    def spacing(self) -> float:
        """Target pixels between nodes."""
        return float(1.0 / np.abs(self.step).max())

    def displacement(self, points: Array) -> Array:
        """``q - u`` (n, 2) of positions (n, 2), by fixed-point steps."""
        base = _linear(self.frame, points)
        displacement = self._of(base)
        for _ in range(_RELIEF_ITERATIONS):
            after = self._of(base + displacement @ self.step.T)
            moved = float(np.abs(after - displacement).max(initial=0.0))
            # In layover two grounds answer in turn; half the way settles between them.
            displacement = after if moved < 1.0 else (after + displacement) / 2
            if moved < _TOLERANCE_PX:
                break
        return displacement

    def solve(self, points: Array) -> Array:
        """Positions (n, 2) that go to ``points``."""
        back = self.affine.inverse
        return back(points - self._of(_linear(self.frame, back(points))))

    def before(self, second: Affine) -> Self:
        """The field, and ``second`` after it."""
        linear = second.matrix[:2, :2]
        return replace(
            self,
            affine=Affine(second.matrix @ self.affine.matrix),
            values=self.values @ linear.T,
            step=self.step @ np.linalg.inv(linear),
        )

    def to_dict(self) -> dict[str, Any]:
        """The matrix and the relief, to a thousandth of a pixel."""
        rows, cols = np.round(np.moveaxis(self.values, -1, 0), 3).tolist()
        relief = {"frame": self.frame.tolist(), "step": self.step.tolist()}
        relief = {"inverted": False, **relief, "rows": rows, "cols": cols}
        return {**self.affine.to_dict(), "relief": relief}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ReliefField:
        """Rebuild what :meth:`to_dict` gave."""
        field = values["relief"]
        grid = np.stack([np.array(field[k], np.float64) for k in ("rows", "cols")], axis=-1)
        base = Affine(np.array(values["matrix"]))
        return cls(base, np.array(field["frame"]), grid, np.array(field["step"]))

    def _of(self, nodes: Array) -> Array:
        from scipy.ndimage import map_coordinates

        return np.column_stack(
            [map_coordinates(self.values[..., k], nodes.T, order=1, mode="nearest") for k in (0, 1)]
        )


@dataclass(frozen=True, eq=False)
class LatticeField(ReliefField):
    """How the ground of a whole scene is displaced, as measured tile by tile.

    The map is that of :class:`ReliefField`: ``q = u + d(q)`` with ``d`` on a lattice over the
    target, bilinear between its nodes and that of the rim beyond. So the way back, by which
    pixels are written, has a closed form, and takes one look-up a position. A scene has a
    million nodes; they lie in a raster beside ``match.json``
    (:func:`crosslook.match.lattice.write_lattice`), which names it and says what it must hold.

    Attributes
    ----------
    values : float32 array, shape (h, w, 2)
        Displacement in target pixels (rows, columns) at the nodes.
    """

    @classmethod
    def on_lattice(cls, values: Array, spacing: float, corner: tuple[float, float]) -> Self:
        """The field of displacements alone: its affine map moves nothing.

        Parameters
        ----------
        values : array, shape (h, w, 2)
            Target pixels, rows and columns. They are stored to 1/1024 px.
        spacing : float
            Target pixels between nodes.
        corner : (row, column)
            Target position of the first node.
        """
        frame = np.diag([1.0 / spacing, 1.0 / spacing, 1.0])
        frame[:2, 2] = -np.asarray(corner, np.float64) / spacing
        grid = (np.rint(np.asarray(values) * _FRACTIONS) / _FRACTIONS).astype(np.float32)
        return cls(Affine(np.eye(3)), frame, cast(Any, grid), frame[:2, :2].copy())

    def before(self, second: Affine) -> Self:
        """The field, and ``second`` after it."""
        moved = super().before(second)
        return replace(moved, values=cast(Any, moved.values.astype(np.float32)))

    @property
    def nodes(self) -> Array:
        """Affine map (3, 3) from target positions, without displacement, to nodes."""
        return np.asarray(self.frame @ np.linalg.inv(self.affine.matrix), np.float64)

    def to_dict(self) -> dict[str, Any]:
        """The matrix, and what the file beside ``match.json`` must hold."""
        field = {
            "inverted": False,
            "frame": self.frame.tolist(),
            "step": self.step.tolist(),
            "file": FIELD_FILE,
            "shape": list(self.values.shape[:2]),
            "sha256": digest_of_lattice(self.values),
        }
        return {**self.affine.to_dict(), "field": field}

    @classmethod
    def from_dict(cls, values: dict[str, Any], folder: Path | None = None) -> LatticeField:
        """Rebuild what :meth:`to_dict` gave, from the file in ``folder``.

        Raises
        ------
        MatchError
            If the file is missing, damaged or of another match.
        """
        field = values["field"]
        if folder is None:
            raise MatchError(
                f"the displacement of this transform lies in {FIELD_FILE} beside match.json; say "
                "which folder that is."
            )
        # The name is ours, whatever the JSON says, so that it leads nowhere else.
        grid = read_lattice(folder / FIELD_FILE, tuple(field["shape"]), field["sha256"])
        base = Affine(np.array(values["matrix"]))
        return cls(base, np.array(field["frame"]), cast(Any, grid), np.array(field["step"]))


def merged(maps: Iterable[Map]) -> tuple[Map, ...]:
    """Maps that apply one after another, with neighbours merged where one map does for two."""
    out: list[Map] = []
    for one in maps:
        out.append(one)
        while len(out) > 1 and (both := _merge(*out[-2:])) is not None:
            out[-2:] = [both]
    return tuple(out)


def _merge(first: Map, second: Map) -> Map | None:
    """The one map that does for two; None where there is none."""
    match first, second:
        case Homography(), Homography():
            return flat(second.matrix @ first.matrix)
        case Affine(), DisplacementField() | Projection():
            return second.after(first)
        case DisplacementField(), Affine():
            return first.before(second)
        case (Affine(), Inverse()) | (Inverse(), Affine()):
            back = _merge(second.inverse, first.inverse)
            return None if back is None else back.inverse
    return None


def maps_from_dict(values: dict[str, Any], folder: Path | None = None) -> tuple[Map, ...]:
    """Rebuild maps from their plain values, also from those of former versions.

    Those had one layout for everything, applied in this order: a ``projection``,
    the ``matrix``, and a ``spline`` or ``relief``. ``inverted`` meant the way back.
    """
    if "maps" in values:
        return tuple(one for part in values["maps"] for one in maps_from_dict(part, folder))
    maps: list[Map] = []
    if "projection" in values:
        maps.append(Projection.from_dict(values))
    if "spline" in values:
        maps.append(ThinPlate.from_dict(values))
    elif "relief" in values:
        maps.append(ReliefField.from_dict(values))
    elif "field" in values:
        maps.append(LatticeField.from_dict(values, folder))
    elif "matrix" in values or not maps:
        maps.append(flat(values["matrix"]))
    if any(isinstance(part, dict) and part.get("inverted") for part in values.values()):
        return tuple(one.inverse for one in reversed(maps))
    return merged(maps)


@dataclass(frozen=True, eq=False, init=False)
class Transform:
    """Maps SAR pixel positions to optical pixel positions.

    Positions are (row, column), continuous, pixel centres at +0.5.
    ``second @ first`` applies ``first`` and then ``second``.

    Parameters
    ----------
    maps : tuple of Map, or Map, or array_like, shape (3, 3)
        A matrix acts on (row, column, 1).
    model : str

    Attributes
    ----------
    maps : tuple of Map
        In the order in which they apply: between two CRSs the exact projection comes first.
    model : str
        ``shift``, ``similarity``, ``affine``, ``homography``, ``tps``, ``relief`` or ``field``:
        what was fitted.

    Raises
    ------
    SettingError
        If the model is unknown.
    MatchError
        If the matrix is not finite, of another shape, or singular.
    """

    maps: tuple[Map, ...]
    model: TransformModel

    def __init__(
        self, maps: tuple[Map, ...] | Map | ArrayLike, model: TransformModel = "similarity"
    ) -> None:
        if model not in MODELS:
            raise SettingError(
                f"unknown model '{model}'; one of {', '.join(MODELS)} is needed."
                + did_you_mean(model, MODELS)
            )
        if isinstance(maps, Map):
            maps = (maps,)
        elif not isinstance(maps, tuple) or not any(isinstance(one, Map) for one in maps):
            maps = (flat(np.asarray(maps)),)
        object.__setattr__(self, "maps", maps)
        object.__setattr__(self, "model", model)

    def __call__(self, points: ArrayLike) -> Array:
        """Map positions, shape (n, 2) or (2,), row and column; same shape back."""
        given = np.asarray(points, np.float64)
        mapped = given.reshape(-1, 2)
        for one in self.maps:
            mapped = one(mapped)
        return mapped.reshape(given.shape)

    def __matmul__(self, first: Transform) -> Transform:
        """The map that applies ``first`` and then this one; of the more general model."""
        model = MODELS[max(MODELS.index(self.model), MODELS.index(first.model))]
        return Transform(merged((*first.maps, *self.maps)), model)

    @property
    def inverse(self) -> Transform:
        """The map from optical to SAR pixels; of a spline solved to 1e-9 px."""
        return Transform(tuple(one.inverse for one in reversed(self.maps)), self.model)

    @property
    def is_flat(self) -> bool:
        """Whether one matrix is the map: no spline, no relief, no projection."""
        return len(self.maps) == 1 and isinstance(self.maps[0], Homography)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The matrix (3, 3) of a flat transform; it acts on (row, column, 1).

        Raises
        ------
        MatchError
            If the transform is not flat.
        """
        only = self.maps[0]
        if len(self.maps) > 1 or not isinstance(only, Homography):
            raise MatchError(
                f"no single matrix does what this transform ('{self.model}') does. Call it with "
                "positions; `without_field` is what remains without spline or relief."
            )
        return only.matrix

    @property
    def has_field(self) -> bool:
        """Whether a spline or a relief displaces positions."""
        return any(isinstance(one, DisplacementField | Inverse) for one in self.maps)

    @property
    def lattice(self) -> LatticeField | None:
        """The displacement of a scene, which is written as a file of its own; None without."""
        fields = (one.field if isinstance(one, Inverse) else one for one in self.maps)
        return next((one for one in fields if isinstance(one, LatticeField)), None)

    @property
    def without_field(self) -> Transform:
        """The transform without spline or relief: what is affine or projective of it."""
        maps = (
            one.affine if isinstance(one, DisplacementField)
            else one.field.affine.inverse if isinstance(one, Inverse) else one
            for one in self.maps
        )  # fmt: skip
        return Transform(merged(maps), self.model)

    @property
    def spacing(self) -> float:
        """Optical pixels over which positions may be interpolated instead of mapped."""
        return min(one.spacing for one in self.maps)

    def within(self, window: Window) -> Transform:
        """The same map to positions counted from the first pixel of an optical window."""
        return shift_by(-window.row, -window.col) @ self

    def local_scale(self, point: ArrayLike) -> float:
        """Optical pixels per SAR pixel at a SAR position: root of the area ratio."""
        return self.describe(point)["scale"]

    def describe(self, point: ArrayLike) -> dict[str, float]:
        """Shift (px), rotation (degrees, positive turns columns to rows) and scale there."""
        at = np.asarray(point, np.float64)
        steps = at + np.array([[0, 0], [0, 1.0], [0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
        here, along, *around = self(steps)
        jacobian = np.stack([around[0] - around[1], around[2] - around[3]])
        rotation = np.degrees(np.arctan2(along[0] - here[0], along[1] - here[1]))
        return {
            "row_px": float(here[0] - at[0]),
            "col_px": float(here[1] - at[1]),
            "rotation_degrees": float(rotation),
            "scale": float(np.sqrt(abs(np.linalg.det(jacobian)))),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``match.json``; :meth:`from_dict` reads them back.

        They hold a ``matrix``, with a ``spline``, ``relief`` or ``field`` where there is one; of
        several maps a list ``maps`` of such, and of ``projection``, in the order in which they
        apply.
        """
        maps = [one.to_dict() for one in self.maps]
        return {
            "model": self.model,
            "unit": "pixel",
            "axes": "row, column; pixel centres at +0.5",
            **(maps[0] if len(maps) == 1 else {"maps": maps}),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], folder: Path | None = None) -> Transform:
        """Rebuild what :meth:`to_dict` gave, also in former versions.

        ``folder`` is that of ``match.json``, where the displacement of a scene lies.
        """
        return cls(maps_from_dict(values, folder), cast("TransformModel", values["model"]))


def identity(model: TransformModel = "similarity") -> Transform:
    """The map that moves nothing."""
    return Transform(np.eye(3), model)


def translation(row: float, col: float) -> Array:
    """Matrix of a shift in pixels."""
    matrix = np.eye(3)
    matrix[:2, 2] = row, col
    return matrix


def shift_by(row: float, col: float) -> Transform:
    """The shift by so many pixels."""
    return Transform(translation(row, col), "shift")


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
    if not _keeps_parallels(matrix):
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
