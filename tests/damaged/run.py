"""Run commands one by one, each in a child of one process that has imported all.

``python -m tests.damaged.run CASES.json ANSWERS.json``: a child that hangs is
killed, one that dies says by which signal.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 20.0
_MOST_BYTES = 6 << 30
_STEP_SECONDS = 0.01


def main(cases: Path, answers: Path) -> None:
    """Run all cases, and write what each said."""
    import_all()
    answers.write_text(json.dumps([run(one) for one in json.loads(cases.read_text())]))


def import_all() -> None:
    """Import what commands import, so that a child costs no second of it."""
    import crosslook.atlas.build
    import crosslook.atlas.locate
    import crosslook.cli.atlas
    import crosslook.cli.register
    import crosslook.match.apply
    import crosslook.match.audit
    import crosslook.match.register
    import crosslook.report.compare
    import crosslook.report.export
    import crosslook.report.study  # noqa: F401


def run(case: dict[str, Any]) -> dict[str, Any]:
    """Run one command in a child; its exit code (minus the signal), words and seconds."""
    said = Path(case["out"]).with_suffix(".said")
    said.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    child = os.fork()
    if not child:
        _become(case["command"], said)
    code = _waited(child, start + LIMIT_SECONDS)
    seconds = time.monotonic() - start
    return {"code": code, "said": said.read_text(errors="replace"), "seconds": seconds}


def _become(command: list[str], said: Path) -> None:
    """In the child: the command as a process of its own would run it."""
    from crosslook import console
    from crosslook.cli import app

    code = 99
    try:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
        sys.argv = ["crosslook", *command]
        console.run(lambda: app)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _waited(child: int, limit: float) -> int | None:
    """The exit code of a child; None where it had to be killed."""
    while time.monotonic() < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_STEP_SECONDS)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
