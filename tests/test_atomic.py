"""Writes happen whole; what a killed writer left is swept."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crosslook.atomic import (
    atomic_path,
    check_writable,
    sweep,
    write_bytes,
    write_new,
    write_text,
)
from crosslook.errors import OutputError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def write_half() -> None:
        with atomic_path(target) as path:
            path.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == {"a.txt"}


def test_the_temporary_name_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "image.tif") as path:
        assert path.suffix == ".tif"
        path.write_bytes(b"x")
    assert (tmp_path / "image.tif").read_bytes() == b"x"


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"mine")
    with pytest.raises(OutputError, match="Choose another folder"):
        check_writable(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_only_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from crosslook.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1]) / 'deep' / 'a.bin') as path:\n"
        "    path.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(names(tmp_path / "deep")) == 1
    for name in (".hidden", ".crosslook-notes"):
        (tmp_path / name).write_text("the user's")
    with atomic_path(tmp_path / "b.bin") as mine:
        check_writable(tmp_path)
        assert names(tmp_path / "deep") != set(), "it sweeps its own folder alone"
        sweep(tmp_path)
        assert names(tmp_path / "deep") == set()
        assert names(tmp_path) == {"deep", mine.name, ".hidden", ".crosslook-notes"}


def test_what_another_machine_writes_is_left_alone_for_a_day(tmp_path: Path) -> None:
    theirs = tmp_path / f".crosslook-01234567-{2**22 + 1}-89abcdef.npz"
    theirs.write_bytes(b"under way")
    sweep(tmp_path)
    assert names(tmp_path) == {theirs.name}
    os.utime(theirs, (0, 0))
    sweep(tmp_path)
    assert names(tmp_path) == set()


def test_of_many_that_claim_a_name_one_gets_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: write_new(tmp_path / "a", b"%d" % n), range(32)))
    assert answers.count(True) == 1
    assert (tmp_path / "a").read_bytes() == b"%d" % answers.index(True)
    assert names(tmp_path) == {"a"}


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "mine", "secret")
    finally:
        os.umask(before)
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o600


def test_what_a_writer_put_beside_its_file_goes_too(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.tif") as path:
            path.with_suffix(".tif.ovr.tmp").write_bytes(b"overviews")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write()
    assert names(tmp_path) == set()
