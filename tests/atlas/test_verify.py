"""Scores of parts under small shifts: products in a compiled loop are those of transforms."""

from __future__ import annotations

import numpy as np
import pytest

import crosslook.atlas.verify as verifying
from crosslook.atlas.verify import part_scores, whole_scores


@pytest.mark.parametrize("shape", [(64, 64), (37, 22), (9, 50)])
def test_loops_and_transforms_give_the_same_scores(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    template = rng.standard_normal((5, *shape)).astype(np.float32)
    windows = rng.standard_normal((3, 5, shape[0] + 8, shape[1] + 8)).astype(np.float32)
    windows[0, :, 2 : 2 + shape[0], 5 : 5 + shape[1]] += template
    windows[1, :, :, :9] = 0.0
    direct = whole_scores(template, windows), part_scores(template, windows)
    assert divmod(int(direct[0][0].argmax()), 9) == (2, 5)
    monkeypatch.setattr(verifying, "_MOST_SHIFTS", 0)
    transformed = whole_scores(template, windows), part_scores(template, windows)
    np.testing.assert_allclose(direct[0], transformed[0], atol=1e-5)
    np.testing.assert_allclose(direct[1], transformed[1], atol=1e-5)
    assert not np.array_equal(direct[0], transformed[0])  # so that both ways were taken
