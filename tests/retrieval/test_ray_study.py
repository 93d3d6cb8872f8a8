"""A study on a Ray cluster of two workers gives the rows of a local one, a killed worker or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import crosslook
from tests.helpers.deadly_worker import MARKER, DeadlyWorker


@pytest.mark.slow
@pytest.mark.sentinel
@pytest.mark.timeout(900)  # Ray runs its workers at the lowest priority
def test_the_sentinel_study_is_the_same_though_a_worker_is_killed(
    sentinel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    marker = tmp_path / "killed"
    monkeypatch.setenv(MARKER, str(marker))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]), prepend=os.pathsep)
    monkeypatch.setattr("crosslook.extract.ray_engine.ShardWorker", DeadlyWorker)
    wanted = {"extractors": ["hog:cell=32"], "structure": False, "draws": 100}
    crosslook.study(sentinel, tmp_path / "local", **wanted)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        crosslook.study(sentinel, tmp_path / "ray", **wanted, engine="ray", workers=2)
    finally:
        ray.shutdown()
    assert int(marker.read_text()) != os.getpid(), "a worker was killed"
    local, made = (tmp_path / name / "results.parquet" for name in ("local", "ray"))
    assert made.read_bytes() == local.read_bytes()
