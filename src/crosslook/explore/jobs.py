"""Jobs on a bounded pool of processes: queued, watched, cancelled, kept on disk within a quota.

A job runs in a process of its own pool slot, which takes work from a pipe, tells
its progress and answers. What it reads may be hostile: a process that dies takes
its job along and nothing else, and the next job gets a new one. A cancelled
job's process is killed, which frees all its memory.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import secrets
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal

from crosslook.atomic import write_text
from crosslook.console import debugging
from crosslook.errors import CrosslookError, NotFoundError, TooLargeError
from crosslook.geo.opening import OPEN
from crosslook.progress import listening

_MEBI = 2**20
_BLOCK = 4096
_MOST_KEPT = 20_000
"""Uploads and jobs together; each is a folder of a few files, however small."""


class Quota:
    """Bytes by owner, an upload or a job, counted as they come and go; safe across threads.

    Parameters
    ----------
    most : int
        Bytes of all of them; ``used`` are taken by now.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.free: Callable[[], bool] = lambda: False
        """Removes something that may go, as the oldest of a bin; False where there is nothing."""
        self.may_go: Callable[[], list[str]] = list
        """The owners that :attr:`free` would remove, if it was called often enough."""
        self._bytes: dict[str, int] = {}
        self.used = 0
        self._lock = threading.Lock()

    def put(self, owner: str, size: int) -> None:
        """Note what an owner takes by now."""
        with self._lock:
            self.used += size - self._bytes.get(owner, 0)
            self._bytes[owner] = size

    def of(self, owner: str) -> int:
        """What an owner takes."""
        return self._bytes.get(owner, 0)

    def drop(self, owner: str) -> None:
        """Note that an owner is gone."""
        with self._lock:
            self.used -= self._bytes.pop(owner, 0)

    def check(self, more: int = 0) -> None:
        """Refuse what would not fit; what may go goes where that makes room enough.

        Raises
        ------
        TooLargeError
            If ``more`` bytes, or one folder more, are beyond the limit.
        """
        if self._is_beyond(more) and not self._is_beyond(more, without=self.may_go()):
            while self._is_beyond(more) and self.free():
                pass
        if self._is_beyond(more):
            raise TooLargeError(
                f"uploads and results already take {self.used // _MEBI} MiB of the "
                f"{self.most // _MEBI} MiB that are allowed, in {len(self._bytes)} of "
                f"{_MOST_KEPT} folders. Remove some of them, or start the explorer with a larger "
                "--max-stored."
            )

    def _is_beyond(self, more: int, without: Sequence[str] = ()) -> bool:
        used = self.used - sum(self.of(owner) for owner in without)
        kept = len(self._bytes.keys() - set(without))
        return used + more > self.most or kept > _MOST_KEPT


def size_of(folder: Path) -> int:
    """Bytes of the files in and below a folder, each in whole blocks as disks keep them."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # it has gone meanwhile
            total += -(-path.lstat().st_size // _BLOCK) * _BLOCK
    return total


TASKS = {
    "inspect": "crosslook.explore.images:inspect",
    "check": "crosslook.explore.matches:check_task",
    "locate": "crosslook.explore.matches:locate_task",
    "register": "crosslook.explore.matches:register_task",
    "refit": "crosslook.explore.matches:refit_task",
    "written": "crosslook.explore.matches:written_task",
    "maps": "crosslook.explore.runs:maps_task",
    "demo": "crosslook.explore.demo:demo_task",
    "demo-study": "crosslook.explore.demo:demo_study_task",
    "audit": "crosslook.explore.audits:audit_task",
    "atlas": "crosslook.explore.works:atlas_task",
    "study": "crosslook.explore.works:study_task",
    "batch": "crosslook.explore.works:batch_task",
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
    if not debugging():
        warnings.simplefilter("ignore")
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
    threading.Thread(target=_end_with_server, daemon=True).start()
    for name in ("matches", "images"):  # what every job needs, before anybody waits for it
        import_module(f"crosslook.explore.{name}")
    while True:
        try:
            kind, work, folder = receive(pipe)
        except (EOFError, OSError):
            return
        last = ["", 0.0]

        def heard(name: str, done: int, total: int, last: list[Any] = last) -> None:
            if name != last[0] or time.monotonic() - last[1] > _TELL_SECONDS:
                last[:] = [name, time.monotonic()]
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
    if server := multiprocessing.parent_process():
        server.join()
        os._exit(1)


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
        if debugging():
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


State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
_QUICK = ("inspect", "check", "maps", "written")
"""Kinds that someone waits for in front of the page: they go before the others."""
_KEPT = 100
"""Jobs of these kinds that are kept: nobody comes back to them."""
AFTER = "after"
"""In a job's work: the id of another that must have ended before this one starts."""
_MOST_TRIES = 2
_IN_BIN_SECONDS = 30 * 86_400
_OURS = ("demo", "demo-study")
"""Kinds that are no wish of a visitor: no limit refuses them."""
_ID = re.compile(r"[0-9a-f]{16}")
_FILE = "job.json"


class BusyError(CrosslookError):
    """Too many jobs wait already."""


@dataclass(frozen=True)
class Limits:
    """How much may be asked for.

    Attributes
    ----------
    queued : int
        Jobs that wait at one time.
    seconds : float
        That one job may run.
    pixels : int
        Of an image that is opened, over all bands.
    """

    queued: int = 1000
    seconds: float = 1800.0
    pixels: int = 400_000_000


@dataclass
class Job:
    """One request, and how far it is.

    Attributes
    ----------
    id : str
        Sixteen hexadecimal digits.
    kind : str
        One of :data:`crosslook.explore.jobs.TASKS`.
    title : str
        For people.
    request : dict
        As it was sent.
    work : dict
        The same with the places on disk that its names mean.
    state, stage : str
        The stage is the name that the work itself gives.
    done, total : int
        Steps of the stage; ``total`` is 0 where it is not counted.
    seconds : dict of str to float
        What each stage took, in the order in which they began; a stage that comes again is added.
    since : float
        When the present stage began; 0 where none is under way.
    error : str
        Why it failed.
    created, started, ended : float
        Seconds since 1970; 0 where it has not come to that.
    result : dict
        What the task returned.
    decision : str
        ``accepted``, ``refused`` or nothing yet, as a person said.
    tries : int
        How often it was under way when a server ended.
    removed : float
        When it was put into the bin, seconds since 1970; 0 where it was not.
    """

    id: str
    kind: str
    title: str
    request: dict[str, Any]
    work: dict[str, Any] = field(default_factory=dict)
    state: State = "queued"
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    since: float = 0.0
    error: str = ""
    created: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)
    decision: str = ""
    tries: int = 0
    removed: float = 0.0

    def public(self) -> dict[str, Any]:
        """What the API shows: all but the places on disk."""
        shown = asdict(self)
        del shown["work"]
        # From the copy: another thread may enter the next stage meanwhile.
        if shown["state"] == "running" and shown["since"]:
            spent = shown["seconds"].get(shown["stage"], 0.0) + time.time() - shown["since"]
            shown["seconds"][shown["stage"]] = round(spent, 1)
        return shown

    def enter(self, stage: str, done: int, total: int) -> None:
        """Note how far the work is, and what the stage before took."""
        if stage != self.stage or not self.since:
            self.leave()
            self.stage, self.since = stage, time.time()
            # A new dictionary, since another thread may be going over this one.
            self.seconds = {**self.seconds, stage: self.seconds.get(stage, 0.0)}
        self.done, self.total = done, total

    def leave(self) -> None:
        """Note what the present stage took."""
        if self.since:
            spent = self.seconds.get(self.stage, 0.0) + time.time() - self.since
            self.seconds[self.stage], self.since = round(spent, 3), 0.0


class Jobs:
    """The jobs of a folder and the processes that run them.

    Parameters
    ----------
    folder : Path
        A job's files lie in ``folder/<id>``; jobs of an earlier server are
        there again, those that waited or ran are queued anew.
    workers : int
        Processes at most.
    limits : Limits
    quota : Quota, optional
        What results may take, together with what else counts on it.
    ends : callable, optional
        Called with each job and the state in which it ends, in the thread of its slot and
        before anybody sees it ended: what it made is then shown already. Called again for
        one that is taken out of the bin.
    goes : callable, optional
        Called with each job that is put into the bin or discarded.
    """

    def __init__(
        self,
        folder: Path,
        workers: int,
        limits: Limits,
        quota: Quota | None = None,
        ends: Callable[[Job, State], None] = lambda job, state: None,
        goes: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.folder = folder
        self.limits = limits
        self._quota = quota or Quota(2**63)
        self._quota.free = self._free
        self._quota.may_go = lambda: [job.id for job in self.bin()]
        self._ends = ends
        self._goes = goes
        self._jobs: dict[str, Job] = {}
        self._queue: list[Job] = []
        self._change = threading.Condition()
        self.closing = False
        self._load()
        self._slots = [_Slot(self, number) for number in range(workers)]
        for slot in self._slots:
            slot.start()

    def add(self, kind: str, title: str, request: dict[str, Any], work: dict[str, Any]) -> Job:
        """Queue a job.

        Raises
        ------
        BusyError
            If too many wait.
        TooLargeError
            If what is kept already takes all that it may.
        """
        if kind not in _OURS:
            self._quota.check()
        job = Job(secrets.token_hex(8), kind, title, request, work, created=time.time())
        with self._change:
            if kind not in _OURS and len(self._queue) >= self.limits.queued:
                raise BusyError(
                    f"{len(self._queue)} jobs wait already, as many as may. Ask again when some "
                    "have ended, or start the explorer with a larger --max-queued."
                )
            self._jobs[job.id] = job
            self._queue.append(job)
            self._save(job)
            self._change.notify_all()
            quick = [one for one in self._jobs.values() if one.kind in _QUICK]
        ended = [one for one in quick if one.state in ENDED]
        for old in sorted(ended, key=lambda one: one.created)[: max(0, len(quick) - _KEPT)]:
            self.discard(old.id)
        return job

    def get(self, name: str) -> Job:
        """Find a job.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        job = self._jobs.get(name)
        if job is None:
            raise NotFoundError(f"there is no job '{name[:32]}'; it may have been removed.")
        return job

    def all(self) -> list[Job]:
        """All jobs but those in the bin, the newest first."""
        with self._change:
            shown = [job for job in self._jobs.values() if not job.removed]
        return sorted(shown, key=lambda job: -job.created)

    def bin(self) -> list[Job]:
        """What was removed and can be had back, the latest first."""
        with self._change:
            return sorted(
                (job for job in self._jobs.values() if job.removed), key=lambda job: -job.removed
            )

    def place_of(self, job: Job) -> Path:
        """The folder of a job."""
        return self.folder / job.id

    def ahead_of(self, job: Job) -> int:
        """How many jobs are run before this one, those that run now included."""
        with self._change:
            if job.state != "queued":
                return 0
            running = sum(other.state == "running" for other in self._jobs.values())
            order = sorted(self._queue, key=_order)
            return running + (order.index(job) if job in order else 0)

    def cancel(self, name: str) -> Job:
        """Take a job out of the queue, or kill the process that runs it."""
        job = self.get(name)
        with self._change:
            if job.state in ENDED:
                return job
            was_running = job.state == "running"
            job.leave()
            job.state, job.ended = "cancelled", time.time()
            job.error = "cancelled; its memory was given back at once"
            if job in self._queue:
                self._queue.remove(job)
            self._save(job)
            self._change.notify_all()
            for slot in self._slots:
                if was_running and slot.job is job:
                    slot.kill()
        return job

    def remove(self, name: str) -> Job:
        """Cancel a job and put it into the bin, from where it can be had back."""
        job = self.cancel(name)
        with self._change:
            job.removed = time.time()
            self._save(job)
        self._goes(job)
        return job

    def size(self, job: Job) -> int:
        """Bytes that a job takes of what may be stored."""
        return self._quota.of(job.id)

    def restore(self, name: str) -> Job:
        """Take a job out of the bin."""
        job = self.get(name)
        with self._change:
            job.removed = 0.0
            self._save(job)
        self._ends(job, job.state)
        return job

    def discard(self, name: str) -> None:
        """Cancel a job and remove its files for good."""
        job = self.cancel(name)
        with self._change:
            self._jobs.pop(job.id, None)
        self._goes(job)
        shutil.rmtree(self.place_of(job), ignore_errors=True)
        self._quota.drop(job.id)

    def _free(self) -> bool:
        """Give up what has been in the bin for the longest; False where it is empty."""
        removed = self.bin()
        if removed:
            with suppress(NotFoundError):  # another request was first
                self.discard(removed[-1].id)
        return bool(removed)

    def decide(self, name: str, decision: str) -> Job:
        """Note what a person thinks of a result."""
        job = self.get(name)
        with self._change:
            job.decision = decision
            self._save(job)
        return job

    def close(self) -> None:
        """End all processes; jobs that run are queued again by the next server."""
        with self._change:
            self.closing = True
            self._change.notify_all()
            for slot in self._slots:
                slot.kill()
        for slot in self._slots:
            slot.join(timeout=5)

    def take(self) -> Job | None:
        """The next job for a slot; waits for one, None when all is over."""
        with self._change:
            while not (free := [job for job in self._queue if self._may_start(job)]):
                if self.closing:
                    return None
                self._change.wait()
            if self.closing:
                return None
            job = min(free, key=_order)
            self._queue.remove(job)
            job.state, job.started = "running", time.time()
            self._save(job)
            return job

    def _may_start(self, job: Job) -> bool:
        """Whether the job that must have ended before this one has."""
        before = self._jobs.get(job.work.get(AFTER, ""))
        return before is None or before.state in ENDED

    def finish(self, job: Job, result: dict[str, Any], error: str) -> None:
        """Note how a job ended, unless it was cancelled or the server ends meanwhile."""
        state: State = "failed" if error else "done"
        if job.state != "cancelled" and not self.closing:
            self._ends(job, state)
        with self._change:
            if job.state == "cancelled" or self.closing:
                return
            job.state, job.result, job.error, job.ended = state, result, error, time.time()
            job.leave()
            job.stage = ""
            if job.id in self._jobs:
                self._save(job)
            self._change.notify_all()  # others may have waited for this one

    def tidy(self, job: Job) -> None:
        """Remove what a job needed while it ran, and count what it left."""
        folder = self.place_of(job)
        if job.id not in self._jobs:  # it was removed while it ran
            shutil.rmtree(folder, ignore_errors=True)
            return
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        self._quota.put(job.id, size_of(folder))

    def _save(self, job: Job) -> None:
        write_text(self.place_of(job) / _FILE, json.dumps(asdict(job), indent=1) + "\n")

    def _load(self) -> None:
        for path in sorted(self.folder.glob(f"*/{_FILE}")):
            with suppress(OSError, ValueError, TypeError):  # a damaged one is not shown
                job = Job(**json.loads(path.read_text(encoding="utf-8")))
                if job.id != path.parent.name or not _ID.fullmatch(job.id):
                    continue
                self._jobs[job.id] = job
                if 0.0 < job.removed < time.time() - _IN_BIN_SECONDS:
                    self.discard(job.id)
                    continue
                self.tidy(job)
                job.tries += job.state == "running"
                if job.tries >= _MOST_TRIES and job.state == "running":
                    job.state, job.error = "failed", "the explorer ended twice while this ran"
                    self._save(job)
                elif job.state in ("queued", "running"):
                    job.state, job.stage, job.started = "queued", "", 0.0
                    job.seconds, job.since = {}, 0.0
                    self._queue.append(job)
                    self._save(job)


def _order(job: Job) -> tuple[bool, float]:
    return job.kind not in _QUICK, job.created


_LATE = (
    "this took longer than the {minutes:g} minutes that a job may. Search a smaller range or "
    "give a smaller image, or start the explorer with a larger --max-minutes."
)
_DEAD = (
    "the process that worked on this ended before it was done ({how}), perhaps for want of "
    "memory. Nothing else is lost and other jobs go on: start it again, or with a smaller image."
)


class _Slot(threading.Thread):
    """Runs one job after the other in a process that it starts anew when it has died."""

    def __init__(self, jobs: Jobs, number: int) -> None:
        super().__init__(name=f"slot {number}", daemon=True)
        self.jobs = jobs
        self.job: Job | None = None
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    def run(self) -> None:
        """Work until the server ends."""
        self._ready()
        while (job := self.jobs.take()) is not None:
            self.job = job
            try:
                self._run(job)
            except CrosslookError as error:
                self.jobs.finish(job, {}, str(error))
            self.job = None
            self.jobs.tidy(job)
        self.kill()

    def kill(self) -> None:
        """End the process, at once."""
        if self._process is not None:
            self._process.kill()

    def _ready(self) -> Connection:
        """The pipe of a process that waits for work."""
        if self._process is None or self._pipe is None or not self._process.is_alive():
            if self._process is not None:
                self._process.join()
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            limits = {"max_pixels": self.jobs.limits.pixels}
            self._process = context.Process(target=serve, args=(theirs, limits), daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe

    def _run(self, job: Job) -> None:
        pipe = self._ready()
        folder = self.jobs.place_of(job)
        try:
            if job.state == "cancelled":
                return
            tell(pipe, job.kind, job.work, str(folder))
            ends = time.monotonic() + self.jobs.limits.seconds
            while True:
                if not pipe.poll(max(0.0, ends - time.monotonic())):
                    self.kill()
                    self._forget()
                    minutes = self.jobs.limits.seconds / 60
                    self.jobs.finish(job, {}, _LATE.format(minutes=minutes))
                    return
                kind, *values = receive(pipe)
                if kind == "stage":
                    job.enter(*values)
                else:
                    result, error = values
                    self.jobs.finish(job, result, error)
                    return
        except ValueError:  # what came is no answer
            self.kill()
            self._say_dead(job)
        except (EOFError, OSError):
            self._say_dead(job)

    def _say_dead(self, job: Job) -> None:
        code = self._forget()
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self.jobs.finish(job, {}, _DEAD.format(how=how))
        if not self.jobs.closing:
            self._ready()

    def _forget(self) -> int | None:
        """Let go of a process that has ended; its exit code."""
        code = None
        if self._process is not None:
            self._process.join(timeout=5)
            code = self._process.exitcode
        self._process = self._pipe = None
        return code
