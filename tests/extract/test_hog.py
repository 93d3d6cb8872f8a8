"""hog and raw against values worked by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslook.errors import InputError
from crosslook.extract.classical import _gradients, _shares
from crosslook.extract.oriented import gather_cells
from crosslook.extract.registry import open_extractor


def stack(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey.astype(np.float32)[None, None], 3, axis=1)


def ramp(angle: float, size: int = 64) -> np.ndarray:
    """Grey ramp that rises along ``angle`` degrees (0 along columns)."""
    row, col = np.mgrid[:size, :size] / size
    value = col * np.cos(np.radians(angle)) + row * np.sin(np.radians(angle))
    rising: np.ndarray = (value - value.min()) / (np.ptp(value) + 1e-9)
    return rising


def oriented_planes(image: np.ndarray) -> np.ndarray:
    """Gradients of an image (H, W) split over 9 orientations, (9, H, W): a cell is a pixel."""
    shape = image.shape
    rows, cols = (_shares(length, 1, False) for length in shape)
    cells = np.zeros((shape[0] + 2, 9, shape[1] + 2), np.float32)
    magnitude, angle = _gradients(image.astype(np.float32), 0.0)
    gather_cells(magnitude, angle, 9, rows, cols, cells)
    return np.moveaxis(cells[1:-1, :, 1:-1], 1, 0)


def plain_hog(grey: np.ndarray, cell: int, bins: int, soft: bool) -> np.ndarray:
    """The definition, with a matrix of weights for each axis and a plane for each bin."""
    magnitude, angle = _gradients(grey.astype(np.float32), 1.5)
    position = angle.astype(np.float64) * bins / np.pi
    weights = []
    for length in grey.shape:
        centres = (np.arange(length // cell) + 0.5) * cell
        distance = np.abs(np.arange(length) + 0.5 - centres[:, None]) / cell
        one = np.maximum(0.0, 1.0 - distance) if soft else (distance < 0.5).astype(float)
        weights.append(one / one.sum(axis=1, keepdims=True))
    histograms = []
    for index in range(bins):
        apart = np.abs((position - index + bins / 2) % bins - bins / 2)
        histograms.append(weights[0] @ (magnitude * np.maximum(0.0, 1.0 - apart)) @ weights[1].T)
    energy = np.pad((np.array(histograms) ** 2).sum(axis=0), 1, mode="edge")
    blocks = energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]
    norm = np.sqrt(blocks + 1e-6)
    ways = (norm[:-1, :-1], norm[1:, :-1], norm[:-1, 1:], norm[1:, 1:])
    return np.asarray(np.mean([np.minimum(histograms / way, 0.3) for way in ways], axis=0))


@pytest.mark.parametrize(
    ("cell", "bins", "soft"),
    [(3, 9, True), (2, 9, True), (8, 9, True), (4, 5, False), (16, 2, True)],
)
def test_cells_are_as_defined(cell: int, bins: int, soft: bool) -> None:
    image = cv2.GaussianBlur(np.random.default_rng(6).random((48, 96)), (0, 0), 2.0)
    image[10:20, 30:50] = 0.5  # no gradient at all
    spec = f"hog:cell={cell},bins={bins},soft={'yes' if soft else 'no'}"
    features = open_extractor(spec).extract(stack(image)).values[0]
    np.testing.assert_allclose(features, plain_hog(image, cell, bins, soft), atol=1e-5)


@pytest.mark.parametrize("bin_index", range(9))
def test_a_ramp_falls_into_the_bin_of_its_orientation(bin_index: int) -> None:
    oriented = oriented_planes(ramp(bin_index * 20))
    fraction = oriented[:, 5:-5, 5:-5].sum(axis=(1, 2))
    assert fraction.argmax() == bin_index
    assert fraction[bin_index] / fraction.sum() > 0.99


def test_the_bins_sum_to_the_magnitude() -> None:
    image = np.random.default_rng(0).random((40, 40), dtype=np.float32)
    padded = np.pad(image, 1, mode="edge")
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    right = padded[1:-1, 2:] - padded[1:-1, :-2]
    total = oriented_planes(image).sum(axis=0)
    np.testing.assert_allclose(total, np.hypot(down, right), atol=1e-5)


def test_contrast_reversal_changes_nothing() -> None:
    image = np.random.default_rng(1).random((64, 64))
    hog = open_extractor("hog")
    a, b = hog.extract(stack(image)).values, hog.extract(stack(1 - image)).values
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_rotation_by_180_degrees_flips_the_map() -> None:
    image = np.random.default_rng(2).random((64, 64))
    hog = open_extractor("hog:cell=16")
    a = hog.extract(stack(image)).values[0]
    b = hog.extract(stack(image[::-1, ::-1].copy())).values[0]
    np.testing.assert_allclose(a, b[:, ::-1, ::-1], atol=1e-4)


@pytest.mark.parametrize("option", ["cell=8", "bins=6", "blur=0", "clip=0.1", "soft=no"])
def test_every_option_changes_the_features(option: str) -> None:
    image = stack(np.random.default_rng(3).random((64, 64)))
    plain = open_extractor("hog").extract(image).values
    other = open_extractor(f"hog:{option}").extract(image).values
    assert plain.shape != other.shape or np.abs(plain - other).max() > 1e-3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3), st.integers(0, 3), st.sampled_from([8, 16]))
def test_a_dot_appears_in_its_own_cell(i: int, j: int, cell: int) -> None:
    for spec in ("raw", "hog"):
        image = np.zeros((4 * cell, 4 * cell))
        centre = cell // 2
        image[i * cell + centre - 1 : i * cell + centre + 1, j * cell + centre] = 1.0
        features = open_extractor(f"{spec}:cell={cell}").extract(stack(image))
        strength = np.abs(features.values[0]).sum(axis=0)
        assert features.stride == cell
        assert np.unravel_index(strength.argmax(), strength.shape) == (i, j)


def test_raw_is_the_block_mean() -> None:
    image = np.random.default_rng(4).random((1, 3, 32, 48), dtype=np.float32)
    values = open_extractor("raw:cell=16").extract(image).values
    assert values.shape == (1, 3, 2, 3)
    np.testing.assert_allclose(values[0, 1, 1, 2], image[0, 1, 16:, 32:].mean(), rtol=1e-5)


def test_sizes_that_are_no_multiple_are_padded_by_their_edge() -> None:
    image = np.full((1, 3, 20, 33), 0.5, np.float32)
    features = open_extractor("raw:cell=16").extract(image)
    assert features.values.shape == (1, 3, 2, 3)
    np.testing.assert_allclose(features.values, 0.5)


def test_batches_do_not_change_a_bit() -> None:
    images = np.random.default_rng(5).random((7, 3, 64, 64), dtype=np.float32)
    hog = open_extractor("hog")
    whole = hog.extract(images).values
    hog.batch_size = 2
    assert np.array_equal(whole, hog.extract(images).values)
    assert np.array_equal(whole[3], hog.extract(images[3:4]).values[0])


@pytest.mark.parametrize(
    "image",
    [
        np.full((1, 3, 32, 32), np.nan, np.float32),
        np.full((1, 3, 32, 32), 1.5, np.float32),
        np.zeros((1, 1, 32, 32), np.float32),
        np.zeros((1, 3, 32, 32), np.float64),
        np.zeros((0, 3, 32, 32), np.float32),
    ],
)
def test_images_of_no_use_are_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError):
        open_extractor("hog").extract(image)
