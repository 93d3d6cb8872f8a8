"""The extractor base class: one sealed public method, one hook."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from crosslook.errors import FeatureError, InputError
from crosslook.extract.spec import ExtractorSpec, Option, parse_spec
from crosslook.types import FeatureMap, FloatArray


@dataclass(frozen=True)
class Geometry:
    """How an image is brought to what a model takes.

    The image is resized by ``scale`` (the same along rows and columns) to
    ``resized`` and padded at the bottom and right to ``padded``; ``cell`` is
    the model's own stride in its input pixels.
    """

    resized: tuple[int, int]
    padded: tuple[int, int]
    scale: float
    cell: float

    @property
    def stride(self) -> float:
        """Pixels of the original image per cell."""
        return self.cell / self.scale


class Extractor(ABC):
    """Turns images into a :class:`~crosslook.types.FeatureMap`.

    A subclass names its statistics and options as class data and writes
    :meth:`_features`; everything else (checks, resizing, padding,
    normalisation, batches) is done here, once, for all of them.

    Attributes
    ----------
    OPTIONS : dict of str to Option
        What may stand behind the colon of a spec.
    VECTOR : bool or None
        Whether it gives a global embedding; None where only its weights know.
    MEAN, STD : tuple of float
        Per channel; an image ``x`` in 0..1 becomes ``(x - MEAN) / STD``.
    revision : str
        What identifies the weights (a hub revision or a digest); part of the
        feature-store key.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {}
    VECTOR: ClassVar[bool | None] = False
    MEAN: tuple[float, float, float] = (0.0, 0.0, 0.0)
    STD: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __init__(self, spec: str, options: dict[str, Any]) -> None:
        self.spec = spec
        self.options = options
        self.revision = "builtin"
        self.dtype = "float32"
        self.batch_size = 32

    @classmethod  # noqa: B027
    def check_options(cls, parsed: ExtractorSpec, options: dict[str, Any]) -> None:
        """Refuse combinations of options that have no meaning; none by default."""

    @property
    def key(self) -> dict[str, str]:
        """Everything about this extractor that changes its features.

        Options at their default are named too, so that a changed default can
        never read features made under another one.
        """
        parsed = parse_spec(self.spec)
        return {
            "name": parsed.name,
            "variant": parsed.variant or "",
            "untrained": str(parsed.untrained),
            "options": ",".join(f"{k}={v}" for k, v in sorted(self.options.items())),
            "revision": self.revision,
            "dtype": self.dtype,
        }

    @final
    def extract(self, images: FloatArray) -> FeatureMap:
        """Extract features of a stack of images.

        Parameters
        ----------
        images : float32 array, shape (N, 3, H, W)
            Values in 0..1, channels red, green, blue (or one grey value thrice).

        Returns
        -------
        FeatureMap
            ``N`` maps; the result does not depend on how images are batched.

        Raises
        ------
        InputError
            If the shape is another one or a value is NaN or outside 0..1.
        FeatureError
            If a feature is NaN or infinite: it would be nearest to everything.
        """
        _check(images)
        geometry = self.geometry(images.shape[2], images.shape[3])
        parts: list[tuple[FloatArray, FloatArray | None]] = []
        start = 0
        while start < len(images):
            step = self._batch(geometry)
            parts.append(self._run(images[start : start + step], geometry))
            start += step
        values = np.concatenate([part[0] for part in parts])
        vectors = [part[1] for part in parts if part[1] is not None]
        vector = np.concatenate(vectors) if vectors else None
        self._refuse_non_finite(values, vector)
        return FeatureMap(values, geometry.stride, vector)

    def _refuse_non_finite(self, values: FloatArray, vector: FloatArray | None) -> None:
        finite = np.asarray(np.isfinite(values).reshape(len(values), -1).all(axis=1))
        if vector is not None:
            finite &= np.isfinite(vector).all(axis=1)
        if not finite.all():
            half = self.dtype == "float16"
            wider = ", or run it with --dtype float32 or bfloat16" if half else ""
            raise FeatureError(
                f"'{self.spec}' gives NaN or infinite features for {int((~finite).sum())} of "
                f"{len(finite)} images (weights {self.revision}, {self.dtype}). Check its weights"
                f"{wider}.",
                int(np.flatnonzero(~finite)[0]),
            )

    def geometry(self, height: int, width: int) -> Geometry:
        """Say how an image of this size is resized and padded.

        The default keeps the size and a cell of one pixel; a subclass that
        has a stride or a fixed input overrides it, mostly by one call of
        :func:`pad_to_multiple` or :func:`resize_to_multiple`.
        """
        return Geometry((height, width), (height, width), 1.0, 1.0)

    @abstractmethod
    def _features(self, images: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """The hook: normalised images (n, 3, H', W') to values and vector.

        ``values`` is float32 (n, C, h, w) in cells of ``geometry().cell``
        input pixels; ``vector`` is float32 (n, D) or None.
        """

    def close(self) -> None:  # noqa: B027
        """Release what the extractor holds (memory of a model); nothing by default."""

    def _batch(self, geometry: Geometry) -> int:
        """Images per call of the hook; may shrink while a stack is worked on."""
        return self.batch_size

    def _prepare(self, images: FloatArray, geometry: Geometry) -> FloatArray:
        return prepare(images, geometry)

    def _run(self, images: FloatArray, geometry: Geometry) -> tuple[FloatArray, FloatArray | None]:
        prepared = self._prepare(images, geometry)
        if any(self.MEAN) or set(self.STD) != {1.0}:
            mean = np.asarray(self.MEAN, np.float32)[:, None, None]
            std = np.asarray(self.STD, np.float32)[:, None, None]
            prepared = prepared - mean
            prepared /= std
        values, vector = self._features(prepared)
        return np.ascontiguousarray(values, dtype=np.float32), vector


def pad_to_multiple(height: int, width: int, cell: int) -> Geometry:
    """Keep the scale and pad bottom and right to whole cells."""
    padded = (math.ceil(height / cell) * cell, math.ceil(width / cell) * cell)
    return Geometry((height, width), padded, 1.0, float(cell))


def resize_to_multiple(height: int, width: int, cell: int, side: int = 0) -> Geometry:
    """Resize so that the longer side is whole cells, pad the other.

    ``side`` is the wanted longer side in pixels, rounded to whole cells; 0
    takes the nearest multiple at or below the image's own (at least one cell).
    """
    longer = max(height, width)
    cells = round(side / cell) if side else longer // cell
    target = max(1, cells) * cell
    scale = target / longer
    resized = (max(1, round(height * scale)), max(1, round(width * scale)))
    padded = (math.ceil(resized[0] / cell) * cell, math.ceil(resized[1] / cell) * cell)
    return Geometry(resized, padded, scale, float(cell))


def prepare(images: FloatArray, geometry: Geometry) -> FloatArray:
    """Resize (bicubic up, area down) and pad by edge values, (n, 3, H, W)."""
    if geometry.resized != images.shape[2:]:
        images = _resize(images, geometry.resized)
    return pad(images, geometry)


def pad(images: FloatArray, geometry: Geometry) -> FloatArray:
    """Repeat the last row and column up to the padded size."""
    bottom = geometry.padded[0] - images.shape[2]
    right = geometry.padded[1] - images.shape[3]
    if bottom or right:
        images = np.pad(images, ((0, 0), (0, 0), (0, bottom), (0, right)), mode="edge")
    return images


def _resize(images: FloatArray, size: tuple[int, int]) -> FloatArray:
    import cv2

    shrinks = size[0] < images.shape[2]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    resized = [
        cv2.resize(image.transpose(1, 2, 0), size[::-1], interpolation=how) for image in images
    ]
    # Bicubic overshoots; a model's input range is 0..1 like that of the patch.
    stack: FloatArray = np.stack(resized).transpose(0, 3, 1, 2)
    return np.clip(stack, 0.0, 1.0)


def _check(images: FloatArray) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise InputError(f"images have shape {images.shape}; (N, 3, H, W) is needed.")
    if images.dtype != np.float32:
        raise InputError(f"images are {images.dtype}; float32 in 0..1 is needed.")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0.0 and high <= 1.0):  # NaN fails too
        raise InputError(
            f"image values span {low:g}..{high:g}; 0..1 without NaN is needed. "
            "Apply a radiometry first."
        )
