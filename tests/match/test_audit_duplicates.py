"""One image under two names is told by the audit."""

from __future__ import annotations

from pathlib import Path

from crosslook.data.pairs import ScenePair
from crosslook.match.audit import Audit, shared_images


def test_an_image_under_two_names_is_counted_and_named(tmp_path: Path) -> None:
    pairs = []
    for name, optical in (("a", b"field"), ("b", b"town"), ("c", b"field"), ("d", b"sea")):
        sar, other = tmp_path / f"{name}_sar.tif", tmp_path / f"{name}.tif"
        sar.write_bytes(name.encode())
        other.write_bytes(optical)
        pairs.append(ScenePair(name, name, sar, other))
    assert shared_images(pairs) == (("a", "c"),)
    found = Audit((), b"", shared_images(pairs))
    assert found.summary()["one_image_twice"] == 2
    assert tmp_path / "out" / "duplicates.csv" in found.write(tmp_path / "out")
    assert (tmp_path / "out" / "duplicates.csv").read_text() == "image,scene\n1,a\n1,c\n"
    assert shared_images(pairs[:2]) == ()
