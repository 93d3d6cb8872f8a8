"""What is computed of an image is computed once, and let go with it."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from crosslook.extract.registry import open_extractor
from crosslook.match.cached_image import CachedImage
from crosslook.match.pair import ImagePair
from crosslook.match.settings import DEFAULT_EXTRACTOR
from crosslook.match.transform import identity, similarity


def image(side: int = 64) -> CachedImage:
    values = np.random.default_rng(side).random((side, side), np.float32)
    return CachedImage(values, np.ones((side, side), np.bool_))


def test_each_thing_is_computed_once_for_each_image_and_argument() -> None:
    calls: list[int] = []

    def area(one: CachedImage, times: int) -> int:
        def computed() -> int:
            calls.append(times)
            return one.values.size * times

        return one.cached(("area", times), computed)

    one, other = image(8), image(8)
    assert [area(one, 1), area(one, 1), area(one, 2), area(other, 1)] == [64, 64, 128, 64]
    assert calls == [1, 2, 1]


def test_a_pair_computes_what_its_stages_share_once() -> None:
    pair = ImagePair.of(image(), image(), open_extractor(DEFAULT_EXTRACTOR))
    assert pair.channels(identity())[1] is pair.channels(similarity((2.0, 1.0)))[1]
    assert pair.optical.reduced(2).levels(1.0, 8) is pair.optical.reduced(2).levels(1.0, 8)
    bent = pair.warped(similarity((2.0, 1.0)))
    assert bent.optical is pair.optical  # with all that is cached of it
    np.testing.assert_allclose(bent.sar.values[10:-10, 10:-10], pair.sar.values[8:-12, 9:-11])


def test_what_is_cached_goes_with_the_image() -> None:
    one = image()
    assert one.reduced(1) is one  # cached for itself, it would stay for ever
    half = one.reduced(2)
    assert one.reduced(2) is half
    gone = weakref.ref(one), weakref.ref(half)
    gc.disable()  # no cycle holds them: they go at once
    try:
        del one, half
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()
