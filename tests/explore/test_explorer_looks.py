"""What the pages show of doubtful results, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rasterio

from crosslook.data.simulate.write import write_pairs
from tests.helpers.chromium import BROWSER, fits, open_page, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, 2, size=320, relief=0.0, gsd=10.0)
    first, second = (folder / "optical" / f"sim-000{n}.tif" for n in (0, 1))
    with rasterio.open(second) as file:
        pixels = file.read()
    with rasterio.open(first) as file:
        profile = file.profile
    with rasterio.open(folder / "other.tif", "w", **profile) as file:
        file.write(pixels)
    return {"sar": folder / "sar" / "sim-0000.tif", "optical": first, "other": folder / "other.tif"}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_match_begins_with_its_reason(
    chromium: Any, explorer: Any, pair: dict[str, Path], width: int, scheme: str
) -> None:
    ids = {name: explorer.upload(path.read_bytes(), path.name) for name, path in pair.items()}
    body = {"sar": ids["sar"], "optical": ids["other"], "settings": {"near_only": True}}
    job = explorer.start("/register", body)
    explorer.wait(job)
    page, problems = open_page(chromium, explorer.address, width, scheme)
    page.goto(f"{explorer.address}/#/match/{job}")
    page.wait_for_selector(".verdict")
    reason, verdict = page.locator(".reason"), page.locator(".verdict")
    assert "The start may be out of reach" in reason.inner_text()
    assert reason.bounding_box()["y"] < verdict.bounding_box()["y"]
    assert reason.bounding_box()["y"] < page.locator(".map").first.bounding_box()["y"]
    assert "rotation, scale" not in verdict.inner_text()
    assert fits(page)
    page.get_by_role("button", name="The whole overlap").click()
    until(page, f"location.hash.startsWith('#/match/') && !location.hash.includes('{job}')")
    assert problems == []
    page.close()


def test_swapped_images_are_swapped_by_a_button(
    chromium: Any, explorer: Any, pair: dict[str, Path]
) -> None:
    page, problems = open_page(chromium, explorer.address, 390, "dark")
    page.goto(f"{explorer.address}/#/register")
    page.set_input_files("#file-sar", pair["optical"])
    page.set_input_files("#file-optical", pair["sar"])
    page.wait_for_selector(".doubt")
    assert "seem to be swapped" in page.locator(".doubt").inner_text()
    assert fits(page)
    page.get_by_role("button", name="Swap the two images").click()
    until(page, "!document.querySelector('.doubt')")
    until(page, "document.querySelectorAll('.thumb').length === 2")
    assert "float32" in page.locator("[data-slot=sar] .facts").inner_text()
    assert problems == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_what_is_removed_can_be_had_back(
    chromium: Any, explorer: Any, pair: dict[str, Path], width: int, scheme: str
) -> None:
    ids = {
        name: explorer.upload(path.read_bytes(), f"bin-{name}.tif") for name, path in pair.items()
    }
    job = explorer.start("/register", {"sar": ids["sar"], "optical": ids["optical"]})
    explorer.wait(job)
    page, problems = open_page(chromium, explorer.address, width, scheme)
    page.goto(f"{explorer.address}/#/results")
    remove = page.get_by_role("button", name="Remove bin-sar.tif on bin-optical.tif").first
    assert remove.inner_text() == "Remove"  # a word, and within the screen
    box = remove.bounding_box()
    assert box["x"] + box["width"] <= width
    listed = f"!!document.querySelector('a[href=\"#/match/{job}\"]')"
    remove.click()
    until(page, f"!({listed})")
    page.get_by_role("button", name="Undo").click()
    until(page, listed)
    page.get_by_role("button", name="Remove bin-sar.tif on bin-optical.tif").first.click()
    page.get_by_label("Which", exact=True).select_option("bin")
    page.get_by_role("button", name="Restore").first.click()
    page.get_by_label("Which", exact=True).select_option("")
    until(page, listed)
    assert fits(page)
    assert problems == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_before_and_after_are_a_switch(
    chromium: Any, explorer: Any, pair: dict[str, Path], width: int, scheme: str
) -> None:
    chip = (explorer.out / "demo" / "chips" / "demo-chip-2.tif").read_bytes()
    job = explorer.start("/locate", {"query": explorer.upload(chip), "atlas": "demo-atlas"})
    page, problems = open_page(chromium, explorer.address, width, scheme)
    page.goto(f"{explorer.address}/#/match/{job}")
    page.wait_for_selector(".verdict")
    drawn = (
        "[...document.querySelectorAll('.layer')].filter(i => i.style.opacity > 0).map(i => i.src)"
    )
    assert [src.rpartition("/")[2] for src in page.evaluate(drawn)] == ["sar.png"]
    page.get_by_role("button", name="Before").click()
    assert [src.rpartition("/")[2] for src in page.evaluate(drawn)] == ["before.png"]
    said = page.locator(".layers").inner_text()
    assert "Where its georeference puts the SAR image; the match moves it by 4" in said  # 428 px
    assert "side=before" in page.evaluate("location.hash")
    until(page, "document.querySelector('.layer[src$=\"before.png\"]').naturalWidth > 0")
    frame = page.locator(".map").first.bounding_box()
    layer = page.locator(".layer[src$='before.png']").bounding_box()
    assert layer["x"] < frame["x"] + frame["width"]
    assert layer["x"] + layer["width"] > frame["x"]
    assert layer["y"] < frame["y"] + frame["height"]
    assert layer["y"] + layer["height"] > frame["y"]
    page.keyboard.press("v")
    assert [src.rpartition("/")[2] for src in page.evaluate(drawn)] == ["sar.png"]
    assert page.get_by_role("button", name="After").get_attribute("aria-pressed") == "true"
    assert fits(page)
    assert problems == []
    page.close()


def test_who_waits_sees_each_stage_and_its_seconds(
    chromium: Any, serve: Any, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "root", 1, size=1536, relief=0.0)
    explorer = serve(tmp_path / "out", "--root", str(tmp_path / "root"))
    body = {"sar": "sar/sim-0000.tif", "optical": "optical/sim-0000.tif",
            "settings": {"rotation": 180.0}}  # fmt: skip
    job = explorer.start("/open/pair", body)
    page, problems = open_page(chromium, explorer.address, 390, "dark")
    page.goto(f"{explorer.address}/#/match/{job}")
    page.wait_for_selector(".stages .done .took:has-text(' s')")
    page.wait_for_selector(".stages .now .took:has-text(' s')")
    lines = page.locator(".stages").inner_text()
    assert "reading the images" in lines
    assert fits(page)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Start it again").wait_for()
    assert problems == []
    page.close()


def test_an_audit_speaks_plainly(chromium: Any, explorer: Any) -> None:
    page, problems = open_page(chromium, explorer.address, 390)
    page.goto(f"{explorer.address}/#/audit/demo-audit")
    facts = page.locator(".flicker .facts")
    facts.wait_for()
    text = facts.inner_text()
    for words in ("the SAR image must move", "by mutual information", "by gradients"):
        assert words in text
    assert "right" in text or "left" in text
    for raw in ("information row", "gradient col", "disagreement", "relief px"):
        assert raw not in text
    assert fits(page)
    assert problems == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_arrows_colours_and_menus(
    chromium: Any, explorer: Any, pair: dict[str, Path], width: int, scheme: str
) -> None:
    chip = (explorer.out / "demo" / "chips" / "demo-chip-1.tif").read_bytes()
    job = explorer.start("/locate", {"query": explorer.upload(chip), "atlas": "demo-atlas"})
    done = explorer.wait(job)
    page, problems = open_page(chromium, explorer.address, width, scheme)
    page.wait_for_selector(".atlas-thumb img")
    page.goto(f"{explorer.address}/#/match/{job}")
    page.wait_for_selector(".verdict")
    assert page.locator(".residual").count() == 0
    page.locator("#layer-arrows").check()
    inliers = done["result"]["match"]["tie_points"]["inliers"]
    until(page, f"document.querySelectorAll('.residual').length === {inliers}")
    assert "times as long" in page.locator(".layers").inner_text()
    page.locator("#layer-surface").check()
    assert page.locator(".colour-bar").is_visible()
    assert fits(page)
    page.goto(f"{explorer.address}/#/run/demo-run")
    page.wait_for_selector("[data-plot=space] .scatterlayer path.point")
    head = page.locator("thead").first.inner_text()
    assert all(words in head for words in ("at 5", "at 10", "uncalibrated", "gap"))
    page.get_by_label("Colour").select_option("cluster")
    until(page, "location.hash.includes('colour=cluster')")
    assert fits(page)
    page.goto(f"{explorer.address}/#/register")
    menu = page.get_by_label("SAR radiometry: presets")
    menu.select_option("vv")
    assert page.locator("#option-sar").input_value() == "vv"
    assert not page.locator("#option-sar").is_visible()
    menu.select_option("keys")
    assert page.locator("#option-sar").is_visible()
    assert fits(page)
    assert problems == []
    page.close()
