"""What the units of a study are, which fit the calibrations and which are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crosslook.errors import CalibrationError
from crosslook.types import Indices, Patch, Split

_AT_LEAST = 2


@dataclass(frozen=True)
class Units:
    """What is never divided, and what is drawn by every interval.

    Attributes
    ----------
    kind : str
        ``group`` or ``scene``.
    names : tuple of str
        The unit of each patch, in order.
    notes : tuple of str
        What a reader of the intervals must know.
    """

    kind: str
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of different units."""
        return len(set(self.names))


def find_units(patches: Sequence[Patch], by: str = "auto") -> Units:
    """Find the units of a patch set: one for split, intervals, probe and clusters.

    Patches of one region look alike, so a region on both sides of a split, or
    drawn in parts, makes calibrations too good and intervals too narrow.

    Parameters
    ----------
    patches : sequence of Patch
    by : str
        ``scene``, ``group``, or ``auto``: the group where groups are known and
        at least three, else the scene.
    """
    scenes = tuple(patch.scene for patch in patches)
    groups = tuple(patch.group for patch in patches)
    known = len(set(groups))
    notes = []
    if by == "auto":
        few = groups != scenes and known <= _AT_LEAST < len(set(scenes))
        by = "scene" if few or groups == scenes else "group"
        if few:
            notes.append(
                f"units are scenes: {known} group(s) ({', '.join(sorted(set(groups)))}) are too "
                "few to divide. Scenes of one group look alike, so intervals may be too narrow."
            )
    names = groups if by == "group" else scenes
    if len(set(names)) == len(names) > 1:
        notes.append(
            f"every one of the {len(names)} patches is a unit of its own: no region, group or "
            "scene is known that several share. If some show neighbouring ground, the split does "
            "not keep them apart and intervals are too narrow; name regions in a column 'group' "
            "of a table of the pairs, or of groups.csv beside them."
        )
    return Units(by, names, tuple(notes))


def draw_evenly(units: Sequence[str], most: int, seed: int) -> Indices:
    """Draw ``most`` items, as evenly over the units as their sizes allow: indices, in order.

    Each unit in turn gives one of its items, drawn by the seed, until there are
    enough; small units give all they have. Of more units than items, a seeded
    draw of units gives one each.
    """
    names = np.asarray(units)
    if len(names) <= most:
        return np.arange(len(names), dtype=np.int64)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(names))
    which = np.unique(names, return_inverse=True)[1][order]
    # The round in which an item's turn comes: how many of its unit stand before it.
    by_unit = np.argsort(which, kind="stable")
    starts = np.searchsorted(which[by_unit], which[by_unit])
    round_of = np.empty(len(names), np.int64)
    round_of[by_unit] = np.arange(len(names)) - starts
    first = np.argsort(round_of, kind="stable")[:most]
    return np.sort(order[first]).astype(np.int64)


@dataclass(frozen=True)
class Division:
    """Indices of patches: ``fit`` for calibrations, ``measured`` for the rest."""

    split: Split
    fit: Indices
    measured: Indices
    fit_units: tuple[str, ...]


def divide(units: Units, fraction: float, seed: int) -> Division:
    """Set a fraction of the units (at least two) aside for the calibrations.

    Parameters
    ----------
    units : Units
    fraction : float
        Fraction of the units, 0..1.
    seed : int
        Draws which ones.

    Raises
    ------
    CalibrationError
        If fewer than three units are there: two to fit and one to measure.
    """
    names = sorted(set(units.names))
    if len(names) <= _AT_LEAST:
        raise CalibrationError(
            f"{len(names)} {units.kind}(s) with usable patches; a calibration needs at least "
            f"{_AT_LEAST} to fit and one more to measure. Give more {units.kind}s, or fit on the "
            "measured ones with --split transductive (rows are then marked so)."
        )
    count = min(max(_AT_LEAST, round(fraction * len(names))), len(names) - 1)
    order = np.random.default_rng(seed).permutation(len(names))
    chosen = {names[i] for i in order[:count]}
    fits = np.array([name in chosen for name in units.names])
    return Division("held-out", np.flatnonzero(fits), np.flatnonzero(~fits), tuple(sorted(chosen)))


def transductive(units: Units) -> Division:
    """Fit on everything and measure everything; rows say ``transductive``."""
    everything = np.arange(len(units.names))
    return Division("transductive", everything, everything, tuple(sorted(set(units.names))))
