"""The feature store: keys, damage, resume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from crosslook.errors import StoreError
from crosslook.extract.registry import open_extractor
from crosslook.extract.run import SHARD, iterate, read_maps, shard_count
from crosslook.storage import Folder
from crosslook.types import FloatArray, Modality, Patch, Window
from tests.helpers.extracted import extract_one


class FakePatches:
    """Random patches that count how often they are read."""

    def __init__(self, count: int, name: str = "a", fail_after: int = 10**9) -> None:
        self.patches = tuple(Patch(f"s/{i}", "s", "s", Window(0, 0, 32, 32)) for i in range(count))
        self.name = name
        self.reads = 0
        self.fail_after = fail_after

    def fingerprint(self, modality: Modality) -> str:
        return f"{self.name}-{modality}"

    def read(self, modality: Modality, indices: Sequence[int]) -> FloatArray:
        self.reads += 1
        if self.reads > self.fail_after:
            raise KeyboardInterrupt
        return np.stack(
            [np.random.default_rng(i).random((3, 32, 32), dtype=np.float32) for i in indices]
        )


def test_a_stopped_run_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    hog = open_extractor("hog:cell=8")
    count = 3 * SHARD + 5
    with pytest.raises(KeyboardInterrupt):
        extract_one(hog, FakePatches(count, fail_after=2), "sar", Folder(tmp_path / "killed"))
    resumed = FakePatches(count)
    again = extract_one(hog, resumed, "sar", Folder(tmp_path / "killed"))
    assert 0 < resumed.reads < shard_count(resumed)
    whole = extract_one(hog, FakePatches(count), "sar", Folder(tmp_path / "whole"))
    for shard in range(shard_count(resumed)):
        one = again.folder.read(f"{shard:06d}.npz")
        assert one == whole.folder.read(f"{shard:06d}.npz")


def test_nothing_is_read_when_all_is_there(tmp_path: Path) -> None:
    hog = open_extractor("hog:cell=8")
    extract_one(hog, FakePatches(70), "sar", Folder(tmp_path))
    second = FakePatches(70)
    extract_one(hog, second, "sar", Folder(tmp_path))
    assert second.reads == 0


def test_whatever_changes_features_has_its_own_folder(tmp_path: Path) -> None:
    specs = ["hog:cell=8", "hog:cell=16", "hog:cell=8,bins=6", "raw:cell=8"]
    folders = {
        str(extract_one(open_extractor(s), FakePatches(2, name), m, Folder(tmp_path)).folder)
        for s in specs
        for name in ("a", "b")
        for m in ("sar", "optical")
    }
    assert len(folders) == len(specs) * 4


def test_a_default_typed_out_reads_the_same_features(tmp_path: Path) -> None:
    one = extract_one(open_extractor("hog"), FakePatches(2), "sar", Folder(tmp_path))
    two = extract_one(open_extractor("hog:cell=16"), FakePatches(2), "sar", Folder(tmp_path))
    assert str(one.folder) == str(two.folder)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    features = extract_one(open_extractor("raw"), FakePatches(2), "sar", Folder(tmp_path))
    path = Path(str(features.folder)) / "000000.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match="000000"):
        features.read(0)


def test_maps_come_in_the_order_asked_for(tmp_path: Path) -> None:
    patches = FakePatches(SHARD + 10)
    features = extract_one(open_extractor("raw:cell=8"), patches, "sar", Folder(tmp_path))
    everything = np.concatenate([part.values for part in iterate(features, patches)])
    wanted = [SHARD + 3, 0, 7, SHARD + 3]
    chosen = read_maps(features, patches, wanted)
    assert np.array_equal(chosen.values, everything[wanted])
    assert chosen.stride == 8


def test_batches_prepared_ahead_are_those_prepared_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU, also where the size of a batch shrinks on the way."""
    from crosslook.extract.classical import Hog

    stack = np.random.default_rng(0).random((11, 3, 32, 32), np.float32)
    expected = open_extractor("hog").extract(stack).values
    extractor = open_extractor("hog")
    sizes = iter([4, 4, 2, 2, 2, 2, 2, 2])
    seen: list[int] = []
    real = Hog._features

    def features(self: Hog, images: np.ndarray) -> object:
        seen.append(len(images))
        return real(self, images)

    monkeypatch.setattr(Hog, "ahead", property(lambda _: True))
    monkeypatch.setattr(Hog, "_features", features)
    monkeypatch.setattr(Hog, "_batch", lambda *_: next(sizes))
    np.testing.assert_array_equal(extractor.extract(stack).values, expected)
    assert sum(seen) == 11
    assert max(seen) == 4
    assert 2 in seen
