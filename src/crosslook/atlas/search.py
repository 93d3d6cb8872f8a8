"""The search of an atlas for queries under all their poses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.atlas.manifest import Block
from crosslook.atlas.peaks import Peak, PeakHeap, Peaks, find_maxima
from crosslook.atlas.prior import Prior
from crosslook.atlas.query import Pose, Template, make_template
from crosslook.atlas.ready_blocks import (
    MOST_CELLS,
    FFTBackend,
    ReadyBlock,
    ReadyBlocks,
    choose_backend,
)
from crosslook.atlas.store import Atlas
from crosslook.errors import MatchError, StoreError
from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_model
from crosslook.extract.spec import parse_spec
from crosslook.options import Device, ModelOptions
from crosslook.types import FloatArray

Box = tuple[float, float, float, float]

_FINISHED = 1e-6
_SOUGHT_BYTES = 128 << 20
_FEWEST = 8


@dataclass(frozen=True, eq=False)
class _Sought:
    """A template of energy 1, transformed, its shape and where it lies in its query."""

    shape: tuple[int, int]
    spectrum: Any
    aside: tuple[float, float]


class Searcher:
    """Correlates templates with one level of an atlas.

    Blocks overlap by the largest template, so every position is whole within
    one of them. The score is that of Lewis, "Fast normalized
    cross-correlation" (1995), over all channels: the products by FFT, divided
    by the root of the energy of both. Where the atlas is flat its energy is
    raised to a twentieth of the usual, so that noise does not score.
    """

    def __init__(self, atlas: Atlas, level: int, backend: FFTBackend | None = None) -> None:
        self.atlas = atlas
        self.level = level
        self.backend = backend or choose_backend()
        self.ready = ReadyBlocks(atlas, level, self.backend)
        self.side = self.ready.side

    def warm(self) -> None:
        """Transform all blocks now, where they fit in memory."""
        if self.ready.keeps:
            with ThreadPoolExecutor(self.backend.threads) as pool:
                list(pool.map(self.ready.get, self.atlas.manifest.blocks))

    def search(
        self,
        templates: Sequence[Template],
        count: int,
        inside: Box | None = None,
        apart: int = 4,
    ) -> list[Peak]:
        """Find the best places of all templates of one query together.

        Parameters
        ----------
        templates : sequence of Template
            Say one per rotation and scale.
        count : int
            Peaks wanted.
        inside : (top, left, bottom, right), optional
            Cells within which the centre of the template must lie.
        apart : int
            Cells within which the lower of two peaks is dropped, per axis.

        Returns
        -------
        list of Peak
            Best first; fewer where the atlas has fewer.
        """
        return self.search_groups([templates], count, [inside], apart)[0]

    def search_groups(
        self,
        groups: Sequence[Sequence[Template]],
        count: int,
        insides: Sequence[Box | None],
        apart: int = 4,
    ) -> list[list[Peak]]:
        """Search for several queries in one pass over the atlas.

        As :meth:`search` for every group, but a block that is not kept is
        read and transformed once for all of them.
        """
        heaps = [PeakHeap() for _ in groups]
        self.gather(groups, insides, apart, heaps, [0] * len(groups))
        return [heap.best(count, apart) for heap in heaps]

    def gather(
        self,
        groups: Sequence[Sequence[Template]],
        insides: Sequence[Box | None],
        apart: int,
        heaps: Sequence[PeakHeap],
        first: Sequence[int],
    ) -> None:
        """Add the peaks of some templates of each query to what was found before.

        Parameters
        ----------
        groups, insides, apart
            As for :meth:`search_groups`.
        heaps : sequence of PeakHeap
            One a query.
        first : sequence of int
            Number of the first template of each group among those of its query.
        """
        sought = [[self._seek(template) for template in group] for group in groups]

        def one(block: Block) -> list[Peaks | None]:
            wanted = [
                bool(group) and self._meets(block, inside, group)
                for group, inside in zip(sought, insides, strict=True)
            ]
            if not any(wanted):
                return [None for _ in groups]
            ready = self.ready.get(block)
            return [
                self._peaks(block, ready, group, inside, apart) if meets else None
                for group, inside, meets in zip(sought, insides, wanted, strict=True)
            ]

        with ThreadPoolExecutor(self.backend.threads) as pool:
            for part in pool.map(one, list(self.atlas.manifest.blocks)):
                for heap, peaks, number in zip(heaps, part, first, strict=True):
                    if peaks is not None:
                        peaks.place[:, 2] += number
                        heap.add(peaks)

    @property
    def at_once(self) -> int:
        """Templates that are searched for together: their spectra take a bounded memory."""
        return max(_FEWEST, int(_SOUGHT_BYTES // self.ready.spectrum_bytes))

    def _meets(self, block: Block, inside: Box | None, group: Sequence[_Sought]) -> bool:
        if inside is None:
            return True
        aside = np.array([one.aside for one in group])
        first = np.array(block) * self.side
        low = np.array(inside[:2]) + aside.min(axis=0)
        high = np.array(inside[2:]) + aside.max(axis=0)
        return bool((first < high).all() and (first + self.side > low).all())

    def _seek(self, template: Template) -> _Sought:
        values = self.ready.project(template.values)
        energy = float(np.einsum("chw,chw->", values, values))
        values *= np.float32(1.0 / np.sqrt(max(energy, _FINISHED)))
        shape = (int(values.shape[1]), int(values.shape[2]))
        return _Sought(shape, self.backend.template(values, self.ready.size), template.aside)

    def _peaks(
        self,
        block: Block,
        ready: ReadyBlock,
        group: Sequence[_Sought],
        inside: Box | None,
        apart: int,
    ) -> Peaks:
        """Best places in a block, by where the centre of a template lies."""
        scores, which = self._best_scores(block, ready, group, inside)
        origin = (block[0] * self.side, block[1] * self.side)
        values, centre = find_maxima(scores, apart)
        template = which[centre[:, 0], centre[:, 1]]
        half = np.array([sought.shape for sought in group]) // 2
        place = np.empty((len(centre), 3), np.int64)
        place[:, :2] = centre + origin - half[template]
        place[:, 2] = template
        return Peaks(values, place)

    def surface(
        self, templates: Sequence[Template], most: int, inside: Box | None = None
    ) -> tuple[FloatArray, float]:
        """Scores of all positions of an atlas, as a small map of the best in each square.

        Parameters
        ----------
        templates : sequence of Template
            Of one query; at each position the best of them counts.
        most : int
            Cells of the map along its longer side, at most.
        inside : (top, left, bottom, right), optional
            As in :meth:`search`.

        Returns
        -------
        scores : float32 array, shape (h, w)
            Row and column are those of the centre of the query; 0 where the
            atlas holds nothing.
        side : float
            Atlas cells of the level along a side of a square.
        """
        group = [self._seek(template) for template in templates]
        rows, cols = self.atlas.grid.blocks
        # Squares divide a block, so that none lies in two.
        step = self.side
        while (
            step > 1
            and self.side % (step // 2) == 0
            and (max(rows, cols) * self.side // (step // 2) <= most)
        ):
            step //= 2
        count = self.side // step
        out = np.zeros((rows * count, cols * count), np.float32)
        for block in self.atlas.manifest.blocks:
            if not self._meets(block, inside, group):
                continue
            scores, _ = self._best_scores(block, self.ready.get(block), group, inside)
            squares = scores.reshape(count, step, count, step).max(axis=(1, 3))
            top, left = block[0] * count, block[1] * count
            out[top : top + count, left : left + count] = squares
        return out, float(step)

    def _best_scores(
        self, block: Block, ready: ReadyBlock, group: Sequence[_Sought], inside: Box | None
    ) -> tuple[FloatArray, NDArray[np.int16]]:
        """The best score of any template at each position of a block, and which one has it."""
        origin = (block[0] * self.side, block[1] * self.side)
        scores = np.zeros((self.side, self.side), np.float32)
        which = np.zeros(scores.shape, np.int16)
        for number, sought in enumerate(group):
            other = self._scores(ready, sought)
            if inside is not None:
                _blank_outside(other, origin, inside, sought.aside)
            which[other > scores] = number
            np.maximum(scores, other, out=scores)
        return scores, which

    def _scores(self, ready: ReadyBlock, sought: _Sought) -> FloatArray:
        """Scores (side, side) of the positions whose centre lies in the block."""
        rows, cols = self.ready.positions(sought.shape)
        raw = self.backend.correlate(ready.spectrum, sought.spectrum, self.ready.size, rows)
        return np.multiply(raw[:, cols], self.ready.inverse_root(ready, sought.shape))


def searcher(atlas: Atlas, level: int, device: Device = "auto") -> Searcher:
    """The searcher of a level; the same one for all queries of an opened atlas."""
    key = (level, device)
    if key not in atlas.searchers:
        atlas.searchers[key] = Searcher(atlas, level, choose_backend(device))
    known: Searcher = atlas.searchers[key]
    return known


def _blank_outside(
    scores: FloatArray, origin: Block, inside: Box, aside: tuple[float, float]
) -> None:
    # A centre at cell (r, c) lies at its upper left corner, or half a cell beyond.
    rows = np.arange(scores.shape[0]) + (origin[0] - aside[0])
    cols = np.arange(scores.shape[1]) + (origin[1] - aside[1])
    scores[(rows < inside[0]) | (rows > inside[2])] = 0
    scores[:, (cols < inside[1]) | (cols > inside[3])] = 0


_APART = 32.0  # pixels


@dataclass(frozen=True)
class Proposal:
    """A peak of the search.

    Attributes
    ----------
    pose : int
        Number of the pose.
    score : float
        Cosine in the principal channels of the level, -1..1.
    row, col : float
        Atlas pixel at which the image of the pose begins.
    """

    pose: int
    score: float
    row: float
    col: float


@dataclass(frozen=True)
class SearchRequest:
    """One query under all its poses, and where its centre may lie."""

    poses: Sequence[Pose]
    prior: Prior | None


def finest_level(atlas: Atlas, one: SearchRequest, device: Device = "auto") -> int:
    """Number of the finest level that a query can be searched in at little cost.

    Half the cell finds more, at four times the positions. So a level of the
    same extractor as the first is taken when its spectra stay in memory
    between queries and the whole query fits in a template; a query under many
    poses is searched in the first.
    """
    levels = atlas.manifest.levels
    if len(one.poses) == 1:
        side = max(one.poses[0].shape)
        for number in range(len(levels) - 1, 0, -1):
            alike = parse_spec(levels[number].spec).name == parse_spec(levels[0].spec).name
            finer = alike and levels[number].cell < levels[0].cell
            fits = side <= MOST_CELLS * levels[number].cell
            if finer and fits and searcher(atlas, number, device).ready.keeps:
                return number
    return 0


class OpenLevels:
    """The extractors of an atlas's levels, each opened once, when it is first needed.

    Parameters
    ----------
    atlas : Atlas
    options : ModelOptions
        Where and how they run, and their local weights.
    """

    def __init__(self, atlas: Atlas, options: ModelOptions) -> None:
        self.atlas = atlas
        self.options = options
        self._extractors: dict[int, Extractor] = {}

    def __getitem__(self, number: int) -> Extractor:
        """Open the extractor of a level.

        Raises
        ------
        StoreError
            If it is not the one that the atlas was built with: queries and
            atlas would lie in two feature spaces.
        """
        if number not in self._extractors:
            extractor = open_model(self.atlas.manifest.levels[number].spec, self.options)
            self._compare(number, extractor.key)
            self._extractors[number] = extractor
        return self._extractors[number]

    def _compare(self, number: int, here: dict[str, str]) -> None:
        there = self.atlas.manifest.keys[number]
        names = [n for n in (here | there) if n != "dtype" and here.get(n) != there.get(n)]
        if names:
            differ = "; ".join(f"{n} '{there.get(n, '')}', here '{here.get(n, '')}'" for n in names)
            raise StoreError(
                f"level {number} of atlas '{self.atlas.name}' was built by another extractor: "
                f"{differ}. Give the weights that it was built with by --weights, or build the "
                "atlas again into a new folder."
            )


def search_queries(
    levels: OpenLevels, requests: Sequence[SearchRequest], count: int, level: int | None = None
) -> list[tuple[int, list[Proposal]]]:
    """Find the best places of each query, all of one level in one pass.

    Parameters
    ----------
    levels : OpenLevels
        Of the atlas.
    requests : sequence of SearchRequest
    count : int
        Places wanted of each.
    level : int, optional
        Number of the level that is searched; by default :func:`finest_level`.

    Returns
    -------
    list of (int, list of Proposal)
        Level and places of each query, best first.
    """
    atlas, device = levels.atlas, levels.options.device
    numbers = [finest_level(atlas, one, device) if level is None else level for one in requests]
    places: dict[int, list[Proposal]] = {}
    for number in sorted(set(numbers)):
        mine = [n for n, other in enumerate(numbers) if other == number]
        proposals = _search_level(levels, number, [requests[n] for n in mine], count)
        places.update(zip(mine, proposals, strict=True))
    return [(number, places[n]) for n, number in enumerate(numbers)]


def score_surface(
    levels: OpenLevels, one: SearchRequest, most: int, level: int | None = None
) -> tuple[FloatArray, float]:
    """How well a query fits everywhere: what :func:`search_queries` takes the best places of.

    Returns
    -------
    scores : float32 array, shape (h, w)
        See :meth:`Searcher.surface`.
    side : float
        Atlas pixels along a side of a square.
    """
    number = finest_level(levels.atlas, one, levels.options.device) if level is None else level
    cell = levels.atlas.manifest.levels[number].cell
    extractor, kind = levels[number], levels.atlas.manifest.levels[number]
    inside = None if one.prior is None else one.prior.in_cells(cell)
    seeker = searcher(levels.atlas, number, levels.options.device)
    best: FloatArray | None = None
    step = 1.0
    for (part,) in _chunks([len(one.poses)], seeker.at_once):
        templates = [make_template(pose, kind, extractor)[0] for pose in one.poses[part]]
        scores, step = seeker.surface(templates, most, inside)
        best = scores if best is None else np.maximum(best, scores)
    if best is None:
        raise MatchError("no pose is left to search under; widen the rotation or the scale.")
    return best, step * cell


def _search_level(
    levels: OpenLevels, number: int, requests: Sequence[SearchRequest], count: int
) -> list[list[Proposal]]:
    level = levels.atlas.manifest.levels[number]
    extractor = levels[number]
    search = searcher(levels.atlas, number, levels.options.device)
    apart = max(4, round(_APART / level.cell))
    insides = [None if one.prior is None else one.prior.in_cells(level.cell) for one in requests]
    heaps = [PeakHeap() for _ in requests]
    starts: list[list[tuple[int, int]]] = [[] for _ in requests]
    for part in _chunks([len(one.poses) for one in requests], search.at_once):
        made = [
            [make_template(pose, level, extractor) for pose in one.poses[numbers]]
            for one, numbers in zip(requests, part, strict=True)
        ]
        groups = [[template for template, _ in group] for group in made]
        search.gather(groups, insides, apart, heaps, [numbers.start for numbers in part])
        for mine, group in zip(starts, made, strict=True):
            mine += [start for _, start in group]
    return [
        [_proposal(p, mine[p.template], level.cell) for p in heap.best(count, apart)]
        for heap, mine in zip(heaps, starts, strict=True)
    ]


def _chunks(counts: Sequence[int], most: int) -> Iterator[list[slice]]:
    """Slices of the poses of every query, together of at most so many; those of one in order."""
    part = [slice(0, 0) for _ in counts]
    room = most
    for number, count in enumerate(counts):
        first = 0
        while first < count:
            last = min(count, first + room)
            part[number] = slice(first, last)
            room -= last - first
            first = last
            if not room:
                yield part
                part, room = [slice(0, 0) for _ in counts], most
    if room < most:
        yield part


def _proposal(peak: Peak, start: tuple[int, int], cell: int) -> Proposal:
    return Proposal(
        peak.template,
        peak.score,
        (peak.row - start[0]) * float(cell),
        (peak.col - start[1]) * float(cell),
    )
