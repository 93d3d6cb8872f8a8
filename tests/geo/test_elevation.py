"""An elevation model that cannot serve an image is named, whatever ails it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from crosslook.errors import InputError
from tests.geo.test_rectify import opened, polynomials, spots
from tests.helpers.kinds import PLACE, save

HEIGHTS = np.full((40, 40), 300, np.int16)
AROUND = PLACE * Affine.translation(-104, -104) * Affine.scale(10)


def model(path: Path, heights: np.ndarray = HEIGHTS, at: Affine = AROUND, **more: Any) -> Path:
    return save(path, heights, at, **more)


def test_a_model_that_is_missing_or_no_raster_or_a_folder(tmp_path: Path) -> None:
    image = save(tmp_path / "a.tif", spots(), None, rpcs=polynomials())
    (tmp_path / "b.txt").write_text("heights")
    for name in ("none.tif", "b.txt", "."):
        with pytest.raises(InputError, match=r"elevation model .* cannot be read: .*heights"):
            opened(image, dem=str(tmp_path / name))


def test_a_model_that_lies_elsewhere_or_is_empty_or_has_no_map(tmp_path: Path) -> None:
    image = save(tmp_path / "a.tif", spots(), None, rpcs=polynomials())
    far = model(tmp_path / "far.tif", at=AROUND * Affine.translation(900, 0))
    empty = model(tmp_path / "empty.tif", np.full_like(HEIGHTS, -9999), nodata=-9999)
    for path in (far, empty):
        with pytest.raises(InputError, match=rf"{path.name} has no height where a.tif lies"):
            opened(image, dem=str(path))
    bare = model(tmp_path / "bare.tif", crs=None)
    with pytest.raises(InputError, match=r"bare.tif has no map"):
        opened(image, dem=str(bare))


def test_a_model_of_a_part_serves_that_part(tmp_path: Path) -> None:
    image = save(tmp_path / "a.tif", spots(), None, rpcs=polynomials())
    heights = HEIGHTS.copy()
    heights[:, :20] = -9999
    read = opened(image, dem=str(model(tmp_path / "dem.tif", heights, nodata=-9999)))
    assert "over dem.tif" in " ".join(read.header.notes)
    seen = np.isfinite(read.source.read(None, (1,))[0]).mean()
    assert 0.2 < seen < 0.8
