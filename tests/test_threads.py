"""How many threads the work takes, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from threading import Barrier, Event

import cv2
import pytest
from threadpoolctl import ThreadpoolController

from crosslook import threads


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def blas() -> set[int]:
    pools = ThreadpoolController().info()
    return {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}


def test_the_number_is_that_of_the_cores() -> None:
    assert threads.count() == 2


@pytest.mark.parametrize(("named", "expected"), [("1", 1), ("8", 2), ("1,4", 1), ("", 2), ("x", 2)])
def test_the_environment_lowers_it(
    monkeypatch: pytest.MonkeyPatch, named: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", named)
    assert threads.count() == expected


def test_a_limit_holds_for_what_is_within_and_leaves_nothing_behind() -> None:
    before = cv2.getNumThreads(), blas()
    with threads.limited(1):
        assert threads.count() == 1
        assert cv2.getNumThreads() == 1
        assert blas() == {1}
    assert threads.count() == 2
    assert (cv2.getNumThreads(), blas()) == before


def test_libraries_have_one_thread_where_the_work_falls_into_pieces() -> None:
    with threads.limited(2):
        assert cv2.getNumThreads() == 2
        with threads.limited(in_pieces=True):
            assert threads.count() == 2
            assert cv2.getNumThreads() == 1
            assert blas() == {1}
        assert cv2.getNumThreads() == 2


def test_the_last_to_leave_restores_what_was_before_the_first() -> None:
    before, inside, leave = cv2.getNumThreads(), Event(), Event()

    def stay() -> None:
        with threads.limited(1):
            inside.set()
            leave.wait(30)

    other = threading.Thread(target=stay)
    with threads.limited(1):
        other.start()
        assert inside.wait(30)
    assert cv2.getNumThreads() == 1
    leave.set()
    other.join()
    assert cv2.getNumThreads() == before


def test_pieces_are_done_at_once_and_kept_in_order() -> None:
    both = Barrier(2, timeout=30)  # passes only where two wait for each other

    def work(item: int) -> tuple[int, int]:
        both.wait()
        return item, threads.count()

    assert threads.run(work, [3, 1]) == [(3, 1), (1, 1)]


def test_one_thread_makes_no_other() -> None:
    with threads.limited(1):
        assert set(threads.run(lambda _: threading.get_ident(), [0, 1, 2])) == {
            threading.get_ident()
        }


def test_an_error_of_a_piece_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        threads.run(lambda item: 1 // item, [1, 0])


def test_steps_are_limited_and_what_comes_between_is_not() -> None:
    steps = threads.stepwise((threads.count() for _ in range(3)), 1)
    assert [(inside, threads.count()) for inside in steps] == [(1, 2)] * 3


def test_no_more_at_once_than_memory_allows() -> None:
    assert set(threads.run(lambda _: threading.get_ident(), [0, 1, 2], most=1)) == {
        threading.get_ident()
    }


def test_a_blas_that_is_built_with_openmp_has_one_thread_too() -> None:
    """In a process of its own: whether OpenMP comes after BLAS depends on the order of loading."""
    for name in ("faiss", "torch"):
        pytest.importorskip(name, reason=f"{name} brings a BLAS")
    code = (
        "import faiss, scipy.linalg, cv2\n"
        "from threadpoolctl import ThreadpoolController\n"
        "from crosslook import threads\n"
        "with threads.limited(2), threads.limited(2, in_pieces=True):\n"
        "    pools = ThreadpoolController().info()\n"
        "print({p['num_threads'] for p in pools if p['user_api'] == 'blas'})"
    )
    for order in ("faiss, torch", "torch, faiss", "faiss"):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("faiss", order, 1)],
            capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "2"},
        )  # fmt: skip
        assert done.stdout.strip() == "{1}", order


def test_workers_that_wait_lend_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with threads.limited(least=2):
        assert threads.count() == 2
    with threads.limited(least=9):
        assert threads.count() == 4  # no more than there are cores
    monkeypatch.setattr(threads, "is_tight", lambda: True)
    with threads.limited(least=2):
        assert threads.count() == 1
