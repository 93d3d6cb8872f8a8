"""The search of an atlas for queries under all their poses.

The features of every block are projected on their principal directions,
transformed once, and cached where they fit in memory. A query costs a product,
a transform back and a division by the energy under the template, per block and
pose. The best few thousand places are remembered, so memory does not grow with
the atlas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook import threads
from crosslook.atlas.query import MOST_CELLS, Pose, Prior, Template, make_template
from crosslook.atlas.store import Atlas
from crosslook.errors import MatchError, StoreError
from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_model
from crosslook.extract.spec import parse_spec
from crosslook.geo.block_store import Block
from crosslook.match.ncc import correlation_device, fetch, forward, inverse, place, summed_product
from crosslook.match.transform import Transform, shift_by
from crosslook.options import ModelOptions
from crosslook.types import FloatArray

Box = tuple[float, float, float, float]

ENERGY_FRACTION = 0.9
"""Fraction of the energy that the principal channels hold. Neighbouring orientations say much
the same."""

CACHE_BYTES = 2 << 30
"""Spectra of an atlas are cached up to this size, else made anew per pass."""

_GPU_FRACTION = 0.5
_SAMPLED_BLOCKS, _SAMPLED_CELLS = 8, 4096
_LEAST_COVER = 0.5
_ENERGY_FLOOR = 0.05
_CACHED_SHAPES = 2  # of templates, whose energies under a block are cached
_LEAST_ENERGY = 1e-6
_TEMPLATE_BYTES = 128 << 20
_FEWEST = 8
_APART = 32.0  # pixels
_MOST_OF_A_MAP = 64
_MOST_PLACES = 8192
_NEAR = 1.5  # cells around a place in which a finer level is looked at


@dataclass(frozen=True)
class Candidate:
    """A place for a query under one of its poses.

    Attributes
    ----------
    pose : Pose
    number : int
        Of the pose among those of its query.
    corner : (row, column)
        Where the image of the pose begins, atlas pixels.
    coarse, fine, parts : float
        Cosine of the search in principal channels, of the finer features, and
        of these with parts of the query free to move, -1..1; 0 until measured.
    """

    pose: Pose
    number: int
    corner: tuple[float, float]
    coarse: float
    fine: float = 0.0
    parts: float = 0.0

    @property
    def placed(self) -> Transform:
        """Pixels of the query's image to atlas pixels."""
        return shift_by(*self.corner) @ self.pose.placed

    @property
    def centre(self) -> tuple[float, float]:
        """Of the whole query, atlas pixels."""
        row, col = self.pose.centre
        return float(self.corner[0] + row), float(self.corner[1] + col)

    @property
    def total(self) -> float:
        """All scores; the search sees wide context, the finer features detail, parts relief."""
        return self.coarse + self.fine + self.parts


@dataclass(frozen=True)
class SearchRequest:
    """One query under all its poses, and where its centre may lie."""

    poses: Sequence[Pose]
    prior: Prior | None


class OpenLevels:
    """The extractors of an atlas's levels, each opened once, when it is first needed.

    Parameters
    ----------
    atlas : Atlas
    options : ModelOptions
        Where and how they run, and their local weights.

    Attributes
    ----------
    device : str
        Where templates are correlated.
    """

    def __init__(self, atlas: Atlas, options: ModelOptions) -> None:
        self.atlas = atlas
        self.options = options
        self.device = correlation_device(options.device)
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
            here, there = extractor.key, self.atlas.manifest.keys[number]
            names = [n for n in (here | there) if n != "dtype" and here.get(n) != there.get(n)]
            if names:
                differ = "; ".join(
                    f"{n} '{there.get(n, '')}', here '{here.get(n, '')}'" for n in names
                )
                raise StoreError(
                    f"level {number} of atlas '{self.atlas.name}' was built by another extractor: "
                    f"{differ}. Give the weights that it was built with by --weights, or build the "
                    "atlas again into a new folder."
                )
            self._extractors[number] = extractor
        return self._extractors[number]


def search_queries(
    levels: OpenLevels, requests: Sequence[SearchRequest], count: int, level: int | None = None
) -> list[tuple[int, list[Candidate]]]:
    """Find the best places of each query, all of one level in one pass.

    Parameters
    ----------
    levels : OpenLevels
        Of the atlas.
    requests : sequence of SearchRequest
    count : int
        Most places of each.
    level : int, optional
        Number of the level that is searched; by default the first, and the best
        places are placed and scored anew in the cells of :func:`finest_level`.

    Returns
    -------
    list of (int, list of Candidate)
        Level and places of each query, best first.
    """
    numbers = [finest_level(levels, one) if level is None else level for one in requests]
    # Half the cell finds more at four times the positions: only the best places are seen in it.
    searched = [0 if level is None else level for _ in requests]
    places: dict[int, list[Candidate]] = {}
    for number in sorted(set(searched)):
        mine = [n for n, other in enumerate(searched) if other == number]
        found = _search_level(levels, number, [requests[n] for n in mine], count)
        places.update(zip(mine, found, strict=True))
    return [
        (number, places[n] if number == searched[n] else _finer(levels, number, places[n]))
        for n, number in enumerate(numbers)
    ]


def _finer(levels: OpenLevels, number: int, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates of one pose at the best place near by in the cells of a level, by their score."""
    if not candidates:
        return []
    from crosslook.match.kernels_parts import part_products

    level = levels.atlas.manifest.levels[number]
    blocks = searcher(levels.atlas, number, levels.device).blocks
    template, start = make_template(candidates[0].pose, level, levels[number])
    values = unit_energy(blocks.project(template.values))
    reach = round(_NEAR * levels.atlas.manifest.levels[0].cell / level.cell)
    height, width = values.shape[1:]
    edges = np.array([0, height]), np.array([0, width])
    wide = (height + 2 * reach, width + 2 * reach)

    def placed(one: Candidate) -> Candidate:
        row, col = (
            round(v / level.cell) + s - reach for v, s in zip(one.corner, start, strict=True)
        )
        channels = levels.atlas.features(number, (row, col), wide)
        window = blocks.project(channels.values)
        energy = np.einsum("chw,chw->hw", window, window)
        here = slice(0, 2 * reach + 1)
        scores = part_products(values, window, *edges)[0, 0] * blocks.one_over_root(
            energy, channels.valid.astype(np.float32), (height, width), (here, here)
        )
        down, along = np.unravel_index(int(scores.argmax()), scores.shape)
        corner = float(row + down - start[0]), float(col + along - start[1])
        score = float(scores[down, along])
        return replace(one, corner=(corner[0] * level.cell, corner[1] * level.cell), coarse=score)

    return sorted(threads.run(placed, candidates), key=lambda one: (-one.coarse, one.corner))


def unit_energy(values: FloatArray) -> FloatArray:
    """Channels brought to energy 1, in place."""
    energy = float(np.einsum("chw,chw->", values, values))
    values *= np.float32(1.0 / np.sqrt(max(energy, _LEAST_ENERGY)))
    return values


def finest_level(levels: OpenLevels, one: SearchRequest) -> int:
    """Number of the finest level in whose cells the best places of a query are seen.

    One of the same extractor as the first, where the whole query fits in a
    template; a query under many poses is searched in the first alone.
    """
    known = levels.atlas.manifest.levels
    if len(one.poses) == 1:
        side = max(one.poses[0].shape)
        for number in range(len(known) - 1, 0, -1):
            alike = parse_spec(known[number].spec).name == parse_spec(known[0].spec).name
            finer = alike and known[number].cell < known[0].cell
            if finer and side <= MOST_CELLS * known[number].cell:
                return number
    return 0


def _search_level(
    levels: OpenLevels, number: int, requests: Sequence[SearchRequest], count: int
) -> list[list[Candidate]]:
    level, extractor = levels.atlas.manifest.levels[number], levels[number]
    search = searcher(levels.atlas, number, levels.device)
    apart = max(4, round(_APART / level.cell))
    insides = [None if one.prior is None else one.prior.in_cells(level.cell) for one in requests]
    queries = [QuerySearch(inside, apart) for inside in insides]
    starts: list[list[tuple[int, int]]] = [[] for _ in requests]
    for part in _chunks([len(one.poses) for one in requests], search.at_once):
        for one, query, mine, numbers in zip(requests, queries, starts, part, strict=True):
            made = [make_template(pose, level, extractor) for pose in one.poses[numbers]]
            query.templates = [search.transform(template) for template, _ in made]
            query.first = numbers.start
            mine += [start for _, start in made]
        search.gather(queries)

    def candidate(
        one: SearchRequest, mine: list[tuple[int, int]], score: float, at: NDArray[np.int64]
    ) -> Candidate:
        row, col, pose = (int(value) for value in at)
        down, along = mine[pose]
        corner = (row - down) * float(level.cell), (col - along) * float(level.cell)
        return Candidate(one.poses[pose], pose, corner, score)

    return [
        [candidate(one, mine, *found) for found in query.best(count)]
        for one, query, mine in zip(requests, queries, starts, strict=True)
    ]


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
    number = level or 0
    kind, extractor = levels.atlas.manifest.levels[number], levels[number]
    search = searcher(levels.atlas, number, levels.device)
    query = QuerySearch(None if one.prior is None else one.prior.in_cells(kind.cell))
    best: FloatArray | None = None
    step = 1.0
    for (part,) in _chunks([len(one.poses)], search.at_once):
        templates = [make_template(pose, kind, extractor)[0] for pose in one.poses[part]]
        query.templates = [search.transform(template) for template in templates]
        scores, step = search.surface(query, most)
        best = scores if best is None else np.maximum(best, scores)
    if best is None:
        raise MatchError("no pose is left to search under; expand the rotation or the scale.")
    return best, step * kind.cell


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


@dataclass(frozen=True, eq=False)
class _Transformed:
    """A template of energy 1, transformed, its shape and where it lies in its query."""

    shape: tuple[int, int]
    spectrum: Any
    aside: tuple[float, float]


@dataclass(eq=False)
class QuerySearch:
    """A query while it is searched for: its templates at the time, and its best places so far.

    Attributes
    ----------
    inside : (top, left, bottom, right) or None
        Cells within which the centre of the query must lie.
    apart : int
        Cells within which the lower of two peaks is dropped, per axis.
    templates : list
        Of :meth:`Searcher.transform`, say one per rotation and scale.
    first : int
        Number of the first of them among all of the query.
    """

    inside: Box | None = None
    apart: int = 4
    templates: list[_Transformed] = field(default_factory=list)
    first: int = 0
    _scores: FloatArray = field(default_factory=lambda: np.empty(0, np.float32))
    _places: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), np.int64))

    def add(self, scores: FloatArray, places: NDArray[np.int64]) -> None:
        """Take the peaks of one more block: scores (n,), and rows, columns and templates (n, 3).

        A place is the cell of the atlas under the template's first one; it may be
        negative. The best few thousand stay.
        """
        self._scores = np.concatenate([self._scores, scores])
        self._places = np.concatenate([self._places, places])
        if len(self._scores) > _MOST_PLACES:
            best = self._order()[: _MOST_PLACES // 2]
            self._scores, self._places = self._scores[best], self._places[best]

    def best(self, count: int) -> list[tuple[float, NDArray[np.int64]]]:
        """The best of which no two are within ``apart`` cells on both axes, best first."""
        found: list[tuple[float, NDArray[np.int64]]] = []
        for number in self._order():
            if len(found) == count:
                break
            row, col, _ = at = self._places[number]
            if all(max(abs(row - r), abs(col - c)) > self.apart for _, (r, c, _) in found):
                found.append((float(self._scores[number]), at))
        return found

    def _order(self) -> NDArray[np.int64]:
        """Best first; of equal scores the first row, column and template."""
        row, col, template = self._places.T
        return np.lexsort((template, col, row, -self._scores))


class Searcher:
    """Correlates templates with one level of an atlas.

    Blocks overlap by the largest template, so every position is whole within
    one of them. The score is that of :mod:`crosslook.match.ncc`, over the
    principal channels. Where the atlas is flat its energy is raised to a
    twentieth of the usual, so that noise does not score.

    Parameters
    ----------
    atlas : Atlas
    level : int
    device : str
        As :func:`~crosslook.match.ncc.correlation_device` names it.
    """

    def __init__(self, atlas: Atlas, level: int, device: str = "cpu") -> None:
        self.atlas = atlas
        self.device = device
        self.blocks = BlockSpectra(atlas, level, device)
        self.side = self.blocks.side
        self._most = None if device == "cpu" else 1

    def precompute(self) -> None:
        """Transform all blocks now, where they fit in memory."""
        if self.blocks.is_cached:
            threads.run(self.blocks.get, self.atlas.manifest.blocks, self._most)

    @property
    def at_once(self) -> int:
        """Templates that are searched for together: their spectra take a bounded memory."""
        return max(_FEWEST, int(_TEMPLATE_BYTES // self.blocks.spectrum_bytes))

    def transform(self, template: Template) -> _Transformed:
        """Bring a template to energy 1, and transform it."""
        from scipy import fft

        values = unit_energy(self.blocks.project(template.values))
        shape = (int(values.shape[1]), int(values.shape[2]))
        with fft.set_workers(threads.count()):  # templates come one by one, so all cores help
            spectrum = forward(place(values, self.device), self.blocks.size).conj()
        return _Transformed(shape, spectrum, template.aside)

    def gather(self, queries: Sequence[QuerySearch]) -> None:
        """Add the peaks of the templates of each query to its places, in one pass of the atlas."""

        def found(block: Block) -> list[tuple[QuerySearch, FloatArray, NDArray[np.int64]]]:
            here = [query for query in queries if self._meets(block, query)]
            return [(query, *self._peaks(block, query)) for query in here]

        for part in threads.run(found, self.atlas.manifest.blocks, self._most):
            for query, scores, places in part:
                query.add(scores, places)

    def _meets(self, block: Block, query: QuerySearch) -> bool:
        if query.inside is None or not query.templates:
            return bool(query.templates)
        aside = np.array([one.aside for one in query.templates])
        first = np.array(block) * self.side
        low = np.array(query.inside[:2]) + aside.min(axis=0)
        high = np.array(query.inside[2:]) + aside.max(axis=0)
        return bool((first < high).all() and (first + self.side > low).all())

    def _peaks(self, block: Block, query: QuerySearch) -> tuple[FloatArray, NDArray[np.int64]]:
        """Best places in a block, by where the centre of a template lies."""
        scores, which = self._best_scores(block, query)
        values, centre = find_maxima(scores, query.apart)
        template = which[centre[:, 0], centre[:, 1]]
        half = np.array([one.shape for one in query.templates]) // 2
        corner = centre + np.array(block) * self.side - half[template]
        return values, np.column_stack([corner, template.astype(np.int64) + query.first])

    def surface(self, query: QuerySearch, most: int) -> tuple[FloatArray, float]:
        """Scores of all positions of an atlas, as a small map of the best in each square.

        Parameters
        ----------
        query : QuerySearch
            At each position the best of its templates counts.
        most : int
            Cells of the map along its longer side, at most.

        Returns
        -------
        scores : float32 array, shape (h, w)
            Row and column are those of the centre of the query; 0 where the
            atlas holds nothing.
        side : float
            Atlas cells of the level along a side of a square.
        """
        rows, cols = self.atlas.grid.blocks
        step, longest = self.side, max(rows, cols) * self.side
        # Squares divide a block, so that none lies in two.
        while step > 1 and self.side % (half := step // 2) == 0 and longest // half <= most:
            step = half
        count = self.side // step
        out = np.zeros((rows * count, cols * count), np.float32)
        for block in self.atlas.manifest.blocks:
            if self._meets(block, query):
                scores, _ = self._best_scores(block, query)
                squares = scores.reshape(count, step, count, step).max(axis=(1, 3))
                top, left = block[0] * count, block[1] * count
                out[top : top + count, left : left + count] = squares
        return out, float(step)

    def _best_scores(
        self, block: Block, query: QuerySearch
    ) -> tuple[FloatArray, NDArray[np.int16]]:
        """The best score of any template at each position of a block, and which one has it."""
        spectra = self.blocks.get(block)
        origin = (block[0] * self.side, block[1] * self.side)
        scores = np.zeros((self.side, self.side), np.float32)
        which = np.zeros(scores.shape, np.int16)
        for number, template in enumerate(query.templates):
            other = self._scores(spectra, template)
            if query.inside is not None:
                _blank_outside(other, origin, query.inside, template.aside)
            which[other > scores] = number
            np.maximum(scores, other, out=scores)
        return scores, which

    def _scores(self, spectra: BlockSpectrum, template: _Transformed) -> FloatArray:
        """Scores (side, side) of the positions whose centre lies in the block."""
        rows, cols = self.blocks.positions(template.shape)
        product = summed_product(spectra.spectrum, template.spectrum)
        raw = fetch(inverse(product, self.blocks.size, rows))
        return np.multiply(raw[:, cols], self.blocks.inverse_root(spectra, template.shape))


def searcher(atlas: Atlas, level: int, device: str = "cpu") -> Searcher:
    """The searcher of a level; the same one for all queries of an opened atlas."""
    key = (level, device)
    if key not in atlas.searchers:
        atlas.searchers[key] = Searcher(atlas, level, device)
    known: Searcher = atlas.searchers[key]
    return known


def find_maxima(scores: FloatArray, apart: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Find places above 0 that no other within ``apart`` exceeds.

    Parameters
    ----------
    scores : float32 array, shape (h, w)
    apart : int

    Returns
    -------
    score : float32 array, shape (n,)
        The best 64, and those equal to the last of them.
    place : int64 array, shape (n, 2)
        Row and column.
    """
    around = np.ones((2 * apart + 1, 2 * apart + 1), np.uint8)
    at = np.flatnonzero(scores == cv2.dilate(scores, around))
    values = scores.ravel()[at]
    at, values = at[values > 0], values[values > 0]
    if len(at) > _MOST_OF_A_MAP:
        bar = np.partition(values, -_MOST_OF_A_MAP)[-_MOST_OF_A_MAP]
        at, values = at[values >= bar], values[values >= bar]
    return values, np.stack(np.divmod(at, scores.shape[1]), axis=1)


def _blank_outside(
    scores: FloatArray, origin: Block, inside: Box, aside: tuple[float, float]
) -> None:
    # A centre at cell (r, c) lies at its upper left corner, or half a cell beyond.
    rows = np.arange(scores.shape[0]) + (origin[0] - aside[0])
    cols = np.arange(scores.shape[1]) + (origin[1] - aside[1])
    scores[(rows < inside[0]) | (rows > inside[2])] = 0
    scores[:, (cols < inside[1]) | (cols > inside[3])] = 0


@dataclass(frozen=True, eq=False)
class BlockSpectrum:
    """A block prepared for correlation, with half an overlap on every side.

    Attributes
    ----------
    spectrum
        Of its principal channels, where it is computed with.
    energy, cover : float32 array, shape (h, w)
        Sum of squares over principal channels; 1 where a cell is valid.
    inverse : dict of template shape to float32 array
        What :meth:`BlockSpectra.inverse_root` cached.
    """

    spectrum: Any
    energy: FloatArray
    cover: FloatArray
    inverse: dict[tuple[int, int], FloatArray] = field(default_factory=dict)


class BlockSpectra:
    """The transformed blocks of one level, cached where they fit in memory.

    Attributes
    ----------
    side : int
        Cells of a block.
    size : (int, int)
        Of its transform: the block and an overlap, rounded to a fast length.
    spectrum_bytes : int
        What a transformed template takes.
    block_bytes : int
        What a block that is cached takes at most.
    cache_bytes : int
        What all of them may take.
    is_cached : bool
        Whether all blocks stay in memory between searches.
    """

    def __init__(self, atlas: Atlas, level: int, device: str) -> None:
        from scipy import fft

        self.atlas = atlas
        self.level = level
        self.device = device
        self.side = atlas.grid.block // atlas.manifest.levels[level].cell
        side = int(fft.next_fast_len(self.side + MOST_CELLS, real=True))
        self.size = (side, side)
        self._basis = principal_channels(atlas, level)
        self.spectrum_bytes = 8 * len(self._basis) * side * (side // 2 + 1)
        self.block_bytes = self.spectrum_bytes + 8 * side**2 + 4 * _CACHED_SHAPES * self.side**2
        self.cache_bytes = _cache_bytes(device)
        self.is_cached = self.block_bytes * len(atlas.manifest.blocks) <= self.cache_bytes
        self._cache: dict[Block, BlockSpectrum] = {}
        self._lock = Lock()

    def get(self, block: Block) -> BlockSpectrum:
        """Read and transform a block, or take it from memory."""
        if block in self._cache:
            return self._cache[block]
        margin = MOST_CELLS // 2
        corner = (block[0] * self.side - margin, block[1] * self.side - margin)
        reach = self.side + MOST_CELLS
        channels = self.atlas.features(self.level, corner, (reach, reach))
        values = self.project(channels.values)
        energy = np.einsum("chw,chw->hw", values, values)
        spectrum = forward(place(values, self.device), self.size)
        made = BlockSpectrum(spectrum, energy, channels.valid.astype(np.float32))
        if self.is_cached:
            self._cache[block] = made
        return made

    def project(self, values: FloatArray) -> FloatArray:
        """Channels (C, h, w) in the principal directions of the level, (K, h, w)."""
        return np.tensordot(self._basis, values, axes=1)

    def positions(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Offsets of a template whose centre lies in the block: ``side`` each way."""
        first = [MOST_CELLS // 2 - length // 2 for length in shape]
        return slice(first[0], first[0] + self.side), slice(first[1], first[1] + self.side)

    def inverse_root(self, block: BlockSpectrum, shape: tuple[int, int]) -> FloatArray:
        """One over the root of the energy under a template, (side, side).

        0 where less than half of the template lies on valid cells.
        """
        with self._lock:
            if shape in block.inverse:
                return block.inverse[shape]
        inverse = self.one_over_root(block.energy, block.cover, shape, self.positions(shape))
        if self.is_cached:
            with self._lock:
                while len(block.inverse) >= _CACHED_SHAPES:
                    del block.inverse[next(iter(block.inverse))]
                block.inverse[shape] = inverse
        return inverse

    def one_over_root(
        self,
        energy: FloatArray,
        cover: FloatArray,
        shape: tuple[int, int],
        here: tuple[slice, slice],
    ) -> FloatArray:
        """As :meth:`inverse_root`, at places ``here`` of any window of principal channels."""
        height, width = shape
        # A calibrated channel has energy 1 a cell, faded to a quarter where contrast is usual.
        floor = _ENERGY_FLOOR * 0.25 * ENERGY_FRACTION * self._basis.shape[1] * height * width
        under = _box(energy, height, width)[here]
        enough = _box(cover, height, width)[here] >= _LEAST_COVER * height * width
        inverse = np.where(enough, 1.0 / np.sqrt(np.maximum(under, floor)), 0)
        return np.asarray(inverse, np.float32)


def _cache_bytes(device: str) -> int:
    """How much of the spectra stays in memory: on a GPU half of its own."""
    if not device.startswith("cuda"):
        return CACHE_BYTES
    import torch

    return int(_GPU_FRACTION * torch.cuda.get_device_properties(device).total_memory)


def _box(values: FloatArray, height: int, width: int) -> FloatArray:
    """Sum over the box whose first cell is each cell."""
    summed = cv2.boxFilter(
        values, -1, (width, height), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(summed, np.float32)


def principal_channels(atlas: Atlas, level: int) -> FloatArray:
    """Principal directions of the calibrated features of a level (Hotelling, 1933).

    Products of features, and so a correlation, hardly change when both are
    projected on the directions that hold most of their energy, while its cost
    and its memory fall with the number of channels. Taken from cells of eight
    blocks spread evenly over the atlas, always the same ones.

    Parameters
    ----------
    atlas : Atlas
    level : int

    Returns
    -------
    float32 array, shape (K, C)
        The fewest orthonormal rows that hold 90 per cent of the energy.
    """
    side = atlas.grid.block // atlas.manifest.levels[level].cell
    blocks = sorted(atlas.manifest.blocks)
    chosen = np.unique(np.linspace(0, len(blocks) - 1, _SAMPLED_BLOCKS).round().astype(int))
    channels = len(atlas.manifest.statistics[level].mean)
    moments = np.zeros((channels, channels), np.float64)
    for row, col in (blocks[n] for n in chosen):
        values = atlas.features(level, (row * side, col * side), (side, side)).values
        cells = values.reshape(channels, -1)[:, :: max(1, side * side // _SAMPLED_CELLS)]
        moments += cells.astype(np.float64) @ cells.T
    energies, directions = np.linalg.eigh(moments)
    cumulative = np.cumsum(energies[::-1])
    if not cumulative[-1] > 0:  # all sampled blocks are flat
        return np.eye(channels, dtype=np.float32)
    count = int(np.searchsorted(cumulative, ENERGY_FRACTION * cumulative[-1])) + 1
    return np.ascontiguousarray(directions[:, ::-1][:, :count].T, np.float32)
