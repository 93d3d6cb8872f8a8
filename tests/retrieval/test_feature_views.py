"""PCA colours and cell responses."""

from __future__ import annotations

import numpy as np
import pytest

from crosslook.retrieval.views import (
    cell_response,
    pca_colours,
    standardised,
    telling_cell,
)


def test_equal_features_have_equal_colours_across_sensors() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(5, 12)).astype(np.float32)
    sar_kind, optical_kind = rng.integers(0, 5, (6, 7)), rng.integers(0, 5, (8, 4))
    sar, optical = pca_colours(
        np.moveaxis(kinds[sar_kind], 2, 0), np.moveaxis(kinds[optical_kind], 2, 0)
    )
    assert sar.shape == (6, 7, 3)
    assert optical.shape == (8, 4, 3)
    for kind in range(5):
        seen = np.concatenate([sar[sar_kind == kind], optical[optical_kind == kind]])
        assert len(np.unique(seen, axis=0)) == 1
    assert len(np.unique(sar.reshape(-1, 3), axis=0)) == 5


def test_a_shift_between_sensors_shows_as_colour_until_it_is_calibrated() -> None:
    place = np.random.default_rng(1).normal(size=(9, 6, 5, 5)).astype(np.float32)
    sar = place * 3 + 40
    raw = pca_colours(sar[0], place[0])
    even = pca_colours(standardised(sar[:1], sar)[0], standardised(place[:1], place)[0])
    apart = [np.abs(a.astype(int) - b.astype(int)).mean() for a, b in (raw, even)]
    assert apart[0] > 20
    assert apart[1] < 3


def test_few_channels_and_flat_maps_are_grey_where_nothing_varies() -> None:
    one = np.linspace(0, 1, 9, dtype=np.float32).reshape(1, 3, 3)
    sar, _ = pca_colours(one, one)
    assert len(np.unique(sar[..., 0])) > 5
    assert np.all(sar[..., 1:] == 128)
    flat, _ = pca_colours(np.ones((4, 2, 2), np.float32), np.ones((4, 2, 2), np.float32))
    assert np.all(flat == 128)


def test_a_cell_answers_at_its_own_place() -> None:
    optical = np.random.default_rng(2).normal(size=(30, 6, 9)).astype(np.float32)
    response = cell_response(2 * optical, optical, (4, 7))
    assert np.argwhere(response == response.max()).tolist() == [[4, 7]]
    assert response[4, 7] == pytest.approx(1.0, abs=1e-5)
    a, b = optical[:, 4, 7], optical[:, 0, 3]
    assert response[0, 3] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
    assert np.all(cell_response(0 * optical, optical, (0, 0)) == 0)


def test_the_telling_cell_is_the_odd_one() -> None:
    flat = np.zeros((3, 5, 6), np.float32)
    flat[1, 2, 4] = 9
    assert telling_cell(flat) == (2, 4)
