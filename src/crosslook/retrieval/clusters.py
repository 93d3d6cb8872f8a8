"""Which patches belong together: clusters, duplicates, and the division into two sets.

A cluster (group or scene) is never divided, and is what every interval draws.
Duplicates show one place in several files. The calibration set fits calibrations;
the test set is measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from crosslook.errors import CalibrationError
from crosslook.types import Indices, Modality, Patch, Split

_AT_LEAST = 2
_NAMED = 3
_NEAR_PX = 1.0
_SAME_PIXEL = 0.01


@dataclass(frozen=True)
class Clusters:
    """What is never divided, and what is drawn by every interval.

    Attributes
    ----------
    kind : str
        ``group`` or ``scene``.
    names : tuple of str
        The cluster of each patch, in order.
    notes : tuple of str
        What a reader of the intervals must know.
    """

    kind: str
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of different clusters."""
        return len(set(self.names))


def find_clusters(patches: Sequence[Patch], by: str = "auto") -> Clusters:
    """Find the clusters of a patch set: the same for split, intervals, probe and clustering.

    Patches of one region look alike, so a region on both sides of a split, or
    drawn in parts, makes calibrations too good and intervals too narrow.

    Parameters
    ----------
    patches : sequence of Patch
    by : str
        ``scene``, ``group``, or ``auto``: the group where groups are known and
        at least three, else the scene.
    """
    found = choose_clusters([one.scene for one in patches], [one.group for one in patches], by)
    if found.count < len(found.names) or found.count == 1:
        return found
    alone = (
        f"every one of the {found.count} patches is a cluster of its own: no region, group or "
        "scene is known that several share. If some show neighbouring ground, the split does "
        "not keep them apart and intervals are too narrow; name regions in a column 'group' "
        "of a table of the pairs, or of groups.csv beside them."
    )
    return replace(found, notes=(*found.notes, alone))


def choose_clusters(scenes: Sequence[str], groups: Sequence[str], by: str = "auto") -> Clusters:
    """The clusters of items of which scene and group are known, as :func:`find_clusters` says."""
    known, notes = len(set(groups)), []
    if by == "auto":
        few = list(groups) != list(scenes) and known <= _AT_LEAST < len(set(scenes))
        by = "scene" if few or list(groups) == list(scenes) else "group"
        if few:
            notes.append(
                f"clusters are scenes: {known} group(s) ({', '.join(sorted(set(groups)))}) are too "
                "few to divide. Scenes of one group look alike, so intervals may be too narrow."
            )
    return Clusters(by, tuple(groups if by == "group" else scenes), tuple(notes))


def draw_evenly(clusters: Sequence[str], most: int, seed: int) -> Indices:
    """Draw ``most`` items, as evenly over the clusters as their sizes allow: indices, in order.

    Each cluster in turn gives one of its items, drawn by the seed, until there are
    enough; small clusters give all they have. Of more clusters than items, a seeded
    draw of clusters gives one each.
    """
    names = np.asarray(clusters)
    if len(names) <= most:
        return np.arange(len(names), dtype=np.int64)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(names))
    which = np.unique(names, return_inverse=True)[1][order]
    # The round in which an item's turn comes: how many of its cluster come before it.
    by_cluster = np.argsort(which, kind="stable")
    starts = np.searchsorted(which[by_cluster], which[by_cluster])
    round_of = np.empty(len(names), np.int64)
    round_of[by_cluster] = np.arange(len(names)) - starts
    first = np.argsort(round_of, kind="stable")[:most]
    return np.sort(order[first]).astype(np.int64)


@dataclass(frozen=True)
class Division:
    """Indices of the patches that fit calibrations, and of those that are measured."""

    split: Split
    calibration_set: Indices
    test_set: Indices
    calibration_clusters: tuple[str, ...]


def divide(clusters: Clusters, fraction: float, seed: int) -> Division:
    """Set a fraction of the clusters (at least two) aside for the calibrations.

    Parameters
    ----------
    clusters : Clusters
    fraction : float
        Fraction of the clusters, 0..1.
    seed : int
        Draws which ones.

    Raises
    ------
    CalibrationError
        If fewer than three clusters are there: two to fit and one to measure.
    """
    names = sorted(set(clusters.names))
    if len(names) <= _AT_LEAST:
        raise CalibrationError(
            f"{len(names)} {clusters.kind}(s) with usable patches; a calibration needs at least "
            f"{_AT_LEAST} to fit and one more to measure. Give more {clusters.kind}s, or fit on "
            "the measured ones with --split transductive (rows are then marked so)."
        )
    count = min(max(_AT_LEAST, round(fraction * len(names))), len(names) - 1)
    order = np.random.default_rng(seed).permutation(len(names))
    chosen = {names[i] for i in order[:count]}
    fits = np.array([name in chosen for name in clusters.names])
    return Division("held-out", np.flatnonzero(fits), np.flatnonzero(~fits), tuple(sorted(chosen)))


def transductive(clusters: Clusters) -> Division:
    """Fit on everything and measure everything; rows say ``transductive``."""
    everything = np.arange(len(clusters.names))
    return Division("transductive", everything, everything, tuple(sorted(set(clusters.names))))


@dataclass(frozen=True)
class Duplicates:
    """Patches that are each other's partner, since they show one place.

    Attributes
    ----------
    label : int64 array, shape (N,)
        Equal for duplicates; the index of the first of them.
    sets : tuple of tuple of str
        Ids of the patches of each place that more than one shows.
    notes : tuple of str
        How many there are, why, and which.
    """

    label: Indices
    sets: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def accepted(self, chosen: Indices) -> list[Indices] | None:
        """List, for each chosen patch, its duplicates among the chosen ones, and itself.

        Positions in ``chosen``; None where all show different places.
        """
        own = self.label[chosen]
        names, where = np.unique(own, return_inverse=True)
        if len(names) == len(own):
            return None
        order = np.argsort(where, kind="stable")
        starts = np.append(np.flatnonzero(np.diff(where[order], prepend=-1)), len(order))
        groups = [order[a:b] for a, b in pairwise(starts)]
        return [groups[at] for at in where]

    def representatives(self, chosen: Indices) -> Indices:
        """Positions in ``chosen`` of one patch per place, in order."""
        return np.sort(np.unique(self.label[chosen], return_index=True)[1]).astype(np.int64)


def find_duplicates(
    patches: Sequence[Patch],
    pixels: Mapping[str, float],
    contents: Mapping[Modality, Sequence[str]],
) -> Duplicates:
    """Find patches of different scenes that show one place.

    Two do where their centres lie within a pixel of each other in one CRS, with
    pixels of one size, or where the pixels of either modality are the same: one
    image under two names has two right answers, and a query cannot tell them
    apart.

    Parameters
    ----------
    patches : sequence of Patch
    pixels : mapping of scene to float
        Side of a pixel in units of its CRS; scenes without georeference need none.
    contents : mapping of modality to sequence of str
        Digest of the pixels of each patch; empty for one that holds a single
        value, which is no evidence.
    """
    reasons: Counter[str] = Counter()
    pairs: list[tuple[int, int]] = []
    near = [(a, b) for a, b in _near(patches, pixels) if patches[a].scene != patches[b].scene]
    for why, found in (
        ("position", near),
        ("identical SAR pixels", _equal(contents.get("sar", ()))),
        ("identical optical pixels", _equal(contents.get("optical", ()))),
    ):
        reasons[why] += len(found)
        pairs += found
    a, b = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), (a, b)), shape=(len(patches), len(patches)))
    _, first, which = np.unique(
        connected_components(graph, directed=False)[1], return_index=True, return_inverse=True
    )
    label = first[which].astype(np.int64)
    places: dict[int, list[str]] = {}
    for at, own in enumerate(label.tolist()):
        places.setdefault(own, []).append(patches[at].id)
    sets = tuple(tuple(ids) for ids in places.values() if len(ids) > 1)
    return Duplicates(label, sets, _notes(sets, reasons))


def _notes(sets: Sequence[tuple[str, ...]], reasons: Mapping[str, int]) -> tuple[str, ...]:
    if not sets:
        return ()
    why = ", ".join(f"{count} by {name}" for name, count in sorted(reasons.items()) if count)
    shown = "; ".join(" = ".join(ids) for ids in sets[:_NAMED])
    more = f" and {len(sets) - _NAMED} more" if len(sets) > _NAMED else ""
    return (
        f"{sum(map(len, sets))} patches are duplicates of another one ({why}): {shown}{more}. Each "
        "counts as the other's partner in retrieval and fusions; one represents all in the gap, "
        "two stages and robustness. All are in run.json.",
    )


def _equal(digests: Iterable[str]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    pairs = []
    for at, digest in enumerate(digests):
        if digest and first.setdefault(digest, at) != at:
            pairs.append((first[digest], at))
    return pairs


def _near(patches: Sequence[Patch], pixels: Mapping[str, float]) -> list[tuple[int, int]]:
    placed: dict[str, list[int]] = {}
    for at, patch in enumerate(patches):
        if patch.position is not None and patch.crs is not None and patch.scene in pixels:
            placed.setdefault(patch.crs, []).append(at)
    pairs: list[tuple[int, int]] = []
    for members in placed.values():
        sides = np.array([pixels[patches[at].scene] for at in members])
        centres = np.array([patches[at].position for at in members], np.float64)
        reach = _NEAR_PX * float(sides.max())
        for a, b in KDTree(centres).query_pairs(reach, output_type="ndarray"):
            small, large = sorted((sides[a], sides[b]))
            apart = float(np.hypot(*(centres[a] - centres[b])))
            if apart <= _NEAR_PX * small and large - small <= _SAME_PIXEL * large:
                pairs.append((members[a], members[b]))
    return pairs
