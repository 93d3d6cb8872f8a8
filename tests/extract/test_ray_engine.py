"""A Ray run gives the bytes of a local one, also when a worker is killed half way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crosslook.extract.ray_engine import RayJob, extract_with_ray
from crosslook.extract.registry import open_extractor
from crosslook.extract.run import SHARD, shard_count
from crosslook.storage import Folder
from tests.helpers.extracted import extract_one
from tests.helpers.ray_patches import DeadlyPatches

pytest.importorskip("ray", reason="ray is not installed")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_worker_costs_only_its_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]), prepend=os.pathsep)
    marker = tmp_path / "killed"
    patches = DeadlyPatches(6 * SHARD, 3 * SHARD + 1, marker)
    job = RayJob("hog:cell=8", patches, "sar", str(tmp_path / "ray"))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        features = extract_with_ray(job, workers=2)
    finally:
        ray.shutdown()
    assert int(marker.read_text()) != os.getpid(), "a worker was killed"
    # The marker is there now, so the local run reads the same pixels.
    local = extract_one(open_extractor("hog:cell=8"), patches, "sar", Folder(tmp_path / "local"))
    for shard in range(shard_count(patches)):
        name = f"{shard:06d}.npz"
        assert features.folder.read(name) == local.folder.read(name)


def test_the_cluster_settles_where_workers_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's machine says nothing of the workers': its GPU number and its lack of one."""
    from types import SimpleNamespace

    from crosslook.errors import SettingError
    from crosslook.extract import ray_engine

    def cluster(gpus: float) -> None:
        fake = SimpleNamespace(cluster_resources=lambda: {"CPU": 4.0, "GPU": gpus})
        monkeypatch.setattr(ray_engine, "_started", lambda address: fake)

    cluster(2)
    assert ray_engine.worker_device("cuda:3", None) == ("cuda", 1)
    assert ray_engine.worker_device("auto", None) == ("cuda", 1)
    assert ray_engine.worker_device("cpu", None) == ("cpu", None)
    cluster(0)
    assert ray_engine.worker_device("auto", None) == ("cpu", None)
    with pytest.raises(SettingError, match="no machine of the Ray cluster has a GPU"):
        ray_engine.worker_device("cuda", None)
    with pytest.raises(SettingError, match="--device cpu or cuda"):
        ray_engine.worker_device("mps", None)
