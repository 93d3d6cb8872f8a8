"""Features of several extractors at once, and learned ones by one word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.errors import SettingError
from crosslook.extract.joined import JoinedFeatures
from crosslook.extract.registry import open_extractor
from crosslook.geo.image import open_image
from crosslook.match.cached_image import CachedImage
from crosslook.match.channels import dense_channels
from crosslook.match.matchers import features_of, open_tools
from crosslook.match.register import register
from crosslook.match.settings import RegisterCall
from crosslook.match.transform import grid_points, mean_distance, similarity
from tests.helpers import checkpoints
from tests.helpers.textured import textured_pair

SIDE = 320
_LONGER = ("dinov2", "clip", "sam2", "sd-unet")
TRUTH = similarity((6.0, -9.0), 1.0, 1.01, (SIDE / 2, SIDE / 2))


def grey() -> CachedImage:
    _, optical = textured_pair(TRUTH)
    return CachedImage.of(open_image(optical, "optical").read().grey_image("optical"))


def test_each_member_counts_alike_however_many_channels_it_has() -> None:
    image = grey()
    members = [open_extractor("hog:cell=4,blur=1"), open_extractor("raw:cell=8")]
    joined = dense_channels(image, JoinedFeatures(members))
    parts = [dense_channels(image, one) for one in members]
    counts = [len(one.values) for one in parts]
    assert joined.values.shape == (sum(counts), *parts[0].values.shape[1:])
    assert joined.stride == parts[0].stride
    first = joined.values[: counts[0]] * counts[0] ** 0.5
    np.testing.assert_allclose(first, parts[0].values, atol=1e-5)
    energy = [float((part**2).sum()) for part in np.split(joined.values, [counts[0]])]
    assert 0.5 < energy[1] / energy[0] < 2.0


def test_a_coarser_map_lies_where_its_cells_lie() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), (1, 3, 64, 64))
    fine, coarse = open_extractor("raw:cell=4"), open_extractor("raw:cell=16")
    values = JoinedFeatures([fine, coarse]).extract(ramp).values[0]
    np.testing.assert_allclose(values[1][:, 2:-2], values[0][:, 2:-2], atol=0.01)


def test_sums_of_extractors_register_by_one_word() -> None:
    name = "hog:cell=4,blur=1+hog:cell=8,blur=2"
    assert features_of(name) == name
    result = register(*textured_pair(TRUTH), matcher=name, near_only=True)
    assert result.transform is not None
    assert mean_distance(result.transform, TRUTH, grid_points(SIDE, SIDE)) < 1.5
    assert np.isnan(result.confidence)
    with pytest.raises(SettingError, match="unknown matcher"):
        register(*textured_pair(TRUTH), matcher="hog:cell=4+nothing")


@pytest.mark.parametrize(
    "name",
    ["sd-vae", *(pytest.param(n, marks=pytest.mark.slow) for n in _LONGER)],
)
def test_models_of_the_article_are_matchers_by_one_word(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    make: Any = getattr(checkpoints, name.replace("-", "_"))
    folder = make(tmp_path / "weights")
    settings = RegisterCall(matcher=name, weights={name: folder}, near_only=True)
    extractor, matcher = open_tools(settings)
    assert extractor.spec == name
    assert not matcher.is_fitted
    result = register(*textured_pair(TRUTH, side=160), settings)
    assert result.settings["matcher"] == name
    assert np.isnan(result.confidence) or result.verdict == "no match"
    extractor.close()
