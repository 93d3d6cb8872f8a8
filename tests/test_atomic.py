"""Writes happen whole; what a killed writer left is swept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crosslook.atomic import atomic_path, check_writable, sweep, write_bytes, write_text
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
    mine = tmp_path / f".crosslook-{os.getpid()}-x.bin"
    mine.write_bytes(b"under way")
    (tmp_path / ".hidden").write_text("the user's")
    sweep(tmp_path)
    assert names(tmp_path / "deep") == set()
    assert names(tmp_path) == {"deep", mine.name, ".hidden"}
