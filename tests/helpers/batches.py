"""Batches that are killed, and what they leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from crosslook.match.batch_so_far import PARTIAL


def files_of(out: Path) -> dict[str, bytes]:
    """All files, without the seconds that matching took; the folder under one name."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            data = path.read_bytes().replace(str(out).encode(), b"OUT")
            if path.name == "match.json":
                data = json.dumps({**json.loads(data), "timings_s": None}).encode()
            found[str(path.relative_to(out))] = data
    return found


def saved(out: Path) -> Iterator[Path]:
    return (out / PARTIAL).glob("[0-9a-f]*.json")


def kill_after_first(arguments: Sequence[str], out: Path) -> None:
    """Run a batch, and kill it when its first result is saved."""
    call = [sys.executable, "-m", "crosslook", *arguments]
    running = subprocess.Popen(call, stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 100
    while not any(saved(out)) and time.monotonic() < limit:
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "it was killed before it ended"
