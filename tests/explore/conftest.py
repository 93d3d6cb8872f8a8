"""A running explorer on the simulated demo, with a small run in place of the long one."""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'web' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'web' is not installed")


class Served:
    """A server process, and requests to it."""

    def __init__(self, out: Path, *options: str) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, "-m", "crosslook", "explore", "--port", "0", "--no-browser",
             "--out", str(out), *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        )  # fmt: skip
        try:
            self.said = self._line()
        except BaseException:  # also a test that took too long
            self.process.kill()
            raise
        address = re.search(r"http://\S+", self.said)
        assert address, self.said
        self.address = address.group().rstrip("/")

    def _line(self) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 120)
        assert ready, "the explorer said nothing for two minutes"
        return self.process.stdout.readline()

    def ask(
        self,
        path: str,
        body: object = None,
        method: str = "",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and parsed answer; what is no JSON comes as bytes."""
        data, more = None, dict(headers or {})
        if isinstance(body, bytes):
            data, more = body, {"content-type": "application/octet-stream", **more}
        elif body is not None:
            data, more = json.dumps(body).encode(), {"content-type": "application/json", **more}
        request = urllib.request.Request(self.address + path, data, more)
        if method:
            request.method = method
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content

    def upload(self, data: bytes, name: str = "image.tif") -> str:
        status, content = self.ask(f"/uploads?name={urllib.parse.quote(name, safe='')}", data)
        assert status == 201, content
        return str(content["id"])

    def start(self, path: str, body: dict[str, Any]) -> str:
        status, job = self.ask(path, body)
        assert status == 202, job
        return str(job["id"])

    def wait(
        self, job: str, until: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """Follow a job until it has ended, or until something else holds."""
        ends = time.monotonic() + 180
        while time.monotonic() < ends:
            status = self.ask(f"/jobs/{job}")[1]
            if status["state"] in ("done", "failed", "cancelled") or (until and until(status)):
                return dict(status)
            time.sleep(0.05)
        raise AssertionError(f"job {job} did not end: {status}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def _small_run(pairs: Path, run: Path) -> None:
    """A real study without structure and report (which take long), plain figures in their place."""
    from rich.console import Console

    from crosslook.retrieval import run_folder
    from crosslook.retrieval.settings import StudySettings
    from crosslook.retrieval.setup import Setup
    from crosslook.retrieval.study import run_study

    settings = StudySettings(
        pairs=pairs, out=run, extractors=("hog:cell=8",), patch=64, structure=False,
        calibrations=("none", "standardize"),
    )  # fmt: skip
    run_study(settings, Console(quiet=True))
    index = run_folder.MatchTable.read(run)[0].query_index
    angle = np.linspace(0, 6, len(index))
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    setup = Setup("hog:cell=8")
    run_folder.EmbeddingTable.write(
        run, [run_folder.EmbeddingTable(setup, "umap", index, points, 1.3 * points)]
    )
    side = np.arange(len(index), dtype=np.float32)
    values = 1 / (1 + np.abs(side[:, None] - side[None]))
    run_folder.HeatTable.write(
        run, [run_folder.HeatTable(setup, "unit", values, np.array([4.0]), index)]
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results that holds the demo: its atlas and chips as they are made for people."""
    from crosslook.data.pairs import open_pairs
    from crosslook.data.simulate.write import write_pairs
    from crosslook.explore.demo import demo_task
    from crosslook.match.audit import audit

    out = tmp_path_factory.mktemp("explorer")
    demo = out / "demo"
    demo_task({"demo": str(demo)}, out)
    write_pairs(demo / "demo-pairs", 4, size=192, seed=3, relief=20.0)
    _small_run(demo / "demo-pairs", demo / "demo-run")
    audit(open_pairs(demo / "demo-pairs"), out=demo / "demo-audit", radius=16.0)
    return out


@pytest.fixture(scope="session")
def explorer(prepared: Path) -> Iterator[Served]:
    served = Served(prepared, "--demo", "--max-upload", "8", "--max-pixels", "50")
    yield served
    served.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Start further explorers; they are ended with the test."""
    started: list[Served] = []

    def start(out: Path, *options: str) -> Served:
        started.append(Served(out, *options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()
