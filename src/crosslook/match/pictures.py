"""Pictures of a match: checkerboard, edges, and a page with a swipe."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.atomic import write_bytes, write_text
from crosslook.geo.image import GeoImage
from crosslook.geo.picture import Picture, make_picture
from crosslook.match.transform import Transform, translation
from crosslook.match.warp import warp

Image = NDArray[np.uint8]
_MAX_SIDE = 1200
_SQUARES = 8
_EDGE_COLOUR = (255, 220, 0)
_TEMPLATE = Path(__file__).with_name("swipe.html")


def write_overlay(target: Path, optical: Image, sar: Image) -> None:
    """Left a checkerboard of both (H, W, 3), right the SAR image's edges over the optical one."""
    board = checkerboard(optical, sar)
    edges = edges_over(optical, sar)
    gap = np.full((board.shape[0], 8, 3), 255, np.uint8)
    write_bytes(target, _encode(np.hstack([board, gap, edges]), ".png"))


def write_swipe(target: Path, optical: Image, sar: Image, title: str, verdict: str) -> None:
    """One HTML file that needs nothing else: drag, or use the arrow keys."""
    values = {
        "title": title,
        "verdict": verdict,
        "sar": _data_url(sar),
        "optical": _data_url(optical),
        "width": str(optical.shape[1]),
        "height": str(optical.shape[0]),
    }
    page = _TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        page = page.replace("{{" + name + "}}", html.escape(value))
    write_text(target, page)


def checkerboard(first: Image, second: Image) -> Image:
    """Squares of two images (H, W, 3) in turn."""
    height, width = first.shape[:2]
    side = max(1, min(height, width) // _SQUARES)
    odd = (np.arange(height)[:, None] // side + np.arange(width)[None] // side) % 2 == 1
    return np.where(odd[..., None], second, first)


def edges_over(base: Image, other: Image) -> Image:
    """The edges of ``other`` (H, W, 3) in yellow over a pale ``base``."""
    grey = cv2.cvtColor(cv2.GaussianBlur(other, (0, 0), 3.5), cv2.COLOR_RGB2GRAY)
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    high = float(np.percentile(gradient, 94))
    lines = cv2.Canny(grey, high * 0.4, max(high, 1.0), L2gradient=True)
    out = (base * 0.7).astype(np.uint8)
    out[lines > 0] = _EDGE_COLOUR
    return out


def side_by_side(sar: GeoImage, optical: GeoImage, transform: Transform) -> tuple[Image, Image]:
    """Optical and warped SAR as RGB (H, W, 3), cut to the SAR footprint."""
    picture = sar.picture("sar")
    height, width = optical.shape
    corners = transform(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64) * sar.shape)
    top, left = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (height - 1, width - 1))
    bottom, right = np.clip(np.ceil(corners.max(axis=0)).astype(int), 1, (height, width))
    bottom, right = max(bottom, top + 1), max(right, left + 1)
    scale = min(1.0, _MAX_SIDE / max(bottom - top, right - left))
    size = (max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale)))
    shrink = Transform(np.diag([size[0] / (bottom - top), size[1] / (right - left), 1.0]), "affine")
    cut = shrink.compose(transform.shifted((0.0, 0.0), (-float(top), -float(left))))
    moved = warp(picture, cut, size)
    grey = np.where(moved.valid, moved.values * 255, 0).astype(np.uint8)
    colour = _colour(optical)[top:bottom, left:right]
    shown = cv2.resize(colour, size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(shown, np.uint8), np.repeat(grey[..., None], 3, axis=2)


def _colour(image: GeoImage) -> Image:
    bands = image.bands[:3] if len(image.bands) >= 3 else image.bands[[0, 0, 0]]
    if bands.dtype == np.uint8:
        return np.ascontiguousarray(bands.transpose(1, 2, 0))
    stretched = [make_picture(b.astype(np.float32), image.valid).values for b in bands]
    return (np.stack(stretched, axis=-1) * 255).astype(np.uint8)


def _data_url(image: Image) -> str:
    data = base64.b64encode(_encode(image, ".jpg")).decode("ascii")
    return f"data:image/jpeg;base64,{data}"


def _encode(image: Image, suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


def shift_picture(sar: Picture, optical: GeoImage, shift: tuple[float, float]) -> bytes:
    """PNG: edges of the SAR picture as published, and moved by ``shift``, over the optical."""
    base = _colour(optical)
    panels = []
    for move in ((0.0, 0.0), shift):
        moved = warp(sar, Transform(translation(*move), "shift"), optical.shape)
        grey = (moved.values * 255).astype(np.uint8)
        panels.append(edges_over(base, np.repeat(grey[..., None], 3, axis=2)))
    gap = np.full((base.shape[0], 8, 3), 255, np.uint8)
    return _encode(np.hstack([panels[0], gap, panels[1]]), ".png")
