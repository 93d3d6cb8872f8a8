"""The server of the explorer: pages, JSON, tiles, on one machine."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import click
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from crosslook._version import __version__
from crosslook.atomic import check_writable
from crosslook.errors import CrosslookError, InputError, NotFoundError, OutputError, TooLargeError
from crosslook.explore import api
from crosslook.explore.browse import Root
from crosslook.explore.demo import FOLDERS, PARTS
from crosslook.explore.guard import LOOPBACK, Guard
from crosslook.explore.images import MEBI, Uploads
from crosslook.explore.jobs import AFTER, BusyError, Job, Jobs, Limits, Quota, State
from crosslook.explore.library import Library, places_in
from crosslook.explore.matches import add_atlases
from crosslook.explore.root_api import root_routes
from crosslook.explore.settings import ExploreSettings
from crosslook.explore.works import MADE

_STATIC = files("crosslook.explore") / "static"
_GIBI = 2**30
_MOST_SHOWN = 80
_MOST_HEADERS = 32 * 1024
_STATUS = {NotFoundError: 404, TooLargeError: 413, BusyError: 429, OutputError: 507}


@dataclass
class Explorer:
    """All that a server keeps: what is shown, uploads, jobs."""

    settings: ExploreSettings
    library: Library
    uploads: Uploads
    jobs: Jobs
    token: str

    @classmethod
    def open(cls, settings: ExploreSettings) -> Explorer:
        """Open the folder of results and everything that is to be shown.

        Raises
        ------
        InputError
            If a place is nothing that can be shown.
        OutputError
            If the folder cannot be written, or another explorer uses it.
        """
        out = settings.out.resolve()
        check_writable(out)
        if settings.root is not None and not settings.root.is_dir():
            raise InputError(f"--root {settings.root} is no folder; give one that is there.")
        _lock(out)
        library = Library(out / "tiles")
        for place in settings.places:
            for one in places_in(place if "://" in place else str(Path(place).resolve())):
                library.add(one)
        add_atlases(library)
        for folder in ("uploads", "jobs", "marks"):
            (out / folder).mkdir(exist_ok=True)
        quota = Quota(settings.max_stored * _GIBI)
        uploads = Uploads(out / "uploads", settings.max_upload * MEBI, quota)
        limits = Limits(
            queued=settings.max_queued,
            seconds=settings.max_minutes * 60,
            pixels=settings.max_pixels * 1_000_000,
        )
        ends = partial(_take_in, library, out)
        goes = partial(_take_out, library)
        jobs = Jobs(out / "jobs", settings.workers, limits, quota, ends, goes)
        _take_in_demo(library, out)
        for job in jobs.all():
            _take_in(library, out, job, job.state)
        token = "" if settings.host in LOOPBACK else token_urlsafe(24)
        explorer = cls(settings, library, uploads, jobs, token)
        if settings.demo:
            explorer.make_demo()
        return explorer

    @property
    def root(self) -> Path | None:
        """The folder below which the page may name files; None where none was given."""
        return None if self.settings.root is None else self.settings.root.resolve()

    @property
    def demo(self) -> Path:
        """Where the demo lies."""
        return self.settings.out.resolve() / "demo"

    def make_demo(self) -> list[Job]:
        """Start the two jobs of the demo, unless all is there or they are under way.

        The second starts when the first has ended: an atlas and a chip to find
        on it are what a person begins with, and nothing shall delay them.
        """
        work = {"demo": str(self.demo)}
        open_ = {job.kind: job for job in self.jobs.all() if job.state in ("queued", "running")}
        made: list[Job] = []
        for kind, (title, last) in PARTS.items():
            after = {AFTER: made[-1].id} if made else {}
            if kind in open_:
                made.append(open_[kind])
            elif not (self.demo / last).is_file():
                made.append(self.jobs.add(kind, title, {}, work | after))
        return made

    def close(self) -> None:
        """End the jobs' processes."""
        self.library.closing = True
        self.jobs.close()


_locks: list[Any] = []


def _lock(out: Path) -> None:
    """One explorer per folder: two would run each other's jobs."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    file = (out / ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise OutputError(
            f"another explorer uses {out}. End it, or give another folder by --out."
        ) from None
    _locks.append(file)  # kept open while the process lives


def _take_in(library: Library, out: Path, job: Job, state: State) -> None:
    """Show what a job has made, also what a part of the demo did before it failed."""
    with suppress(CrosslookError):  # as where its folder was removed by hand
        place = out / "jobs" / job.id
        if job.kind == "audit" and state == "done":
            library.add(str(place / "files"), name=job.title, job=job.id)
        if job.kind in ("atlas", "study", "batch") and state == "done":
            for made in places_in(str(place / MADE / str(job.work["name"]))):
                library.add(made, job=job.id)
    if job.kind in ("demo", "demo-study"):
        _take_in_demo(library, out)


def _take_out(library: Library, job: Job) -> None:
    """Show no longer what a job has made, which is in the bin or gone."""
    library.drop(job.id)


def _take_in_demo(library: Library, out: Path) -> None:
    for name in FOLDERS:
        folder = out / "demo" / name
        if folder.is_dir():
            with suppress(CrosslookError):  # not whole yet
                library.add(str(folder), synthetic=True)


def make_app(explorer: Explorer) -> FastAPI:
    """Build the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        explorer.close()

    app = FastAPI(
        title="crosslook explorer",
        version=__version__,
        description="Locate and register SAR images, and look at studies and audits. "
        "Upload an image to /uploads, name it in /locate or /register, follow /jobs/{id}.",
        docs_url=None,  # that page would come from another machine; ours is at /#api
        redoc_url=None,
        lifespan=lifespan,
    )
    settings = explorer.settings
    marks = settings.out.resolve() / "marks"
    _add_errors(app)
    app.include_router(api.request_routes(explorer.uploads, explorer.jobs, explorer.library))
    root = Root(explorer.root, settings.out.resolve())
    app.include_router(root_routes(root, explorer.library, explorer.jobs))
    app.include_router(api.shown_routes(explorer.library, explorer.jobs, marks))
    _add_pages(app, explorer)
    app.add_middleware(Guard, host=settings.host, token=explorer.token)
    return app


def _add_errors(app: FastAPI) -> None:
    """Every error is ``{"error": words}``."""

    @app.exception_handler(CrosslookError)
    def known(_: Request, error: CrosslookError) -> JSONResponse:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)
        return JSONResponse({"error": str(error)}, status, {"connection": "close"})

    @app.exception_handler(ClientDisconnect)
    def broken(_: Request, error: ClientDisconnect) -> JSONResponse:
        words = "the request broke off, or nothing came of it for a minute; send it again."
        return JSONResponse({"error": words}, 408, {"connection": "close"})

    @app.exception_handler(RequestValidationError)
    def wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])[:_MOST_SHOWN]
        return JSONResponse({"error": f"{where or 'the request'}: {first['msg']}."}, 422)

    @app.exception_handler(HTTPException)
    def plain(_: Request, error: HTTPException) -> JSONResponse:
        words = "there is nothing at this address." if error.status_code == 404 else error.detail
        return JSONResponse({"error": words}, error.status_code)


def _add_pages(app: FastAPI, explorer: Explorer) -> None:
    settings = explorer.settings
    with as_file(_STATIC) as folder:
        app.mount("/static", StaticFiles(directory=folder), name="static")

        @app.get("/", include_in_schema=False)
        def start() -> FileResponse:
            return FileResponse(folder / "index.html", headers={"cache-control": "no-cache"})

    @app.get("/plotly.js", include_in_schema=False)
    def plotly() -> Response:
        from plotly.offline import get_plotlyjs

        keep = {"cache-control": "private, max-age=86400"}
        return Response(get_plotlyjs(), media_type="text/javascript", headers=keep)

    @app.get("/library", tags=["explorer"])
    def library() -> dict[str, Any]:
        """What there is to see, and the limits of this explorer."""
        return {
            **explorer.library.describe(),
            "limits": {
                "upload_bytes": settings.max_upload * MEBI,
                "pixels": settings.max_pixels * 1_000_000,
                "workers": settings.workers,
            },
            "chips": sorted(api.files_in(explorer.demo / "chips").keys() - {"truth.json"}),
            "version": __version__,
            "root": None if explorer.root is None else explorer.root.name,
        }

    @app.post("/demo", tags=["explorer"], status_code=202)
    def demo() -> list[dict[str, Any]]:
        """Simulate an atlas, chips of it, a run and an audit; two jobs, none where all is there."""
        return [job.public() for job in explorer.make_demo()]

    @app.get("/demo/chips/{name}", tags=["explorer"])
    def chip(name: str) -> FileResponse:
        """A chip of the demo to try out, or truth.json, which says where they lie."""
        return FileResponse(api.file_of(explorer.demo / "chips", name))


def serve(settings: ExploreSettings) -> None:
    """Serve until somebody ends it.

    Raises
    ------
    InputError, OutputError
        If a place cannot be shown, or the port or folder cannot be had.
    """
    listening = _bound(settings)
    explorer = Explorer.open(settings)
    port = listening.getsockname()[1]
    name = settings.host if settings.host not in ("0.0.0.0", "::") else socket.gethostname()
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
    if explorer.token:
        address += f"?token={explorer.token}"
    click.echo(f"explorer: {address}")
    click.echo(f"results: {settings.out}; end it by Ctrl-C")
    if settings.browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    config = uvicorn.Config(
        make_app(explorer), log_level="warning", lifespan="on", timeout_graceful_shutdown=2,
        server_header=False, access_log=False, http="h11",
        h11_max_incomplete_event_size=_MOST_HEADERS,
    )  # fmt: skip
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        explorer.close()


def _bound(settings: ExploreSettings) -> socket.socket:
    """A listening socket, had before anything is said of it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(256)  # who comes before the server is up waits
    except OSError as error:
        listening.close()
        raise OutputError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}). "
            "Give another --port, or 0 for any that is free."
        ) from None
    return listening
