"""From the numbers in a file to images in 0..1: one set of rules for every command.

SAR numbers are brought to one scale first, whatever the product holds:
amplitude in whole numbers, power in floats, decibels. Then they come to a tone
in which speckle is about as strong on dark as on bright ground, and last to
0..1 between two limits. Optical bands are chosen and brought to 0..1 alone. Values beyond
the limits go below 0 or above 1 and are clipped by who uses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, model_validator

from crosslook.errors import RasterError, SettingError, did_you_mean
from crosslook.geo.raster import Raster
from crosslook.spec import Interval, Written, split_options
from crosslook.types import Array, FloatArray

Scale = Literal["amplitude", "power", "decibel", "stored"]
Limits = tuple[tuple[float, ...], tuple[float, ...]]
_FLOOR = 1e-6
_DECIBELS = (-120.0, 60.0)
_MOST_BANDS = 3
_TIMES_10_000 = (0.0, 3000.0)  # limits of reflectance as it is mostly stored
_SMALL_SCALE = 0.01  # a file that scales by less says itself that it holds reflectance


def band_list(value: Any) -> Any:
    """Read one to three bands, as ``4:3:2`` or ``B08:B04:B03``; ValueError for anything else."""
    if not isinstance(value, str):
        return value
    bands = tuple(part.strip() for part in value.split(":") if part.strip())
    if not 1 <= len(bands) <= _MOST_BANDS or any(b.isdigit() and int(b) < 1 for b in bands):
        raise ValueError("write one to three bands from 1, as 4:3:2, or their names")
    return bands


Bands = Annotated[tuple[str, ...], BeforeValidator(band_list)]


class _Radiometry(Written):
    """What both radiometries share: presets and keys as text, and how they are described."""

    option: ClassVar[str]
    presets: ClassVar[dict[str, Any]]

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """Fields of ``clip=-25:0,tone=log,bands=1:2``, or of a preset as ``vv`` and keys."""
        words, options = split_options(text, f"{cls.option} {text}")
        known = list(cls.model_fields)
        fields: dict[str, Any] = {}
        for word in words:
            if word in known:
                raise SettingError(f"{cls.option}: write '{word}=value'.")
            fields |= dict(cls.presets.get(word, ()))
        for key in [word for word in words if word not in cls.presets] + list(options):
            if key not in known:
                raise SettingError(
                    f"{cls.option}: unknown key or preset '{key}'; keys: {', '.join(known)}; "
                    f"presets: {', '.join(cls.presets)}."
                    + did_you_mean(key, [*known, *cls.presets])
                )
        return fields | options

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read keys and presets.

        Raises
        ------
        SettingError
            For an unknown key or preset, or a value that is not allowed.
        """
        fields = cls.read(text)
        try:
            return cls(**fields)
        except SettingError as error:
            raise SettingError(f"{cls.option} {text}: {error}") from None

    @model_validator(mode="after")
    def _within(self) -> Self:
        low, high = self.percentiles  # type: ignore[attr-defined]
        if not 0 <= low < high <= 100:
            raise ValueError("percentiles must lie within 0 to 100: write LOW:HIGH, rising")
        return self

    def __str__(self) -> str:
        return ",".join(
            f"{key}={':'.join(f'{v:g}' if isinstance(v, float) else v for v in value)}"
            if isinstance(value, tuple)
            else f"{key}={value}"
            for key, value in self
            if value != type(self).model_fields[key].default
        )

    def describe(self) -> dict[str, Any]:
        """Settings for ``run.json``."""
        return dict(self)

    def key(self) -> str:
        """Text that is the same only where the pixels are."""
        return f"{self.option[2:]}/2/{self!r}"


@dataclass(frozen=True)
class Stretch:
    """What an image needs to come to 0..1.

    ``low`` and ``high`` hold one value per band, in the tone of the image.
    """

    scale: Scale
    low: tuple[float, ...]
    high: tuple[float, ...]


class SarRadiometry(_Radiometry):
    """How SAR becomes one to three channels in 0..1.

    Attributes
    ----------
    scale : str
        ``auto`` takes whole numbers and magnitudes of complex ones for
        ``amplitude``, floats with negative values for ``decibel`` and other
        floats for ``power``; ``stored`` takes them as they are.
    tone : str
        ``root``: the square root of the amplitude; ``log``: decibels;
        ``linear``: the amplitude itself.
    clip : tuple of float or None
        Limits in decibels (-25, 0 is usual for VV, -32.5, 0 for VH); None takes
        ``percentiles``.
    percentiles : tuple of float
        Limits, 0..100, over valid pixels.
    bands : tuple of str
        Bands, by number from 1 or by name; empty takes the first three that are
        not empty. In feature extraction one band is repeated, and two become
        first, second and their mean.
    speckle : str
        ``none``, ``median`` (5 x 5) or ``bilateral``, by OpenCV, after scaling.
    zeros : str
        ``auto`` takes zeros for data unless they form the outside of the swath
        (:mod:`crosslook.geo.valid`); ``nodata`` and ``data`` are for all of them.
    per : str
        In a study, limits are fitted per ``set``, so that what was dark in one
        scene stays darker than in another, or per ``scene``.
    """

    option = "--sar"
    presets: ClassVar[dict[str, SarRadiometry]] = {}

    scale: Literal["auto", "amplitude", "power", "decibel", "stored"] = "auto"
    tone: Literal["root", "log", "linear"] = "root"
    clip: Interval | None = None
    percentiles: Interval = (1.0, 99.0)
    bands: Bands = ()
    speckle: Literal["none", "median", "bilateral"] = "none"
    zeros: Literal["auto", "nodata", "data"] = "auto"
    per: Literal["set", "scene"] = "set"

    def scale_of(self, header: Raster, sample: FloatArray) -> Scale:
        """The scale of an image, from its type and some of its valid values (bands, n)."""
        if self.scale != "auto":
            return self.scale
        if header.is_magnitude:
            return "amplitude"
        whole = not header.dtype.startswith("float")
        if whole and set(header.scales) == {1.0} and set(header.offsets) == {0.0}:
            return "stored" if bool((sample < 0).any()) else "amplitude"
        if not bool((sample < 0).any()):
            return "power"
        low, high = np.percentile(sample, (1.0, 99.0))
        return "decibel" if _DECIBELS[0] <= low and high <= _DECIBELS[1] else "stored"

    def toned(self, values: FloatArray, scale: Scale) -> FloatArray:
        """Bring values of a scale to the tone; NaN stays."""
        if scale == "stored":
            return values
        if self.tone == "log":
            return _decibels(values, scale)
        exponent = {"root": 0.5, "linear": 1.0}[self.tone]
        if scale == "decibel":
            return np.asarray(np.float32(10.0) ** (values * np.float32(exponent / 20)), np.float32)
        if scale == "power":
            exponent /= 2
        return np.asarray(np.maximum(values, np.float32(0.0)) ** np.float32(exponent), np.float32)

    def fit(self, header: Raster, scale: Scale, sample: FloatArray) -> Stretch:
        """Fit the limits on valid values (bands, n) of an image, or of many of one scale.

        Raises
        ------
        RasterError
            If there is no valid value.
        """
        if self.clip is None:
            low, high = _percentiles(self.toned(sample, scale), self.percentiles)
        else:
            ends = np.array([self.clip], np.float32)
            ends = ends if scale == "stored" else self.toned(ends, "decibel")
            low, high = ((float(end),) * len(sample) for end in ends[0])
        return Stretch(scale, low, high)

    def apply(self, raw: FloatArray, stretch: Stretch) -> FloatArray:
        """Scale (bands, h, w) with NaN to the same shape, mostly 0..1, NaN kept."""
        unit = _stretched(self.toned(raw, stretch.scale), stretch)
        return unit if self.speckle == "none" else _filtered(unit, self.speckle)

    def choose(self, header: Raster, empty: Sequence[bool] = ()) -> tuple[int, ...]:
        """Bands to read: those requested, else the first three that hold data."""
        if self.bands:
            return numbers_of(self.bands, header)
        full = [n for n in range(1, header.bands + 1) if not (n <= len(empty) and empty[n - 1])]
        return tuple(full[:_MOST_BANDS]) or (1,)


class OpticalRadiometry(_Radiometry):
    """How optical bands become red, green and blue (or one grey) in 0..1.

    Attributes
    ----------
    bands : tuple of str
        Three bands or one, by number from 1 or by name, in the order red,
        green, blue; empty takes those that the file calls so, else 1 of one or
        two bands, 1 2 3 of three or four, 4 3 2 of twelve or thirteen
        (Sentinel-2) and 3 2 1 of any other number (blue first).
    range : tuple of float or None
        Fixed limits, as 0, 3000 for reflectance times 10,000; None takes
        0..255 for 8 bits and ``percentiles`` otherwise.
    percentiles : tuple of float
        Limits, 0..100, per band over valid pixels.
    zeros, per : str
        As of :class:`SarRadiometry`.
    """

    option = "--optical"
    presets: ClassVar[dict[str, OpticalRadiometry]] = {}

    bands: Bands = ()
    range: Interval | None = None
    percentiles: Interval = (1.0, 99.0)
    zeros: Literal["auto", "nodata", "data"] = "auto"
    per: Literal["set", "scene"] = "set"

    def scale_of(self, header: Raster, sample: FloatArray) -> Scale:
        """Optical numbers are taken as they are."""
        return "stored"

    def fit(self, header: Raster, scale: Scale, sample: FloatArray) -> Stretch:
        """Fit the limits on valid values (bands, n), unless they are fixed."""
        fixed = self.range or ((0.0, 255.0) if header.dtype == "uint8" else None)
        if fixed is None:
            return Stretch("stored", *_percentiles(sample, self.percentiles))
        is_scaled = self.range == _TIMES_10_000 and max(header.scales) < _SMALL_SCALE
        low, high = ((end / 10_000 if is_scaled else end,) * len(sample) for end in fixed)
        return Stretch("stored", low, high)

    def apply(self, raw: FloatArray, stretch: Stretch) -> FloatArray:
        """Scale (bands, h, w) with NaN to the same shape, mostly 0..1, NaN kept."""
        return _stretched(raw, stretch)

    def choose(self, header: Raster, empty: Sequence[bool] = ()) -> tuple[int, ...]:
        """Bands to read."""
        if self.bands:
            return numbers_of(self.bands, header)
        for names in (("red", "green", "blue"), ("b04", "b03", "b02"), ("b4", "b3", "b2")):
            if all(name in header.labels for name in names):
                return tuple(header.labels.index(name) + 1 for name in names)
        count = header.bands
        if count <= 2:
            return (1,)
        if count <= 4:
            return (1, 2, 3)
        return (4, 3, 2) if count in (12, 13) else (3, 2, 1)


Radiometry = SarRadiometry | OpticalRadiometry
SarRadiometry.presets |= {
    "root": SarRadiometry(),
    "log": SarRadiometry(tone="log"),
    "stored": SarRadiometry(scale="stored"),
    "vv": SarRadiometry(tone="log", clip=(-25.0, 0.0)),
    "vh": SarRadiometry(tone="log", clip=(-32.5, 0.0)),
}
OpticalRadiometry.presets |= {
    "auto": OpticalRadiometry(),
    "reflectance": OpticalRadiometry(range=_TIMES_10_000),
}


def three_channels(unit: FloatArray) -> FloatArray:
    """Channels (3, h, w) in 0..1 for a model that sees colours, NaN kept."""
    clipped = np.clip(unit, 0.0, 1.0)
    if len(unit) == 1:
        return np.repeat(clipped, 3, axis=0)
    if len(unit) == 2:
        return np.concatenate([clipped, clipped.mean(axis=0, keepdims=True)])
    return clipped[:3]


def numbers_of(bands: Sequence[str], header: Raster) -> tuple[int, ...]:
    """Numbers of bands given by number or name.

    Raises
    ------
    SettingError
        If the raster has no such band.
    """
    numbers = []
    for band in bands:
        text = band.lower()
        number = int(text) if text.isdigit() else 0
        if text in header.labels:
            number = header.labels.index(text) + 1
        if not 1 <= number <= header.bands:
            names = [label for label in header.labels if label]
            called = f" ({', '.join(names)})" if names else ""
            raise SettingError(
                f"band '{band}' was requested, but {header.name} has bands 1 to "
                f"{header.bands}{called}."
            )
        numbers.append(number)
    return tuple(numbers)


def _decibels(values: FloatArray, scale: Scale) -> FloatArray:
    if scale == "decibel":
        return values
    if scale == "power":
        return np.asarray(10 * np.log10(np.maximum(values, np.float32(_FLOOR))), np.float32)
    # One more: whole numbers begin at 0.
    return np.asarray(20 * np.log10(np.maximum(values, np.float32(0.0)) + 1), np.float32)


def _percentiles(values: Array | FloatArray, percentiles: tuple[float, float]) -> Limits:
    if not values.shape[1]:
        raise RasterError("no valid pixel to fit a radiometry on.")
    low, high = np.percentile(values.astype(np.float64), percentiles, axis=1)
    # A constant image stays finite: everything becomes 0.
    high = np.where(high > low, high, low + 1.0)
    return tuple(float(v) for v in low), tuple(float(v) for v in high)


def _stretched(values: FloatArray, stretch: Stretch) -> FloatArray:
    low = np.asarray(stretch.low, np.float32)[:, None, None]
    high = np.asarray(stretch.high, np.float32)[:, None, None]
    return np.asarray((values - low) / (high - low), np.float32)


def _filtered(unit: FloatArray, name: str) -> FloatArray:
    import cv2

    filled = np.clip(np.nan_to_num(unit, nan=0.0), 0.0, 1.0)
    smooth = [
        cv2.medianBlur(band, 5) if name == "median" else cv2.bilateralFilter(band, 7, 0.2, 3.0)
        for band in filled
    ]
    return np.where(np.isnan(unit), np.float32(np.nan), np.stack(smooth))
