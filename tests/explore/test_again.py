"""Nothing is lost and nothing misleads: the bin, searches after no match, swapped images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import rasterio

from crosslook.data.simulate.write import write_pairs
from crosslook.explore.again import search_again
from crosslook.explore.jobs import Jobs, Limits


@pytest.fixture(scope="module")
def uploads(explorer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A SAR image, its optical one, and another place under the georeference of that."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, 2, size=320, relief=0.0, gsd=10.0)
    first, second = (folder / "optical" / f"sim-000{n}.tif" for n in (0, 1))
    with rasterio.open(second) as file:
        pixels = file.read()
    with rasterio.open(first) as file:
        profile = file.profile
    with rasterio.open(folder / "other.tif", "w", **profile) as file:
        file.write(pixels)
    paths = {
        "sar": folder / "sar" / "sim-0000.tif",
        "optical": first,
        "other": folder / "other.tif",
    }
    return {name: explorer.upload(path.read_bytes(), f"{name}.tif") for name, path in paths.items()}


def test_a_removed_result_is_in_the_bin_and_comes_back(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 0, Limits())
    kept, gone = jobs.add("register", "kept", {}, {}), jobs.add("register", "gone", {}, {})
    jobs.remove(gone.id)
    assert [job.id for job in jobs.all()] == [kept.id]
    assert jobs.get(gone.id).state == "cancelled"
    again = Jobs(tmp_path, 0, Limits())  # after a restart
    assert [job.id for job in again.bin()] == [gone.id]
    again.restore(gone.id)
    assert {job.id for job in again.all()} == {kept.id, gone.id}
    again.remove(gone.id)
    again.get(gone.id).removed = time.time() - 31 * 86_400
    again.restore(kept.id)
    again._save(again.get(gone.id))
    assert Jobs(tmp_path, 0, Limits()).bin() == []  # a month is enough
    assert not (tmp_path / gone.id).exists()


def test_the_bin_of_the_api(explorer: Any, uploads: dict[str, str]) -> None:
    job = explorer.start("/inspect", {"image": uploads["sar"]})
    explorer.wait(job)
    assert explorer.ask(f"/bin/{job}", method="DELETE")[0] == 400  # it is not in the bin
    assert explorer.ask(f"/jobs/{job}", method="DELETE")[0] == 200
    assert job not in [one["id"] for one in explorer.ask("/jobs")[1]]
    (line,) = [one for one in explorer.ask("/bin")[1] if one["id"] == job]
    assert line["bytes"] > 0
    assert explorer.ask(f"/jobs/{job}/restore", {}, "POST")[0] == 200
    assert job in [one["id"] for one in explorer.ask("/jobs")[1]]
    explorer.ask(f"/jobs/{job}", method="DELETE")
    assert explorer.ask(f"/bin/{job}", method="DELETE") == (200, {"removed": job})
    assert explorer.ask(f"/jobs/{job}")[0] == 404


def test_no_match_says_why_and_what_to_search_next(explorer: Any, uploads: dict[str, str]) -> None:
    body = {"sar": uploads["sar"], "optical": uploads["other"], "settings": {"near_only": True}}
    done = explorer.wait(explorer.start("/register", body))
    match = done["result"]["match"]
    assert match["verdict"] == "no match"
    assert match["reason"].startswith("the start may be out of reach")
    assert match["movement"] is None
    first, second, *_ = done["result"]["next"]
    assert first == {
        "words": "the whole overlap",
        "settings": {"near_only": False},
        "options": "--no-near-only",
    }
    assert second["options"] == "--rotation 180 --scale 0.5:2"
    again = explorer.start(f"/jobs/{done['id']}/search", {"settings": first["settings"]})
    whole = explorer.wait(again)
    assert whole["request"]["from"] == done["id"]
    assert whole["result"]["match"]["search"] == "expanded"
    refused = {"settings": {"mask": "/etc/passwd"}}
    assert explorer.ask(f"/jobs/{done['id']}/search", refused)[0] == 400


def test_swapped_images_are_noticed_before_and_swapped_after(
    explorer: Any, uploads: dict[str, str]
) -> None:
    wrong = {"sar": uploads["optical"], "optical": uploads["sar"]}
    checked = explorer.wait(explorer.start("/check", wrong))
    assert [one["kind"] for one in checked["result"]["warnings"]] == ["swapped"]
    right = {"sar": uploads["sar"], "optical": uploads["optical"]}
    assert explorer.wait(explorer.start("/check", right))["result"]["warnings"] == []
    done = explorer.wait(explorer.start("/register", wrong))
    assert done["result"]["match"]["warnings"][0]["kind"] == "swapped"
    again = explorer.wait(explorer.start(f"/jobs/{done['id']}/search", {"swap": True}))
    assert again["title"] == "sar.tif on optical.tif"
    assert again["result"]["match"]["verdict"] == "match"
    assert again["result"]["match"]["warnings"] == []


def test_an_option_is_taken_out(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 0, Limits())
    settings = {"bbox": [1, 2, 3, 4], "rotation": 2.0}
    old = jobs.add("locate", "one", {"query": "q"}, {"atlas": "a", "settings": settings})
    new = search_again(jobs, old, {"bbox": None, "rotation": 180.0}, swap=False)
    assert new.work["settings"] == {"rotation": 180.0}
    assert old.work["settings"] == settings


def test_what_the_pages_need_is_in_the_api(explorer: Any, uploads: dict[str, str]) -> None:
    options = {one["name"]: one for one in explorer.ask("/options/register")[1]}
    assert {"root", "log", "vv", "vh"} <= set(options["sar"]["presets"])
    assert options["rotation"]["presets"] == []
    (line,) = explorer.ask("/runs/demo-run")[1]["headlines"]
    assert float(line["recall"]) <= float(line["at_5"]) <= float(line["at_10"])
    assert line["uncalibrated"]
    assert line["gap"]
    body = {"sar": uploads["sar"], "optical": uploads["optical"]}
    done = explorer.wait(explorer.start("/register", body))
    place = explorer.ask(f"/jobs/{done['id']}/view/place.json")[1]
    for (*_, row, col, residual, _, _), (down, right) in zip(
        place["tie_points"], place["predicted"], strict=True
    ):
        assert ((down - row) ** 2 + (right - col) ** 2) ** 0.5 == pytest.approx(residual, abs=2e-3)
