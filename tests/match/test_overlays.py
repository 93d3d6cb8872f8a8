"""What both frames show at the same pixels is left out; ground that repeats itself has repeats."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import make_grey_image
from crosslook.match.overlays import common_marks, leave_out
from crosslook.match.pair import ImagePair
from crosslook.match.periodic import repeats
from crosslook.match.transform import identity
from crosslook.types import FloatArray, Mask

SIDE = 200
Canvas = NDArray[np.uint8]
Draw = Callable[[Canvas, int], object]


def _ground(seed: int) -> FloatArray:
    """Ground with structure of several sizes and noise, 0..1."""
    rng = np.random.default_rng(seed)
    parts = [
        cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), blur) * blur for blur in (1, 3, 9)
    ]
    image = np.sum(parts, axis=0) + 0.3 * rng.normal(size=(SIDE, SIDE))
    return np.asarray(np.clip(0.5 + 0.12 * image, 0.05, 0.95), np.float32)


def _canvas(image: FloatArray) -> Canvas:
    return np.asarray(np.rint(image * 255), np.uint8)


def _text(image: Canvas, ink: int) -> None:
    cv2.putText(image, "10 km", (12, 186), 0, 0.8, ink, 2, cv2.LINE_AA)


def _frame(image: Canvas, ink: int) -> None:
    cv2.rectangle(image, (0, 0), (SIDE - 1, SIDE - 1), ink, 13)


def _stripes(image: Canvas, ink: int) -> None:
    image[20::40] = image[21::40] = image[22::40] = ink


def _hole(image: Canvas, ink: int) -> None:
    cv2.ellipse(image, (120, 70), (40, 25), 20, 0, 360, ink, -1)


def _everywhere() -> Mask:
    return np.ones((SIDE, SIDE), np.bool_)


@pytest.mark.parametrize("draw", [_text, _frame, _stripes, _hole])
@pytest.mark.parametrize("inks", [(255, 255), (255, 0)])
def test_what_is_drawn_into_both_is_found_whatever_its_ink(
    draw: Draw, inks: tuple[int, int]
) -> None:
    images = [_ground(1), _ground(2)]
    changed = []
    for image, ink in zip(images, inks, strict=True):
        canvas = _canvas(image)
        draw(canvas, ink)
        changed.append(canvas != _canvas(image))
        image[:] = canvas / np.float32(255)
    found = common_marks(images[0], images[1], _everywhere())
    drawn = changed[0] & changed[1]
    assert found[drawn].mean() > 0.95
    assert found[~cv2.dilate(drawn.astype(np.uint8), np.ones((31, 31))).astype(bool)].sum() == 0


def test_ground_is_not_left_out_even_where_it_is_the_same() -> None:
    ground, noise = _ground(1), np.random.default_rng(3)
    other = 1.0 - ground + 0.15 * noise.normal(size=ground.shape).astype(np.float32)
    assert not common_marks(_ground(4), _ground(5), _everywhere()).any()
    assert not common_marks(ground, cv2.GaussianBlur(other, (0, 0), 1.0), _everywhere()).any()


def test_marks_at_a_corner_of_frames_of_two_sizes() -> None:
    ours, theirs = _ground(1), _ground(2)[:180, :190].copy()
    for image in (ours, theirs):
        canvas = _canvas(image)
        cv2.putText(canvas, "N 34", (image.shape[1] - 80, image.shape[0] - 20), 0, 0.8, 255, 2)
        image[:] = canvas / np.float32(255)
    greys = make_grey_image(ours), make_grey_image(theirs)
    sar, optical, said = leave_out(*greys, (ours, theirs), [(0, 0), (-20, -10)])
    assert [(one.kind, one.where) for one in said] == [("marks", "at the lower right")]
    for before, after in zip(greys, (sar, optical), strict=True):
        assert 0.005 < (before.valid & ~after.valid).mean() < 0.1
        assert after.known.all()


def test_a_pattern_all_over_is_said_and_not_left_out() -> None:
    pattern = 0.2 * np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    raw = _ground(1) + pattern, _ground(2) + pattern
    greys = make_grey_image(raw[0]), make_grey_image(raw[1])
    sar, optical, said = leave_out(*greys, raw, [(0, 0)])
    assert (sar, optical) == greys
    assert [one.kind for one in said] == ["pattern"]


def test_one_image_on_both_sides_is_no_pattern() -> None:
    raw = _ground(1), 1.0 - _ground(1)
    greys = make_grey_image(raw[0]), make_grey_image(raw[1])
    assert leave_out(*greys, raw, [(0, 0)]) == (*greys, ())


def test_repeats_of_an_orchard_lie_a_period_away() -> None:
    rows, cols = np.indices((SIDE, SIDE)) / 16.0
    away = np.hypot(rows - np.rint(rows), cols - np.rint(cols))
    trees = np.exp(-((away / 0.25) ** 2))
    noise = np.random.default_rng(0)
    sar = (trees + 0.3 * noise.normal(size=trees.shape)).astype(np.float32)
    optical = (1.0 - trees + 0.1 * noise.normal(size=trees.shape)).astype(np.float32)
    pair = ImagePair.of(make_grey_image(sar), make_grey_image(optical), open_extractor("hog"))
    found = repeats(pair, identity())
    assert found
    for one in found:
        off = np.array(one.shift) / 16.0
        assert np.abs(off - np.rint(off)).max() * 16.0 <= 3.0
        assert np.abs(np.rint(off)).max() >= 1
        assert 0.7 <= one.score <= 1.2


def test_ground_that_does_not_repeat_itself_has_no_repeats() -> None:
    greys = make_grey_image(_ground(1)), make_grey_image(_ground(1))
    assert repeats(ImagePair.of(*greys, open_extractor("hog")), identity()) == ()
