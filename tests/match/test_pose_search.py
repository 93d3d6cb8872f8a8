"""A known pose is found again, wherever it lies; evidence tells right from wrong at any size."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.special import xlogy

from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import GreyImage
from crosslook.match.channels import dense_channels
from crosslook.match.kernels_information import information_at
from crosslook.match.pair import ImagePair
from crosslook.match.pose_search import (
    Pose,
    PoseRange,
    PoseSearch,
    _basis,
    gradients,
    scale_height,
    search_poses,
    whole_image,
)
from crosslook.match.settings import DEFAULT_EXTRACTOR
from crosslook.match.transform import (
    Transform,
    grid_points,
    identity,
    mean_distance,
    similarity,
    translation,
)
from crosslook.match.warp import warp


def ground(side: int, seed: int = 0) -> GreyImage:
    """Blurred noise at two scales: structure without repetition."""
    rng = np.random.default_rng(seed)
    values = sum(
        cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), s) * s
        for s in (2.0, 6.0)
    )
    low, high = np.percentile(values, [1, 99])
    stretched = np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
    return GreyImage(stretched, np.ones((side, side), np.bool_))


def moved(optical: GreyImage, truth: Transform, side: int) -> GreyImage:
    """The SAR image under which ``truth`` maps to the optical one, its contrast reversed."""
    seen = warp(optical, truth.inverse, (side, side))
    noise = np.random.default_rng(9).normal(0, 0.1, (side, side))
    return GreyImage(np.clip(1 - seen.values + noise, 0, 1).astype(np.float32), seen.valid)


def pair_of(sar: GreyImage, optical: GreyImage, start: Transform | None = None) -> ImagePair:
    """Both images, searched from a start."""
    pair = ImagePair.of(sar, optical, open_extractor(DEFAULT_EXTRACTOR))
    return replace(pair, start=start or identity())


def test_poses_cover_their_range_within_the_steps() -> None:
    poses = PoseRange(rotation=90.0, scale=(0.7, 1.4), flip=True).poses()
    rotations, scales = sorted({p[0] for p in poses}), sorted({p[1] for p in poses})
    assert (rotations[0], rotations[-1]) == (-90.0, 90.0)
    assert scales[0] == pytest.approx(0.7)
    assert scales[-1] == pytest.approx(1.4)
    assert np.diff(rotations).max() <= 4.0 + 1e-9
    assert np.diff(np.log(scales)).max() <= np.log1p(0.0905) + 1e-9
    assert {p[2] for p in poses} == {False, True}
    assert len(PoseRange().poses()) == 1
    around = sorted({p[0] for p in PoseRange(rotation=180.0).poses()})
    assert around[0] == -180.0
    assert around[-1] < 180.0  # the same as -180


@pytest.mark.parametrize(
    ("rotation", "scale", "shift", "flip", "finer"),
    [
        (37.0, 1.0, (20.0, -31.0), False, False),
        (-75.0, 1.25, (-9.0, 4.0), False, True),
        (12.0, 0.9, (5.0, 8.0), True, False),
    ],
)
def test_a_known_pose_is_found(
    rotation: float, scale: float, shift: tuple[float, float], flip: bool, finer: bool
) -> None:
    optical = ground(320)
    centre = (160.0, 160.0)
    into = Transform(translation(64.0, 64.0), "shift")
    truth = similarity(shift, rotation, scale, centre) @ into
    if flip:
        mirror = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 192.0], [0.0, 0.0, 1.0]])
        truth = truth @ Transform(mirror, "affine")
    sar = moved(optical, truth, 192)
    wanted = PoseRange(90.0, (0.75, 1.33), flip)
    best = search_poses(pair_of(sar, optical, into), wanted, finer=finer)[0]
    assert best.pose.is_flipped is flip
    assert best.pose.rotation == pytest.approx(rotation, abs=3.0)
    assert best.pose.scale == pytest.approx(scale, rel=0.06)
    assert mean_distance(best.transform, truth, grid_points(192, 192)) < 12.0


def test_an_anisotropic_scaling_keeps_the_centre_and_the_area() -> None:
    start = similarity((7.0, -3.0), 25.0, 1.1)
    high = scale_height(start, 1.44, (100, 60))
    centre = np.array([50.0, 30.0])
    np.testing.assert_allclose(high(centre), start(centre))
    linear = np.linalg.solve(start.matrix[:2, :2], high.matrix[:2, :2])
    np.testing.assert_allclose(linear, np.diag([1.2, 1 / 1.2]), atol=1e-12)
    assert PoseRange(aspect=(0.8, 1.25)).count == len(PoseRange(scale=(0.8, 1.25)).poses())


def test_a_limit_of_the_shift_holds() -> None:
    optical = ground(320)
    start = Transform(translation(64.0, 64.0), "shift")
    truth = Transform(translation(64.0 + 60.0, 64.0), "shift")
    sar = moved(optical, truth, 192)
    free = search_poses(pair_of(sar, optical, start), PoseRange())[0]
    bound = search_poses(pair_of(sar, optical, start), PoseRange(shift=20.0))[0]
    assert mean_distance(free.transform, truth, grid_points(192, 192)) < 4.0
    assert mean_distance(bound.transform, start, grid_points(192, 192)) <= 24.0


@pytest.mark.parametrize("flipped", [False, True])
def test_rotated_features_are_those_of_the_rotated_image(flipped: bool) -> None:
    sar = ground(256, 3)
    search = PoseSearch(pair_of(sar, ground(256)), identity(), PoseRange())
    pose = Pose(33.0, 1.1, flipped)
    turned = search.turned([pose], search.cell)[0][0, :, ::-1, ::-1]
    image, _ = search.warped(pose)
    exact = dense_channels(image, gradients(search.cell))
    rows, cols = (min(a, b) for a, b in zip(turned.shape[1:], exact.valid.shape, strict=True))
    both = (turned[-1, :rows, :cols] > 0) & exact.valid[:rows, :cols]
    harmonics = np.einsum("bk,bhw->khw", _basis(len(exact.values)), exact.values)
    a, b = turned[:-2, :rows, :cols][:, both], harmonics[:, :rows, :cols][:, both]
    assert both.sum() > 1000
    cosine = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    wrong = float((np.roll(a, 1, axis=0) * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    assert cosine > 0.7
    assert wrong < 0.3


@pytest.mark.parametrize("side", [160, 512])
def test_a_whole_image_stands_out_at_the_right_place_alone(side: int) -> None:
    optical = ground(side, 1)
    sar = moved(optical, identity(), side)
    whole, lead = whole_image(pair_of(sar, optical), identity())
    assert whole > 5.0
    assert lead > 2.0
    whole, lead = whole_image(pair_of(ground(side, 2), optical), identity())
    assert whole < 4.0
    assert lead < 1.0


def test_images_that_hardly_overlap_have_no_pose() -> None:
    sar, optical = ground(160, 1), ground(160, 2)
    empty = GreyImage(optical.values, np.zeros_like(optical.valid))
    assert search_poses(pair_of(sar, empty), PoseRange()) == []


@pytest.mark.parametrize("shift", [None, 30.0])
def test_what_is_not_computed_could_not_have_won(shift: float | None) -> None:
    optical = ground(300)
    optical.valid[:, 220:] = False  # most of what is valid lies on one side
    sar = moved(ground(300), similarity((0.0, 0.0), 20.0, 0.9, (150.0, 150.0)), 200)
    start = Transform(translation(40.0, 60.0), "shift")
    search = PoseSearch(pair_of(sar, optical), start, PoseRange(30.0, shift=shift))
    pose = Pose(20.0)
    planes, (corner,) = search.turned([pose], search.cell)
    template, there = planes[0], search._harmonics(search.cell)
    everywhere = [(-1000, 1000)] * 2
    spans = search._spans(template[None, -1, ::-1, ::-1], search.cell, [corner])
    some, whole = (search._correlate(template, there, search.cell, s) for s in (spans, everywhere))
    allowed = [search._allowed(filled, o, search.cell, corner) for _, filled, o in (some, whole)]
    assert whole[0].size > 1.5 * some[0].size
    assert 0 < allowed[0].sum() == allowed[1].sum()  # none of those left out was allowed
    np.testing.assert_allclose(some[0][allowed[0]], whole[0][allowed[1]], atol=1e-5)


def test_mutual_information_at_places_is_that_of_the_levels_in_common() -> None:
    rng = np.random.default_rng(2)
    fixed = rng.integers(0, 9, (31, 27)).astype(np.uint8)  # 8: invalid
    moving = rng.integers(0, 9, (20, 22)).astype(np.uint8)
    moving[5:15, 3:20] = (fixed[9:19, 5:22] + rng.integers(0, 2, (10, 17))).clip(0, 8)
    places = np.array([(4, 2), (-7, 9), (19, -13), (0, 0), (40, 0)])
    found = information_at(fixed, moving, places, 8)
    assert found.argmax() == 0
    for (down, right), nats in zip(places, found, strict=True):
        counts = np.zeros((9, 9))
        for row in range(20):
            for col in range(22):
                if 0 <= row + down < 31 and 0 <= col + right < 27:
                    counts[moving[row, col], fixed[row + down, col + right]] += 1
        counts = counts[:8, :8]
        terms = [counts, counts.sum(axis=0), counts.sum(axis=1), counts.sum()]
        joint, one, other, both = (float(xlogy(t, t).sum()) for t in terms)
        assert nats == pytest.approx(joint - one - other + both, abs=1e-6)


def test_a_second_search_that_would_be_the_same_is_not_made() -> None:
    optical = ground(120)
    sar = moved(optical, identity(), 100)
    assert search_poses(pair_of(sar, optical), PoseRange(10.0)) != []
    assert search_poses(pair_of(sar, optical), PoseRange(10.0), finer=True) == []
