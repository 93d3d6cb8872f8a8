"""Which patches of different files show the same ground."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crosslook.types import MODALITIES, Indices, Modality, Patch

_NAMED = 3
_NEAR_PX = 1.0
_SAME_PIXEL = 0.01


@dataclass(frozen=True)
class SameGround:
    """Patches that are each other's partner, since they show one place.

    Attributes
    ----------
    label : int64 array, shape (N,)
        Equal for patches of the same ground; the index of the first of them.
    sets : tuple of tuple of str
        Ids of the patches of each ground that more than one shows.
    notes : tuple of str
        How many there are, why, and which.
    """

    label: Indices
    sets: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def accepted(self, chosen: Indices) -> list[Indices] | None:
        """List, for each chosen patch, the chosen ones of its ground, itself among them.

        Positions in ``chosen``; None where all show different ground.
        """
        own = self.label[chosen]
        names, where = np.unique(own, return_inverse=True)
        if len(names) == len(own):
            return None
        order = np.argsort(where, kind="stable")
        starts = np.append(np.flatnonzero(np.diff(where[order], prepend=-1)), len(order))
        groups = [order[a:b] for a, b in pairwise(starts)]
        return [groups[at] for at in where]

    def first(self, chosen: Indices) -> Indices:
        """Positions in ``chosen`` of one patch per ground, in order."""
        return np.sort(np.unique(self.label[chosen], return_index=True)[1]).astype(np.int64)


def find_same_ground(
    patches: Sequence[Patch],
    pixels: Mapping[str, float],
    contents: Mapping[Modality, Sequence[str]],
) -> SameGround:
    """Find patches of different scenes that show the same ground.

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
    parent = np.arange(len(patches))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    reasons: Counter[str] = Counter()
    pairs: list[tuple[int, int, str]] = [(a, b, "position") for a, b in _near(patches, pixels)] + [
        (a, b, f"identical {'SAR' if modality == 'sar' else 'optical'} pixels")
        for modality in MODALITIES
        for a, b in _equal(contents.get(modality, ()))
    ]
    for a, b, why in pairs:
        if patches[a].scene == patches[b].scene and why == "position":
            continue
        reasons[why] += 1
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    label = np.array([root(at) for at in range(len(patches))], np.int64)
    grounds: dict[int, list[str]] = {}
    for at, own in enumerate(label.tolist()):
        grounds.setdefault(own, []).append(patches[at].id)
    sets = tuple(tuple(ids) for ids in grounds.values() if len(ids) > 1)
    return SameGround(label, sets, _notes(sets, reasons))


def _notes(sets: Sequence[tuple[str, ...]], reasons: Mapping[str, int]) -> tuple[str, ...]:
    if not sets:
        return ()
    why = ", ".join(f"{count} by {name}" for name, count in sorted(reasons.items()))
    shown = "; ".join(" = ".join(ids) for ids in sets[:_NAMED])
    more = f" and {len(sets) - _NAMED} more" if len(sets) > _NAMED else ""
    return (
        f"{sum(map(len, sets))} patches show ground that another one shows too ({why}): {shown}"
        f"{more}. Each counts as the other's partner in retrieval and fusions; one of them stands "
        "for all in the gap, two stages and robustness. All are in run.json.",
    )


def _equal(digests: Iterable[str]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    pairs = []
    for at, digest in enumerate(digests):
        if digest and first.setdefault(digest, at) != at:
            pairs.append((first[digest], at))
    return pairs


def _near(patches: Sequence[Patch], pixels: Mapping[str, float]) -> list[tuple[int, int]]:
    from scipy.spatial import KDTree

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
