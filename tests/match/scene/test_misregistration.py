"""The audit of a scene says how far the two images lie apart all over it."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.pairs import Pairs, ScenePair, open_pairs
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import OutputError
from crosslook.match.audit import audit
from crosslook.match.register import register
from crosslook.match.scene.misregistration import (
    COLUMNS,
    Misregistration,
    measure_misregistration,
)
from crosslook.match.scene.tiles import TileWorker
from crosslook.match.settings import AuditCall
from crosslook.types import FloatArray
from tests.match.scene.scenes import SIDE, bent, displacement

EVERY = 24


@cache
def mapped(*, sea: bool = False) -> Misregistration:
    plan = bent(sea=sea).plan
    settings = AuditCall(spacing=EVERY, device="cpu")
    found = measure_misregistration((plan.sar, plan.optical), settings)
    assert found is not None
    return found


def test_the_map_is_the_known_displacement() -> None:
    quality = mapped().followed.scene.quality
    at = quality.centres.reshape(-1, 2)
    inner = ((at > 60) & (at < SIDE - 60)).all(axis=1)
    truth = displacement((SIDE, SIDE))[tuple(at.astype(int).T)]
    off = np.linalg.norm(quality.displacement.reshape(-1, 2) - truth, axis=1)[inner]
    assert np.isfinite(off).mean() > 0.95
    assert np.nanmedian(off) < 0.7
    assert np.nanquantile(off, 0.95) < 2.5
    # No one shift says that: the two images lie up to 17 px apart, each part in its own way.
    assert np.linalg.norm(truth - np.median(truth, axis=0), axis=1).max() > 10


def test_tiles_say_the_same_in_the_words_of_an_audit() -> None:
    found = mapped()
    lines = [dict(zip(COLUMNS, line, strict=True)) for line in found.lines("one")]
    truth = displacement((SIDE, SIDE))
    for line in lines:
        row, col, height, width = (int(str(line[f"window_{k}"])) for k in
                                   ("row", "col", "height", "width"))  # fmt: skip
        there = np.median(truth[row : row + height, col : col + width].reshape(-1, 2), axis=0)
        assert line["trusted"] == 1
        assert [line["row"], line["col"]] == pytest.approx(list(there), abs=0.5)
    assert len(found.distances) == len(lines)


def test_where_the_ground_says_nothing_nothing_is_said() -> None:
    displaced = mapped(sea=True).followed.scene.quality.displacement
    third = displaced.shape[1] // 3
    assert np.isnan(displaced[:, -third + 3 :]).mean() > 0.9
    assert np.isfinite(displaced[2:-2, 2:third]).mean() > 0.9


def test_a_small_pair_has_no_map_unless_it_is_asked_for() -> None:
    plan = bent().plan
    assert measure_misregistration((plan.sar, plan.optical), AuditCall(device="cpu")) is None


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "pairs", 1, size=512, gsd=10.0, shift=(3.0, -4.0), relief=0.0)
    return tmp_path / "pairs"


def test_two_images_are_audited_from_the_command_line(scene: Path, tmp_path: Path) -> None:
    images = [str(scene / kind / "sim-0000.tif") for kind in ("sar", "optical")]
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["audit", *images, "--spacing", "24", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "tiles trusted: 1" in done.output
    with (out / "tiles.csv").open(newline="") as file:
        [tile] = csv.DictReader(file)
    with (out / "audit.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    for name in ("row", "col"):
        assert float(tile[name]) == pytest.approx(float(row[name]), abs=0.7)
    with rasterio.open(out / "sim-0000" / "quality.tif") as file:
        rows, cols, *_ = file.read(masked=True)
        assert file.descriptions[0] == "misregistration along rows, optical pixels"
        assert file.crs is not None
    for name, band in (("row", rows), ("col", cols)):
        assert np.median(band.compressed()) == pytest.approx(float(row[name]), abs=0.7)
    page = (out / "sim-0000" / "report.html").read_text()
    assert "1 of 1 tiles trusted" in page
    assert "As published" in page
    again = CliRunner().invoke(app, ["audit", *images, "--no-map", "--out", str(out)])
    assert again.exit_code == 0, again.output
    assert not (out / "tiles.csv").exists()
    assert not (out / "sim-0000").exists()


def test_an_audit_that_was_stopped_matches_no_tile_again(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = Pairs([ScenePair("a", "a", scene / "sar/sim-0000.tif", scene / "optical/sim-0000.tif")])
    whole = tmp_path / "whole"
    audit(pairs, spacing=24.0, out=whole)
    matched: list[int] = []
    match = TileWorker.match

    def counts(self: TileWorker, number: int) -> FloatArray:
        matched.append(number)
        return match(self, number)

    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TileWorker, "match", counts)
    with monkeypatch.context() as patch:
        patch.setattr("crosslook.match.scene.misregistration.follow", stops)
        with pytest.raises(KeyboardInterrupt):
            audit(pairs, spacing=24.0, out=tmp_path / "out")
    count = len(matched)
    assert count
    audit(pairs, spacing=24.0, out=tmp_path / "out")
    assert len(matched) == count
    files = {p.relative_to(whole): p.read_bytes() for p in whole.rglob("*") if p.is_file()}
    other = tmp_path / "out"
    assert files == {p.relative_to(other): p.read_bytes() for p in other.rglob("*") if p.is_file()}


def test_an_audit_leaves_the_results_of_a_registration_alone(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = {"match.json": b"{}", "quality.tif": b"tiles", "report.html": b"a page"}
    (out / "sim-0000").mkdir(parents=True)
    for name, data in files.items():
        (out / "sim-0000" / name).write_bytes(data)
    call = ["audit", str(scene), "--no-map", "--out", str(out)]
    for more in ([], ["--overwrite"]):
        done = CliRunner().invoke(app, [*call, *more])
        assert done.exit_code != 0
        assert "Give another --out" in str(done.exception or done.output)
    elsewhere = audit(open_pairs(scene), has_map=False)
    with pytest.raises(OutputError, match="result of a registration"):
        elsewhere.write(out)
    assert {path.name: path.read_bytes() for path in (out / "sim-0000").iterdir()} == files
    assert [path.name for path in out.iterdir()] == ["sim-0000"]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair, and the audit of it with its map."""
    folder = tmp_path_factory.mktemp("audited")
    write_pairs(folder / "pairs", 1, size=512, gsd=10.0, shift=(3.0, -4.0), relief=0.0)
    audit(open_pairs(folder / "pairs"), spacing=48.0, device="cpu", out=folder / "out")
    assert (folder / "out" / "sim-0000" / "quality.tif").is_file()
    return folder


SAR, OPTICAL = "@pairs/sar/sim-0000.tif", "@pairs/optical/sim-0000.tif"


@pytest.mark.parametrize(
    "line",
    [
        "register @pairs --out @out",
        f"register {SAR} {OPTICAL} --out @out/sim-0000",
        f"register --stack {SAR} {OPTICAL} --out @out",
        f"locate {SAR} @pairs/none.tif --atlas @none --out @out",
        f"locate {SAR} --atlas @none --out @out/sim-0000",
    ],
)
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_registration_leaves_the_map_of_an_audit_alone(
    line: str, more: list[str], audited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object) -> None:
        raise AssertionError("work has begun")

    monkeypatch.setattr("crosslook.match.matchers._opened", opened)
    out = audited / "out"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    done = CliRunner().invoke(app, [*line.replace("@", f"{audited}/").split(), *more])
    assert isinstance(done.exception, OutputError), done.output
    assert "the map of an audit" in str(done.exception)
    assert "Give another --out" in str(done.exception)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_result_is_not_written_over_the_map_of_an_audit(audited: Path, tmp_path: Path) -> None:
    pair = [audited / kind / "sim-0000.tif" for kind in ("pairs/sar", "pairs/optical")]
    result = register(*pair, near_only=True, model="similarity", device="cpu")
    with pytest.raises(OutputError, match="the map of an audit"):
        result.write(audited / "out" / "sim-0000", overwrite=True)
    result.write(tmp_path, overwrite=True)


def test_tiles_without_a_crs_are_audited_under_the_one_given(scene: Path, tmp_path: Path) -> None:
    with rasterio.open(scene / "optical" / "sim-0000.tif") as file:
        profile = file.profile | {"crs": None, "height": 512, "width": 256}
        for col in (0, 256):
            window = rasterio.windows.Window(col, 0, 256, 512)
            profile["transform"] = file.window_transform(window)
            (tmp_path / "tiles").mkdir(exist_ok=True)
            with rasterio.open(tmp_path / "tiles" / f"{col}.tif", "w", **profile) as tile:
                tile.write(file.read(window=window))
        crs = str(file.crs)
    pairs = [ScenePair("a", "a", scene / "sar" / "sim-0000.tif", tmp_path / "tiles")]
    [row] = audit(pairs, crs=crs).rows
    assert row.row == pytest.approx(3.0, abs=0.5)
