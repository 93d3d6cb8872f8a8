"""The explorer on a large atlas: tiles at every zoom, the first paint of a match, many uploads.

    python benchmarks/explorer.py FOLDER [--size 10240] [--atlas ATLAS]
    python benchmarks/explorer.py FOLDER --demo [--busy 1]

Builds a simulated atlas of the given side under FOLDER (once), serves it, and measures
(with --atlas tiles and uploads alone, on that one)

- the tile that holds the whole atlas, asked for at once when a server has started for the first
  time, and how long it takes until every block has been read for it,
- tiles: 200 of each zoom chosen by a seed, each asked for once, from a server that has just
  started again (cold: blocks are checked when they are first needed) and again warm,
- pages: from the click to the first paint of the start page, of the map and of the results, and
  the requests of all of them that leave this machine (headless Chromium, where there is one),
- first paint: from the moment at which a job says that it is done to the SAR image on the map,
- 20 uploads of a chip at once, each looked at; answers, seconds, and the memory of all processes.

With --demo, instead: seconds from the start of ``crosslook explore --demo`` in an empty folder to
its address, to its atlas with chips, and to the study and the audit, while --busy other processes
each keep a core busy.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from crosslook.atlas.build import build_atlas
from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.write import write_basemap, write_pair
from history import record

SEED, CHIP = 5, 256
PLACE = (700, 900)


class Server:
    """An explorer of its own."""

    def __init__(self, out: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "crosslook", "explore", *options, "--port", "0",
             "--no-browser", "--out", str(out)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1].rstrip("/")

    def ask(self, path: str, body: Any = None) -> Any:
        """Bytes, or parsed JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        request = urllib.request.Request(self.address + path, data, {"content-type": kind})
        with urllib.request.urlopen(request, timeout=300) as answer:
            content = answer.read()
            is_json = "json" in answer.headers["content-type"]
        return json.loads(content) if is_json else content

    def memory(self) -> float:
        """MiB of the server and its workers."""
        one = psutil.Process(self.process.pid)
        all_bytes = sum(p.memory_info().rss for p in [one, *one.children(recursive=True)])
        return float(all_bytes / 2**20)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def first_tile(server: Server, name: str) -> None:
    start = time.perf_counter()
    server.ask(f"/atlases/{name}/tiles/0/0/0")
    first = time.perf_counter() - start
    part = server.ask(f"/atlases/{name}")["ready"]
    while server.ask(f"/atlases/{name}")["ready"] < 1:
        time.sleep(0.05)
    took = time.perf_counter() - start
    start = time.perf_counter()
    server.ask(f"/atlases/{name}/tiles/0/0/0")
    whole = time.perf_counter() - start
    print(f"the whole atlas in one tile, first start: {1000 * first:.0f} ms with {part:.0%} of the "
          f"blocks; all of them after {took:.1f} s, then {1000 * whole:.0f} ms")  # fmt: skip
    record("explorer first tile", {"first_ms": 1000 * first, "all_s": took})


def demo(folder: Path, busy: int) -> None:
    """Print when each part of the demo can be used."""
    shutil.rmtree(folder / "demo-out", ignore_errors=True)
    loop = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(loop) for _ in range(busy)]
    start = time.perf_counter()
    server = Server(folder / "demo-out", "--demo")
    seconds = {"address": time.perf_counter() - start}
    try:
        while len(seconds) < 4:
            there = server.ask("/library")
            now = time.perf_counter() - start
            ready = {
                "atlas and chips": there["atlases"] and there["chips"],
                "study": there["runs"],
                "audit": there["audits"],
            }
            for part, is_there in ready.items():
                if is_there:
                    seconds.setdefault(part, now)
            for job in server.ask("/jobs"):
                if job["state"] == "failed":
                    sys.exit(f"the demo failed: {job['error']}")
            time.sleep(0.1)
    finally:
        server.stop()
        for other in others:
            other.kill()
    print(f"demo, {busy} other process(es) busy: "
          + ", ".join(f"{part} after {s:.1f} s" for part, s in seconds.items()))  # fmt: skip
    figures = {f"{part.replace(' ', '_')}_s": s for part, s in seconds.items()}
    record(f"explorer demo, {busy} busy", figures)


def tiles(server: Server, name: str) -> None:
    about = server.ask(f"/atlases/{name}")
    print(f"atlas of {about['shape']} pixels in {len(about['blocks'])} blocks")
    rng = np.random.default_rng(0)
    for label in ("cold", "warm"):
        medians, worst = [], 0.0
        for zoom in range(about["zooms"] + 1):
            side = 256 * 2 ** (about["zooms"] - zoom)
            rows, cols = (-(-length // side) for length in about["shape"])
            every = rng.permutation(rows * cols)[:200]
            seconds = []
            for number in every:
                row, col = divmod(int(number), cols)
                start = time.perf_counter()
                server.ask(f"/atlases/{name}/tiles/{zoom}/{row}/{col}")
                seconds.append(time.perf_counter() - start)
            ms = sorted(1000 * s for s in seconds)
            medians.append(statistics.median(ms))
            worst = max(worst, ms[-1])
            print(f"{label} zoom {zoom}: n {len(ms)}, median {statistics.median(ms):.1f} ms, "
                  f"95 % {ms[int(0.95 * (len(ms) - 1))]:.1f}, worst {ms[-1]:.1f}")  # fmt: skip
        name_of_line = f"explorer tiles of {max(about['shape'])} px, {label}"
        record(name_of_line, {"median_ms": max(medians), "worst_ms": worst})


def follow(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    while job["state"] in ("queued", "running"):
        time.sleep(0.02)
        job = server.ask(f"/jobs/{job['id']}")
    return job


def pages(server: Server, name: str) -> None:
    """First paint of pages, each five times in a browser that has seen none of them."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("pages: no Chromium on this machine")
        return
    from playwright.sync_api import sync_playwright

    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
    elsewhere: list[str] = []
    asked = 0

    def note(request: Any) -> None:
        nonlocal asked
        asked += 1
        if not request.url.startswith((server.address, "data:", "blob:")):
            elsewhere.append(request.url)

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for label, hash_ in (
            ("start", "#/"),
            ("atlas", f"#/atlas/{name}"),
            ("results", "#/results"),
        ):
            late = []
            for _ in range(5):
                context = chromium.new_context()  # nothing is cached
                page = context.new_page()
                page.on("request", note)
                page.goto(f"{server.address}/{hash_}")
                page.wait_for_function(f"() => {paint}", timeout=30_000)
                late.append(float(page.evaluate(paint)))
                page.wait_for_timeout(500)
                context.close()
            middle, worst = statistics.median(late), max(late)
            print(f"page {label}: first paint {middle:.0f} ms, worst of 5 {worst:.0f}")
            record(f"explorer page {label}", {"first_paint_ms": middle, "worst_ms": worst})
        chromium.close()
    print(f"requests: {asked}, of them to another machine {len(elsewhere)}")


def first_paint(server: Server, name: str, chip: bytes) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("first paint: no Chromium on this machine")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for _ in range(3):
            upload = server.ask("/uploads?name=chip.tif", chip)["id"]
            job = server.ask("/locate", {"query": upload, "atlas": name, "settings": {}})
            page = chromium.new_page()
            page.goto(f"{server.address}/#/match/{job['id']}")
            done = follow(server, job)
            # Not wait_for_function, which the policy of the page forbids.
            while not page.evaluate("document.querySelector('.ground .layer')?.naturalWidth > 0"):
                time.sleep(0.01)
            late = time.time() - done["ended"]
            verdict = done["result"]["match"]["verdict"]
            took = done["ended"] - done["started"]
            print(f"first paint: {late:.2f} s after the result ({verdict}, job {took:.2f} s)")
            page.close()
        chromium.close()


def uploads(server: Server, chip: bytes) -> None:
    before, worst, alive = server.memory(), [0.0], []
    states: list[str] = []

    def one(number: int) -> None:
        upload = server.ask(f"/uploads?name={number}.tif", chip)["id"]
        job = server.ask("/inspect", {"image": upload})
        states.append(follow(server, job)["state"])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sent = time.perf_counter()
        server.ask("/library")
        alive.append(time.perf_counter() - sent)
        worst[0] = max(worst[0], server.memory())
    took = time.perf_counter() - start
    mib = len(chip) / 2**20
    print(f"20 uploads of {mib:.1f} MiB: {states.count('done')} done in {took:.1f} s; "
          f"memory {before:.0f} to at most {worst[0]:.0f} MiB; the page answers within "
          f"{1000 * max(alive):.0f} ms")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=10_240)
    parser.add_argument("--atlas", type=Path)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--busy", type=int, default=0)
    given = parser.parse_args()
    folder = given.folder.resolve()
    if given.demo:
        demo(folder, given.busy)
        return
    pair = make_pair(CHIP, SEED, origin=PLACE, relief=20.0)
    write_pair(folder / "chips", "0", pair.settings, (203_000.0, 5_497_000.0))
    large = make_pair(1024, SEED, relief=20.0)
    write_pair(folder / "chips", "large", large.settings, (203_000.0, 5_497_000.0))
    atlas = given.atlas or folder / f"atlas-{given.size}"
    if given.atlas is None:
        basemap = folder / f"map-{given.size}.tif"
        if not basemap.exists():
            write_basemap(basemap, given.size, SEED, relief=20.0)
        build_atlas([basemap], atlas)
    shutil.rmtree(folder / "out", ignore_errors=True)
    server = Server(folder / "out", str(atlas))
    try:
        first_tile(server, server.ask("/library")["atlases"][0]["id"])
    finally:
        server.stop()
    server = Server(folder / "out", str(atlas))
    try:
        name = server.ask("/library")["atlases"][0]["id"]
        tiles(server, name)
        pages(server, name)
        if given.atlas is None:
            first_paint(server, name, (folder / "chips" / "sar" / "0.tif").read_bytes())
        uploads(server, (folder / "chips" / "sar" / "large.tif").read_bytes())
    finally:
        server.stop()


if __name__ == "__main__":
    main()
