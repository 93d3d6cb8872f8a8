"""A plan says beforehand what a real run then takes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest
from click.testing import CliRunner

import crosslook.atlas.build as building
from crosslook.atlas.build import BLOCK
from crosslook.atlas.plan import (
    AREAS_KM2,
    UnitCosts,
    area_km2,
    box_km2,
    measure_costs,
    plan_atlas,
    read_costs,
    write_noise,
)
from crosslook.atlas.search import searcher
from crosslook.cli import app
from crosslook.errors import InputError, SettingError

GSD = 10.0


@pytest.fixture(scope="module")
def costs() -> UnitCosts:
    """Measured here, on one block of the real size."""
    return measure_costs(side=BLOCK)


@pytest.mark.slow
def test_the_plan_agrees_with_real_builds_of_three_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, costs: UnitCosts
) -> None:
    block = 512
    monkeypatch.setattr(building, "BLOCK", block)
    # The cost of a small block, measured on the smallest size, foretells the others.
    unit = costs
    for number, side in enumerate((512, 1024, 1800)):
        path = tmp_path / f"{side}.tif"
        write_noise(path, side)
        started = process_time()
        atlas = building.build_atlas(path, tmp_path / f"atlas{side}")
        seconds = process_time() - started
        stored = sum(p.stat().st_size for p in Path(atlas.name).rglob("*") if p.is_file())
        if number == 0:
            cached = searcher(atlas, 0).blocks.block_bytes
            unit = replace(
                costs,
                block=block,
                block_seconds=seconds,
                block_bytes=float(stored),
                manifest_bytes=0.0,
                cached_bytes=cached,
            )
            continue
        plan = plan_atlas((side * GSD / 1000) ** 2, GSD, unit)
        assert plan.blocks == len(atlas.manifest.blocks) == math.ceil(side / block) ** 2
        assert plan.storage_gb * 1e9 == pytest.approx(stored, rel=0.1)
        assert plan.megapixels == pytest.approx(side**2 / 1e6)
        # Time of the processor, which a busy machine changes least; it is no benchmark.
        assert 0.3 < seconds / (plan.build_hours * 3600) < 3.0


def test_measured_costs_are_those_of_a_block(costs: UnitCosts) -> None:
    side = costs.block
    # One byte a pixel and band, and float16 features of both levels.
    block_bytes = 3 * side**2 + 2 * 10 * ((side // 8) ** 2 + (side // 4) ** 2)
    assert costs.block_bytes == pytest.approx(block_bytes, rel=0.01)
    assert 0 < costs.search_seconds < costs.block_seconds
    assert 1e8 < costs.build_memory_bytes < 2e9
    assert costs.query_seconds > 0


def test_machines_and_workers_share_blocks_and_memory_is_theirs(costs: UnitCosts) -> None:
    one = plan_atlas(1e6, GSD, costs)
    many = plan_atlas(1e6, GSD, costs, machines=10, workers=4)
    assert many.build_hours == pytest.approx(one.build_hours / 40, rel=0.02)
    assert many.build_memory_gb == pytest.approx(4 * one.build_memory_gb)
    assert many.storage_gb == one.storage_gb
    assert plan_atlas(1e6, GSD / 2, costs).blocks == pytest.approx(4 * one.blocks, rel=0.05)
    assert not one.cached
    assert plan_atlas(100.0, GSD, costs).cached
    # What is not cached does not take memory that grows with the area.
    assert plan_atlas(1e8, GSD, costs).search_memory_gb == one.search_memory_gb


def test_areas_by_name_number_and_box() -> None:
    assert area_km2("Germany") == AREAS_KM2["germany"]
    assert area_km2("United States") == AREAS_KM2["united-states"]
    assert area_km2("12.5") == 12.5
    assert box_km2((-180, -90, 180, 90)) == pytest.approx(510_065_600, rel=1e-4)
    assert box_km2((0, 0, 1, 1)) == pytest.approx(111.32 * 110.57, rel=0.01)
    with pytest.raises(SettingError, match=r"[Dd]id you mean 'germany'"):
        area_km2("germny")
    for wrong in ("-3", "0", "nan", "1e12"):
        with pytest.raises(SettingError, match="above 0"):
            area_km2(wrong)
    with pytest.raises(SettingError, match="no area on Earth"):
        box_km2((5, 5, 5, 6))


def test_the_command_line_plans_from_a_file_of_costs(tmp_path: Path, costs: UnitCosts) -> None:
    path = tmp_path / "costs.json"
    costs.write(path)
    assert read_costs(path) == costs
    old = path.read_text().replace("cached_bytes", "kept_bytes")
    (tmp_path / "old.json").write_text(old.replace("cache_limit_bytes", "keep_limit_bytes"))
    assert read_costs(tmp_path / "old.json") == costs
    call = ["plan", "land", "--gsd", "10", "--machines", "100", "--costs", str(path)]
    shown = CliRunner().invoke(app, call)
    assert shown.exit_code == 0, shown.output
    assert "148,940,000 km2" in shown.output
    plan = json.loads(CliRunner().invoke(app, [*call, "--json"]).output)
    assert plan["blocks"] * costs.block_seconds / 100 / 3600 == pytest.approx(
        plan["build_hours"], rel=0.01
    )
    other = CliRunner().invoke(app, [*call, "--extractor", "raw"])
    assert isinstance(other.exception, InputError)
    path.write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        read_costs(path)
    new = str(tmp_path / "new.json")
    early = CliRunner().invoke(app, ["plan", "land", "--workers", "0", "--costs", new])
    assert isinstance(early.exception, SettingError)
    assert not Path(new).exists(), "refused before anything is measured"
    for wrong in (["plan"], ["plan", "land", "--bbox", "1", "2", "3", "4"]):
        assert isinstance(CliRunner().invoke(app, wrong).exception, SettingError)
    with pytest.raises(SettingError, match="--gsd is 0"):
        plan_atlas(1.0, 0.0, costs)
