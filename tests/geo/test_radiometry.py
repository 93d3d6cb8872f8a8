"""Radiometry: what is recognised, scaled, kept and refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslook.errors import RasterError, SettingError
from crosslook.geo.radiometry import OpticalRadiometry, SarRadiometry, three_channels
from crosslook.geo.raster import Raster, RasterArray

rng = np.random.default_rng(0)
POWER = rng.gamma(4, 0.02, (1, 40, 50)).astype(np.float32)
DECIBEL = (10 * np.log10(POWER)).astype(np.float32)


def header(dtype: str, bands: int, labels: tuple[str, ...] = ()) -> Raster:
    named = labels or ("",) * bands
    one = RasterArray.of(np.zeros((bands, 2, 2), dtype)).header
    return replace(one, labels=named)


def scaled(
    radiometry: SarRadiometry | OpticalRadiometry, raw: np.ndarray, dtype: str
) -> np.ndarray:
    sample = raw.reshape(len(raw), -1)
    sample = sample[:, np.isfinite(sample).all(axis=0)]
    head = header(dtype, len(raw))
    stretch = radiometry.fit(head, radiometry.scale_of(head, sample), sample)
    return three_channels(radiometry.apply(raw, stretch))


@pytest.mark.parametrize(
    ("raw", "dtype", "scale"),
    [
        (DECIBEL, "float32", "decibel"),
        (POWER, "float32", "power"),
        (np.round(POWER * 900), "uint8", "amplitude"),
        (np.round(POWER * 9000), "uint16", "amplitude"),
        (np.round(DECIBEL * 100), "int16", "stored"),
        (DECIBEL * 100, "float32", "stored"),
    ],
)
def test_the_scale_is_recognised_and_can_be_overridden(
    raw: np.ndarray, dtype: str, scale: str
) -> None:
    sample = raw.reshape(1, -1)
    assert SarRadiometry().scale_of(header(dtype, 1), sample) == scale
    assert SarRadiometry(scale="power").scale_of(header(dtype, 1), sample) == "power"


@pytest.mark.parametrize("tone", ["root", "log", "linear"])
def test_power_amplitude_and_decibels_give_the_same_image(tone: Any) -> None:
    how = [SarRadiometry(tone=tone, scale=s) for s in ("power", "decibel", "amplitude")]
    images = [
        scaled(one, x, "float32")
        for one, x in zip(how, (POWER, DECIBEL, np.sqrt(POWER)), strict=True)
    ]
    np.testing.assert_allclose(images[0], images[1], atol=2e-5)
    if tone != "log":  # of amplitudes it is taken of one more, for whole numbers
        np.testing.assert_allclose(images[0], images[2], atol=2e-5)


def test_the_root_is_that_of_the_amplitude() -> None:
    toned = SarRadiometry().toned(np.array([[[16.0]]], np.float32), "amplitude")
    assert toned.item() == pytest.approx(4)
    assert SarRadiometry().toned(np.array([[[16.0]]], np.float32), "power").item() == 2
    assert SarRadiometry().toned(np.array([[[20.0]]], np.float32), "decibel").item() == (
        pytest.approx(10**0.5)
    )


def test_a_fixed_clip_is_in_decibels() -> None:
    raw = np.array([[[-30.0, -25.0, -12.5, 0.0, 5.0]]], np.float32)
    image = scaled(SarRadiometry(tone="log", clip=(-25, 0)), raw, "float32")
    np.testing.assert_allclose(image[0, 0], [0, 0, 0.5, 1, 1], atol=1e-6)
    image = scaled(SarRadiometry(clip=(-25, 0)), raw, "float32")
    np.testing.assert_allclose(image[0, 0, [1, 3]], [0, 1], atol=1e-6)


def test_channels() -> None:
    one = scaled(SarRadiometry(), DECIBEL, "float32")
    assert one.shape == (3, 40, 50)
    assert (one[0] == one[1]).all()
    assert (one[0] == one[2]).all()
    two = scaled(SarRadiometry(), np.concatenate([DECIBEL, DECIBEL[:, ::-1] - 9]), "float32")
    np.testing.assert_allclose(two[2], (two[0] + two[1]) / 2, atol=1e-6)
    assert (two[0] != two[1]).any()
    assert SarRadiometry().choose(header("uint8", 4)) == (1, 2, 3)
    assert SarRadiometry().choose(header("uint8", 2), (True, False)) == (2,)
    assert SarRadiometry(bands=("2",)).choose(header("uint8", 4)) == (2,)


@pytest.mark.parametrize("speckle", ["median", "bilateral"])
def test_speckle_filters_smooth_and_keep_what_is_missing(speckle: Any) -> None:
    raw = POWER.copy()
    raw[:, 5:9, 5:9] = np.nan
    plain = scaled(SarRadiometry(), raw, "float32")
    smooth = scaled(SarRadiometry(speckle=speckle), raw, "float32")
    assert (np.isnan(smooth) == np.isnan(plain)).all()
    inner = (slice(None), slice(15, None), slice(15, None))
    assert smooth[inner].std() < 0.9 * plain[inner].std()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(-40, 40), st.floats(0, 30))
def test_images_lie_in_0_to_1_and_nan_stays(seed: int, mean: float, std: float) -> None:
    raw = np.random.default_rng(seed).normal(mean, std, (1, 12, 12)).astype(np.float32)
    raw[0, 0] = np.nan
    image = scaled(SarRadiometry(), raw, "float32")
    assert np.isnan(image[:, 0]).all()
    assert ((image[:, 1:] >= 0) & (image[:, 1:] <= 1)).all()


@pytest.mark.parametrize(
    ("count", "bands"),
    [(1, (1,)), (2, (1,)), (3, (1, 2, 3)), (4, (1, 2, 3)), (12, (4, 3, 2)), (13, (4, 3, 2))],
)
def test_optical_bands(count: int, bands: tuple[int, ...]) -> None:
    assert OpticalRadiometry().choose(header("uint8", count)) == bands
    assert OpticalRadiometry(bands=("1",)).choose(header("uint8", count)) == (1,)


def test_bands_are_known_by_name() -> None:
    named = header("uint16", 4, ("blue", "green", "red", "nir"))
    assert OpticalRadiometry().choose(named) == (3, 2, 1)
    assert OpticalRadiometry(bands=("NIR", "red", "2")).choose(named) == (4, 3, 2)


def test_optical_scaling() -> None:
    raw = np.array([[[0, 51, 255]]], np.float32).repeat(3, axis=0)
    np.testing.assert_allclose(scaled(OpticalRadiometry(), raw, "uint8")[1, 0], [0, 0.2, 1])
    raw = np.array([[[0, 1500, 9000]]], np.float32).repeat(3, axis=0)
    image = scaled(OpticalRadiometry(range=(0, 3000)), raw, "uint16")
    np.testing.assert_allclose(image[0, 0], [0, 0.5, 1])


def test_settings_are_read_from_text() -> None:
    text = "scale=decibel, clip=-25:0, tone=log, percentiles=2:98, bands=2, speckle=median"
    expected = SarRadiometry(
        scale="decibel", tone="log", clip=(-25, 0), percentiles=(2, 98), bands=("2",),
        speckle="median",
    )  # fmt: skip
    assert SarRadiometry.parse(text) == expected
    assert SarRadiometry.parse("") == SarRadiometry()
    assert SarRadiometry.parse("vv,speckle=median") == SarRadiometry(
        tone="log", clip=(-25, 0), speckle="median"
    )
    parsed = OpticalRadiometry.parse("bands=4:3:2,range=0:3000")
    assert parsed == OpticalRadiometry(bands=("4", "3", "2"), range=(0, 3000))
    assert OpticalRadiometry.parse("reflectance").range == (0, 3000)
    assert str(parsed) == "bands=4:3:2,range=0:3000"
    assert SarRadiometry.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scal=power", "Did you mean 'scale'"),
        ("scale=db", "auto, amplitude, power, decibel, stored"),
        ("clip=0:-25", "LOW:HIGH"),
        ("clip=1", "LOW:HIGH"),
        ("clip=low:0", "--sar clip=low:0: clip: 'low:0' are no numbers"),
        ("percentiles=0:200", "within 0 to 100"),
        ("bands=0", "from 1"),
        ("logg", "Did you mean 'log'"),
        ("tone", "tone=value"),
        ("speckle=boxcar", "none, median, bilateral"),
        ("zeros=maybe", "auto, nodata, data"),
        ("per=pixel", "set, scene"),
    ],
)
def test_what_is_not_allowed_is_refused(text: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        SarRadiometry.parse(text)


def test_bands_that_are_not_there_are_refused() -> None:
    with pytest.raises(SettingError, match="bands 1 to 2"):
        SarRadiometry(bands=("3",)).choose(header("uint8", 2))


def test_each_setting_has_its_own_key_and_is_described() -> None:
    texts = ["", "scale=power", "tone=log", "clip=-25:0", "percentiles=2:98", "speckle=median"]
    texts += ["zeros=nodata", "per=scene", "bands=2"]
    made = [SarRadiometry.parse(text) for text in texts]
    assert len({one.key() for one in made}) == len(texts)
    assert made[3].describe()["clip"] == (-25.0, 0.0)


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(RasterError, match="no valid pixel"):
        OpticalRadiometry().fit(header("float32", 1), "stored", np.empty((1, 0), np.float32))
