"""Signals end a process whatever it waits for; a limit on its memory is one clear error."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from crosslook.memory_limit import is_lack_of_memory
from tests.helpers.kinds import ground, save

COMMAND = [sys.executable, "-m", "crosslook"]
WAITS = """
import ctypes, sys
from concurrent.futures import ThreadPoolExecutor
from crosslook import console
console.GRACE_SECONDS = {grace}
def threads():
    with ThreadPoolExecutor(1) as pool:
        print("ready", flush=True)
        pool.submit(ctypes.CDLL(None).usleep, 60_000_000).result()
def library():
    holds = ctypes.PyDLL(None)  # the interpreter, as OpenBLAS does that tries for ever
    mutex = ctypes.create_string_buffer(64)
    holds.pthread_mutex_lock(mutex)
    print("ready", flush=True)
    holds.pthread_mutex_lock(mutex)
console.run(lambda: {what})
"""


def waiting(what: str, grace: float) -> subprocess.Popen[str]:
    script = WAITS.format(what=what, grace=grace)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", script], text=True, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)  # now it waits
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_waits_for_threads_ends(number: signal.Signals) -> None:
    process = waiting("threads", 0.3)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said == "stopped. No half-written file is left.\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux counts the seconds")
def test_a_process_that_a_library_holds_ends() -> None:
    process = waiting("library", 0.3)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=40)
    assert process.returncode == -signal.SIGALRM
    assert 8 < time.monotonic() - begun < 20


def test_other_signals_with_handlers_end_nothing() -> None:
    script = (
        "import signal, time; from crosslook import console\n"
        "def work():\n"
        "    signal.signal(signal.SIGWINCH, lambda *_: None)\n"
        "    signal.raise_signal(signal.SIGWINCH)\n"
        "    until = time.monotonic() + 5\n"
        "    while signal.getitimer(signal.ITIMER_REAL)[0] and time.monotonic() < until:\n"
        "        time.sleep(0.05)\n"
        "    print('seconds left', signal.alarm(0))\n"
        "console.run(lambda: work)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "seconds left 0\n")


def test_a_forked_child_does_not_end_its_parent() -> None:
    script = (
        "import os, signal, time; from crosslook import console\n"
        "def work():\n"
        "    child = os.fork()\n"
        "    if not child: time.sleep(30)\n"
        "    time.sleep(0.2)\n"
        "    os.kill(child, signal.SIGTERM); os.waitpid(child, 0)\n"
        "    print('seconds left', signal.alarm(0))\n"
        "console.run(lambda: work)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "seconds left 0\n")


def limited(mebibytes: int, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command whose address space is limited, with a thread for every core."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (mebibytes << 20, mebibytes << 20))

    threads = {name: v for name, v in os.environ.items() if not name.endswith("NUM_THREADS")}
    return subprocess.run(
        [*COMMAND, *map(str, args)], text=True, capture_output=True, env=threads,
        preexec_fn=limit, timeout=100,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    return save(folder / "s.tif", ground()), save(folder / "o.tif", np.stack([ground()] * 3))


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux")
@pytest.mark.parametrize("mebibytes", [480, 600, 640, 720])
def test_too_little_memory_is_one_error(
    mebibytes: int, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """OpenBLAS tried for ever at 600 MiB, and crashed at 480."""
    done = limited(mebibytes, "register", *pair, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert f"{mebibytes} MiB, is not enough" in done.stderr
    assert "ulimit -v" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux")
def test_a_small_pair_is_registered_within_a_gibibyte(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    done = limited(1024, "register", *pair, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/match.json").exists()


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError(), True),
        (ImportError("lib.so: failed to map segment from shared object"), True),
        (RuntimeError("can't start new thread"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("OpenCV: (-4:Insufficient memory) Failed to allocate 9 bytes"), True),
        (ImportError("No module named 'x'"), False),
        (SystemError("error return without exception set"), False),
    ],
)
def test_what_libraries_say_of_lacking_memory(error: Exception, lacks: bool) -> None:
    assert is_lack_of_memory(error) is lacks
