"""Whatever ends a command: one line, an exit code of its own, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PYTHON = [sys.executable, "-c"]
COMMAND = [sys.executable, "-m", "crosslook"]
GOES_ON = "stopped. Start the same command again: it goes on where it was.\n"


def start(call: list[str]) -> subprocess.Popen[str]:
    """Start a process that hears Ctrl-C, even where the tests run in the background."""

    def listen() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    return subprocess.Popen(
        call, text=True, preexec_fn=listen, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def stop(process: subprocess.Popen[str], ready: Callable[[], object]) -> tuple[int, str]:
    """Press Ctrl-C when the work is ``ready`` for it; return exit code and standard error."""
    until = time.monotonic() + 200
    while not ready():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=200)
    return process.returncode, said


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from crosslook.data.simulate.write import write_pairs

    folder = tmp_path_factory.mktemp("simulated") / "pairs"
    write_pairs(folder, 5, size=256, seed=3)
    return folder


@pytest.fixture(scope="module")
def basemap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from crosslook.data.simulate.write import write_basemap

    path = tmp_path_factory.mktemp("basemap") / "map.tif"
    write_basemap(path, 1100, 11)
    return path


def commands(pairs: Path, basemap: Path, out: Path) -> dict[str, tuple[list[str], str, str]]:
    """Call, a file that says that it has begun, and a file of its end."""
    study = ["study", str(pairs), "--extractors", "hog:cell=8,raw", "--no-structure"]
    study += ["--patch", "64", "--draws", "100"]
    study += ["--no-structure"]
    small_blocks = (
        "import sys, crosslook.atlas.build as build; build.BLOCK = 512; sys.argv[0] = 'crosslook';"
        "from crosslook.__main__ import main; main()"
    )
    build = [*PYTHON, small_blocks, "atlas", "build", str(basemap)]
    simulate = ["simulate", "--count", "4", "--size", "256"]
    calls = {
        "study": (
            [*COMMAND, *study, "--patch", "64", "--draws", "100"],
            "*/*.npz",
            "results.parquet",
        ),
        "build": (build, "blocks/*/*", "atlas.json"),
        "simulate": ([*COMMAND, *simulate], "optical/*", "truth.csv"),
        "audit": ([*COMMAND, "audit", str(pairs), "--radius", "16"], "audit.partial.json", "*.csv"),
    }
    return {
        name: ([*call, "--out", str(out / name)], begun, end)
        for name, (call, begun, end) in calls.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study", "build", "simulate", "audit"])
def test_ctrl_c_says_that_the_work_goes_on_and_it_does(
    name: str, pairs: Path, basemap: Path, tmp_path: Path
) -> None:
    call, begun, end = commands(pairs, basemap, tmp_path / "stopped")[name]
    out = tmp_path / "stopped" / name
    code, said = stop(start(call), lambda: out.exists() and any(out.rglob(begun)))
    assert (code, said) == (130, GOES_ON)
    assert not list(out.rglob(".*")), "no temporary file is left"
    assert not list(out.glob(end)), "it was stopped before its end"
    subprocess.run(call, check=True, capture_output=True)
    call, *_ = commands(pairs, basemap, tmp_path / "whole")[name]
    subprocess.run(call, check=True, capture_output=True)
    files, wanted = files_of(out), files_of(tmp_path / "whole" / name)
    assert files.keys() == wanted.keys()
    timed = {"run.json", "report.html"}  # they tell how long steps took
    assert {k: v for k, v in files.items() if k not in timed and not k.endswith(".svg")} == {
        k: v for k, v in wanted.items() if k not in timed and not k.endswith(".svg")
    }


def test_ctrl_c_in_a_registration_leaves_nothing(pairs: Path, tmp_path: Path) -> None:
    images = [str(pairs / part / "sim-0000.tif") for part in ("sar", "optical")]
    call = [*COMMAND, "register", *images, "--out", str(tmp_path / "out")]
    process = start(call)
    begun = time.monotonic()
    code, said = stop(process, lambda: time.monotonic() - begun > 0.6)
    assert (code, said) == (130, "stopped. No half-written file is left.\n")
    assert not list(tmp_path.rglob(".*"))


def test_a_request_to_terminate_is_answered_too(tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    process = start([*COMMAND, "simulate", "--size", "256", "--out", str(out)])
    while not out.exists():
        time.sleep(0.01)
    process.terminate()
    _, said = process.communicate(timeout=200)
    assert (process.returncode, said) == (143, GOES_ON)
    assert not list(out.rglob(".*"))


def ended(body: str, debug: str = "") -> subprocess.CompletedProcess[str]:
    """Run lines of Python as if they were a command."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    code = f"import os, signal, sys, time\ndef command():\n{lines}"
    code += "from crosslook.console import run\nrun(lambda: command)\n"
    env = {**os.environ, "CROSSLOOK_DEBUG": debug}
    return subprocess.run([*PYTHON, code], env=env, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("{}['x']", 70, "unexpected error: KeyError: 'x'; set CROSSLOOK_DEBUG=1 to see where; "
         "please report it"),
        ("raise RuntimeError('two\\nlines')", 70, "unexpected error: RuntimeError: two lines; "
         "set CROSSLOOK_DEBUG=1 to see where; please report it"),
        ("raise MemoryError", 1, "error: the memory of this machine is not enough. Close other "
         "programs, or use smaller images, fewer patches or a smaller extractor."),
        ("raise OSError(28, 'No space left on device', '/data/x')", 1, "error: the disk is full "
         "(/data/x): No space left on device. Free some space, then run the same command again."),
        ("open('a' * 5000)", 1, "error: " + "a" * 5000 + ": File name too long."),
        ("from crosslook.errors import SettingError\nraise SettingError('a: b.')", 2,
         "error: a: b."),
        ("raise BrokenPipeError", 1, ""),
    ],
)  # fmt: skip
def test_every_end_is_one_line_and_a_code(body: str, code: int, words: str) -> None:
    end = ended(body)
    assert (end.returncode, end.stderr) == (code, f"{words}\n" if words else "")


def test_debugging_shows_where_and_what_libraries_say() -> None:
    body = "import warnings\nwarnings.warn('from a library')\nos.write(2, b'from C')\n{}['x']"
    assert ended(body).stderr.count("\n") == 1
    shown = ended(body, debug="1")
    assert shown.returncode == 70
    for words in ("Traceback", "in command", "from a library", "from C", "unexpected error"):
        assert words in shown.stderr


def test_an_interruption_that_falls_into_a_finaliser_is_not_lost() -> None:
    body = (
        "class Held:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(0.2)\n"
        "Held()\n"
        "time.sleep(20)\n"
    )
    end = ended(body)
    assert (end.returncode, end.stderr) == (130, "stopped. No half-written file is left.\n")


def test_an_interruption_that_a_library_turns_into_its_own_error_is_one_all_the_same() -> None:
    body = (
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(20)\n"
        "except BaseException:\n"
        "    raise SystemError('initialization failed')\n"
    )
    assert ended(body).returncode == 130


def test_a_second_ctrl_c_ends_what_still_waits(tmp_path: Path) -> None:
    body = (
        "from pathlib import Path\n"
        "from crosslook.atomic import atomic_path\n"
        f"with atomic_path(Path({str(tmp_path / 'a.txt')!r})) as path:\n"
        "    path.write_text('half')\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(30)\n"
    )
    assert ended(body).returncode == 130
    assert not list(tmp_path.iterdir())


def test_a_reader_that_leaves_early_is_no_error() -> None:
    listed = subprocess.Popen([*COMMAND, "extractors"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert listed.stdout is not None
    assert listed.stderr is not None
    listed.stdout.close()
    assert listed.stderr.read() == ""
    listed.wait()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that nobody can write")
@pytest.mark.parametrize("name", ["study", "build", "simulate", "audit"])
def test_a_folder_that_cannot_be_written_is_one_line(name: str, pairs: Path, basemap: Path) -> None:
    call, *_ = commands(pairs, basemap, Path("/proc/none"))[name]
    end = subprocess.run(call, capture_output=True, text=True)
    assert end.returncode == 1
    assert end.stderr.startswith("error: cannot write /proc/none")
    assert end.stderr.count("\n") == 1
