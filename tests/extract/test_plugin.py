"""A package of ten lines adds a model, and one that asks for bands by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.bands import NamedBands
from crosslook.data.pairs import open_pairs
from crosslook.data.patches import PatchSet
from crosslook.errors import InputError, SpecError
from crosslook.extract import rows
from crosslook.extract.registry import describe_rows, open_extractor
from crosslook.retrieval.run_folder import read_rows
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.study import run_study
from tests.helpers.checkpoints import images
from tests.helpers.pairs import write_pairs, write_raster

TEN_LINES = '''
import numpy as np
from crosslook.extract.base import Extractor, pad_to_multiple
class Steps(Extractor):
    """Mean steps between neighbouring pixels in cells of 16."""
    def geometry(self, height, width):
        return pad_to_multiple(height, width, 16)
    def _features(self, images):
        steps = np.abs(np.diff(images, axis=3, prepend=0)).reshape(*images.shape[:2], -1, 16, images.shape[3])
        return steps.reshape(*steps.shape[:4], -1, 16).mean(axis=(3, 5)), None
'''  # noqa: E501

BY_NAME = '''
import numpy as np
from crosslook.extract.base import Extractor, pad_to_multiple
class Ratios(Extractor):
    """VH over VV in decibels, or a vegetation index: one channel in cells of 8."""
    BANDS = {"sar": ("VV", "VH"), "optical": ("B04", "B08")}
    PRETRAINED = True
    def geometry(self, height, width):
        return pad_to_multiple(height, width, 8)
    def _features(self, images):
        first, second = images[:, :1], images[:, 1:]
        if self.modality == "sar":
            one = second - first
        else:
            one = (second - first) / np.maximum(second + first, 1e-6)
        n, c, h, w = one.shape
        return one.reshape(n, c, h // 8, 8, w // 8, 8).mean(axis=(3, 5)), None
'''


def install(folder: Path, name: str, points: dict[str, str], code: str) -> None:
    """Lay out a package as pip would."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[crosslook.extractors]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where packages are installed for this test alone."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    rows.plugin_rows.cache_clear()
    yield folder
    rows.plugin_rows.cache_clear()
    for name in ("tenlines", "byname", "broken"):
        sys.modules.pop(name, None)


def test_ten_lines_add_a_model_that_keeps_the_contract(site: Path, models: Any) -> None:
    from tests.extract import test_contract as contract

    install(site, "tenlines", {"steps": "tenlines:Steps"}, TEN_LINES)
    contract.test_maps_have_the_agreed_form(models, "steps")
    contract.test_images_need_not_be_square(models, "steps")
    contract.test_what_is_no_image_is_refused(models, "steps")
    with pytest.raises(SpecError, match="has no option 'colour'"):
        open_extractor("steps:colour=red")
    extractor = open_extractor("steps")
    assert extractor.revision == "tenlines-1.5"
    assert "tenlines 1.5" in next(info for info in describe_rows() if info.spec == "steps").what
    shown = CliRunner().invoke(app, ["extractors"])
    assert "steps" in shown.output


@pytest.mark.slow
def test_the_report_treats_it_like_ours(site: Path, tmp_path: Path) -> None:
    from crosslook.report.html import write_report

    install(site, "tenlines", {"steps": "tenlines:Steps"}, TEN_LINES)
    pairs = write_pairs(tmp_path / "pairs")
    run = run_study(
        StudySettings(
            pairs=pairs, out=tmp_path / "run", patch=64, extractors=("steps", "hog"), draws=100
        )
    )
    page = write_report(run).read_text()
    assert "Embedding: steps" in page
    assert {r.revision for r in read_rows(run) if r.extractor == "steps"} == {"tenlines-1.5"}
    record = json.loads((run / "run.json").read_text())
    assert record["extractors"]["steps"] == "tenlines-1.5"


def test_packages_that_cannot_serve_are_refused(site: Path) -> None:
    install(site, "broken", {"mine": "broken:Missing", "none": "broken:X"}, "X = 3\n")
    with pytest.raises(SpecError, match=r"broken-1\.5 cannot be loaded"):
        open_extractor("mine")
    with pytest.raises(SpecError, match="no subclass"):
        open_extractor("none")
    rows.plugin_rows.cache_clear()
    install(site, "tenlines", {"hog": "tenlines:Steps"}, TEN_LINES)
    with pytest.raises(SpecError, match="a name that is taken"):
        open_extractor("raw")


def satellite_pairs(folder: Path, scenes: int = 5, named: bool = False) -> Path:
    """VV and VH in power, twelve Sentinel-2 bands times 10,000, of known values."""
    for scene in range(scenes):
        rng = np.random.default_rng(scene)
        east = 5e5 + 20 * 64 * scene
        power = rng.gamma(4, 0.02, (2, 64, 64)).astype(np.float32) + 1e-3
        bands = rng.integers(100, 6000, (12, 64, 64)).astype(np.uint16)
        write_raster(folder / "sar" / f"s{scene}.tif", power, east=east)
        write_raster(folder / "optical" / f"s{scene}.tif", bands, east=east)
    return folder


WANTED: dict[Any, tuple[str, ...]] = {"sar": ("VV", "VH"), "optical": ("B08", "B04", "B8A")}


def test_bands_come_by_name_in_decibels_and_reflectance(tmp_path: Path) -> None:
    import rasterio

    pairs = satellite_pairs(tmp_path / "pairs")
    patches = PatchSet.open(open_pairs(pairs), patch=32)
    named = NamedBands(patches, WANTED)
    at = 5  # the second scene, its lower left patch
    patch = patches.patches[at]
    rows_, cols = (
        slice(patch.window.row, patch.window.row + 32),
        slice(patch.window.col, patch.window.col + 32),
    )
    with rasterio.open(pairs / "sar" / f"{patch.scene}.tif") as file:
        power = file.read()[:, rows_, cols]
    with rasterio.open(pairs / "optical" / f"{patch.scene}.tif") as file:
        stored = file.read()[:, rows_, cols]
    np.testing.assert_allclose(named.read("sar", [at])[0], 10 * np.log10(power), atol=1e-4)
    # B8A stands ninth: B01 to B08, then B8A.
    expected = stored[[7, 3, 8]] / 10_000
    np.testing.assert_allclose(named.read("optical", [at])[0], expected, atol=1e-6)
    others = NamedBands(patches, {**WANTED, "optical": ("B04",)})
    assert named.fingerprint("optical") != others.fingerprint("optical")
    assert named.fingerprint("optical") != patches.fingerprint("optical")


def test_files_without_the_bands_or_the_units_are_refused(tmp_path: Path) -> None:
    pairs = satellite_pairs(tmp_path / "pairs", scenes=3)
    patches = PatchSet.open(open_pairs(pairs), patch=32)
    with pytest.raises(InputError, match="asks for HH"):
        NamedBands(patches, {**WANTED, "sar": ("HH",)}).read("sar", [0])
    for path in (pairs / "sar").glob("*.tif"):
        bytes_ = np.full((2, 64, 64), 90, np.uint8)
        bytes_[:, :30] = 7
        east = 5e5 + 20 * 64 * int(path.stem[1:])
        write_raster(path, bytes_, east=east)
    patches = PatchSet.open(open_pairs(pairs), patch=32)
    with pytest.raises(InputError, match="8-bit values"):
        NamedBands(patches, WANTED).read("sar", [0])


@pytest.mark.slow
def test_a_model_that_asks_for_bands_is_studied_beside_others(site: Path, tmp_path: Path) -> None:
    install(site, "byname", {"ratios": "byname:Ratios"}, BY_NAME)
    pairs = satellite_pairs(tmp_path / "pairs")
    run = run_study(
        StudySettings(
            pairs=pairs, out=tmp_path / "run", patch=32, extractors=("ratios", "raw"), draws=100,
            robustness=True,
        )
    )  # fmt: skip
    assert {row.extractor for row in read_rows(run)} == {"ratios", "raw"}
    record = json.loads((run / "run.json").read_text())
    assert any("robustness of ratios: not measured" in note for note in record["notes"])
    extractor = open_extractor("ratios")
    with pytest.raises(InputError, match="sar or optical"):
        extractor.extract(images(1, 32))
    with pytest.raises(InputError, match="VV, VH"):
        extractor.extract(images(1, 32), "sar")
