"""One image under two names is told by the audit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crosslook.data.pairs import ScenePair
from crosslook.match.audit import audit
from tests.helpers.rasters import write


def test_an_image_under_two_names_is_counted_and_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ground = [rng.integers(1, 255, (1, 160, 160), dtype=np.uint8) for _ in range(3)]
    pairs = []
    for number, (name, shown) in enumerate((("a", 0), ("b", 1), ("c", 0))):
        noise = rng.integers(0, 40, (1, 160, 160), dtype=np.uint8)
        sar = write(tmp_path / f"{name}_sar.tif", 255 - ground[shown] // 2 - noise)
        optical = write(tmp_path / f"{name}.tif", ground[shown].repeat(3, 0))
        pairs.append(ScenePair(name, str(number), sar, optical))
    result = audit(pairs, radius=8.0)
    assert result.duplicates == (("a", "c"),)
    assert result.summary()["one_image_twice"] == 2
    assert tmp_path / "out" / "duplicates.csv" in result.write(tmp_path / "out")
    assert (tmp_path / "out" / "duplicates.csv").read_text() == "image,scene\n1,a\n1,c\n"
    assert audit(pairs[:2], radius=8.0).duplicates == ()
