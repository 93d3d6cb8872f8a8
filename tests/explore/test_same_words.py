"""What makes a result mean less than it says: one wording in command line, API and page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rasterio
from click.testing import CliRunner
from rasterio.transform import from_origin

from crosslook.cli import app
from crosslook.data.simulate.write import write_pairs
from tests.helpers.chromium import BROWSER, open_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, explorer: Any) -> dict[str, Path]:
    """A pair, another place under its georeference, and a chip of the atlas from far away."""
    folder = tmp_path_factory.mktemp("words")
    write_pairs(folder, 2, size=320, relief=0.0, gsd=10.0)
    first, second = (folder / "optical" / f"sim-000{n}.tif" for n in (0, 1))
    chip = explorer.out / "demo" / "chips" / "demo-chip-1.tif"
    for name, pixels_of, profile_of, more in (
        ("other", second, first, {}),
        ("far", chip, chip, {"crs": "EPSG:32720", "transform": from_origin(6e5, 6.5e6, 10, 10)}),
    ):
        with rasterio.open(pixels_of) as file:
            pixels = file.read()
        with rasterio.open(profile_of) as file:
            profile = file.profile | more
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as file:
            file.write(pixels)
    return {
        "sar": folder / "sar" / "sim-0000.tif",
        "optical": first,
        "other": folder / "other.tif",
        "far": folder / "far.tif",
    }


def plain(text: str) -> str:
    """Words alone: a page breaks lines and begins a sentence with a capital."""
    return " ".join(text.split()).lower()


CASES = {
    "no match": (("sar", "other"), {"near_only": True}, ["--near-only"]),
    "swapped": (("optical", "sar"), {}, []),
    "identical": (("optical", "optical"), {}, []),
    "far away": (("far",), {}, []),
    "a match": (("sar", "optical"), {}, []),
}


@pytest.mark.parametrize("case", CASES)
def test_all_three_say_the_same(
    chromium: Any, explorer: Any, images: dict[str, Path], tmp_path: Path, case: str
) -> None:
    names, settings, options = CASES[case]
    files = [images[name] for name in names]
    uploads = [explorer.upload(path.read_bytes(), path.name) for path in files]
    atlas = explorer.out / "demo" / "demo-atlas"
    if case == "far away":
        call = ["locate", str(files[0]), "--atlas", str(atlas)]
        job = explorer.start("/locate", {"query": uploads[0], "atlas": "demo-atlas"})
    else:
        call = ["register", *map(str, files), *options]
        body = {"sar": uploads[0], "optical": uploads[1], "settings": settings}
        job = explorer.start("/register", body)
    said = plain(CliRunner().invoke(app, [*call, "--out", str(tmp_path / "out")]).output)
    result = explorer.wait(job)["result"]
    match = result["match"]
    page, problems = open_page(chromium, explorer.address, 390, "dark")
    page.goto(f"{explorer.address}/#/match/{job}")
    page.wait_for_selector(".verdict")
    shown = plain(page.locator("main").inner_text())
    page.close()

    words = [one["text"] for one in match["warnings"]]
    if case in ("swapped", "identical", "far away"):
        assert [one["kind"] for one in match["warnings"]] == [case]
    if match["verdict"] == "no match":
        words.append(match["reason"])
        words += [one["words"] for one in result["next"]]
        assert "rotation, scale" not in shown
        assert "moved by" not in shown
    else:
        points = match["tie_points"]
        words.append(
            f"{points['inliers']} of them inliers with a median residual of "
            f"{points['median_residual_px']:.1f} px"
        )
    assert match["verdict"] in said
    assert match["verdict"] in shown
    for text in (plain(one).removesuffix(".") for one in words):
        assert text in said, text
        assert text in shown, text
    assert problems == []
