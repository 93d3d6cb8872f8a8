"""No network while packages of others work: one that would download says what is missing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CALLS = ("connect", "connect_ex")
_OFFLINE = "HF_HUB_OFFLINE"
_LOCK = threading.Lock()
_INSIDE = 0
_BEFORE: dict[str, Any] = {}


@contextmanager
def offline() -> Iterator[None]:
    """Refuse connections to other machines, in all threads of this process.

    It may be entered by several threads at once; the last one that leaves lifts it.
    Sockets of this machine alone (Unix domain) stay open.
    """
    global _INSIDE
    with _LOCK:
        if not _INSIDE:
            _shut()
        _INSIDE += 1
    try:
        yield
    finally:
        with _LOCK:
            _INSIDE -= 1
            if not _INSIDE:
                _lift()


def _shut() -> None:
    for name in _CALLS:
        _BEFORE[name] = getattr(socket.socket, name)
        setattr(socket.socket, name, _refusing(_BEFORE[name]))
    _BEFORE[_OFFLINE] = os.environ.get(_OFFLINE)
    os.environ[_OFFLINE] = "1"


def _lift() -> None:
    for name in _CALLS:
        setattr(socket.socket, name, _BEFORE[name])
    if _BEFORE[_OFFLINE] is None:
        del os.environ[_OFFLINE]
    else:
        os.environ[_OFFLINE] = _BEFORE[_OFFLINE]


def _refusing(connect: Any) -> Any:
    def refuse(self: socket.socket, address: Any) -> Any:
        if self.family == getattr(socket, "AF_UNIX", None):
            return connect(self, address)
        raise OSError("crosslook downloads nothing while it works")

    return refuse
