"""Queue, time and store have limits; options are let in by their type. Without a server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

import psutil
import pytest
from pydantic import Field

pytest.importorskip("fastapi", reason="the extra 'web' is not installed")

from crosslook import options
from crosslook.atlas import settings as atlas_settings
from crosslook.errors import CrosslookError, NotFoundError, SettingError, TooLargeError
from crosslook.explore import guard, jobs
from crosslook.explore.images import Uploads, open_upload
from crosslook.explore.jobs import BusyError, Jobs, Limits, Quota
from crosslook.explore.options import MODELS, checked, offered
from crosslook.geo.image import Reading
from crosslook.match import settings as match_settings
from crosslook.options import Closed, Extractors, Settings, is_closed
from crosslook.retrieval import settings as retrieval_settings


def test_the_queue_has_an_end(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 0, Limits(queued=2))
    for _ in range(2):
        jobs.add("inspect", "one", {}, {})
    with pytest.raises(BusyError, match=r"2 jobs wait already.*--max-queued"):
        jobs.add("inspect", "one", {}, {})
    jobs.add("demo", "the operator's own", {}, {})
    jobs.take()
    jobs.take()
    jobs.add("inspect", "there is room again", {}, {})


def test_results_count_as_uploads_do(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    quota = Quota(100_000)
    uploads = Uploads(tmp_path / "uploads", 200_000, quota)
    jobs = Jobs(tmp_path / "jobs", 0, Limits(), quota)
    job = jobs.add("inspect", "one", {}, {})
    (tmp_path / "jobs" / job.id / "big.tif").write_bytes(bytes(90_000))
    jobs.tidy(job)
    with pytest.raises(TooLargeError, match=r"uploads and results already take .*--max-stored"):
        asyncio.run(uploads.take("x.png", 0, _chunks(b"\x89PNG\r\n\x1a\n" + bytes(20_000))))
    assert list((tmp_path / "uploads").iterdir()) == []
    again = Jobs(tmp_path / "jobs", 0, Limits(), other := Quota(80_000))  # after a restart
    assert other.used >= 90_000
    with pytest.raises(TooLargeError):
        again.add("inspect", "two", {}, {})
    again.remove(job.id)
    assert other.used >= 90_000  # what lies in the bin counts
    assert [one.id for one in again.bin()] == [job.id]
    again.add("inspect", "two", {}, {})  # and goes where room is needed
    assert again.bin() == []
    assert other.used < 80_000


def test_the_bin_stays_where_emptying_it_would_not_make_room(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    quota = Quota(100_000)
    uploads = Uploads(tmp_path / "uploads", 200_000, quota)
    jobs = Jobs(tmp_path / "jobs", 0, Limits(), quota)
    kept, gone = jobs.add("register", "kept", {}, {}), jobs.add("register", "gone", {}, {})
    for job, size in ((kept, 60_000), (gone, 20_000)):
        (tmp_path / "jobs" / job.id / "big.tif").write_bytes(bytes(size))
        jobs.tidy(job)
    jobs.remove(gone.id)
    with pytest.raises(TooLargeError):
        asyncio.run(uploads.take("x.png", 50_000, _chunks(b"")))
    assert [job.id for job in jobs.bin()] == [gone.id]


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 4096):
        yield data[at : at + 4096]


def test_what_an_upload_left_half_way_is_removed(tmp_path: Path) -> None:
    (tmp_path / "0123456789abcdef").mkdir()
    (tmp_path / "0123456789abcdef" / "incoming").write_bytes(bytes(9))
    Uploads(tmp_path, 100, Quota(100))
    assert list(tmp_path.iterdir()) == []


def test_uploads_at_once_share_what_is_left(tmp_path: Path) -> None:
    """Each is counted as it comes, not when it is whole."""
    uploads = Uploads(tmp_path, 10_000_000, quota := Quota(100_000))

    async def slow() -> AsyncIterator[bytes]:
        yield b"\x89PNG\r\n\x1a\n"
        for _ in range(20):
            await asyncio.sleep(0)
            yield bytes(4096)

    async def both() -> list[Any]:
        takes = (uploads.take("x", 0, slow()) for _ in range(3))
        return await asyncio.gather(*takes, return_exceptions=True)

    ended = asyncio.run(both())
    assert any(isinstance(one, TooLargeError) for one in ended)
    kept = sum(path.stat().st_size for path in tmp_path.rglob("image*"))
    assert kept <= quota.used <= 100_000


def test_a_job_ends_when_its_time_is_over(tmp_path: Path) -> None:
    """Here while its process still loads; the process goes too."""
    jobs = Jobs(tmp_path, 1, Limits(seconds=0.05))
    try:
        job = jobs.add("inspect", "slow", {}, {"image": {}, "settings": {}})
        _until(lambda: job.state == "failed")
        assert "took longer than the 0.000833333 minutes" in job.error
        assert "--max-minutes" in job.error
        spawned = [p for p in psutil.Process().children() if "spawn_main" in " ".join(_line(p))]
        assert len(spawned) <= 1
    finally:
        jobs.close()


def _line(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _until(holds: Any) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_request_that_stops_half_way_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_PATIENCE", 0.05)
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.extend([(await receive())["type"], (await receive())["type"]])

    parts = iter([{"type": "http.request", "body": b"x", "more_body": True}])

    async def receive() -> Any:
        part = next(parts, None)
        if part is None:
            await asyncio.sleep(60)
        return part

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/uploads", "query_string": b"",
             "headers": [(b"host", b"127.0.0.1")]}  # fmt: skip
    asyncio.run(guard.Guard(app, "127.0.0.1", "")(scope, receive, send))
    assert heard == ["http.request", "http.disconnect"]


class Newer(Settings):
    """Fields as a later version may add them."""

    note: str = ""
    place: Path | None = None
    places: tuple[Path, ...] = ()
    where: Path | str = ""
    named: dict[str, Path] = Field(default_factory=dict)
    marked: Annotated[Path | None, Closed()] = None
    words: Annotated[str | None, Closed()] = None
    model: Annotated[str, Extractors()] = "hog"
    number: float | None = None
    box: tuple[float, float] | None = None


def test_a_new_field_is_refused_until_its_text_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {n for n, f in Newer.model_fields.items() if is_closed(f)} == {"words", "number", "box"}
    monkeypatch.setitem(MODELS, "newer", Newer)
    assert set(offered("newer")) == {"words", "number", "box", "model"}
    for name in set(Newer.model_fields) - set(offered("newer")):
        with pytest.raises(SettingError, match=f"{name} may name a file"):
            checked("newer", {name: "/etc/hostname"})


def test_no_field_that_names_a_file_is_let_in() -> None:
    """Of all settings that there are: a path in its type, or a word of files in its help."""
    models = [
        one
        for module in (options, match_settings, atlas_settings, retrieval_settings)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Settings)
    ]
    assert len(models) > 15
    for model in models:
        for name, field in model.model_fields.items():
            if is_closed(field):
                assert "Path" not in str(field.annotation), (model, name)
                metavar = options.cli_of(field).metavar
                assert not {"FILE", "FOLDER", "ADDRESS"} & set(metavar.split()), (model, name)


class _Values:
    """Values of every type that JSON has, drawn with a seed."""

    def __init__(self, seed: int, canary: Path) -> None:
        self.draw = random.Random(seed)
        gone = canary.with_name("gone")
        self.texts = [
            "", "x", "a" * 300, "\0", "\u202e", "1", "nan", "None", "hf:x/y", "0.7:1.4", "1:2:3:4",
            *(p.format(at) for at in (canary, gone, canary.parent) for p in (
                "{}", "file://{}", "~/{}", "../../{}", "hf:{}", "dinov2:{}", "untrained:hf:{}",
                "hog:cell={}", "/vsicurl/{}", "bands={}", "{}:{}:{}", "clip={}", "NETCDF:{}:x",
            ) if p.count("{}") == 1),
        ]  # fmt: skip

    def any(self, depth: int = 0) -> Any:
        kinds: list[Callable[[], Any]] = [
            lambda: self.draw.choice(self.texts),
            lambda: self.draw.choice([0, 1, -1, 2**31, 2**63, -(2**70), 10**40]),
            lambda: self.draw.choice([0.0, -0.5, 1e308, 5e-324, float("nan"), float("inf"), 7.3]),
            lambda: self.draw.choice([True, False, None]),
            lambda: [self.any(depth + 1) for _ in range(self.draw.randrange(6))],
            lambda: {self.draw.choice(self.texts): self.any(depth + 1)},
        ]
        return self.draw.choice(kinds[: 4 if depth > 2 else None])()


def _asked(kind: str, settings: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What is taken, and what is said against it."""
    try:
        return checked(kind, settings), ""
    except CrosslookError as error:
        return {}, str(error)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", sorted(MODELS))
def test_any_value_of_any_field_is_taken_or_refused_in_words(
    kind: str, seed: int, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "config.json").write_text("{}")
    values = _Values(seed, canary)
    names = [*MODELS[kind].model_fields, "unknown", "__class__", "x" * 300]
    for _ in range(400):
        name, value = values.draw.choice(names), values.any()
        taken, said = _asked(kind, {name: value})
        assert len(said) < 1500
        assert "\n" not in said
        assert said or name in offered(kind)
        assert set(taken) <= {name}


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_whether_a_file_is_there_cannot_be_asked(kind: str, tmp_path: Path) -> None:
    """The answer to a path that is there is that to one that is not."""
    there, gone = tmp_path / "aaaa", tmp_path / "bbbb"
    there.mkdir()
    (there / "config.json").write_text("{}")
    forms = ("{}", "dinov2:{}", "untrained:clip:{}", "hf:{}", "{}/config.json", "hog:cell={}")
    for name in MODELS[kind].model_fields:
        for form in forms:
            first, second = (repr(_asked(kind, {name: form.format(at)})) for at in (there, gone))
            assert first.replace("aaaa", "bbbb") == second, (name, form)


def test_a_job_whose_upload_is_gone_says_so(tmp_path: Path) -> None:
    gone = {"path": str(tmp_path / "image.tif"), "name": "mine.tif"}
    with pytest.raises(NotFoundError, match=r"'mine\.tif' was removed; drop the image again"):
        open_upload(gone, "sar", Reading(), 1000)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("dinov2 lacks config.json in /root/cache/models--a/main; run: x", "main; run: x"),
        ("see 'http://127.0.0.1/a/b/c' and 10/20/30", "'http://127.0.0.1/a/b/c' and 10/20/30"),
        ("tiles are .../z/x/y.png, at 5 m/px", ".../z/x/y.png, at 5 m/px"),
    ],
)
def test_no_error_shows_a_folder_of_the_server(said: str, shown: str) -> None:
    plain = jobs._plain(said, {})
    assert plain.endswith(shown)
    assert "/root" not in plain
