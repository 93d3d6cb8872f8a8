"""Files of arrays are read alike, whole or mapped, also by many threads at once."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.arrays import load_array, load_arrays


def test_whole_and_mapped_are_equal(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "a.npy", values)
    assert np.array_equal(load_array(tmp_path / "a.npy"), values)
    mapped = load_array(tmp_path / "a.npy", mmap_mode="r")
    assert np.array_equal(mapped, values)
    assert not mapped.flags.writeable


def test_headers_are_parsed_by_one_thread_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez(tmp_path / "b.npz", zeros=np.zeros(3))
    inside: list[int] = []
    load = np.load

    def watched(*given: Any, **options: Any) -> Any:
        inside.append(1)
        assert len(inside) == 1
        try:
            return load(*given, **options)
        finally:
            inside.pop()

    monkeypatch.setattr(np, "load", watched)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load_array, [tmp_path / "a.npy"] * 200))
        names = list(
            pool.map(
                lambda _: list(load_arrays(io.BytesIO((tmp_path / "b.npz").read_bytes()))),
                range(50),
            )
        )
    assert names == [["zeros"]] * 50
