"""The dates of a stack share what is read and computed of their optical image, and nothing else."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.pairs import ScenePair
from crosslook.data.simulate.write import write_pairs
from crosslook.match import cached_image, working_grid
from crosslook.match.batch import register_all
from crosslook.match.register import register
from crosslook.match.result import MatchResult
from crosslook.match.settings import RegisterCall

DATES = 3
SPACING = 24.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Path]:
    """SAR images of one place under other speckle, and the optical image."""
    root = tmp_path_factory.mktemp("stack")
    write_pairs(root, 1, size=448, gsd=10.0, shift=(3.0, -4.0), relief=0.0)
    first = root / "sar/sim-0000.tif"
    dates = []
    for number in range(DATES):
        with rasterio.open(first) as file:
            pixels, profile = file.read(), file.profile
        noise = np.random.default_rng(number).gamma(8.0, 1 / 8, pixels.shape)
        dates.append(root / f"date-{number}.tif")
        with rasterio.open(dates[-1], "w", **profile) as file:
            file.write((pixels * noise).astype(pixels.dtype))
    return dates, root / "optical/sim-0000.tif"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often parts of the optical image are read, and features of it are computed."""
    counts = {"optical": 0, "features": 0}
    read: Callable[..., Any] = working_grid._read_grey
    computed: Callable[..., Any] = vars(cached_image)["dense_channels"]

    def reads(image: Any, modality: str, *rest: Any) -> Any:
        counts["optical"] += modality == "optical"
        return read(image, modality, *rest)

    def computes(*given: Any) -> Any:
        counts["features"] += 1
        return computed(*given)

    monkeypatch.setattr(working_grid, "_read_grey", reads)
    monkeypatch.setattr(cached_image, "dense_channels", computes)
    return counts


def test_the_optical_side_is_read_and_described_once(
    stack: tuple[list[Path], Path], counted: dict[str, int]
) -> None:
    dates, optical = stack
    settings = RegisterCall(spacing=SPACING, device="cpu", near_only=True)
    alone = register(dates[0], optical, settings)
    once = dict(counted)
    counted.update(optical=0, features=0)
    pairs = [ScenePair(p.stem, p.stem, p, optical) for p in dates]
    found = list(register_all(pairs, settings))
    assert once["optical"] >= 2  # the working grid, and a tile
    assert counted == once
    first = found[0]
    assert isinstance(first, MatchResult)
    assert first.to_dict() | {"timings_s": 0} == alone.to_dict() | {"timings_s": 0}
    np.testing.assert_array_equal(first.tie_points.optical, alone.tie_points.optical)


def test_a_date_that_cannot_be_read_costs_that_date(
    stack: tuple[list[Path], Path], tmp_path: Path
) -> None:
    dates, optical = stack
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"no image")
    out = tmp_path / "out"
    call = ["register", "--stack", str(dates[0]), str(broken), str(optical), "--out", str(out)]
    done = CliRunner().invoke(app, [*call, "--near-only"])
    assert done.exit_code == 1
    with (out / "matches.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows["date-0"]["verdict"] == "match"
    assert "cannot be opened" in rows["broken"]["error"]
    assert json.loads((out / "date-0/match.json").read_text())["verdict"] == "match"


def test_a_stack_without_names_of_its_own_is_refused(tmp_path: Path) -> None:
    call = ["register", "a/s.tif", "b/s.tif", "o.tif", "--stack", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 1
    assert "have one name" in str(done.exception)
    alone = CliRunner().invoke(app, ["register", "a.tif", "--stack", "--out", str(tmp_path)])
    assert "needs one SAR image or more" in str(alone.exception)
