"""What a person does, in a real browser: nothing but this machine is asked, nothing goes wrong."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import rasterio

from tests.helpers.chromium import BROWSER, fits, open_page, until

HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>.tif"
SCRIPT = "<script>window.ran=1;alert(1)</script><img src=x onerror=window.ran=1>"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
    pytest.mark.timeout(600),  # the first one waits for the demo
]


def error_px(match: dict[str, Any], truth: dict[str, int]) -> float:
    """Mean distance over the chip from where it was cut, in atlas pixels."""
    side = np.linspace(0, truth["size"], 5)
    points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    homogeneous = np.column_stack([points, np.ones(len(points))])
    transformed = homogeneous @ np.array(match["transform"]["matrix"]).T
    transformed = transformed[:, :2] / transformed[:, 2:] + [
        match["window"]["row"],
        match["window"]["col"],
    ]
    return float(np.linalg.norm(transformed - points - [truth["row"], truth["col"]], axis=1).mean())


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_person_finds_a_chip_and_looks_at_a_run(
    chromium: Any, explorer: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    page, problems = open_page(chromium, explorer.address, width, scheme)

    # The demo atlas, as a map whose view stands in the address.
    page.get_by_role("link", name="Open the map").click()
    page.wait_for_selector(".tile.there")
    page.get_by_role("button", name="Zoom in").click()
    until(page, "location.hash.includes('at=')")
    assert fits(page)

    # A chip is dropped, seen, located.
    page.get_by_role("link", name="Locate", exact=True).click()
    chips = explorer.out / "demo" / "chips"
    page.set_input_files("#file-sar", chips / "demo-chip-1.tif")
    page.wait_for_selector(".thumb")
    assert "float32" in page.locator(".image .facts").inner_text()
    assert fits(page)
    page.locator(".large-button").click()
    page.wait_for_selector(".verdict")
    assert page.locator(".title .badge").first.inner_text() == "match"
    job = page.evaluate("location.hash.match(/match\\/([0-9a-f]+)/)[1]")
    match = explorer.ask(f"/jobs/{job}")[1]["result"]["match"]
    truth = json.loads((chips / "truth.json").read_text())["demo-chip-1.tif"]
    assert error_px(match, truth) < 5

    # Swipe by keys, show and hide by the space bar.
    over = page.locator(".ground .layer")
    until(page, "document.querySelector('.ground .layer').naturalWidth > 0")
    page.locator("#swipe").focus()
    page.keyboard.press("Home")
    until(page, "document.querySelector('.ground .layer').style.clipPath !== ''")
    page.keyboard.press("End")
    page.locator("h1").click()
    page.keyboard.press(" ")
    until(page, "document.querySelector('.ground .layer').style.opacity === '0'")
    page.keyboard.press(" ")
    assert over.count() == 1
    assert page.locator(".vectors .tie").count() > 10
    page.locator("#layer-surface").check()
    until(page, "document.querySelectorAll('.ground .layer').length === 2")
    assert fits(page)

    # The zip holds what the command line writes.
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download all as zip").click()
    kept = tmp_path / "all.zip"
    coming.value.save_as(kept)
    with zipfile.ZipFile(kept) as archive:
        assert {"match.json", "aligned.tif", "tie_points.csv", "swipe.html"} <= set(
            archive.namelist()
        )
        assert json.loads(archive.read("match.json"))["verdict"] == "match"

    # A point of the run, and its two patches.
    page.get_by_role("link", name="Study", exact=True).click()
    page.wait_for_selector("[data-plot=space] .scatterlayer path.point")
    page.locator("[data-plot=space] .scatterlayer path.point").nth(3).click(force=True)
    page.wait_for_selector(".detail .patches img")
    page.wait_for_selector(".maps img")
    until(
        page,
        "[...document.querySelectorAll('.detail img')].length >= 9 &&"
        " [...document.querySelectorAll('.detail img')].every(i => i.naturalWidth > 0)",
    )
    assert page.locator(".nearest .near").count() == 10
    until(page, "location.hash.includes('patch=')")
    assert fits(page)
    assert problems == []
    page.close()


def test_the_address_holds_the_state(chromium: Any, explorer: Any) -> None:
    page, problems = open_page(chromium, explorer.address)
    page.goto(f"{explorer.address}/#/run/demo-run?patch=5&from=2")
    page.wait_for_selector(".detail h3")
    shown = explorer.ask("/runs/demo-run/patches/5")[1]
    assert page.locator(".detail h3").inner_text() == shown["id"]
    assert page.get_by_label("Rank from").input_value() == "2"
    page.goto(f"{explorer.address}/#/atlas/demo-atlas?box=11.0,49.45,11.05,49.5")
    page.wait_for_selector(".vectors .prior")
    assert page.get_by_label("North").input_value() == "49.5"
    assert "bbox=11,49.45,11.05,49.5" in page.evaluate(
        "[...document.links].map(a => a.href).find(a => a.includes('bbox'))"
    )
    assert problems == []
    page.close()


def test_an_audit_is_stepped_marked_and_exported(
    chromium: Any, explorer: Any, tmp_path: Path
) -> None:
    page, problems = open_page(chromium, explorer.address)
    page.goto(f"{explorer.address}/#/audit/demo-audit")
    page.wait_for_selector(".scene")
    first = page.locator(".flicker h2").inner_text()
    page.keyboard.press("ArrowRight")
    second = page.locator(".flicker h2").inner_text()
    assert second != first
    assert page.locator(".which").inner_text() == "SAR"
    page.keyboard.press(" ")
    assert page.locator(".which").inner_text() == "optical"
    page.keyboard.press("g")
    page.wait_for_selector(".scene.good")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Export marks").click()
    coming.value.save_as(tmp_path / "marks.csv")
    assert (tmp_path / "marks.csv").read_text() == f"scene,mark\n{second},good\n"
    page.keyboard.press("u")
    until(page, "!document.querySelector('.scene.good')")
    assert problems == []
    page.close()


def test_names_are_text(chromium: Any, explorer: Any) -> None:
    page, problems = open_page(chromium, explorer.address)
    page.goto(f"{explorer.address}/#/locate")
    data = (explorer.out / "demo" / "chips" / "demo-chip-2.tif").read_bytes()
    page.set_input_files("#file-sar", {"name": HOSTILE, "mimeType": "image/tiff", "buffer": data})
    page.wait_for_selector(".thumb")
    assert page.locator(".image h3").inner_text() == HOSTILE
    # Facts of a broken file are words too, not an error of the page.
    page.set_input_files(
        "#file-sar", {"name": "cut.tif", "mimeType": "image/tiff", "buffer": data[:2000]}
    )
    page.wait_for_selector(".image .bad-text")
    assert "cut.tif" in page.locator(".image .bad-text").inner_text()
    page.goto(f"{explorer.address}/#/api")
    page.wait_for_selector(".route")
    assert problems == []
    page.close()


def hostile_image(source: Path, target: Path) -> Path:
    """A copy of an image whose tags, band name and unit hold scripts."""
    with rasterio.open(source) as file:
        profile, pixels = file.profile, file.read()
    with rasterio.open(target, "w", **profile) as file:
        file.write(pixels)
        for name in ("IMAGEDESCRIPTION", "SOFTWARE", "ARTIST", "DOCUMENTNAME", "COPYRIGHT"):
            file.update_tags(**{f"TIFFTAG_{name}": SCRIPT})
        file.update_tags(1, note=SCRIPT)
        file.update_tags(ns="<script>", note=SCRIPT)
        file.set_band_description(1, SCRIPT)
        file.set_band_unit(1, SCRIPT)
    return target


def nothing_ran(page: Any) -> bool:
    return bool(page.evaluate("window.ran === undefined && !document.querySelector('[onerror]')"))


def test_scripts_in_tags_stay_text(chromium: Any, explorer: Any, tmp_path: Path) -> None:
    name = "<img src=x onerror=window.ran=1>.tif"  # no slash: a path keeps its last part alone
    page, problems = open_page(chromium, explorer.address)
    chips = explorer.out / "demo" / "chips"
    image = hostile_image(chips / "demo-chip-1.tif", tmp_path / "tags.tif")
    page.goto(f"{explorer.address}/#/locate")
    page.set_input_files(
        "#file-sar", {"name": name, "mimeType": "image/tiff", "buffer": image.read_bytes()}
    )
    page.wait_for_selector(".thumb")
    assert SCRIPT.lower() in page.locator(".image .facts").inner_text()  # the name of the band
    page.locator(".large-button").click()
    page.wait_for_selector(".verdict")
    assert page.locator("h1").inner_text() == name
    until(page, "document.querySelectorAll('.ground .layer').length > 0")
    assert nothing_ran(page)
    job = page.evaluate("location.hash.match(/match\\/([0-9a-f]+)/)[1]")

    # What is downloaded holds the name too: the page with the swipe, opened by itself.
    swipe = tmp_path / "swipe.html"
    swipe.write_bytes(explorer.ask(f"/jobs/{job}/files/swipe.html")[1])
    assert b"<img src=x" not in swipe.read_bytes()

    def refuse(dialog: Any) -> None:
        problems.append("a script ran")
        dialog.dismiss()

    alone = chromium.new_page()
    alone.on("dialog", refuse)
    alone.goto(swipe.as_uri())
    assert name in alone.locator("body").inner_text()
    alone.close()
    for path in ("results", f"match/{job}", "atlas/demo-atlas", ""):
        page.goto(f"{explorer.address}/#/{path}")
        page.wait_for_selector("h1")
        assert nothing_ran(page)
    # The same answer asked for by itself is no page either.
    answer = page.request.get(f"{explorer.address}/jobs/{job}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert problems == []
    page.close()


def test_scripts_in_names_of_scenes_stay_text(
    chromium: Any, explorer: Any, serve: Any, tmp_path: Path
) -> None:
    pairs, audit = tmp_path / "pairs", tmp_path / "audit"
    scene = "<img src=x onerror=window.ran=1>"
    demo = explorer.out / "demo"
    for side in ("sar", "optical"):
        (pairs / side).mkdir(parents=True)
        shutil.copy(demo / "demo-pairs" / side / "sim-0000.tif", pairs / side / f"{scene}.tif")
    shutil.copytree(demo / "demo-audit", audit)
    lines = (audit / "audit.csv").read_text().replace("sim-0000,", f"{scene},")
    (audit / "audit.csv").write_text(lines)
    served = serve(tmp_path / "out", str(audit), str(pairs), "--workers", "1")
    page, problems = open_page(chromium, served.address)
    page.goto(f"{served.address}/#/audit/audit?scene={quote(scene)}")
    page.wait_for_selector(".scene")
    until(page, f"document.querySelector('.flicker h2').textContent === {json.dumps(scene)}")
    page.keyboard.press("b")
    page.wait_for_selector(".scene.bad")
    assert nothing_ran(page)
    assert problems == []
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_scenes_are_on_a_map_that_goes_with_the_list(
    chromium: Any, explorer: Any, width: int
) -> None:
    page, problems = open_page(chromium, explorer.address, width)
    page.goto(f"{explorer.address}/#/audit/demo-audit")
    page.wait_for_selector(".scene-area")
    count = page.locator(".scene").count()
    assert page.locator(".scene-area").count() == count
    assert page.locator(".scene-arrow").count() > 0
    assert fits(page)
    # The worst comes first, and is the one that is chosen on the map.
    name = page.locator(".scene strong").first.inner_text()
    assert (page.locator(".scene-area.chosen title").text_content() or "").startswith(f"{name}:")
    # A scene clicked on the map is chosen in the list, and the other way round.
    other = page.locator(".scene-area:not(.chosen)").first
    clicked = (other.locator("title").text_content() or "").partition(":")[0]
    other.click(force=True)
    until(page, f"document.querySelector('.flicker h2').textContent === {json.dumps(clicked)}")
    assert page.locator(".scene[aria-pressed=true] strong").inner_text() == clicked
    page.keyboard.press("ArrowLeft")
    until(
        page,
        "document.querySelector('.scene-area.chosen title').textContent.startsWith("
        "document.querySelector('.flicker h2').textContent + ':')",
    )
    # The scenes lie where their files say, the view stands in the address.
    scenes = explorer.ask("/audits/demo-audit/map")[1]["scenes"]
    assert len(scenes) == count
    page.get_by_role("button", name="Zoom in").click()
    until(page, "location.hash.includes('at=')")
    until(page, "[...document.querySelectorAll('.ground .layer')].some(i => i.naturalWidth > 0)")
    # A filter holds for both.
    page.get_by_label("Which scenes").select_option("bad")
    until(page, "!document.querySelector('.scene-area')")
    assert problems == []
    page.close()


@pytest.fixture(scope="module")
def written(explorer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two matches as the command line writes them: of a chip on the atlas, and of a pair."""
    from crosslook import locate, register

    folder = tmp_path_factory.mktemp("written")
    demo = explorer.out / "demo"
    for name in ("sar", "optical"):
        (folder / name).mkdir()
        shutil.copy(demo / "demo-pairs" / name / "sim-0001.tif", folder / name / "scene.tif")
    locate(demo / "chips" / "demo-chip-3.tif", demo / "demo-atlas").write(folder / "located")
    register(folder / "sar/scene.tif", folder / "optical/scene.tif").write(folder / "registered")
    return folder


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_match_of_the_command_line_is_as_live_as_a_job(
    chromium: Any, serve: Any, written: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    served = serve(
        tmp_path / "out", str(written / "located/match.json"), str(written / "registered")
    )
    page, problems = open_page(chromium, served.address, width, scheme)
    page.get_by_role("link", name="located").click()
    page.wait_for_selector(".verdict")
    page.wait_for_selector(".tile.there")  # the atlas that it names came along
    until(page, "document.querySelector('.ground .layer')?.naturalWidth > 0")
    assert page.locator(".vectors .tie").count() > 10
    assert page.locator(".vectors .footprint").count() == 1
    page.locator("#layer-surface").check()
    until(page, "document.querySelectorAll('.ground .layer').length === 2")
    page.locator("#swipe").focus()
    page.keyboard.press("Home")
    until(page, "document.querySelector('.ground .layer').style.clipPath !== ''")
    assert fits(page)
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download all as zip").click()
    coming.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.read("match.json") == (written / "located/match.json").read_bytes()

    page.goto(f"{served.address}/#/shown/registered")
    page.wait_for_selector(".verdict")
    until(page, "document.querySelectorAll('.ground .layer').length === 2")
    until(page, "[...document.querySelectorAll('.ground .layer')].every(i => i.naturalWidth > 0)")
    page.locator("h1").click()
    page.keyboard.press(" ")
    until(
        page, "[...document.querySelectorAll('.ground .layer')].some(i => i.style.opacity === '0')"
    )
    assert fits(page)
    assert problems == []
    page.close()


def test_a_match_whose_images_are_gone_says_so(
    chromium: Any, explorer: Any, serve: Any, written: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "match"
    shutil.copytree(written / "registered", copy)
    match = json.loads((copy / "match.json").read_text())
    match["images"]["sar"] |= {"path": str(tmp_path / "gone.tif"), "name": "gone.tif"}
    (copy / "match.json").write_text(json.dumps(match))
    served = serve(tmp_path / "out", str(copy), "--workers", "1")
    page, problems = open_page(chromium, served.address)
    page.goto(f"{served.address}/#/shown/match")
    page.wait_for_selector(".missing")
    said = page.locator(".missing").inner_text()
    assert "The SAR image 'gone.tif' is neither where it was" in said
    assert page.locator(".full").count() == 1  # the image that was written with it
    # Put beside the match, it is drawn.
    shutil.copy(written / "sar/scene.tif", copy / "gone.tif")
    page.reload()
    until(page, "document.querySelector('.ground .layer')?.naturalWidth > 0")
    # Another image of that name is told from it.
    shutil.copy(explorer.out / "demo/chips/demo-chip-1.tif", copy / "gone.tif")
    page.reload()
    page.wait_for_selector(".missing")
    assert "is not the image that was matched" in page.locator(".missing").inner_text()
    assert problems == []
    page.close()


def test_a_match_of_the_command_line_is_drawn_once_and_fitted_again_by_hand(
    serve: Any, written: Path, tmp_path: Path
) -> None:
    served = serve(tmp_path / "out", str(written / "registered"), str(written / "located"))
    drawn = {}
    for name in ("registered", "located"):
        first = served.wait(served.start(f"/matches/{name}/view", {}))
        assert first["state"] == "done", first["error"]
        drawn[name] = first["id"]
        assert served.start(f"/matches/{name}/view", {}) == drawn[name]
        place = served.ask(f"/jobs/{first['id']}/view/place.json")[1]
        corners = [[r, c, *place["footprint"][at]] for r, c, at in ((0, 0, 0), (1, 1, 16))]
        height, width = place["sar_shape"]
        points = [[r * height, c * width, *optical] for r, c, *optical in corners]
        again = served.wait(served.start(f"/jobs/{first['id']}/points", {"points": points}))
        assert again["state"] == "done", again["error"]
        before, after = (one["result"]["match"]["centre"]["map"] for one in (first, again))
        assert np.linalg.norm(np.subtract(before, after)) < 30  # metres; pixels have ten
    (written / "registered/match.json").touch()
    assert served.start("/matches/registered/view", {}) != drawn["registered"]
