"""Displacement fields that a transform carries beyond its matrix: a spline, or the relief."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from crosslook.types import Array


@dataclass(frozen=True, eq=False)
class ThinPlate:
    """A displacement field ``p -> U(|frame(p) - knots|) @ weights``.

    Bookstein, "Principal warps: thin-plate splines and the decomposition of
    deformations", PAMI 1989; ``U(r) = r^2 log r``. The affine part of the
    spline lives in the matrix of the transform that carries this field.

    Attributes
    ----------
    knots : float64 array, shape (n, 2)
        Row and column, in units of ``frame``.
    weights : float64 array, shape (n, 2)
        Output displacement, pixels.
    frame : float64 array, shape (3, 3)
        Affine map applied to a position before distances are taken; it keeps
        the numbers near one and lets a spline be composed with affine maps.
    """

    knots: Array
    weights: Array
    frame: Array

    spacing = 16.0
    """Target pixels over which the field may be interpolated."""

    def displacement(self, points: Array) -> Array:
        """Displacement (n, 2) in pixels at positions (n, 2)."""
        framed = points @ self.frame[:2, :2].T + self.frame[:2, 2]
        out = np.empty_like(points)
        for start in range(0, len(points), 65536):  # bounds memory for whole images
            part = slice(start, start + 65536)
            out[part] = kernel(framed[part], self.knots) @ self.weights
        return out

    def after(self, matrix: Array) -> ThinPlate:
        """The field of positions that an affine ``matrix`` (3, 3) moves first."""
        return replace(self, frame=self.frame @ matrix)

    def before(self, matrix: Array) -> ThinPlate:
        """The field whose displacements an affine ``matrix`` (3, 3) maps afterwards."""
        return replace(self, weights=self.weights @ matrix[:2, :2].T)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kernel": "r^2 log r",
            "frame": self.frame.tolist(),
            "knots": self.knots.tolist(),
            "weights": self.weights.tolist(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ThinPlate:
        """Rebuild what :meth:`to_dict` gave."""
        return cls(*(np.array(values[k]) for k in ("knots", "weights", "frame")))


def kernel(points: Array, knots: Array) -> Array:
    """``r^2 log r`` between positions (n, 2) and knots (m, 2), shape (n, m)."""
    squared = ((points[:, None, :] - knots[None, :, :]) ** 2).sum(axis=2)
    result: Array = 0.5 * squared * np.log(np.maximum(squared, 1e-300))
    return result


def fit_thin_plate(source: Array, target: Array, smoothing: float) -> tuple[Array, ThinPlate]:
    """Fit a smoothing thin-plate spline from ``source`` to ``target``.

    Parameters
    ----------
    source, target : float64 array, shape (n, 2)
        Positions, row and column, in pixels; n >= 3, not on one line.
    smoothing : float
        0 interpolates; larger values bend less (Wahba, "Spline models for
        observational data", 1990), in units of the kernel at the spread of
        the points.

    Returns
    -------
    matrix : float64 array, shape (3, 3)
        The affine part.
    field : ThinPlate
        The bent part, added to it.
    """
    centre, scale = source.mean(axis=0), float(source.std()) or 1.0
    frame = np.diag([1.0 / scale, 1.0 / scale, 1.0])
    frame[:2, 2] = -centre / scale
    knots = (source - centre) / scale
    n = len(knots)
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = kernel(knots, knots) + smoothing * n * np.eye(n)
    system[:n, n], system[:n, n + 1 :] = 1.0, knots
    system[n:, :n] = system[:n, n:].T
    right = np.zeros((n + 3, 2))
    right[:n] = target
    solved = np.asarray(np.linalg.lstsq(system, right, rcond=None)[0], np.float64)
    affine = np.eye(3)
    affine[:2, :2], affine[:2, 2] = solved[n + 1 :].T, solved[n]
    return affine @ frame, ThinPlate(knots, solved[:n], frame)


_STEPS = 60
_STEP_PX = 1e-9


@dataclass(frozen=True, eq=False)
class ReliefField:
    """Where hills seem to stand: displacements given where they end, on a grid.

    A position ``p`` that the matrix sends to ``u`` goes to the ``q`` with
    ``q = u + d(q)``: ``d`` belongs to the ground, where it has one value, and
    not to the SAR image, where layover brings several together. So the way
    back has a closed form, and the way there exists once wherever ``d``
    changes by less than a pixel per pixel, that is, without layover.

    Attributes
    ----------
    values : float64 array, shape (h, w, 2)
        Displacement in optical pixels at the nodes, bilinear between them and
        that of the rim beyond.
    frame : float64 array, shape (3, 3)
        Affine map from a position ``p`` to the node (row, column) under ``u``.
    step : float64 array, shape (2, 2)
        From displacements to nodes.
    """

    values: NDArray[np.float64]
    frame: Array
    step: Array

    @property
    def spacing(self) -> float:
        """Target pixels over which the field may be interpolated."""
        return float(1.0 / np.abs(self.step).max())

    def at(self, points: Array) -> Array:
        """``d`` (n, 2) where the matrix alone sends ``points`` (n, 2)."""
        return self._of(points @ self.frame[:2, :2].T + self.frame[:2, 2])

    def displacement(self, points: Array) -> Array:
        """``q - u`` (n, 2) of positions (n, 2), by fixed-point steps."""
        base = points @ self.frame[:2, :2].T + self.frame[:2, 2]
        displacement = self._of(base)
        for _ in range(_STEPS):
            after = self._of(base + displacement @ self.step.T)
            moved = float(np.abs(after - displacement).max(initial=0.0))
            # In layover two grounds answer in turn; half the way settles between them.
            displacement = after if moved < 1.0 else (after + displacement) / 2
            if moved < _STEP_PX:
                break
        return displacement

    def after(self, matrix: Array) -> ReliefField:
        """The field of positions that an affine ``matrix`` (3, 3) moves first."""
        return replace(self, frame=self.frame @ matrix)

    def before(self, matrix: Array) -> ReliefField:
        """The field whose displacements an affine ``matrix`` (3, 3) maps afterwards."""
        linear = matrix[:2, :2]
        return replace(self, values=self.values @ linear.T, step=self.step @ np.linalg.inv(linear))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, to a thousandth of a pixel."""
        return {
            "frame": self.frame.tolist(),
            "step": self.step.tolist(),
            "rows": np.round(self.values[..., 0], 3).tolist(),
            "cols": np.round(self.values[..., 1], 3).tolist(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ReliefField:
        """Rebuild what :meth:`to_dict` gave."""
        grid = np.stack([np.array(values[k], np.float64) for k in ("rows", "cols")], axis=-1)
        return cls(grid, np.array(values["frame"]), np.array(values["step"]))

    def _of(self, nodes: Array) -> Array:
        return np.column_stack(
            [map_coordinates(self.values[..., k], nodes.T, order=1, mode="nearest") for k in (0, 1)]
        )


def relief_field(values: Array, spacing: float, base: Array) -> ReliefField:
    """The field of displacements (h, w, 2) at optical positions ``spacing`` apart from (0, 0).

    ``base`` (3, 3) is the affine matrix of the transform that carries it.
    """
    shrink = np.diag([1.0 / spacing, 1.0 / spacing, 1.0])
    return ReliefField(np.asarray(values, np.float64), shrink @ base, shrink[:2, :2].copy())
