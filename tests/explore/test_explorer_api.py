"""The API: the answers of the command line, kept over a restart, and no way around its rules."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import rasterio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # the first one waits for the demo
]


def chip(explorer: Any, number: int = 1) -> Path:
    return Path(explorer.out) / "demo" / "chips" / f"demo-chip-{number}.tif"


def located(explorer: Any, number: int = 1, **settings: Any) -> dict[str, Any]:
    image = explorer.upload(chip(explorer, number).read_bytes(), chip(explorer, number).name)
    body = {"query": image, "atlas": "demo-atlas", "settings": settings}
    return dict(explorer.wait(explorer.start("/locate", body)))


def workers(explorer: Any) -> list[psutil.Process]:
    """The processes that read images, without what Python keeps to track them."""
    pids = []
    for one in psutil.Process(explorer.process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            if "spawn_main" in " ".join(one.cmdline()):
                pids.append(one)
    return pids


def test_registering_two_uploads_and_fitting_again_by_hand(explorer: Any) -> None:
    pairs = Path(explorer.out) / "demo" / "demo-pairs"
    ids = [
        explorer.upload((pairs / side / "sim-0001.tif").read_bytes(), f"{side}.tif")
        for side in ("sar", "optical")
    ]
    job = explorer.wait(
        explorer.start("/register", {"sar": ids[0], "optical": ids[1], "settings": {}})
    )
    assert job["state"] == "done", job["error"]
    place = explorer.ask(f"/jobs/{job['id']}/view/place.json")[1]
    assert place["tie_points"]
    points = [[20.0, 20.0, 21.0, 22.0], [160.0, 150.0, 161.0, 152.0]]
    again = explorer.wait(explorer.start(f"/jobs/{job['id']}/points", {"points": points}))
    assert again["state"] == "done", again["error"]
    first, second = (
        np.array(one["result"]["match"]["transform"]["matrix"]) @ [96, 96, 1]
        for one in (job, again)
    )
    assert np.linalg.norm(first - second) < 3
    same = [[5.0, 5.0, 6.0, 6.0], [5.0, 5.0, 6.0, 6.0]]
    failed = explorer.wait(explorer.start(f"/jobs/{job['id']}/points", {"points": same}))
    assert "are the same" in failed["error"]


def test_a_chip_is_found_again_from_two_points(explorer: Any) -> None:
    job = located(explorer, 2)
    truth = json.loads((chip(explorer).parent / "truth.json").read_text())["demo-chip-2.tif"]
    points = [[r, c, r + truth["row"] + 6, c + truth["col"] - 5] for r, c in ((30, 30), (220, 200))]
    again = explorer.wait(explorer.start(f"/jobs/{job['id']}/points", {"points": points}))
    match = again["result"]["match"]
    centre = np.array(match["centre"]["pixel"])
    centre += [match["window"]["row"], match["window"]["col"]]
    assert np.linalg.norm(centre - [truth["row"] + 128, truth["col"] + 128]) < 5


def test_the_score_surface_is_highest_at_the_place(explorer: Any) -> None:
    from crosslook.atlas.locate import surface_of
    from crosslook.atlas.settings import LocateSettings

    atlas = Path(explorer.out) / "demo" / "demo-atlas"
    scores, side = surface_of(chip(explorer), atlas, LocateSettings(), 128)
    row, col = (np.array(np.unravel_index(int(scores.argmax()), scores.shape)) + 0.5) * side
    truth = json.loads((chip(explorer).parent / "truth.json").read_text())["demo-chip-1.tif"]
    assert max(scores.shape) <= 128
    assert abs(row - truth["row"] - 128) <= side + 16
    assert abs(col - truth["col"] - 128) <= side + 16


def test_tiles_are_the_atlas(explorer: Any) -> None:
    import cv2

    about = explorer.ask("/atlases/demo-atlas")[1]
    status, whole = explorer.ask("/atlases/demo-atlas/tiles/0/0/0")
    assert status == 200
    image = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.shape == (256, 256, 4)  # a PNG, as the atlas does not fill it
    with rasterio.open(Path(explorer.out) / "demo" / "basemap.tif") as file:
        rows, cols = (length // 8 for length in file.shape)
        average = rasterio.enums.Resampling.average
        small = file.read(out_shape=(3, rows, cols), resampling=average)
    assert (image[:rows, :cols, 3] == 255).all()
    assert not image[rows:, :, 3].any()
    colours = image[:rows, :cols, 2::-1].transpose(2, 0, 1).astype(float)
    assert np.abs(colours - small).max() <= 1.5
    assert explorer.ask(f"/atlases/demo-atlas/tiles/{about['zooms'] + 1}/0/0")[0] == 404
    at = explorer.ask("/atlases/demo-atlas/at?lon=11.0&lat=49.5")[1]
    assert at["inside"]
    assert about["version"] != about["built_by"]


def test_results_are_there_after_a_restart(
    prepared: Path, explorer: Any, serve: Callable[..., Any], tmp_path: Path
) -> None:
    place = str(prepared / "demo" / "demo-atlas")
    first = serve(tmp_path / "out", place, "--workers", "1")
    image = first.upload(chip(explorer).read_bytes(), "chip.tif")
    body = {"query": image, "atlas": "demo-atlas", "settings": {}}
    job = first.wait(first.start("/locate", body))
    first.ask(f"/jobs/{job['id']}/decision", {"decision": "accepted"})
    started = first.start("/locate", body)
    first.wait(started, lambda status: status["state"] == "running")
    first.stop()
    second = serve(tmp_path / "out", place, "--workers", "1")
    kept = second.ask(f"/jobs/{job['id']}")[1]
    assert kept["result"] == job["result"]
    assert kept["decision"] == "accepted"
    assert second.ask(f"/jobs/{job['id']}/zip")[1][:2] == b"PK"
    assert second.wait(started)["state"] == "done"  # what ran when it ended is run again


def test_a_killed_worker_loses_its_job_alone(explorer: Any) -> None:
    image = explorer.upload(chip(explorer).read_bytes(), "chip.tif")
    body = {"query": image, "atlas": "demo-atlas", "settings": {"rotation": 60, "scale": 0.3}}
    job = explorer.start("/locate", body)
    explorer.wait(job, lambda status: status["stage"] == "search")
    for one in workers(explorer):
        one.kill()
    status = explorer.wait(job)
    assert status["state"] == "failed"
    assert "ended before it was done (signal 9)" in status["error"]
    assert inspected(explorer, chip(explorer).read_bytes(), "next.tif")["state"] == "done"


def test_cancelling_ends_the_process(explorer: Any) -> None:
    image = explorer.upload(chip(explorer).read_bytes(), "chip.tif")
    body = {"query": image, "atlas": "demo-atlas", "settings": {"rotation": 60, "scale": 0.3}}
    job = explorer.start("/locate", body)
    explorer.wait(job, lambda status: status["stage"] == "search")
    before = {one.pid for one in workers(explorer)}
    assert explorer.ask(f"/jobs/{job}/cancel", method="POST")[1]["state"] == "cancelled"
    ends = time.monotonic() + 20
    while before <= {one.pid for one in workers(explorer)} and time.monotonic() < ends:
        time.sleep(0.05)
    assert not before <= {one.pid for one in workers(explorer)}
    assert explorer.ask(f"/jobs/{job}")[1]["state"] == "cancelled"
    assert inspected(explorer, chip(explorer).read_bytes(), "next.tif")["state"] == "done"


def bomb(side: int) -> bytes:
    """A TIFF of side x side pixels in a few hundred bytes."""
    data = zlib.compress(bytes(4096), 9)
    fields = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 8), (262, 3, 1),
              (273, 4, 8), (277, 3, 1), (278, 4, side), (279, 4, len(data))]  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in fields)
    start = 8 + len(data)
    return (
        struct.pack("<2sHI", b"II", 42, start) + data + struct.pack("<H", len(fields)) + table
        + bytes(4)
    )  # fmt: skip


def inspected(explorer: Any, data: bytes, name: str) -> dict[str, Any]:
    image = explorer.upload(data, name)
    return dict(explorer.wait(explorer.start("/inspect", {"image": image})))


def test_a_bomb_and_broken_files_are_told_in_words(explorer: Any) -> None:
    assert len(bomb(50_000)) < 1024
    job = inspected(explorer, bomb(50_000), "bomb.tif")
    assert job["state"] == "failed"
    assert "'bomb.tif' has 50000 x 50000 pixels" in job["error"]
    assert "2,500 million" in job["error"]
    cut = inspected(explorer, chip(explorer).read_bytes()[:30_000], "cut.tif")
    assert cut["state"] == "failed"
    assert "cut.tif" in cut["error"]
    assert str(explorer.out) not in cut["error"]
    for data in (b"<VRTDataset/>", b"#!/bin/sh\n", b""):
        status, why = explorer.ask("/uploads?name=x.tif", data or b" ")
        assert status == 400
        assert "no image of a kind that is read here" in why["error"]
    assert inspected(explorer, chip(explorer).read_bytes(), "good.tif")["state"] == "done"


def test_names_never_become_paths(explorer: Any) -> None:
    before = set(Path(explorer.out).parent.rglob("*evil*"))
    for name in (
        "../../evil.tif",
        "..\\..\\evil.tif",
        "/tmp/evil.tif",
        "evil\0.tif",
        "\x1b[2Jevil",
    ):
        inspection = inspected(explorer, chip(explorer).read_bytes(), name)
        assert inspection["state"] == "done", inspection["error"]
        assert "/" not in inspection["title"]
        assert "evil" in inspection["title"]
    assert set(Path(explorer.out).parent.rglob("*evil*")) == before
    job = inspection["id"]
    for path in (
        f"/jobs/{job}/view/..%2Fjob.json",
        f"/jobs/{job}/view/%2e%2e%2fjob.json",
        "/jobs/..%2F..%2Fdemo/files",
        "/static/..%2Fserver.py",
        "/demo/chips/..%2F..%2Fbasemap.tif",
        "/runs/..%2Fdemo-run/report",
        "/uploads/..%2F..%2Fdemo",
    ):
        status, answer = explorer.ask(path, method="DELETE" if "/uploads/" in path else "GET")
        assert status in (404, 405), (path, status, answer)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/locate", {"settings": {"dem": "/etc/passwd"}}, "may name a file"),
        ("/locate", {"settings": {"weights": {"dinov2": "/x"}}}, "may name a file"),
        ("/locate", {"settings": {"fine": "hf:/etc"}}, "on the command line alone"),
        ("/locate", {"settings": {"rotation": 999}}, "0 to 180 is allowed"),
        ("/locate", {"settings": {"rotaton": 1}}, "Did you mean 'rotation'"),
        ("/locate", {"atlas": "nowhere"}, "there is no atlas 'nowhere'"),
        ("/locate", {"query": "../../etc"}, "there is no upload"),
    ],
)
def test_wrong_requests_are_told_in_words(
    explorer: Any, path: str, body: dict[str, Any], words: str
) -> None:
    image = explorer.upload(chip(explorer).read_bytes())
    status, content = explorer.ask(path, {"query": image, "atlas": "demo-atlas", **body})
    assert status in (400, 404)
    assert words in content["error"]


def test_a_gibibyte_is_refused_at_once(explorer: Any) -> None:
    place = urlsplit(explorer.address)
    with socket.create_connection((place.hostname, place.port), timeout=20) as line:
        line.sendall(
            f"POST /uploads?name=big.tif HTTP/1.1\r\nHost: {place.netloc}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {2**30}\r\n\r\n".encode()
        )
        line.sendall(bytes(4096))
        answer = b"".join(iter(lambda: line.recv(4096), b""))  # head and body may come apart
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"larger than 8 MiB" in answer


def test_more_than_was_announced_is_refused_too(explorer: Any) -> None:
    place = urlsplit(explorer.address)
    before = set((Path(explorer.out) / "uploads").iterdir())
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    chunks = (bytes(2**20) for _ in range(64))
    try:
        connection.request("POST", "/uploads?name=big.tif", chunks, {"Content-Type": "image/tiff"},
                           encode_chunked=True)  # fmt: skip
        status = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # the server hung up while more was coming
    assert status == 413
    ends = time.monotonic() + 5
    while set((Path(explorer.out) / "uploads").iterdir()) != before and time.monotonic() < ends:
        time.sleep(0.05)
    assert set((Path(explorer.out) / "uploads").iterdir()) == before


def test_other_pages_and_other_names_are_refused(explorer: Any) -> None:
    assert explorer.ask("/library", headers={"Host": "evil.example"})[0] == 421
    evil = {"Origin": "http://evil.example"}
    assert explorer.ask("/demo", {}, headers=evil)[0] == 403
    assert explorer.ask("/library", headers=evil)[0] == 200  # reading gives it nothing to read
    status, _ = explorer.ask("/locate", b"x" * 2_000_000)
    assert status == 413


def test_another_address_asks_for_a_token(serve: Callable[..., Any], tmp_path: Path) -> None:
    served = serve(tmp_path / "out", "--host", "127.0.0.2", "--workers", "1")
    address, _, token = served.address.partition("/?token=")
    served.address = address
    assert len(token) >= 24
    assert served.ask("/library")[0] == 401
    assert served.ask("/?token=wrong")[0] == 401
    assert served.ask("/library", headers={"Authorization": "Bearer wrong"})[0] == 401
    assert served.ask("/library", headers={"Authorization": f"Bearer {token}"})[0] == 200
    assert served.ask("/library", headers={"Cookie": f"crosslook_token={token}"})[0] == 200
    connection = http.client.HTTPConnection("127.0.0.2", urlsplit(address).port)
    connection.request("GET", f"/?token={token}")
    answer = connection.getresponse()
    assert answer.status == 303
    assert "HttpOnly" in (answer.getheader("set-cookie") or "")


def test_twenty_uploads_at_once(explorer: Any) -> None:
    data = chip(explorer).read_bytes()
    ended: list[str] = []

    def one(number: int) -> None:
        ended.append(inspected(explorer, data, f"{number}.tif")["state"])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    assert explorer.ask("/library")[0] == 200  # the page is alive meanwhile
    for thread in threads:
        thread.join()
    assert ended == ["done"] * 20
    assert len(workers(explorer)) <= 2


def test_what_cannot_be_shown_is_told(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "crosslook", "explore", str(tmp_path / "no"), "--no-browser",
            "--port", "0", "--out", str(tmp_path / "out")]  # fmt: skip
    shown = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 1
    assert "holds no atlas, run, match or audit" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_a_written_match_and_an_audit_job(
    explorer: Any, serve: Callable[..., Any], tmp_path: Path
) -> None:
    job = located(explorer)
    folder = Path(explorer.out) / "jobs" / job["id"] / "files"
    pairs = Path(explorer.out) / "demo" / "demo-pairs"
    served = serve(tmp_path / "out", str(folder), str(pairs), "--workers", "1")
    match = served.ask("/matches/files")[1]
    assert match["match"]["verdict"] == "match"
    assert any(reason["sign"] == "for" for reason in match["words"])
    said = [reason["text"] for reason in match["words"] if reason["sign"] != "note"]
    assert said == [term["sentence"] for term in match["match"]["explanation"]["terms"]]
    job = served.wait(served.start("/audits", {"pairs": "demo-pairs"}))
    assert job["state"] == "done", job["error"]
    (audit,) = served.ask("/library")[1]["audits"]
    rows = served.ask(f"/audits/{audit['id']}")[1]["rows"]
    assert {row["scene"] for row in rows} == {f"sim-{n:04d}" for n in range(4)}


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from crosslook.cli.explore import explore
    from crosslook.errors import MissingExtraError
    from crosslook.explore.settings import ExploreSettings

    monkeypatch.delitem(sys.modules, "crosslook.explore.server", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'crosslook\[web\]'"):
        explore(ExploreSettings())
