"""A run folder of an earlier version, whose settings hold what is no setting any more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'web' is not installed")

from crosslook.data.simulate.write import write_pairs
from crosslook.explore.runs import maps_task
from tests.explore.conftest import _small_run


def test_maps_of_a_run_with_a_setting_that_is_gone(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", 4, size=128, seed=1)
    run = tmp_path / "run"
    _small_run(tmp_path / "pairs", run)
    record = json.loads((run / "run.json").read_text())
    record["settings"]["estimate"] = False
    (run / "run.json").write_text(json.dumps(record))
    made = maps_task({"run": str(run), "extractor": "hog:cell=8", "index": 0}, tmp_path / "job")
    assert made["maps"] is True
    assert (tmp_path / "job" / "view" / "patch-sar.png").exists()
