"""The queue by itself, without a process."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'web' is not installed")

from crosslook.explore.jobs import AFTER, Job, Jobs, Limits


def test_a_job_waits_for_the_one_that_it_comes_after(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 0, Limits())
    first = jobs.add("demo", "first", {}, {})
    second = jobs.add("demo-study", "second", {}, {AFTER: first.id})
    assert jobs.take() is first
    taken: list[Job | None] = []
    thread = threading.Thread(target=lambda: taken.append(jobs.take()))
    thread.start()
    thread.join(0.1)
    assert taken == []
    jobs.finish(first, {}, "")
    thread.join(10)
    assert taken == [second]


def test_what_a_job_made_is_shown_before_the_job_is_reported_as_done(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    jobs = Jobs(tmp_path, 0, Limits(), ends=lambda job, state: seen.append((job.state, state)))
    job = jobs.add("audit", "one", {}, {})
    assert jobs.take() is job
    jobs.finish(job, {}, "")
    assert seen == [("running", "done")]
    assert job.state == "done"


@pytest.mark.parametrize("how", ["cancel", "remove"])
def test_a_job_goes_on_without_one_that_is_gone(tmp_path: Path, how: str) -> None:
    jobs = Jobs(tmp_path, 0, Limits())
    first = jobs.add("demo", "first", {}, {})
    second = jobs.add("demo-study", "second", {}, {AFTER: first.id})
    getattr(jobs, how)(first.id)
    assert jobs.take() is second


def test_a_job_is_read_while_its_stages_change() -> None:
    job = Job("0" * 16, "register", "one", {}, {}, state="running")
    over = threading.Event()

    def work() -> None:
        for stage in range(1000):
            job.enter(f"stage {stage}", 0, 0)
            job.leave()
        over.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns within a statement
    thread = threading.Thread(target=work)
    thread.start()
    longest = 0.0
    try:
        while not over.is_set():
            longest = max([longest, *job.public()["seconds"].values()])
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert longest < 60
