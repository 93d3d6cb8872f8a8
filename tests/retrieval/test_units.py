"""One unit for everything, the same ground in two files, and repeated splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from crosslook.data.pairs import open_pairs, region_of
from crosslook.errors import CalibrationError, SettingError
from crosslook.options import choices_of
from crosslook.retrieval.clusters import divide, find_clusters, find_duplicates
from crosslook.retrieval.compare.similarity import SCORINGS
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.evaluate import Evaluator, evaluate_structure
from crosslook.retrieval.measure import structure
from crosslook.retrieval.measure.structure import embed_pca
from crosslook.retrieval.run_folder import MatchTable, read_patches, read_rows, read_run
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.setup import Setup
from crosslook.retrieval.study import run_study
from crosslook.types import Modality, Patch, Row, Window
from tests.helpers.pairs import texture, write_raster

SIDE = 48


def patch(scene: str, group: str, x: float | None = None, col: int = 0) -> Patch:
    window = Window(0, col, SIDE, SIDE)
    place = None if x is None else (x, 0.0)
    return Patch(f"{scene}/0_{col}", scene, group, window, place, "EPSG:32633" if place else None)


def precut(folder: Path, regions: int = 6, each: int = 4, georeferenced: bool = False) -> Path:
    """Files of one patch each, named <region>_<n>; those of a region look alike."""
    for region in range(regions):
        common = texture(1000 + region, SIDE)
        for number in range(each):
            seed = 10 * region + number
            ground = np.clip(0.5 * common + 0.5 * texture(seed, SIDE), 0, 1)
            speckle = np.random.default_rng(500 + seed).gamma(4, 1 / 4, ground.shape)
            sar = np.clip(ground * speckle * 120, 1, 255).astype(np.uint8)
            optical = np.stack([(1 - ground) * 200 + 20] * 3).astype(np.uint8)
            how: dict[str, Any] = (
                {"east": 5e5 + 1e5 * region + 2000.0 * number} if georeferenced else {"crs": None}
            )
            name = f"R{region}_place_{number}.tif"
            write_raster(folder / "sar" / name, sar[None], **how)
            write_raster(folder / "optical" / name, optical, **how)
    return folder


def study(pairs: Path, out: Path, **more: object) -> list[Row]:
    settings: dict[str, Any] = {
        "pairs": pairs, "out": out, "patch": SIDE, "extractors": ("raw", "hog:cell=8"),
        "structure": False, "draws": 200, "calibration_fraction": 0.4, **more,
    }  # fmt: skip
    run_study(StudySettings(**settings))
    return read_rows(out)


def one(rows: list[Row], **wanted: object) -> Row:
    defaults = {
        "extractor": "hog:cell=8", "calibration": "standardize", "scoring": "csls",
        "measure": "retrieval", "metric": "recall", "k": 1, "direction": "sar->optical",
    }  # fmt: skip
    keys = defaults | wanted
    (row,) = [r for r in rows if all(getattr(r, k) == v for k, v in keys.items())]
    return row


def test_regions_are_read_from_names() -> None:
    assert [region_of(n) for n in ("GF3_city_12", "0031_p7", "a-b-tile9", "scene7", "12")] == [
        "GF3_city", "0031", "a-b", None, None,
    ]  # fmt: skip


def test_a_set_cut_beforehand_has_regions_as_units(tmp_path: Path) -> None:
    pairs = open_pairs(precut(tmp_path))
    assert {pair.group for pair in pairs} == {f"R{i}_place" for i in range(6)}
    for number in range(4):  # img_0 ... img_3: one region is none
        write_raster(tmp_path / "b" / "sar" / f"img_{number}.tif", np.ones((1, 8, 8), np.uint8))
        write_raster(tmp_path / "b" / "optical" / f"img_{number}.tif", np.ones((3, 8, 8), np.uint8))
    assert [pair.group for pair in open_pairs(tmp_path / "b")] == [f"img_{i}" for i in range(4)]


def test_no_unit_stands_on_both_sides() -> None:
    patches = [patch(f"g{i % 7}_{i}", f"g{i % 7}") for i in range(70)]
    units = find_clusters(patches)
    assert (units.kind, units.count, units.notes) == ("group", 7, ())
    division = divide(units, 0.3, 0)
    sides = [
        {units.names[i] for i in part} for part in (division.calibration_set, division.test_set)
    ]
    assert not sides[0] & sides[1]
    assert set(division.calibration_clusters) == sides[0]


def test_units_that_are_single_patches_are_told() -> None:
    units = find_clusters([patch(f"s{i}", f"s{i}") for i in range(9)])
    assert units.kind == "scene"
    assert "every one of the 9 patches is a cluster of its own" in units.notes[0]
    assert not find_clusters([patch(f"s{i // 3}", f"s{i // 3}", col=i) for i in range(9)]).notes


def test_too_few_groups_leave_scenes_and_are_told() -> None:
    patches = [patch(f"s{i // 4}", f"t{i // 20}", col=i) for i in range(40)]
    units = find_clusters(patches)
    assert (units.kind, units.count) == ("scene", 10)
    assert "2 group(s) (t0, t1) are too few" in units.notes[0]
    with pytest.raises(CalibrationError, match=r"2 group\(s\)"):
        divide(find_clusters(patches, "group"), 0.2, 0)


def test_intervals_and_clusters_use_the_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regions that stand or fall together: intervals by file would be far too narrow."""
    rng = np.random.default_rng(0)
    patches = [patch(f"r{i // 10}_{i % 10}", f"r{i // 10}") for i in range(200)]
    noise = np.repeat(rng.uniform(0.1, 3.0, 20), 10)[:, None]
    place = rng.normal(size=(200, 24))
    sar, optical = (
        (place + noise * rng.normal(size=place.shape)).astype(np.float32) for _ in range(2)
    )
    described = Descriptors(Setup("hog", "flatten"), sar, optical)
    monkeypatch.setattr(structure, "embed_umap", lambda reduced, seed: embed_pca(reduced))
    width, clusters = {}, {}
    units_by: tuple[Literal["group", "scene"], ...] = ("group", "scene")
    for by in units_by:
        settings = StudySettings(pairs=Path("p"), out=tmp_path, split_by=by)
        units = find_clusters(patches, by)
        ground = find_duplicates(patches, {}, {})
        evaluator = Evaluator("set", patches, units, ground, divide(units, 0.2, 0), settings)
        calibrated = evaluator.calibrate(described, "none")
        evaluator.evaluate(calibrated)
        evaluate_structure(calibrated, evaluator)
        rows = {(r.metric, r.scoring, r.direction, r.k): r for r in evaluator.findings.rows}
        distance = rows["pair-distance", "cosine", "", 0]
        recall = rows["recall", "cosine", "sar->optical", 1]
        width[by] = [r.ci_high - r.ci_low for r in (distance, recall)]
        clusters[by] = rows["kmeans-clusters", "cosine", "", 0].value
    assert width["group"][0] > 2 * width["scene"][0]
    assert width["group"][1] > 1.5 * width["scene"][1]
    assert clusters["group"] == 16


def test_the_same_ground_is_found_by_place_and_by_pixels() -> None:
    patches = [
        patch("a", "a", 0.0), patch("b", "b", 4.0), patch("c", "c", 500.0),
        patch("d", "d"), patch("e", "e"), patch("f", "f"), patch("g", "g"),
    ]  # fmt: skip
    pixels = {"a": 10.0, "b": 10.0, "c": 10.0}
    contents: dict[Modality, tuple[str, ...]] = {
        "sar": ("1", "2", "3", "4", "5", "6", "7"),
        "optical": ("1", "2", "3", "x", "x", "", ""),
    }
    ground = find_duplicates(patches, pixels, contents)
    assert ground.label.tolist() == [0, 0, 2, 3, 3, 5, 6]  # two blank patches prove nothing
    assert ground.sets == (("a/0_0", "b/0_0"), ("d/0_0", "e/0_0"))
    assert "1 by identical optical pixels, 1 by position" in ground.notes[0]
    accepted = ground.accepted(np.array([6, 4, 3, 2]))
    assert accepted is not None
    assert [a.tolist() for a in accepted] == [[0], [1, 2], [1, 2], [3]]
    assert ground.representatives(np.array([6, 4, 3, 2])).tolist() == [0, 1, 3]
    assert ground.accepted(np.array([0, 2, 3])) is None
    far = find_duplicates(patches, {**pixels, "b": 30.0}, contents)
    assert far.label[1] == 1  # pixels of another size


@pytest.mark.slow
def test_an_image_under_two_names_is_a_partner_and_no_miss(tmp_path: Path) -> None:
    """By the pessimistic rule both ties are misses; the whole set then loses 2 of its hits."""
    folder = precut(tmp_path / "pairs", georeferenced=True)
    rows = study(folder, tmp_path / "plain")
    kept = {read_patches(tmp_path / "plain")[i].scene for i in _measured(tmp_path / "plain")}
    first = min(kept)
    name = first.rsplit("_", 1)[0] + "_9.tif"
    for side in ("sar", "optical"):
        source = folder / side / f"{first}.tif"
        (folder / side / name).write_bytes(source.read_bytes())
    again = study(folder, tmp_path / "twice")
    record = read_run(tmp_path / "twice")
    assert [f"{first}/0_0", f"{name[:-4]}/0_0"] in record["same_ground"]
    assert any("2 patches are duplicates of another one" in n for n in record["notes"])
    before, after = one(rows), one(again)
    assert after.n_query == before.n_query + 1
    assert after.value * after.n_query >= before.value * before.n_query
    assert after.chance == pytest.approx((15 + 2 * 2) / 17**2)
    ranks = {
        read_patches(tmp_path / "twice")[i].scene: r
        for t in MatchTable.read(tmp_path / "twice")
        if (t.setup.extractor, t.setup.calibration, t.setup.scoring)
        == ("hog:cell=8", "standardize", "csls")
        and t.direction == "optical->sar"
        for i, r in zip(t.query_index.tolist(), t.rank.tolist(), strict=True)
    }
    assert ranks[first] == ranks[name[:-4]] == 1


def _measured(run: Path) -> list[int]:
    return [int(i) for i in MatchTable.read(run)[0].query_index]


@pytest.mark.slow
def test_repeated_splits_give_means_and_wider_intervals(tmp_path: Path) -> None:
    folder = precut(tmp_path / "pairs", regions=8)
    store = str(tmp_path / "store")
    alone = [study(folder, tmp_path / str(s), store=store, seed=s) for s in range(3)]
    pooled = study(folder, tmp_path / "all", store=store, seeds="0..2")
    for how in (
        {"k": 1},
        {"calibration": "chosen", "scoring": "chosen"},
        {"measure": "gap", "metric": "linear-cka", "k": 0, "direction": "", "scoring": "cosine"},
    ):
        row, single = one(pooled, **how), [one(rows, **how) for rows in alone]
        assert row.splits == 3
        assert row.value == pytest.approx(np.mean([s.value for s in single]))
        assert row.ci_low <= row.value <= row.ci_high
        values = np.array([s.value for s in single])
        assert row.ci_high - row.ci_low >= values.std(ddof=1)
    splits = read_run(tmp_path / "all")["splits"]
    assert [s["seed"] for s in splits] == [0, 1, 2]
    assert len({tuple(s["calibration_units"]) for s in splits}) > 1
    # Matches and figures are of the first split, as a run of that seed alone has them.
    first, same = MatchTable.read(tmp_path / "0"), MatchTable.read(tmp_path / "all")
    assert [t.rank.tolist() for t in first] == [t.rank.tolist() for t in same]


def test_a_scoring_or_calibration_is_chosen_from_its_table() -> None:
    assert set(choices_of(StudySettings.model_fields["scorings"].annotation)) == set(SCORINGS)
    for wrong, right in (({"scorings": "cslz"}, "csls"), ({"calibrations": "centre"}, "center")):
        with pytest.raises(SettingError, match=f"Did you mean '{right}'"):
            StudySettings(pairs=Path("p"), out=Path("o"), **wrong)


def test_seeds_are_read_and_refused() -> None:
    def seeds(text: Any) -> tuple[int, ...]:
        return StudySettings(pairs=Path("p"), out=Path("o"), seeds=text).seeds

    assert seeds("0..3") == (0, 1, 2, 3)
    assert seeds("7,1..2") == (7, 1, 2)
    assert seeds("7, 1,") == (7, 1)
    assert seeds("") == ()
    assert seeds([4, 5]) == (4, 5)
    for bad in ("1,1", "a", "-1", "3..x"):
        with pytest.raises(SettingError):
            seeds(bad)


def test_a_member_may_name_the_pooling_that_is_kept() -> None:
    def settings(fusion: str) -> StudySettings:
        how = {"keep": "pooled", "pooling": "mean", "fusion": fusion}
        return StudySettings(pairs=Path("p"), out=Path("o"), **how)

    assert settings("hog:pool=mean+raw").fusion
    with pytest.raises(SettingError, match="keep pooled"):
        settings("hog:pool=gem+raw")
