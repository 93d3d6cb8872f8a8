"""A process of the explorer: takes work from a pipe, tells its progress, answers."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import tempfile
import threading
import time
import warnings
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from crosslook.console import DEBUG
from crosslook.errors import CrosslookError
from crosslook.geo.opening import OPEN
from crosslook.progress import listening

TASKS = {
    "inspect": "crosslook.explore.images:inspect",
    "locate": "crosslook.explore.matching:locate_task",
    "register": "crosslook.explore.matching:register_task",
    "refit": "crosslook.explore.matching:refit_task",
    "written": "crosslook.explore.written:written_task",
    "maps": "crosslook.explore.maps:maps_task",
    "demo": "crosslook.explore.demo:demo_task",
    "demo-study": "crosslook.explore.demo:demo_study_task",
    "audit": "crosslook.explore.audits:audit_task",
}
SCRATCH = ".scratch"
"""Folder of temporary files in that of a job; the server removes it, however the job ends."""
_PLACE = re.compile(r"(?<![\w:/.=~-])/(?:[^\s/'\";,()]+/)+([^\s/'\";,()]+)")
"""A folder or file of this machine, as of weights; its last part says enough."""
_TELL_SECONDS = 0.05
_MOST_MESSAGE = 64 << 20


def tell(pipe: Connection, *values: Any) -> None:
    """Send values as JSON: what a process that reads uploads says is never unpickled."""
    pipe.send_bytes(json.dumps(values).encode())


def receive(pipe: Connection) -> list[Any]:
    """Take the next values; EOFError or OSError where there are none, ValueError for no JSON."""
    values = json.loads(pipe.recv_bytes(_MOST_MESSAGE))
    if not isinstance(values, list):
        raise ValueError
    return values


def serve(pipe: Connection, limits: dict[str, int]) -> None:
    """Work until the other end is closed, or the server has ended, however it did.

    Parameters
    ----------
    pipe : Connection
        Gives kind, work and folder; takes ``"stage"``, name, done and total, and at the
        end ``"end"``, result and error.
    limits : dict
        ``max_pixels``, pixels over all bands of an image that is opened.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server says when it is over
    if os.environ.get(DEBUG, "") in ("", "0"):
        warnings.simplefilter("ignore")
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
    threading.Thread(target=_end_with_server, daemon=True).start()
    _load()
    while True:
        try:
            kind, work, folder = receive(pipe)
        except (EOFError, OSError):
            return
        last = ["", 0.0]

        def heard(name: str, done: int, total: int, last: list[Any] = last) -> None:
            now = time.monotonic()
            if name != last[0] or now - last[1] > _TELL_SECONDS:
                last[:] = [name, now]
                tell(pipe, "stage", name, done, total)

        scratch = Path(folder) / SCRATCH
        scratch.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = str(scratch)
        with listening(heard):
            result, error = _do(kind, {**work, **limits}, Path(folder))
        OPEN.close()
        try:
            tell(pipe, "end", result, error)
        except OSError:
            return


def _end_with_server() -> None:
    """End with the server even where it was killed, also in the middle of a job."""
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(1)


def _load() -> None:
    """Import what every job needs, before anybody waits for it."""
    for name in ("crosslook.explore.matching", "crosslook.explore.images"):
        import_module(name)


def _do(kind: str, work: dict[str, Any], folder: Path) -> tuple[dict[str, Any], str]:
    """Result and error of a job; one of them is empty."""
    try:
        module, _, name = TASKS[kind].partition(":")
        return getattr(import_module(module), name)(work, folder), ""
    except CrosslookError as error:
        return {}, _plain(str(error), work)
    except MemoryError:
        return {}, "the memory of this machine is not enough; use a smaller image."
    except Exception as error:
        if os.environ.get(DEBUG, "") not in ("", "0"):
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return {}, f"unexpected error: {_plain(what, work)}; please report it"


def _plain(text: str, work: dict[str, Any]) -> str:
    """A message without the places on disk that the user never named."""
    for image in ("query", "sar", "optical", "image"):
        one = work.get(image)
        if isinstance(one, dict) and "path" in one:
            text = text.replace(str(one["path"]), str(one["name"]))
            text = text.replace(f"{Path(one['path']).name}: ", "")
    for place in work.values():  # as the atlas or the run
        if isinstance(place, str) and Path(place).is_absolute():
            text = text.replace(place, Path(place).name)
    return _PLACE.sub(r"\1", text)
