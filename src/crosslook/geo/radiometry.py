"""From the numbers in a file to images in 0..1, by stated and recorded rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from crosslook.errors import RasterError, SettingError, did_you_mean
from crosslook.types import FloatArray

Scale = Literal["linear", "decibel", "scaled"]
SPECKLE_FILTERS = ("none", "median", "bilateral")
_FLOOR = 1e-6


@dataclass(frozen=True)
class Stretch:
    """What a scene needs to come to 0..1: fitted once on an overview of it.

    ``low`` and ``high`` hold one value per output channel.
    """

    scale: Scale
    bands: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class SarRadiometry:
    """How SAR becomes three channels in 0..1.

    Attributes
    ----------
    scale : str
        ``auto`` takes integers for already ``scaled``, floats with a negative
        value for ``decibel`` and other floats for ``linear``.
    log : str
        ``auto`` takes ``10 log10(x)`` of linear data only; ``yes`` takes it of
        scaled data too (of ``1 + x``); ``no`` never.
    clip : tuple of float or None
        Fixed limits, after the logarithm (decibels: -25, 0 is usual for VV,
        -32.5, 0 for VH); None takes ``percentiles`` of the scene.
    percentiles : tuple of float
        Limits of a scene, 0..100, over its valid pixels.
    bands : tuple of int
        Bands, from 1; empty takes one, two or the first three of the file.
        One band is repeated; two become first, second and their mean.
    speckle : str
        ``none``, ``median`` (5 x 5) or ``bilateral``, by OpenCV, after scaling.
    """

    scale: str = "auto"
    log: str = "auto"
    clip: tuple[float, float] | None = None
    percentiles: tuple[float, float] = (1.0, 99.0)
    bands: tuple[int, ...] = ()
    speckle: str = "none"

    @classmethod
    def parse(cls, text: str) -> SarRadiometry:
        """Read ``scale=decibel,clip=-25:0,log=no,bands=1:2,speckle=median``."""
        found = _parse(text, "--sar", _SAR_KEYS)
        return cls(**found)

    def fit(self, overview: FloatArray, dtype: str, count: int) -> Stretch:
        """Fit a scene on an overview (bands, h, w) of its chosen bands."""
        bands = self.choose(count)
        scale = self._scale_of(overview, dtype)
        low, high = _limits(self._logged(overview, scale), self.clip, self.percentiles)
        return Stretch(scale, bands, low, high)

    def choose(self, count: int) -> tuple[int, ...]:
        """Bands to read of a file with ``count`` bands."""
        return _existing(self.bands or tuple(range(1, min(count, 3) + 1)), count)

    def apply(self, raw: FloatArray, stretch: Stretch) -> FloatArray:
        """Scale (bands, h, w) with NaN to (3, h, w) in 0..1, NaN kept."""
        unit = _stretched(self._logged(raw, stretch.scale), stretch)
        if self.speckle != "none":
            unit = _filtered(unit, self.speckle)
        return _three(unit)

    def describe(self) -> dict[str, Any]:
        """Settings for ``run.json``."""
        return asdict(self)

    def key(self) -> str:
        """Text that is the same only where the pixels are."""
        return f"sar/1/{self!r}"

    def _scale_of(self, overview: FloatArray, dtype: str) -> Scale:
        if self.scale != "auto":
            return self.scale  # type: ignore[return-value]
        if not dtype.startswith("float"):
            return "scaled"
        return "decibel" if bool(np.nanmin(overview) < 0) else "linear"

    def _logged(self, raw: FloatArray, scale: Scale) -> FloatArray:
        if self.log == "no" or scale == "decibel" or (self.log == "auto" and scale == "scaled"):
            return raw
        shifted = raw + np.float32(1.0) if scale == "scaled" else raw
        return np.asarray(10 * np.log10(np.maximum(shifted, np.float32(_FLOOR))), np.float32)


@dataclass(frozen=True)
class OpticalRadiometry:
    """How optical bands become red, green and blue in 0..1.

    Attributes
    ----------
    bands : tuple of int
        Three bands (or one), from 1, in the order red, green, blue; empty
        takes 1 of one or two bands, 1 2 3 of three or four, 4 3 2 of twelve
        or thirteen (Sentinel-2) and 3 2 1 of any other number (blue first).
    range : tuple of float or None
        Fixed limits, as 0, 3000 for reflectance times 10,000; None takes
        0..255 for 8 bits and ``percentiles`` of the scene otherwise.
    percentiles : tuple of float
        Limits of a scene, 0..100, per band over its valid pixels.
    """

    bands: tuple[int, ...] = ()
    range: tuple[float, float] | None = None
    percentiles: tuple[float, float] = (1.0, 99.0)

    @classmethod
    def parse(cls, text: str) -> OpticalRadiometry:
        """Read ``bands=4:3:2,range=0:3000`` or ``percentiles=2:98``."""
        return cls(**_parse(text, "--optical", _OPTICAL_KEYS))

    def fit(self, overview: FloatArray, dtype: str, count: int) -> Stretch:
        """Fit a scene on an overview (bands, h, w) of its chosen bands."""
        fixed = self.range or ((0.0, 255.0) if dtype == "uint8" else None)
        low, high = _limits(overview, fixed, self.percentiles)
        return Stretch("linear", self.choose(count), low, high)

    def choose(self, count: int) -> tuple[int, ...]:
        """Bands to read of a file with ``count`` bands."""
        if self.bands:
            return _existing(self.bands, count)
        if count <= 2:
            return (1,)
        if count <= 4:
            return (1, 2, 3)
        return (4, 3, 2) if count in (12, 13) else (3, 2, 1)

    def apply(self, raw: FloatArray, stretch: Stretch) -> FloatArray:
        """Scale (bands, h, w) with NaN to (3, h, w) in 0..1, NaN kept."""
        return _three(_stretched(raw, stretch))

    def describe(self) -> dict[str, Any]:
        """Settings for ``run.json``."""
        return asdict(self)

    def key(self) -> str:
        """Text that is the same only where the pixels are."""
        return f"optical/1/{self!r}"


def _limits(
    values: FloatArray, fixed: tuple[float, float] | None, percentiles: tuple[float, float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if fixed is not None:
        return (fixed[0],) * len(values), (fixed[1],) * len(values)
    low, high = [], []
    for band in values:
        valid = band[np.isfinite(band)]
        if not valid.size:
            raise RasterError("no valid pixel to fit a radiometry on.")
        bottom, top = np.percentile(valid.astype(np.float64), percentiles)
        low.append(float(bottom))
        # A constant scene stays finite: everything becomes 0.
        high.append(float(top) if top > bottom else float(bottom) + 1.0)
    return tuple(low), tuple(high)


def _stretched(values: FloatArray, stretch: Stretch) -> FloatArray:
    low = np.asarray(stretch.low, np.float32)[:, None, None]
    high = np.asarray(stretch.high, np.float32)[:, None, None]
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0), np.float32)


def _three(unit: FloatArray) -> FloatArray:
    if len(unit) == 1:
        return np.repeat(unit, 3, axis=0)
    if len(unit) == 2:
        return np.concatenate([unit, unit.mean(axis=0, keepdims=True)])
    return unit[:3]


def _filtered(unit: FloatArray, name: str) -> FloatArray:
    import cv2

    filled = np.nan_to_num(unit, nan=0.0)
    smooth = [
        cv2.medianBlur(band, 5) if name == "median" else cv2.bilateralFilter(band, 7, 0.2, 3.0)
        for band in filled
    ]
    return np.where(np.isnan(unit), np.float32(np.nan), np.stack(smooth))


def _existing(bands: tuple[int, ...], count: int) -> tuple[int, ...]:
    if min(bands) < 1 or max(bands) > count:
        raise SettingError(f"bands {bands} were asked for, but the file has bands 1 to {count}.")
    return bands


def _parse(text: str, owner: str, keys: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in (piece.strip() for piece in text.split(",")):
        if not part:
            continue
        key, equals, value = part.partition("=")
        if key not in keys:
            raise SettingError(
                f"{owner}: unknown key '{key}'; it has: {', '.join(keys)}."
                + did_you_mean(key, list(keys))
            )
        try:
            found[key] = keys[key](value)
        except ValueError as error:
            raise SettingError(f"{owner}: '{part}' is not allowed: {error}.") from None
        if not equals:
            raise SettingError(f"{owner}: write '{key}=value'.")
    return found


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"it must be one of {', '.join(allowed)}")
        return text

    return read


def _two(low: float, high: float) -> Callable[[str], tuple[float, float]]:
    def read(text: str) -> tuple[float, float]:
        numbers = [float(part) for part in text.split(":")]
        if len(numbers) != 2 or not low <= numbers[0] < numbers[1] <= high:
            raise ValueError(f"write LOW:HIGH, rising, within {low:g} to {high:g}")
        return numbers[0], numbers[1]

    return read


def _band_list(text: str) -> tuple[int, ...]:
    bands = tuple(int(part) for part in text.split(":"))
    if not 1 <= len(bands) <= 3 or min(bands) < 1:
        raise ValueError("write one to three bands from 1, as 4:3:2")
    return bands


_SAR_KEYS: dict[str, Callable[[str], Any]] = {
    "scale": _one_of("auto", "linear", "decibel", "scaled"),
    "log": _one_of("auto", "yes", "no"),
    "clip": _two(-1e9, 1e9),
    "percentiles": _two(0, 100),
    "bands": _band_list,
    "speckle": _one_of(*SPECKLE_FILTERS),
}
_OPTICAL_KEYS: dict[str, Callable[[str], Any]] = {
    "bands": _band_list,
    "range": _two(-1e9, 1e9),
    "percentiles": _two(0, 100),
}
