"""Correlation against the definition, peaks against known places."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest

from crosslook.data.pairs import ScenePair
from crosslook.data.simulate.scene import make_pair
from crosslook.errors import MissingExtraError, SettingError
from crosslook.geo.raster import RasterArray
from crosslook.match import starts
from crosslook.match.audit import audit
from crosslook.match.batch import register_all
from crosslook.match.channels import Channels
from crosslook.match.ncc import correlate, correlate_shifts, correlation_device, find_peaks
from crosslook.match.register import register
from crosslook.match.tie_points import Stage, score_maps
from crosslook.types import FloatArray


def test_correlation_equals_the_cosine_at_every_offset() -> None:
    rng = np.random.default_rng(0)
    template = rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
    search = rng.normal(size=(2, 3, 11, 9)).astype(np.float32)
    scores = correlate(template, search)
    assert scores.shape == (2, 7, 6)
    for n in range(2):
        for r in range(7):
            for c in range(6):
                under = search[n, :, r : r + 5, c : c + 4]
                cosine = (template[n] * under).sum()
                cosine /= np.linalg.norm(template[n]) * np.linalg.norm(under)
                assert scores[n, r, c] == pytest.approx(cosine, abs=2e-5)


def masked_pair(seed: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """A template and a search area with gaps, and where they are known."""
    rng = np.random.default_rng(seed)
    known = (rng.random((1, 9, 8)) > 0.2).astype(np.float32)
    there = (rng.random((1, 21, 19)) > 0.3).astype(np.float32)
    template = rng.normal(size=(1, 3, 9, 8)).astype(np.float32) * known[:, None]
    search = rng.normal(size=(1, 3, 21, 19)).astype(np.float32) * there[:, None]
    return template, known, search, there


@pytest.mark.parametrize("seed", range(3))
def test_masked_scores_are_those_of_scikit_image(seed: int) -> None:
    """Its means vanish, as ours do by definition, where each channel stands beside its negative."""
    from skimage.registration._masked_phase_cross_correlation import cross_correlate_masked

    template, known, search, there = masked_pair(seed)
    scores = correlate(template, search, (known, there))[0]
    own, other = (
        np.concatenate([one[0], -one[0]]).astype(np.float64) for one in (template, search)
    )
    masks = [np.repeat(one, len(own), axis=0) > 0 for one in (known, there)]
    theirs = cross_correlate_masked(other, own, masks[1], masks[0], axes=(0, 1, 2), mode="full")
    # The same channels over each other; the template inside the search area.
    expected = theirs[len(own) - 1, 8:21, 7:19]
    common = np.array(
        [[(known[0] * there[0, r : r + 9, c : c + 8]).mean() for c in range(12)] for r in range(13)]
    )
    np.testing.assert_allclose(scores, expected * np.sqrt(common), atol=1e-5)


def test_a_tensor_of_torch_gives_the_scores_of_an_array() -> None:
    pytest.importorskip("torch", reason="the models extra is not installed")
    template, known, search, there = masked_pair(0)
    for masks in None, (known, there):
        ours = correlate(template, search, masks)
        theirs = correlate(template, search, masks, device="cpu:0")  # torch's name, not ours
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
        assert not np.array_equal(theirs, ours)  # so that it was torch indeed


def test_tie_points_are_correlated_on_the_device_that_is_named() -> None:
    pytest.importorskip("torch", reason="the models extra is not installed")
    rng = np.random.default_rng(5)
    values = rng.normal(size=(2, 3, 40, 40)).astype(np.float32)
    valid = np.ones((40, 40), np.bool_)
    gaps = np.zeros((40, 40), np.bool_)
    gaps[::7] = True
    step = Stage(template=16.0, radius=6.0, step=8.0, threshold=2.0)
    for own in None, gaps:
        moving, fixed = (Channels(one, valid, 1.0, own) for one in values)
        by_numpy, by_torch = (score_maps(moving, fixed, step, name) for name in ("cpu", "cpu:0"))
        np.testing.assert_allclose(by_torch.scores, by_numpy.scores, atol=1e-5)
        assert not np.array_equal(by_torch.scores, by_numpy.scores)


def test_register_correlates_on_the_device_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch", reason="the models extra is not installed")
    made = make_pair(256, 5, gsd=60.0)
    pair = RasterArray.of(made.sar), RasterArray.of(made.optical)
    on_cpu = register(*pair, model="similarity", device="cpu")
    named: list[str] = []

    def torch_on_the_cpu(device: str) -> str:
        named.append(device)
        return "cpu:0"

    monkeypatch.setattr(starts, "correlation_device", torch_on_the_cpu)
    by_torch = register(*pair, model="similarity", device="cuda")
    assert set(named) == {"cuda"}
    assert by_torch.verdict == on_cpu.verdict == "match"
    ours, theirs = on_cpu.tie_points, by_torch.tie_points
    np.testing.assert_allclose(theirs.optical, ours.optical, atol=1e-3)
    np.testing.assert_allclose(theirs.score, ours.score, atol=1e-5)
    assert not np.array_equal(theirs.score, ours.score)


def test_a_device_is_chosen_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert correlation_device("cpu") == "cpu"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert correlation_device("auto") == "cpu"
    torch = pytest.importorskip("torch", reason="the models extra is not installed")
    if not torch.cuda.is_available():
        with pytest.raises(SettingError, match="not available"):
            correlation_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert correlation_device("cuda") == "cuda"
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="needs torch"):
        correlation_device("cuda")


@pytest.mark.parametrize("gaps", [False, True])
def test_shifts_of_the_whole_image_give_the_scores_of_each_template(gaps: bool) -> None:
    rng = np.random.default_rng(3)
    reach, side = 3, 6
    image = rng.normal(size=(4, 17, 23)).astype(np.float32)
    image[:, 4:7, 9:12] = 0.0
    search = rng.normal(size=(4, 17 + 2 * reach, 23 + 2 * reach)).astype(np.float32)
    corners = np.array([[0, 0], [11, 17], [4, 9], [5, 0], [4, 2], [7, 8]])
    own, other = (rng.random(one.shape[1:]) > 0.1 for one in (image, search))
    if gaps:
        image, search = image * own, search * other
    scores = correlate_shifts(image, search, corners, side, (own, other) if gaps else None)
    wide = side + 2 * reach

    def cut(values: np.ndarray, length: int) -> np.ndarray:
        return np.stack([values[..., r : r + length, c : c + length] for r, c in corners])

    masks = (cut(own, side), cut(other, wide)) if gaps else None
    expected = correlate(cut(image, side), cut(search, wide), masks)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_the_second_peak_lies_beyond_the_radius() -> None:
    scores = np.random.default_rng(5).normal(size=(20, 13, 13)).astype(np.float32)
    peaks = find_peaks(scores, exclusion=3.0)
    rows, cols = np.mgrid[:13, :13]
    for one, ratio in zip(scores, peaks.ratio, strict=True):
        row, col = np.unravel_index(one.argmax(), one.shape)
        beyond = one[np.hypot(rows - row, cols - col) > 3.0].max()
        assert ratio == pytest.approx(max(1.0, one.max() / beyond), rel=1e-6)


def test_a_template_is_found_where_it_was_cut_with_score_one() -> None:
    rng = np.random.default_rng(1)
    search = rng.normal(size=(1, 4, 40, 40)).astype(np.float32)
    peaks = find_peaks(correlate(search[:, :, 11:27, 6:22], search), exclusion=2)
    np.testing.assert_allclose(peaks.position[0], (11, 6), atol=0.05)
    assert peaks.score[0] == pytest.approx(1.0, abs=1e-5)
    assert peaks.ratio[0] > 2
    assert not peaks.border[0]


def test_empty_areas_score_zero() -> None:
    template = np.zeros((1, 2, 4, 4), np.float32)
    assert (correlate(template, np.ones((1, 2, 9, 9), np.float32)) == 0).all()


@pytest.mark.parametrize(("row", "col"), [(10.3, 8.0), (9.75, 12.4), (6.5, 6.5)])
def test_a_parabola_gives_the_fraction_of_a_cell(row: float, col: float) -> None:
    r, c = np.mgrid[:20, :20]
    scores = (1 - 0.01 * ((r - row) ** 2 + (c - col) ** 2))[None].astype(np.float32)
    np.testing.assert_allclose(find_peaks(scores, 2).position[0], (row, col), atol=1e-3)


def test_a_peak_on_the_rim_is_marked() -> None:
    scores = np.zeros((1, 9, 9), np.float32)
    scores[0, 0, 4] = 1
    assert find_peaks(scores, 2).border[0]


def test_a_device_that_is_not_there_is_refused_before_any_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    pairs = [ScenePair("one", "", "missing.tif", "missing.tif")]
    with pytest.raises(MissingExtraError, match="needs torch"):
        next(register_all(pairs, device="cuda"))
    with pytest.raises(MissingExtraError, match="needs torch"):
        audit(pairs, device="cuda")
