"""The few values that every part of crosslook agrees on.

Axis order is row then column everywhere; pixel centres lie at +0.5, so pixel
(r, c) covers rows ``[r, r + 1)`` and columns ``[c, c + 1)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Modality = Literal["sar", "optical"]
TileRows = Literal["auto", "xyz", "tms"]
"""How rows of map tiles count: from the north, from the south, or as what lies beside them says."""
MODALITIES: tuple[Modality, Modality] = ("sar", "optical")
Direction = Literal["sar->optical", "optical->sar"]
DIRECTIONS: tuple[Direction, Direction] = ("sar->optical", "optical->sar")
Split = Literal["held-out", "transductive"]
FloatArray = NDArray[np.float32]
Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: rows ``[row, row + height)``, columns likewise."""

    row: int
    col: int
    height: int
    width: int

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Window:
        """All pixels of an image of this many rows and columns."""
        return cls(0, 0, int(shape[0]), int(shape[1]))

    @classmethod
    def around(cls, low: Array, high: Array) -> Window:
        """The pixels that hold all positions (row, column) from ``low`` to ``high``."""
        row, col = (math.floor(number) for number in low)
        bottom, right = (math.ceil(number) for number in high)
        return cls(row, col, bottom - row, right - col)

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the first pixel."""
        return self.row, self.col

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def bottom(self) -> int:
        """The first row below."""
        return self.row + self.height

    @property
    def right(self) -> int:
        """The first column beyond."""
        return self.col + self.width

    @property
    def is_empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.height <= 0 or self.width <= 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an array with; it begins at no negative pixel."""
        return slice(self.row, self.bottom), slice(self.col, self.right)

    def shifted(self, rows: int, cols: int) -> Window:
        """The same rectangle so many pixels farther down and right."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def within(self, outer: Window) -> Window:
        """The same pixels, counted from the first pixel of another window."""
        return self.shifted(-outer.row, -outer.col)

    def pad(self, rows: int, cols: int | None = None) -> Window:
        """Expanded on every side, by ``rows`` along the columns too by default."""
        more = rows if cols is None else cols
        return Window(
            self.row - rows, self.col - more, self.height + 2 * rows, self.width + 2 * more
        )

    def intersect(self, other: Window) -> Window:
        """The pixels that both hold; see ``is_empty`` for none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Window(row, col, bottom - row, right - col)

    def clip(self, shape: Sequence[int]) -> Window:
        """What of it lies inside an image of this many rows and columns."""
        return self.intersect(Window.whole(shape))

    def tiles(self, height: int, width: int | None = None) -> Iterator[Window]:
        """Cut it into windows of at most so many rows and columns, row by row."""
        for row in range(self.row, self.bottom, height):
            for col in range(self.col, self.right, width or height):
                yield Window(row, col, height, width or height).intersect(self)


@dataclass(frozen=True)
class Patch:
    """Where one aligned SAR/optical patch pair comes from.

    Attributes
    ----------
    id : str
        Unique within a patch set: ``<scene>/<row>_<col>``.
    scene : str
        The scene pair it was cut from; statistics resample scenes.
    group : str
        A coarser unit (tile, region, season); the scene where none is known.
    window : Window
        Pixel window on the optical grid of the scene.
    position : tuple of float or None
        World (x, y) of the patch centre in ``crs``; None without georeference.
    crs : str or None
        CRS of ``position``, as an authority string or WKT.
    bounds : tuple of float or None
        Left, bottom, right and top of the patch in ``crs``.
    """

    id: str
    scene: str
    group: str
    window: Window
    position: tuple[float, float] | None = None
    crs: str | None = None
    bounds: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class FeatureMap:
    """Features of ``N`` images on a regular grid of cells.

    Attributes
    ----------
    values : float32 array, shape (N, C, h, w)
        Channel values per cell; (0, 0) is the upper left cell.
    stride : float
        Input pixels per cell, the same along rows and columns. Cell (i, j)
        covers input rows ``[i * stride, (i + 1) * stride)``, columns likewise.
    vector : float32 array, shape (N, D), or None
        The model's own global embedding, where it has one.
    """

    values: FloatArray
    stride: float
    vector: FloatArray | None = None

    def __len__(self) -> int:
        return int(self.values.shape[0])


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval (95 % unless said otherwise)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One result: a line of ``results.parquet`` (field order is column order).

    ``n_query`` and ``n_gallery`` count descriptors; ``chance`` is the value
    that guessing would give, NaN where there is no such thing; ``k`` is 0
    where the metric has none. ``splits`` counts the repeated splits that the
    value is the mean over; its interval then holds their variance too.
    """

    dataset: str
    extractor: str
    revision: str
    pooling: str
    calibration: str
    scoring: str
    split: str
    measure: str
    direction: str
    metric: str
    k: int
    value: float
    ci_low: float
    ci_high: float
    n_query: int
    n_gallery: int
    chance: float
    splits: int = 1


@dataclass(frozen=True)
class Metric:
    """A measured value before it is set into a :class:`Row`.

    ``direction`` is empty where a metric has none; ``k`` is 0 likewise.
    """

    measure: str
    metric: str
    estimate: Estimate
    n_query: int
    n_gallery: int
    chance: float
    direction: str = ""
    k: int = 0
