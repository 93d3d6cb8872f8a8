"""How sure the map of a scene is, node by node and tile by tile."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from crosslook.match.evidence import Label
from crosslook.match.scene.consensus import Nodes
from crosslook.match.scene.field import Geometry
from crosslook.match.scene.plan import ScenePlan
from crosslook.match.scene.result import Quality, SceneTile
from crosslook.types import Array, Window

MATCH, UNCERTAIN = 0.9, 0.5
"""Least confidence of a tile that is called a match, and of one that is called uncertain."""

_HALF, _SLOPE = 0.4, 14.0
"""Fraction of agreeing templates at which an answer is as likely right as wrong, and how fast
that changes: unrelated ground has .08, and no part of a right answer that was off by five pixels
had more than .3."""

_FEW = 4.0  # templates side by side that a fraction must be of to count
_TEMPLATE_PX = 96.0
_AROUND_PX = 192.0
_SHOWN_TILE_PX = 768.0
_SIXTY_EIGHT = 0.68
_LEAST_INLIERS = 3


def quality_of(plan: ScenePlan, nodes: Nodes, geometry: Geometry, linear: Array) -> Quality:
    """The scene node by node.

    ``linear`` (2, 2) takes displacements on the ground to those from the corrected map.
    """
    spread = geometry.held_out / np.sqrt(np.log(4.0))  # of the median of a Rayleigh distribution
    std = _around(spread, nodes, _AROUND_PX / plan.spacing)
    known = nodes.agreeing >= UNCERTAIN
    confidence = confidence_of(nodes.agreeing, np.full(nodes.shape, _FEW))
    moved = geometry.field @ linear.T * plan.factor
    blank = np.where(known, 1.0, np.nan)
    return Quality(
        corner=plan.window.corner,
        spacing=plan.step,
        displacement=(moved * blank[..., None]).astype(np.float32),
        std=(std * plan.factor * blank).astype(np.float32),
        density=(nodes.agreeing * blank).astype(np.float32),
        confidence=(confidence * blank).astype(np.float32),
    )


def confidence_of(agreeing: Array, templates: Array) -> Array:
    """Probability that the map is right to five pixels, by what agrees, and of how many.

    Parameters
    ----------
    agreeing : float64 array
        Fraction of the templates whose own peak lies where the map puts them.
    templates : float64 array
        How many lie side by side.
    """
    certain = _SLOPE * (agreeing - _HALF) * np.minimum(1.0, templates / _FEW)
    return np.asarray(1.0 / (1.0 + np.exp(-certain)), np.float64)


def tiles_of(
    plan: ScenePlan, nodes: Nodes, geometry: Geometry, failed: Mapping[int, str]
) -> tuple[SceneTile, ...]:
    """A verdict for each part of the scene, about 768 pixels of the matched grid wide."""
    side = max(4, round(_SHOWN_TILE_PX / plan.spacing))
    lost = np.full(nodes.shape, -1)
    for number in failed:
        lost[plan.tiles[number].slices] = number
    return tuple(
        _tile(plan, nodes, geometry, part, failed.get(int(lost[part.row, part.col]), ""))
        for part in Window.whole(nodes.shape).tiles(side)
    )


def _tile(plan: ScenePlan, nodes: Nodes, geometry: Geometry, part: Window, error: str) -> SceneTile:
    at = part.slices
    measured, inlier = nodes.measured[at], nodes.inlier[at]
    count = int(measured.sum())
    agreeing = float(nodes.agreeing[at][measured].mean()) if count else 0.0
    templates = count * (plan.spacing / _TEMPLATE_PX) ** 2
    sure = float(confidence_of(np.array(agreeing), np.array(templates)))
    held_out = geometry.held_out[at][inlier] * plan.factor
    label: Label = "match" if sure >= MATCH else "uncertain" if sure >= UNCERTAIN else "no match"
    few = len(held_out) < _LEAST_INLIERS
    if few:
        label = "no match"
    position = (plan.positions(Window.whole(nodes.shape))[at] - plan.window.corner) / plan.factor
    left = nodes.displacement[at] - position @ geometry.matrix[:, :2].T - geometry.matrix[:, 2]
    residual = np.linalg.norm(left - geometry.field[at], axis=-1)[inlier] * plan.factor
    ground = float(nodes.filled[at].mean())
    return SceneTile(
        window=plan.pixels(part),
        verdict=label,
        confidence=round(sure if not few else min(sure, 1.0 - MATCH), 4),
        expected_error_px=None if few else round(float(np.quantile(held_out, _SIXTY_EIGHT)), 3),
        points=count,
        inliers=int(inlier.sum()),
        ground=round(ground, 4),
        residual_px=float(np.median(residual)) if len(residual) else float("nan"),
        held_out_px=float(np.median(held_out)) if len(held_out) else float("nan"),
        reason=error or (_reason(ground, agreeing) if label == "no match" else ""),
    )


def _reason(ground: float, agreeing: float) -> str:
    """Why a tile gives nothing."""
    if ground < 0.1:
        return "one or both images hold no data here"
    if agreeing < 0.2:
        return "nothing here is seen by both: open water, cloud, or ground that changed"
    return "too few templates agree with those around them"


def _around(values: Array, nodes: Nodes, blur: float) -> Array:
    """Root of the mean square of values of the inliers around each node."""
    known = nodes.inlier & np.isfinite(values)
    square = np.where(known, np.nan_to_num(values) ** 2, 0.0)
    above, below = (
        cv2.GaussianBlur(one, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
        for one in (np.minimum(square, 36.0), known.astype(np.float64))
    )
    return np.asarray(np.sqrt(above / np.maximum(below, 1e-3)), np.float64)
