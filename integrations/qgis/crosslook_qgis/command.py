"""Run the ``crosslook`` command: its words into the log, its progress into the bar."""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable
from typing import IO, Any

from qgis.core import QgsProcessingException

SETTING = "CROSSLOOK_COMMAND"
NO_MATCH = 3
_PROGRESS = re.compile(r"^(?P<label>.+): (?P<done>\d+)/(?P<total>\d+)$")
# QGIS brings a Python, a GDAL and a PROJ of its own, which are not those of crosslook.
_OF_QGIS = ("PYTHONPATH", "PYTHONHOME", "GDAL_DATA", "PROJ_LIB", "PROJ_DATA", "GDAL_DRIVER_PATH")


def command() -> str:
    """Return the command of the setting, of the environment, or of the PATH.

    Raises
    ------
    QgsProcessingException
        If there is none.
    """
    try:
        from processing.core.ProcessingConfig import ProcessingConfig

        chosen: str | None = ProcessingConfig.getSetting(SETTING)
    except ImportError:
        chosen = None
    path = chosen or os.environ.get(SETTING) or shutil.which("crosslook")
    if not path or not shutil.which(path):
        raise QgsProcessingException(
            f"The crosslook command was not found{f' at {path}' if path else ''}. Install it "
            "with 'pip install crosslook' into an environment of its own, and name its 'crosslook' "
            "under Settings, Options, Processing, Providers, crosslook."
        )
    return path


def run(arguments: Iterable[object], feedback: Any) -> int:
    """Run ``crosslook`` with arguments until it ends or the user cancels.

    Returns
    -------
    int
        0, or 3 where there is no sure match.

    Raises
    ------
    QgsProcessingException
        With the last line of the command, for any other code.
    """
    environment = {k: v for k, v in os.environ.items() if k not in _OF_QGIS}
    environment["CROSSLOOK_PROGRESS_SECONDS"] = "0.5"
    call = [command(), *map(str, arguments)]
    feedback.pushCommandInfo(" ".join(call))
    process = subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        encoding="utf-8", errors="replace", env=environment,
    )  # fmt: skip
    assert process.stdout is not None  # it was asked for
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    last = ""
    while reader.is_alive() or not lines.empty():
        if feedback.isCanceled() and process.poll() is None:
            process.terminate()
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            continue
        last = line or last
        _show(line, feedback)
    code = process.wait()
    process.stdout.close()
    if feedback.isCanceled():
        raise QgsProcessingException(last or "Cancelled.")
    if code not in (0, NO_MATCH):
        raise QgsProcessingException(last or f"crosslook ended with {code}.")
    return code


def _read(stream: IO[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line.rstrip())


def _show(line: str, feedback: Any) -> None:
    progress = _PROGRESS.match(line)
    if progress:
        feedback.setProgressText(progress["label"])
        feedback.setProgress(100.0 * int(progress["done"]) / max(1, int(progress["total"])))
    elif line:
        feedback.pushInfo(line)
