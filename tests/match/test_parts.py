"""Evidence by parts of the image, where a fit is no map of any ground."""

from __future__ import annotations

import numpy as np
import pytest

from crosslook.extract.registry import open_extractor
from crosslook.geo.image import open_image
from crosslook.match.pair import ImagePair
from crosslook.match.parts import evidence_by_parts
from crosslook.match.pose_search import whole_image
from crosslook.match.settings import DEFAULT_EXTRACTOR
from crosslook.match.transform import Transform, similarity
from tests.helpers.textured import textured_pair


@pytest.mark.parametrize("bend", [-1.9999, -2.01, 3.0])
def test_a_homography_that_maps_the_image_far_away_has_evidence_too(bend: float) -> None:
    """It asked for cells larger than the image, which OpenCV cannot reduce to."""
    sar, optical = textured_pair(similarity((0.0, 0.0)), side=160)
    pair = ImagePair.of(
        open_image(sar, "sar").read().grey_image("sar"),
        open_image(optical, "optical").read().grey_image("optical"),
        open_extractor(DEFAULT_EXTRACTOR),
    )
    matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [bend / 160, 0.0, 1.0]])
    found = evidence_by_parts(pair, Transform(matrix, "homography"))
    assert np.isfinite(list(found)).all()
    assert np.isfinite(whole_image(pair, Transform(matrix, "homography"))).all()
