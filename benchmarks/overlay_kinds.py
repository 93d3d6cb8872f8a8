"""Kinds of marks that are not ground, drawn into an image: text, frames, grids, stripes, holes.

Both images of a pair get the same mark at the same pixels: ``draw`` is called once for each
with generators of one seed, and a style of its own (ink, line width).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Rng = np.random.Generator
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
_WORDS = ("Sentinel", "10 km", "N 34.05", "Copyright 2020", "SAR/OPT 17", "2020-08-14 18:03 UTC")


@dataclass(frozen=True)
class Style:
    """How a mark looks in one image: its grey value, and pixels that its lines are wider."""

    ink: int = 255
    wider: int = 0


Kind = Callable[[Image, Rng, Style], Image]
KINDS: dict[str, Kind] = {}


def _kind(draw: Kind) -> Kind:
    KINDS[draw.__name__.lstrip("_")] = draw
    return draw


def _with_option(draw: Callable[..., Image], option: Any) -> Kind:
    def drawn(image: Image, rng: Rng, style: Style) -> Image:
        return draw(image, rng, style, option)

    return drawn


def _variants(name: str, options: dict[str, Any], draw: Callable[..., Image]) -> None:
    """Rows of one function under several names."""
    for suffix, option in options.items():
        KINDS[f"{name}_{suffix}"] = _with_option(draw, option)


def _done(image: Any) -> Image:
    """What OpenCV drew on, by its type."""
    return np.asarray(image, np.uint8)


def _ink(style: Style) -> tuple[int, int, int]:
    return (style.ink,) * 3


def _mixed(image: Image, other: NDArray[Any], alpha: NDArray[Any] | float) -> Image:
    """``alpha`` of ``other`` over an image (H, W) or (H, W, 3)."""
    if isinstance(alpha, np.ndarray) and image.ndim == 3:
        alpha = alpha[..., None]
    mixed = image * (1.0 - alpha) + np.asarray(other, np.float32) * alpha
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def _scaled(image: Image, gain: NDArray[Any]) -> Image:
    return _mixed(image * (gain[..., None] if image.ndim == 3 else gain), image, 0.0)


def _corner(rng: Rng, shape: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int]:
    """Upper left pixel of a box in one of the corners."""
    rows, cols = shape[:2]
    inset = int(rng.integers(3, 12))
    row = inset if rng.random() < 0.5 else max(1, rows - size[0] - inset)
    col = inset if rng.random() < 0.5 else max(1, cols - size[1] - inset)
    return row, col


def _text(image: Image, rng: Rng, style: Style, size: float) -> Image:
    word, font = _WORDS[int(rng.integers(len(_WORDS)))], _FONTS[int(rng.integers(len(_FONTS)))]
    thick = 1 + (size > 0.7) + style.wider
    (width, height), below = cv2.getTextSize(word, font, size, thick)
    row, col = _corner(rng, image.shape, (height + below, width))
    line = cv2.LINE_AA if rng.random() < 0.5 else cv2.LINE_8
    return _done(
        cv2.putText(image, word, (col, row + height), font, size, _ink(style), thick, line)
    )


_variants("text", {"small": 0.4, "middle": 0.7, "large": 1.2}, _text)


@_kind
def _text_boxed(image: Image, rng: Rng, style: Style) -> Image:
    row, col = _corner(rng, image.shape, (22, 110))
    cv2.rectangle(image, (col, row), (col + 110, row + 22), _ink(style), -1)
    other = Style(255 - style.ink, style.wider)
    at = (col + 4, row + 16)
    return _done(
        cv2.putText(image, "Landsat 8", at, 0, 0.6, _ink(other), 1 + other.wider, cv2.LINE_AA)
    )


@_kind
def _text_outlined(image: Image, rng: Rng, style: Style) -> Image:
    row, col = _corner(rng, image.shape, (20, 130))
    for ink, thick in ((255 - style.ink, 4), (style.ink, 1 + style.wider)):
        cv2.putText(image, "Area 12b", (col, row + 16), 0, 0.7, (ink,) * 3, thick, cv2.LINE_AA)
    return image


@_kind
def _time_stamp(image: Image, rng: Rng, style: Style) -> Image:
    rows = image.shape[0]
    at = (6, rows - 6 if rng.random() < 0.5 else 14)
    return _done(
        cv2.putText(image, "2020-08-14T18:03:21Z", at, 0, 0.45, _ink(style), 1 + style.wider)
    )


def _watermark(image: Image, rng: Rng, style: Style, alpha: float) -> Image:
    mark = image.copy()
    step, word = int(rng.integers(40, 80)), _WORDS[int(rng.integers(len(_WORDS)))]
    for row in range(step // 2, image.shape[0], step):
        for col in range(0, image.shape[1], 2 * step):
            at = (col + row % 37, row)
            cv2.putText(mark, word, at, 0, 0.6, _ink(style), 2 + style.wider, cv2.LINE_AA)
    return _mixed(image, mark, alpha)


_variants("watermark", {"faint": 0.3, "half": 0.5}, _watermark)


def _scale_bar(image: Image, rng: Rng, style: Style, parts: int) -> Image:
    height, width = int(rng.integers(3, 9)) + style.wider, int(rng.integers(50, 110))
    row, col = _corner(rng, image.shape, (height + 16, width))
    for part in range(parts):
        left, right = col + part * width // parts, col + (part + 1) * width // parts
        ink = style.ink if part % 2 == 0 else 255 - style.ink
        cv2.rectangle(image, (left, row + 14), (right, row + 14 + height), (ink,) * 3, -1)
    return _done(
        cv2.putText(image, "0     5 km", (col, row + 10), 0, 0.4, _ink(style), 1, cv2.LINE_AA)
    )


_variants("scale_bar", {"plain": 1, "parts": 4}, _scale_bar)


@_kind
def _scale_bar_ticks(image: Image, rng: Rng, style: Style) -> Image:
    width = int(rng.integers(60, 120))
    row, col = _corner(rng, image.shape, (10, width))
    thick = 1 + style.wider
    cv2.line(image, (col, row + 9), (col + width, row + 9), _ink(style), thick)
    for at in range(0, width + 1, max(8, width // 5)):
        cv2.line(image, (col + at, row), (col + at, row + 9), _ink(style), thick)
    return image


@_kind
def _north_arrow(image: Image, rng: Rng, style: Style) -> Image:
    side = int(rng.integers(24, 50))
    row, col = _corner(rng, image.shape, (side + 14, side))
    tip = [[col + side // 2, row], [col + side, row + side], [col + side // 2, row + side * 2 // 3]]
    cv2.fillPoly(image, [np.array([*tip, [col, row + side]])], _ink(style), cv2.LINE_AA)
    at = (col + side // 2 - 5, row + side + 13)
    return _done(cv2.putText(image, "N", at, 0, 0.5, _ink(style), 1 + style.wider))


@_kind
def _logo(image: Image, rng: Rng, style: Style) -> Image:
    side = int(rng.integers(20, 40))
    row, col = _corner(rng, image.shape, (side, side))
    centre = (col + side // 2, row + side // 2)
    cv2.circle(image, centre, side // 2, _ink(style), -1, cv2.LINE_AA)
    cv2.ellipse(image, centre, (side // 3, side // 6), 30, 0, 360, (255 - style.ink,) * 3, -1)
    return _done(cv2.circle(image, centre, side // 2 - 3, (128,) * 3, 1 + style.wider))


@_kind
def _logo_transparent(image: Image, rng: Rng, style: Style) -> Image:
    return _mixed(image, _logo(image.copy(), rng, style), 0.6)


@_kind
def _legend(image: Image, rng: Rng, style: Style) -> Image:
    row, col = _corner(rng, image.shape, (64, 74))
    cv2.rectangle(image, (col, row), (col + 74, row + 64), _ink(style), -1)
    for k, ink in enumerate((40, 110, 180)):
        at = (col + 6, row + 6 + 19 * k)
        cv2.rectangle(image, at, (at[0] + 14, at[1] + 12), (ink,) * 3, -1)
        cv2.putText(image, f"class {k}", (at[0] + 18, at[1] + 11), 0, 0.38, (255 - style.ink,) * 3)
    return image


@_kind
def _colour_bar(image: Image, rng: Rng, style: Style) -> Image:
    rows = image.shape[0]
    left, length = _corner(rng, image.shape, (8, 12))[1], rows // 2
    ramp = np.linspace(255, 0, length) if style.ink > 127 else np.linspace(0, 255, length)
    bar = np.repeat(ramp[:, None], 12, axis=1)
    part = image[rows // 4 : rows // 4 + length, left : left + 12]
    part[:] = bar[:, : part.shape[1], None] if image.ndim == 3 else bar[:, : part.shape[1]]
    at = (left + part.shape[1] - 1, rows // 4 + length)
    return _done(cv2.rectangle(image, (left, rows // 4), at, (255,) * 3, 1))


def _frame(image: Image, rng: Rng, style: Style, fill: str) -> Image:
    width = int(rng.integers(1, 21))
    inside = np.zeros(image.shape[:2], np.float32)
    inside[width:-width, width:-width] = 1.0
    value: Any = {"white": 255, "black": 0, "grey": 128, "ink": style.ink}.get(fill, 0)
    if fill == "noisy":
        spread = np.random.default_rng(style.ink).integers(0, 12, image.shape[:2])
        value = spread[..., None] if image.ndim == 3 else spread
    if fill == "soft":
        inside = cv2.GaussianBlur(inside, (0, 0), 2.0)
    return _mixed(image, np.broadcast_to(value, image.shape), 1.0 - inside)


_FILLS = ("white", "black", "grey", "noisy", "soft", "ink")
_variants("frame", {fill: fill for fill in _FILLS}, _frame)


@_kind
def _neat_line(image: Image, rng: Rng, style: Style) -> Image:
    inset, (rows, cols) = int(rng.integers(2, 16)), image.shape[:2]
    at = (cols - 1 - inset, rows - 1 - inset)
    return _done(cv2.rectangle(image, (inset, inset), at, _ink(style), 1 + style.wider))


def _grid(image: Image, rng: Rng, style: Style, kind: str) -> Image:
    rows, cols = image.shape[:2]
    step, first, thick = int(rng.integers(28, 90)), int(rng.integers(4, 24)), 1 + style.wider
    for row in range(first, rows, step):
        for col in range(0, cols, 10 if kind == "dashed" else step):
            if kind == "crosses":
                at = (col + first, row)
                cv2.drawMarker(image, at, _ink(style), cv2.MARKER_CROSS, 11, thick)
            else:
                end = col + (5 if kind == "dashed" else step)
                cv2.line(image, (col, row), (end, row), _ink(style), thick)
    for col in range(first, cols, step):
        for row in range(0, rows, 10 if kind == "dashed" else step):
            if kind != "crosses":
                end = row + (5 if kind == "dashed" else step)
                cv2.line(image, (col, row), (col, end), _ink(style), thick)
    return image


_variants("grid", {kind: kind for kind in ("solid", "dashed", "crosses")}, _grid)


@_kind
def _grid_faint(image: Image, rng: Rng, style: Style) -> Image:
    return _mixed(image, _grid(image.copy(), rng, style, "solid"), 0.4)


@_kind
def _grid_slanted(image: Image, rng: Rng, style: Style) -> Image:
    rows, cols = image.shape[:2]
    step, slope = int(rng.integers(40, 80)), float(rng.uniform(-0.2, 0.2))
    thick = 1 + style.wider
    for at in range(-step, rows + step, step):
        cv2.line(image, (0, at), (cols, int(at + slope * cols)), _ink(style), thick, cv2.LINE_AA)
    for at in range(-step, cols + step, step):
        cv2.line(image, (at, 0), (int(at - slope * rows), rows), _ink(style), thick, cv2.LINE_AA)
    return image


@_kind
def _ticks(image: Image, rng: Rng, style: Style) -> Image:
    rows, cols = image.shape[:2]
    step, length = int(rng.integers(16, 48)), int(rng.integers(5, 12))
    thick = 1 + style.wider
    for at in range(step, cols, step):
        for ends in ((0, length), (rows - 1 - length, rows - 1)):
            cv2.line(image, (at, ends[0]), (at, ends[1]), _ink(style), thick)
    for at in range(step, rows, step):
        for ends in ((0, length), (cols - 1 - length, cols - 1)):
            cv2.line(image, (ends[0], at), (ends[1], at), _ink(style), thick)
    return image


def _stripes(image: Image, rng: Rng, style: Style, fill: str) -> Image:
    step, width = int(rng.integers(20, 60)), int(rng.integers(2, 9))
    first = int(rng.integers(0, step))
    lost = (np.arange(image.shape[0]) - first) % step < width
    if fill == "interpolated":
        known = np.flatnonzero(~lost)
        flat = image.reshape(len(lost), -1).astype(np.float32)
        columns = [np.interp(np.arange(len(lost)), known, one[known]) for one in flat.T]
        image[lost] = np.stack(columns, axis=1).reshape(image.shape)[lost].astype(np.uint8)
    else:
        image[lost] = {"zeros": 0, "white": 255, "ink": style.ink}[fill]
    return image


_variants("stripes", {k: k for k in ("zeros", "white", "ink", "interpolated")}, _stripes)


@_kind
def _stripes_slanted(image: Image, rng: Rng, style: Style) -> Image:
    rows, cols = np.indices(image.shape[:2])
    step, slope = int(rng.integers(24, 60)), float(rng.uniform(0.08, 0.3))
    width = 1 + np.abs(cols - image.shape[1] / 2) / image.shape[1] * 14
    image[(rows + slope * cols) % step < width] = 0
    return image


def _radius(shape: tuple[int, ...]) -> NDArray[Any]:
    rows, cols = np.indices(shape[:2])
    height, width = shape[:2]
    away = np.hypot(rows / height - 0.5, cols / width - 0.5)
    return np.asarray(away * np.sqrt(2.0), np.float64)


def _vignette(image: Image, rng: Rng, style: Style, depth: float) -> Image:
    del style
    return _scaled(image, 1.0 - depth * _radius(image.shape) ** float(rng.uniform(1.5, 3.0)))


_variants("vignette", {"weak": 0.4, "strong": 0.9}, _vignette)


@_kind
def _aperture(image: Image, rng: Rng, style: Style) -> Image:
    edge = float(rng.uniform(0.62, 0.75))
    image[_radius(image.shape) > edge] = 0 if rng.random() < 0.5 else style.ink
    return image


@_kind
def _ramp(image: Image, rng: Rng, style: Style) -> Image:
    del style
    rows, cols = np.indices(image.shape[:2])
    angle = rng.uniform(0, 2 * np.pi)
    along = (rows * np.sin(angle) + cols * np.cos(angle)) / max(image.shape[:2])
    return _scaled(image, 1.0 + 0.6 * (along - along.mean()))


@_kind
def _spot_light(image: Image, rng: Rng, style: Style) -> Image:
    del style
    rows, cols = np.indices(image.shape[:2])
    row, col = (rng.uniform(0.2, 0.8) * n for n in image.shape[:2])
    away = np.hypot(rows - row, cols - col) / (0.2 * max(image.shape[:2]))
    return _mixed(image, np.full(image.shape, 255), 0.5 * np.exp(-(away**2)))


@_kind
def _seams(image: Image, rng: Rng, style: Style) -> Image:
    del style
    gain = np.ones(image.shape[:2], np.float32)
    for axis in (0, 1):
        cut = int(rng.integers(image.shape[axis] // 4, 3 * image.shape[axis] // 4))
        factor = float(rng.choice([0.6, 0.75, 1.3]))
        gain[(slice(cut, None), slice(None)) if axis == 0 else (slice(None), slice(cut, None))] *= (
            factor
        )
    return _scaled(image, gain)


@_kind
def _tiles(image: Image, rng: Rng, style: Style) -> Image:
    side = int(rng.integers(40, 90))
    values = rng.uniform(-22, 22, (16, 16))
    rows, cols = (np.arange(n) // side for n in image.shape[:2])
    steps = values[np.ix_(rows % 16, cols % 16)] * (1 if style.ink > 127 else -1)
    return _mixed(image, image + (steps[..., None] if image.ndim == 3 else steps), 1.0)


def _jpeg(image: Image, rng: Rng, style: Style, quality: int) -> Image:
    del rng, style
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("no JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


_variants("jpeg", {"rough": 8, "coarse": 20}, _jpeg)


@_kind
def _marked_jpeg(image: Image, rng: Rng, style: Style) -> Image:
    return _jpeg(_scale_bar(_text(image, rng, style, 0.8), rng, style, 4), rng, style, 60)


@_kind
def _resampled_marks(image: Image, rng: Rng, style: Style) -> Image:
    marked = _grid(_text(image, rng, style, 0.8), rng, style, "solid")
    move = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
    size = marked.shape[1::-1]
    return np.asarray(cv2.warpAffine(marked, move, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def _drawn(image: Image, rng: Rng, style: Style, kind: str) -> Image:
    rows, cols = image.shape[:2]
    thick = 1 + style.wider + int(rng.integers(0, 2))
    if kind == "polygon":
        ring = rng.uniform(0.1, 0.9, (int(rng.integers(4, 8)), 2)) * (cols, rows)
        return _done(cv2.polylines(image, [ring.astype(np.int32)], True, _ink(style), thick))
    if kind == "rectangles":
        for _ in range(4):
            at, size = rng.uniform(0, 0.7, 2) * (cols, rows), rng.uniform(0.1, 0.3, 2) * cols
            ends = [tuple(int(v) for v in one) for one in (at, at + size)]
            cv2.rectangle(image, ends[0], ends[1], _ink(style), thick)
        return image
    if kind == "circles":
        for _ in range(3):
            x, y = (int(v) for v in rng.uniform(0.1, 0.9, 2) * (cols, rows))
            cv2.circle(image, (x, y), int(rng.uniform(0.05, 0.3) * cols), _ink(style), thick)
        return image
    if kind == "crosshair":
        cv2.line(image, (cols // 2, 0), (cols // 2, rows), _ink(style), thick)
        cv2.line(image, (0, rows // 2), (cols, rows // 2), _ink(style), thick)
        return _done(cv2.circle(image, (cols // 2, rows // 2), cols // 8, _ink(style), thick))
    for _ in range(14):
        x, y = (int(v) for v in rng.uniform(0.05, 0.95, 2) * (cols, rows))
        cv2.drawMarker(image, (x, y), _ink(style), int(rng.integers(0, 7)), 13, thick)
    return image


_DRAWN = ("polygon", "rectangles", "circles", "crosshair", "markers")
_variants("drawn", {kind: kind for kind in _DRAWN}, _drawn)


@_kind
def _contours(image: Image, rng: Rng, style: Style) -> Image:
    field = cv2.GaussianBlur(rng.normal(size=image.shape[:2]).astype(np.float32), (0, 0), 24)
    rings, _ = cv2.findContours((field > 0).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return _done(cv2.drawContours(image, rings, -1, _ink(style), 1 + style.wider))


def _blobs(shape: tuple[int, ...], rng: Rng, scale: float, fraction: float) -> NDArray[np.bool_]:
    field = cv2.GaussianBlur(rng.normal(size=shape[:2]).astype(np.float32), (0, 0), scale)
    return np.asarray(field > np.quantile(field, 1.0 - fraction), np.bool_)


def _holes(image: Image, rng: Rng, style: Style, kind: str) -> Image:
    rows, cols = image.shape[:2]
    hole = np.zeros((rows, cols), np.bool_)
    if kind.startswith("rectangles"):
        for _ in range(int(rng.integers(1, 5))):
            row, col = (int(rng.uniform(0.05, 0.7) * n) for n in (rows, cols))
            down, right = (int(rng.uniform(0.1, 0.3) * n) for n in (rows, cols))
            hole[row : row + down, col : col + right] = True
    else:
        cloud = kind.startswith("clouds")
        hole = _blobs(image.shape, rng, 12.0 if cloud else 30.0, 0.25 if cloud else 0.35)
    value: Any = 0
    if kind.endswith("ink"):
        value = style.ink
    if kind.endswith("noise"):
        value = np.random.default_rng(style.ink).integers(0, 255, (int(hole.sum()), 1))
        value = value if image.ndim == 3 else value[:, 0]
    image[hole] = value
    return image


_HOLES = ("rectangles", "rectangles_ink", "rectangles_noise", "clouds", "clouds_ink", "sea")
_variants("holes", {kind: kind for kind in _HOLES}, _holes)


@_kind
def _padding(image: Image, rng: Rng, style: Style) -> Image:
    rows, cols = (int(rng.integers(8, 30)) for _ in range(2))
    image[-rows:] = style.ink
    image[:, -cols:] = style.ink
    return image


@_kind
def _slanted_border(image: Image, rng: Rng, style: Style) -> Image:
    rows, cols = np.indices(image.shape[:2])
    slope, first = float(rng.uniform(0.1, 0.4)), float(rng.uniform(0.05, 0.2))
    image[cols < first * image.shape[1] + slope * (rows - image.shape[0] / 2)] = style.ink // 255
    return image


def _repeated(image: Image, rng: Rng, style: Style, mirrored: bool) -> Image:
    del style
    width = int(rng.integers(8, 28))
    border = cv2.BORDER_REFLECT if mirrored else cv2.BORDER_REPLICATE
    inner = np.ascontiguousarray(image[width:-width, width:-width])
    return np.asarray(cv2.copyMakeBorder(inner, *(width,) * 4, border), np.uint8)


_variants("edge", {"mirrored": True, "replicated": False}, _repeated)


@_kind
def _dead_lines(image: Image, rng: Rng, style: Style) -> Image:
    image[rng.choice(image.shape[0], 4, replace=False)] = style.ink
    image[:, rng.choice(image.shape[1], 4, replace=False)] = 0
    return image


@_kind
def _dead_pixels(image: Image, rng: Rng, style: Style) -> Image:
    image[rng.random(image.shape[:2]) < 0.004] = style.ink
    return image


def _pattern(image: Image, rng: Rng, style: Style, kind: str) -> Image:
    if kind == "columns":
        noise = np.broadcast_to(rng.normal(0, 9, image.shape[1]), image.shape[:2])
    elif kind == "hum":
        rows, cols = np.indices(image.shape[:2])
        noise = 14 * np.sin(rows * rng.uniform(0.2, 0.5) + cols * rng.uniform(0.1, 0.4))
    else:
        noise = rng.normal(0, 12, image.shape[:2])
    noise = noise * (1 if style.ink > 127 else -1)
    return _mixed(image, image + (noise[..., None] if image.ndim == 3 else noise), 1.0)


_variants("pattern", {kind: kind for kind in ("noise", "columns", "hum")}, _pattern)


def styles(rng: Rng) -> tuple[Style, Style]:
    """Styles of the SAR image and the optical one: of a third the ink, of a third the width."""
    ink, other = (int(v) for v in rng.choice([0, 255], 2))
    wider = int(rng.integers(0, 3))
    first = Style(ink, wider)
    pick = int(rng.integers(3))
    return first, (first, Style(other, wider), Style(ink, wider ^ 1))[pick]


def marked(
    kind: str, sar: Image, optical: Image, seed: tuple[int, ...]
) -> tuple[Image, NDArray[np.uint8]]:
    """A SAR image (H, W) and an optical one (3, H, W) with the same mark in both."""
    ours, theirs = styles(np.random.default_rng([*seed, 1]))
    bands = np.moveaxis(optical, 0, -1).copy()
    first, second = (np.random.default_rng([*seed, 2]) for _ in range(2))
    one = KINDS[kind](sar.copy(), first, ours)
    other = KINDS[kind](bands, second, theirs)
    return one, np.ascontiguousarray(np.moveaxis(other, -1, 0))
