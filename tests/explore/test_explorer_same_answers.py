"""What the page shows can be had by the API, and says what the command line says."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).resolve().parents[2] / "src/crosslook/explore/static"
PAGE_ALONE = ("/static/", "/plotly.js", "/openapi.json")
"""What is part of the page itself, or describes the API."""


def command(*words: object) -> str:
    """Run a command of crosslook as a user would, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "crosslook", *map(str, words)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def without_places(match: dict[str, Any]) -> dict[str, Any]:
    """``match.json`` without times, and without where the files lie: an upload lies nowhere."""
    images = {side: {**image, "path": None} for side, image in match["images"].items()}
    return {**match, "images": images, "timings_s": None}


def templates(text: str) -> Iterator[str]:
    """Addresses in a JavaScript file, each ``${...}`` in them as ``{}``."""
    for start in re.finditer(r'[`"](?=/|\$\{base\})', text):
        quote, at, address, depth = start.group(), start.end(), "", 0
        while depth or text[at] != quote:
            if text.startswith("${", at):
                depth, at = depth + 1, at + 2
                address += "{}" if depth == 1 else ""
                continue
            if depth:
                depth += {"{": 1, "}": -1}.get(text[at], 0)
            else:
                address += text[at]
            at += 1
        yield address if not text.startswith("${base}", start.end()) else f"BASE{address[2:]}"


def addresses() -> set[tuple[str, str]]:
    """File and path of everything that the page asks the server for."""
    paths = set()
    for file in sorted(STATIC.glob("*.js")):
        text = file.read_text(encoding="utf-8")
        bases = re.findall(r"const base = (`/(?:[^`$]|\$\{[^}]*\})*`)", text)
        for path in templates(text):
            for base in bases if path.startswith("BASE") else [""]:
                whole = path.replace("BASE", next(templates(base), ""))
                paths.add((file.name, whole.partition("?")[0]))
    return {(name, path) for name, path in paths if re.fullmatch(r"/[a-z].*", path)}


@pytest.mark.slow
def test_every_address_that_the_page_asks_is_in_the_api(explorer: Any) -> None:
    paths = explorer.ask("/openapi.json")[1]["paths"]
    known = [re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)) for path in paths]
    called = addresses()
    assert len(called) > 40
    assert ("scenes.js", "/audits/{}/map") in called
    assert ("match.js", "/matches/{}/view") in called
    missing = {
        (name, path)
        for name, path in called
        if not path.startswith(PAGE_ALONE) and not any(pattern.fullmatch(path) for pattern in known)
    }
    assert missing == set()


def check_files(explorer: Any, job: dict[str, Any], folder: Path) -> None:
    """See that a job wrote what the command line wrote into a folder."""
    assert job["state"] == "done", job["error"]
    written = json.loads((folder / "match.json").read_text())
    assert Path(written["images"]["sar"]["path"]).is_file()
    assert job["result"]["match"]["images"]["sar"]["path"] is None
    assert without_places(job["result"]["match"]) == without_places(written)
    names = {file["name"] for file in explorer.ask(f"/jobs/{job['id']}/files")[1]}
    assert names == {path.name for path in folder.iterdir()}
    for name in names - {"match.json"}:
        there = explorer.ask(f"/jobs/{job['id']}/files/{name}")[1]
        here = (folder / name).read_bytes()
        assert there in (here, json.loads(here) if name.endswith("json") else here), name


@pytest.mark.slow
def test_locating_gives_the_files_of_the_command_line(explorer: Any, tmp_path: Path) -> None:
    demo = Path(explorer.out) / "demo"
    chip = demo / "chips" / "demo-chip-1.tif"
    command(
        "locate", chip, "--atlas", demo / "demo-atlas", "--model", "affine", "--seed", 3,
        "--out", tmp_path / "cli",
    )  # fmt: skip
    image = explorer.upload(chip.read_bytes(), chip.name)
    settings = {"model": "affine", "seed": 3}
    body = {"query": image, "atlas": "demo-atlas", "settings": settings}
    job = explorer.wait(explorer.start("/locate", body))
    check_files(explorer, job, tmp_path / "cli")


@pytest.mark.slow
def test_registering_gives_the_files_of_the_command_line(explorer: Any, tmp_path: Path) -> None:
    pairs = Path(explorer.out) / "demo" / "demo-pairs"
    sar, optical = (pairs / side / "sim-0002.tif" for side in ("sar", "optical"))
    command("register", sar, optical, "--model", "affine", "--seed", 4, "--out", tmp_path / "cli")
    ids = [explorer.upload(path.read_bytes(), path.name) for path in (sar, optical)]
    body = {"sar": ids[0], "optical": ids[1], "settings": {"model": "affine", "seed": 4}}
    job = explorer.wait(explorer.start("/register", body))
    check_files(explorer, job, tmp_path / "cli")


@pytest.mark.slow
def test_an_audit_gives_the_rows_of_the_command_line(explorer: Any, tmp_path: Path) -> None:
    pairs = Path(explorer.out) / "demo" / "demo-pairs"
    command("audit", pairs, "--out", tmp_path / "cli")
    job = explorer.wait(explorer.start("/audits", {"pairs": "demo-pairs"}))
    assert job["state"] == "done", job["error"]
    for name in ("audit.csv", "alignment.csv"):
        there = explorer.ask(f"/jobs/{job['id']}/files/{name}")[1]
        assert there == (tmp_path / "cli" / name).read_bytes(), name
    shown = [
        one["id"] for one in explorer.ask("/library")[1]["audits"] if one["id"] != "demo-audit"
    ]
    rows = {row["scene"]: row for row in explorer.ask(f"/audits/{shown[-1]}")[1]["rows"]}
    with (tmp_path / "cli" / "audit.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(rows) == len(lines)
    for line in lines:
        row = {name: "" if v is None else v for name, v in rows[line["scene"]].items()}
        wanted = {n: v if n == "scene" or v == "" else float(v) for n, v in line.items()}
        assert row == wanted


@pytest.mark.slow
def test_a_run_gives_all_rows_and_matches_of_the_study(explorer: Any) -> None:
    import pyarrow.parquet as pq

    from crosslook.retrieval.run_folder import MatchTable

    run = Path(explorer.out) / "demo" / "demo-run"
    rows = explorer.ask("/runs/demo-run/rows")[1]
    table = pq.read_table(run / "results.parquet").to_pylist()
    plain = [{n: None if v != v else v for n, v in row.items()} for row in table]
    assert [{n: row[n] for n in plain[0]} for row in rows] == plain
    setups = explorer.ask("/runs/demo-run")[1]["setups"]
    tables = MatchTable.read(run)
    assert len(setups) == len(tables)
    for number, one in enumerate(tables):
        lines = explorer.ask(f"/runs/demo-run/queries?setup={number}")[1]["lines"]
        ranks = {line["index"]: line["rank"] for line in lines}
        assert ranks == dict(zip(one.query_index.tolist(), one.rank.tolist(), strict=True))


@pytest.mark.slow
def test_an_atlas_says_what_atlas_info_says(explorer: Any) -> None:
    said = command("atlas", "info", Path(explorer.out) / "demo" / "demo-atlas")
    facts = explorer.ask("/atlases/demo-atlas")[1]["facts"]
    assert "bounds" in facts
    assert said.splitlines() == [f"{name:10}{value}" for name, value in facts.items()]
