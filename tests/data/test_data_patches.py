"""Patch sets: tiling, dropping, filling, alignment and fingerprints."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosslook.data import patches as data_patches
from crosslook.data.pairs import ScenePair, open_pairs
from crosslook.data.patches import PatchSet, tile
from crosslook.errors import InputError, RasterError
from crosslook.geo.image import Reading
from crosslook.geo.radiometry import OpticalRadiometry, SarRadiometry
from tests.helpers.rasters import write

SIZE = 128
RAW = Reading(SarRadiometry(scale="stored", clip=(0, 255)))


def image(seed: int, bands: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (bands, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for scene in range(2):
        write(tmp_path / f"pairs/sar/s{scene}.tif", image(scene))
        write(tmp_path / f"pairs/optical/s{scene}.tif", image(10 + scene, 3))
    return tmp_path / "pairs"


def opened(folder: Path, **more: Any) -> PatchSet:
    how: dict[str, Any] = {"patch": 32, "reading": RAW, **more}
    return PatchSet.open(open_pairs(folder), **how)


def test_patches_are_the_pixels_of_their_windows(folder: Path) -> None:
    patches = opened(folder)
    assert len(patches.patches) == 32
    assert patches.dropped == {}
    at = [21, 0, 5]
    sar, optical = patches.read("sar", at), patches.read("optical", at)
    for i, index in enumerate(at):
        patch = patches.patches[index]
        w, scene = patch.window, int(patch.scene[1:])
        cut = (slice(None), slice(w.row, w.row + 32), slice(w.col, w.col + 32))
        np.testing.assert_allclose(sar[i], image(scene)[cut].repeat(3, 0) / 255, atol=1e-6)
        np.testing.assert_allclose(optical[i], image(10 + scene, 3)[cut] / 255, atol=1e-6)
        assert patch.position == (5e5 + 10 * (w.col + 16), 5e6 - 10 * (w.row + 16))
        assert patch.crs == "EPSG:32633"
        assert patch.id == f"{patch.scene}/{w.row}_{w.col}"


def test_partly_missing_patches_are_counted_and_holes_filled(folder: Path) -> None:
    sar = image(0).astype(np.float32)
    sar[:, :32, :32] = np.nan
    sar[:, 40:42, 40:44] = np.nan
    write(folder / "sar/s0.tif", sar)
    optical = image(10, 3)
    optical[:, 96:, :32] = 0
    write(folder / "optical/s0.tif", optical)
    patches = opened(folder)
    assert patches.dropped == {"invalid sar pixels": 1, "invalid optical pixels": 1}
    names = [patch.id for patch in patches.patches]
    assert "s0/0_0" not in names
    assert "s0/96_0" not in names
    filled = patches.read("sar", [names.index("s0/32_32")])[0, 0]
    valid = sar[0, 32:64, 32:64]
    inside = filled[8:10, 8:12] * 255
    assert np.isfinite(inside).all()
    assert np.nanmin(valid[7:11, 7:13]) <= inside.min()
    assert inside.max() <= np.nanmax(valid[7:11, 7:13])
    assert opened(folder, max_invalid=0.0).dropped["invalid sar pixels"] == 1, (
        "small holes are filled"
    )


def test_zeros_at_the_border_are_outside_the_swath_and_lakes_are_not(folder: Path) -> None:
    sar = image(0)
    sar[:, :, :40] = 0
    sar[:, 60:90, 60:90] = 0
    write(folder / "sar/s0.tif", sar)
    patches = opened(folder)
    assert patches.dropped == {"invalid sar pixels": 8}
    lake = [p.id for p in patches.patches].index("s0/64_64")
    assert (patches.read("sar", [lake])[0, :, :26, :26] == 0).all()


@pytest.mark.parametrize("kind", ["nan", "nodata", "zeros"])
def test_a_scene_without_data_is_refused_by_name(folder: Path, kind: str) -> None:
    empty = np.zeros((1, SIZE, SIZE), np.float32)
    if kind == "nan":
        empty[:] = np.nan
    write(folder / "sar/s1.tif", empty, nodata=0 if kind == "nodata" else None)
    with pytest.raises(RasterError, match=r"s1\.tif.*no usable pixel"):
        opened(folder)


def test_a_set_of_which_nothing_is_left_is_refused(folder: Path) -> None:
    for scene in range(2):
        sar = image(scene).astype(np.float32)
        sar[:, ::8], sar[:, 1::8], sar[:, 2::8] = np.nan, np.nan, np.nan
        write(folder / f"sar/s{scene}.tif", sar)
    with pytest.raises(InputError, match="no patch is left of 32"):
        opened(folder)


def test_patches_larger_than_the_scenes_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"200 x 200.*128 x 128"):
        opened(folder, patch=200)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 50))
def test_tiles_are_full_and_all_there(height: int, width: int, patch: int, stride: int) -> None:
    if patch > min(height, width):
        with pytest.raises(InputError):
            tile(height, width, patch, stride, "s")
        return
    windows = tile(height, width, patch, stride, "s")
    rows, cols = (1 + (side - patch) // stride for side in (height, width))
    assert len(set(windows)) == rows * cols
    for w in windows:
        assert (w.height, w.width) == (patch, patch)
        assert w.row + patch <= height
        assert w.col + patch <= width


@pytest.mark.parametrize("shift", [(3.0, -5.0), (0.5, 0.0), (-1.25, 2.75)])
def test_an_alignment_moves_the_sar_image(tmp_path: Path, shift: tuple[float, float]) -> None:
    """On a plane bilinear values are exact: optical (r, c) shows SAR (r - row, c - col)."""
    rows, cols = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    write(tmp_path / "sar/s.tif", (rows + 2 * cols)[None])
    write(tmp_path / "optical/s.tif", image(1, 3))
    stored = Reading(SarRadiometry(scale="stored", clip=(-500, 500), zeros="data"))
    how = {"reading": stored, "max_invalid": 0.3}
    patches = opened(tmp_path, alignment={"s": shift}, **how)
    inner = [p.id for p in patches.patches].index("s/32_64")
    read = patches.read("sar", [inner])[0, 0] * 1000 - 500
    r, c = np.mgrid[32:64, 64:96]
    np.testing.assert_allclose(read, (r - shift[0]) + 2 * (c - shift[1]), atol=1e-2)


def test_what_is_shifted_in_from_outside_is_invalid(folder: Path) -> None:
    patches = opened(folder, alignment={"s0": (8.0, 0.0)})
    assert patches.dropped == {"invalid sar pixels": 4}
    assert "s0/0_0" not in [patch.id for patch in patches.patches]


def test_the_fingerprint_knows_content_and_not_places_or_times(
    folder: Path, tmp_path: Path
) -> None:
    first = opened(folder)
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    os.utime(copy / "sar/s0.tif", (1, 1))
    for modality in ("sar", "optical"):
        assert opened(copy).fingerprint(modality) == first.fingerprint(modality)
    assert first.fingerprint("sar") != first.fingerprint("optical")


def test_each_thing_that_changes_pixels_changes_the_fingerprint(folder: Path) -> None:
    def prints(**more: object) -> tuple[str, str]:
        patches = opened(folder, **more)
        return patches.fingerprint("sar"), patches.fingerprint("optical")

    base = prints()
    for more, sar, optical in (
        ({"reading": Reading(SarRadiometry(tone="log"))}, True, False),
        ({"reading": Reading(RAW.sar, OpticalRadiometry(range=(0, 99)))}, False, True),
        ({"alignment": {"s0": (1.0, 0.0)}}, True, False),
        ({"stride": 16}, True, True),
        ({"patch": 64}, True, True),
    ):
        changed = prints(**more)
        assert (changed[0] != base[0], changed[1] != base[1]) == (sar, optical), more
    one_pixel = image(0)
    one_pixel[0, 50, 50] ^= 1
    write(folder / "sar/s0.tif", one_pixel)
    changed = prints()
    assert changed[0] != base[0]
    assert changed[1] == base[1]


def test_a_tag_marks_a_set_as_synthetic(folder: Path) -> None:
    import rasterio

    assert not opened(folder).synthetic
    with rasterio.open(folder / "sar/s0.tif", "r+") as file:
        file.update_tags(CROSSLOOK_SYNTHETIC="yes")
    assert opened(folder).synthetic


def test_pairs_without_georeference_have_no_position(tmp_path: Path) -> None:
    sar = write(tmp_path / "a.png", image(0), None)
    optical = write(tmp_path / "b.png", image(1, 3), None)
    patches = PatchSet.open([ScenePair("p", "g", sar, optical)], patch=64)
    assert {(p.position, p.crs, p.group) for p in patches.patches} == {(None, None, "g")}


def test_the_sentinel_pairs_are_whole(sentinel: Path) -> None:
    pairs = [pair for pair in open_pairs(sentinel) if pair.id.endswith(("03", "04"))]
    patches = PatchSet.open(pairs)
    assert len(patches.patches) == 16 * len(pairs)
    assert {patch.group for patch in patches.patches} <= {p.id.partition("_")[0] for p in pairs}
    for modality in ("sar", "optical"):
        images = patches.read(modality, [0, 17])
        assert images.min() >= 0
        assert images.max() <= 1
        assert images.std() > 0.1


def test_an_alignment_of_other_scenes_is_refused(tmp_path: Path) -> None:
    pairs = [ScenePair("a", "a", tmp_path / "a.tif", tmp_path / "b.tif")]
    with pytest.raises(InputError, match="'other' against 'a'"):
        PatchSet.open(pairs, patch=32, alignment={"other": (1.0, 2.0)})


def test_values_that_limits_are_fitted_on_are_few_and_are_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were 16 kB of a pair: 4.6 GB of 282,384."""
    how = Reading(SarRadiometry(per="set"), OpticalRadiometry(per="set"))
    whole = opened(folder, reading=how)
    for scene in whole.scenes.values():
        assert all(side.survey.sample.size == 0 for side in scene.sides.values())
    seen: list[int] = []

    def thinned(scene: Any, count: int) -> Any:
        seen.append(count)
        return thin(scene, count)

    thin = data_patches._thinned
    monkeypatch.setattr(data_patches, "_thinned", thinned)
    monkeypatch.setattr(data_patches, "_SAMPLES", 2000)
    opened(folder, reading=how)
    assert seen == [1000, 1000, 0, 0]
