"""Large arrays on disk: the same values, nothing left behind, no half space."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import crosslook.scratch as scratching
from crosslook.errors import OutputError
from crosslook.scratch import scratch


def test_small_arrays_stay_in_memory(tmp_path: Path) -> None:
    array = scratch((3, 4), tmp_path)
    assert not isinstance(array, np.memmap)
    assert array.sum() == 0


def test_large_ones_are_mapped_and_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratching, "IN_MEMORY_BYTES", 1000)
    array = scratch((50, 7), tmp_path)
    assert isinstance(array, np.memmap)
    assert list(tmp_path.iterdir()) == []
    values = np.random.default_rng(0).random((50, 7), dtype=np.float32)
    array[:] = values
    np.testing.assert_array_equal(array @ array.T, values @ values.T)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space cannot be reserved here")
def test_a_full_disk_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratching, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match=r"cannot hold .* No space left"):
        scratch((500, 7), tmp_path)


@pytest.mark.slow
def test_a_study_on_disk_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import crosslook

    crosslook.write_pairs(tmp_path / "pairs", 5, size=128, seed=3)
    wanted = {"extractors": ["hog:cell=16"], "patch": 64, "structure": False, "draws": 100}
    crosslook.study(tmp_path / "pairs", tmp_path / "memory", **wanted)
    monkeypatch.setattr(scratching, "IN_MEMORY_BYTES", 0)
    crosslook.study(tmp_path / "pairs", tmp_path / "disk", **wanted)
    rows = [(tmp_path / name / "results.parquet").read_bytes() for name in ("memory", "disk")]
    assert rows[0] == rows[1]
