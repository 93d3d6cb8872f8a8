"""The extractor base class: one sealed public method, one hook."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np

from crosslook.errors import FeatureError, InputError
from crosslook.extract.spec import ExtractorSpec, Option, parse_spec
from crosslook.types import FeatureMap, FloatArray, Modality

Features = tuple[FloatArray, FloatArray | None]
"""Values (n, C, h, w) and vector (n, D) or None."""


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
        What may follow the colon of a spec.
    VECTOR : bool or None
        Whether it gives a global embedding; None where only its weights know.
    SWEPT : str
        Option of which one pass can give several values (``layer``); empty for none.
    BANDS : mapping of modality to tuple of str
        Bands that it asks for by name, both modalities: it then gets SAR in
        decibels and optical bands as reflectance, of as many channels; empty for
        three channels in 0..1. :attr:`modality` says which it gets.
    PRETRAINED : bool
        Whether its weights were learned: claims are judged among such.
    MEAN, STD : tuple of float
        Per channel; an image ``x`` in 0..1 becomes ``(x - MEAN) / STD``.
    revision : str
        What identifies the weights (a hub revision or a digest); part of the
        feature-store key.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {}
    VECTOR: ClassVar[bool | None] = False
    SWEPT: ClassVar[str] = ""
    BANDS: ClassVar[Mapping[Modality, tuple[str, ...]]] = {}
    PRETRAINED: ClassVar[bool] = False
    MEAN: tuple[float, float, float] = (0.0, 0.0, 0.0)
    STD: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __init__(self, spec: str, options: dict[str, Any]) -> None:
        self.spec = spec
        self.options = options
        self.revision = "builtin"
        self.dtype = "float32"
        self.batch_size = 32
        self.modality: Modality | None = None

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
    def extract(self, images: FloatArray, modality: Modality | None = None) -> FeatureMap:
        """Extract features of a stack of images.

        Parameters
        ----------
        images : float32 array, shape (N, 3, H, W)
            Values in 0..1, channels red, green, blue (or one grey value thrice);
            of an extractor with ``BANDS`` those bands in their units.
        modality : str, optional
            What the images are; needed by an extractor with ``BANDS`` alone.

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
        return self.extract_family(images, [self], modality)[0]

    @final
    def extract_family(
        self, images: FloatArray, family: Sequence[Extractor], modality: Modality | None = None
    ) -> list[FeatureMap]:
        """Extract under several values of the option ``SWEPT``, from one forward pass.

        Parameters
        ----------
        images : float32 array, shape (N, 3, H, W)
            As :meth:`extract` takes them.
        family : sequence of Extractor
            Of this class and with these options, but for the swept one; this
            extractor, the deepest of them, does the work.

        Returns
        -------
        list of FeatureMap
            In the order of ``family``; what each would give alone, up to rounding.
        """
        self.modality = modality
        if self.BANDS:
            _check_bands(images, self.BANDS, modality, self.spec)
        else:
            _check(images)
        geometry = self.geometry(images.shape[2], images.shape[3])
        alone = len(family) == 1 and family[0] is self
        parts: list[list[Features]] = []
        for prepared in self._batches(images, geometry):
            read = [self._features(prepared)] if alone else self._swept(prepared, family)
            parts.append([(np.ascontiguousarray(v, dtype=np.float32), w) for v, w in read])
        batches = []
        for number, member in enumerate(family):
            own = [part[number] for part in parts]
            values = np.concatenate([one[0] for one in own])
            vectors = [one[1] for one in own if one[1] is not None]
            vector = np.concatenate(vectors) if vectors else None
            member._refuse_non_finite(values, vector)
            # A swept layer may have cells of another size than the one that leads.
            cell = geometry.cell if member is self else geometry.padded[0] / values.shape[2]
            batches.append(FeatureMap(values, cell / geometry.scale, vector))
        return batches

    @property
    def depth(self) -> float:
        """How late in the model it reads: of a family, the deepest does the work."""
        return 0.0

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

    @property
    def ahead(self) -> bool:
        """Whether a batch is prepared while the one before is worked on.

        That pays where the work is done by another device than the preparation.
        """
        return False

    def _batches(self, images: FloatArray, geometry: Geometry) -> Iterator[FloatArray]:
        """Prepared and normalised batches, in order; their size may shrink on the way."""
        if not self.ahead:
            start = 0
            while start < len(images):
                step = self._batch(geometry)
                yield self._normalised(images[start : start + step], geometry)
                start += step
            return
        with ThreadPoolExecutor(1) as pool:
            start = min(self._batch(geometry), len(images))
            pending = pool.submit(self._normalised, images[:start], geometry)
            while True:
                prepared, step = pending.result(), self._batch(geometry)
                more = images[start : start + step]
                if len(more):
                    pending = pool.submit(self._normalised, more, geometry)
                    start += len(more)
                yield prepared
                if not len(more):
                    return

    @property
    def normalises(self) -> bool:
        """Whether ``MEAN`` and ``STD`` change anything."""
        return any(self.MEAN) or set(self.STD) != {1.0}

    def _normalised(self, images: FloatArray, geometry: Geometry) -> FloatArray:
        prepared = self._prepare(images, geometry)
        if self.normalises:
            mean = np.asarray(self.MEAN, np.float32)[:, None, None]
            std = np.asarray(self.STD, np.float32)[:, None, None]
            prepared = prepared - mean
            prepared /= std
        return prepared

    def _swept(self, images: FloatArray, family: Sequence[Extractor]) -> list[Features]:
        """The hook of a class that names ``SWEPT``: one pass for all members."""
        raise NotImplementedError(f"{type(self).__name__} sweeps no option")


def pad_to_multiple(height: int, width: int, cell: int) -> Geometry:
    """Keep the scale and pad bottom and right to whole cells."""
    padded = (math.ceil(height / cell) * cell, math.ceil(width / cell) * cell)
    return Geometry((height, width), padded, 1.0, float(cell))


def resize_to_multiple(height: int, width: int, cell: int, side: int = 0) -> Geometry:
    """Resize so that the longer side is whole cells, pad the other.

    ``side`` is the requested longer side in pixels, rounded to whole cells; 0
    takes the nearest multiple at or below the image's own (at least one cell).
    """
    longer = max(height, width)
    cells = round(side / cell) if side else longer // cell
    scale = max(1, cells) * cell / longer
    resized = (max(1, round(height * scale)), max(1, round(width * scale)))
    return replace(pad_to_multiple(*resized, cell), scale=scale)


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
        grey, shape = is_grey(images), images.shape
        images = images[:, :1] if grey else images
        images = np.pad(images, ((0, 0), (0, 0), (0, bottom), (0, right)), mode="edge")
        if grey:
            images = np.broadcast_to(images, (*shape[:2], *images.shape[2:]))
    return images


def is_grey(images: FloatArray) -> bool:
    """Whether the channels of images (n, 3, H, W) are one array in memory, seen thrice."""
    return images.strides[1] == 0


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


def family_of(spec: str, swept: str) -> tuple[object, ...]:
    """What extractors of one pass have in common: their specs, but for the swept option."""
    parsed = parse_spec(spec)
    options = tuple(sorted((k, v) for k, v in parsed.options.items() if k != swept))
    return parsed.name, parsed.variant, parsed.untrained, options


def _check_bands(
    images: FloatArray,
    bands: Mapping[Modality, tuple[str, ...]],
    modality: Modality | None,
    spec: str,
) -> None:
    if modality is None or modality not in bands:
        raise InputError(f"'{spec}' asks for bands by name; say whether images are sar or optical.")
    names = bands[modality]
    if images.ndim != 4 or images.shape[1] != len(names) or 0 in images.shape:
        raise InputError(
            f"images have shape {images.shape}; '{spec}' needs (N, {len(names)}, H, W): "
            f"{', '.join(names)}."
        )
    if images.dtype != np.float32 or not np.isfinite(images).all():
        raise InputError(f"images for '{spec}' must be float32 without NaN.")


def _check(images: FloatArray) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise InputError(f"images have shape {images.shape}; (N, 3, H, W) is needed.")
    if images.dtype != np.float32:
        raise InputError(f"images are {images.dtype}; float32 in 0..1 is needed.")
    distinct = images[:, :1] if is_grey(images) else images
    low, high = float(distinct.min()), float(distinct.max())
    if not (low >= 0.0 and high <= 1.0):  # NaN fails too
        raise InputError(
            f"image values span {low:g}..{high:g}; 0..1 without NaN is needed. "
            "Apply a radiometry first."
        )
