"""What is computed of an image is computed once, and let go with it."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from crosslook.geo.grey import GreyImage
from crosslook.match.kept import kept
from crosslook.match.refine import reduce_image


def image() -> GreyImage:
    return GreyImage(np.zeros((8, 8), np.float32), np.ones((8, 8), np.bool_))


def test_each_image_and_argument_is_worked_on_once() -> None:
    calls: list[tuple[GreyImage, int]] = []

    @kept
    def area(of: GreyImage, times: int = 1) -> int:
        calls.append((of, times))
        return of.values.size * times

    one, other = image(), image()
    assert [area(one), area(one), area(one, times=2), area(one, times=2), area(other)] == [
        64, 64, 128, 128, 64,
    ]  # fmt: skip
    assert calls == [(one, 1), (one, 2), (other, 1)]


def test_what_is_kept_goes_with_the_image() -> None:
    one = image()
    assert reduce_image(one, 1) is one  # kept for itself, it would stay for ever
    half = reduce_image(one, 2)
    assert reduce_image(one, 2) is half
    gone = weakref.ref(one), weakref.ref(half)
    del one, half
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
