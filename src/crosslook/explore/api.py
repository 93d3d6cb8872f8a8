"""Uploads, jobs and their results as JSON."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from crosslook.errors import NotFoundError, SettingError
from crosslook.explore.images import Upload, Uploads
from crosslook.explore.jobs import Job, Jobs
from crosslook.explore.library import Library
from crosslook.explore.options import checked, describe_options, schema_of

_MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".json": "application/json"}
Modality = Literal["sar", "optical"]
_MOST_ID = 64
Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class InspectRequest(BaseModel):
    """What to look at."""

    image: str = Field(max_length=_MOST_ID, description="Id of an upload.")
    modality: Modality = "sar"
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Radiometry: sar, optical, bands, height."
    )


class LocateRequest(BaseModel):
    """An image to find on an atlas."""

    query: str = Field(max_length=_MOST_ID, description="Id of an upload: the SAR image.")
    atlas: str = Field(max_length=_MOST_ID, description="Id of an atlas.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of crosslook locate, by their names in run files.",
        json_schema_extra=schema_of("locate"),
    )
    force: bool = Field(
        default=False, description="Write aligned.tif and images for an uncertain match too."
    )


class RegisterRequest(BaseModel):
    """A SAR image to bring onto an optical one."""

    sar: str = Field(max_length=_MOST_ID, description="Id of an upload.")
    optical: str = Field(max_length=_MOST_ID, description="Id of an upload.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of crosslook register, by their names in run files.",
        json_schema_extra=schema_of("register"),
    )
    force: bool = Field(
        default=False, description="Write aligned.tif and images for an uncertain match too."
    )


class PointsRequest(BaseModel):
    """Two or three tie points set by hand."""

    points: list[Annotated[list[Pixel], Field(min_length=4, max_length=4)]] = Field(
        min_length=2,
        max_length=3,
        description="Each: SAR row and column, optical (or atlas) row and column, in pixels.",
    )


class DecisionRequest(BaseModel):
    """What a person thinks of a result."""

    decision: Literal["accepted", "refused", ""]


def make_router(uploads: Uploads, jobs: Jobs, library: Library) -> APIRouter:
    """Routes for uploads and jobs."""
    router = APIRouter()
    _add_uploads(router, uploads, jobs)
    _add_requests(router, uploads, jobs, library)
    _add_jobs(router, jobs)
    _add_files(router, jobs)
    return router


def _add_uploads(router: APIRouter, uploads: Uploads, jobs: Jobs) -> None:
    body = {"requestBody": {"required": True, "content": {"application/octet-stream": {
        "schema": {"type": "string", "format": "binary"}}}}}  # fmt: skip

    @router.post("/uploads", tags=["uploads"], openapi_extra=body, status_code=201)
    async def upload(
        request: Request, name: Annotated[str, Query(description="To show; any text.")] = "image"
    ) -> Upload:
        """Upload one image: the body is the file itself."""
        length = request.headers.get("content-length", "0")
        announced = int(length) if length.isdigit() else 0
        return await uploads.take(name, announced, request.stream())

    @router.get("/uploads", tags=["uploads"])
    def list_uploads() -> list[Upload]:
        """All uploads, the newest first."""
        return uploads.all()

    @router.delete("/uploads/{upload}", tags=["uploads"])
    def remove_upload(upload: str) -> dict[str, str]:
        """Remove an upload; results stay."""
        uploads.remove(upload)
        return {"removed": upload}

    @router.post("/inspect", tags=["jobs"], status_code=202)
    def inspect(body: InspectRequest) -> dict[str, Any]:
        """See what is read of an upload: header, radiometry, histogram, valid part, an image."""
        image = uploads.work_of(body.image)
        settings = checked("register", body.settings)
        work = {"image": image, "modality": body.modality, "settings": settings}
        return jobs.add("inspect", image["name"], body.model_dump(), work).public()


def _add_requests(router: APIRouter, uploads: Uploads, jobs: Jobs, library: Library) -> None:
    @router.get("/options/{kind}", tags=["jobs"])
    def options(kind: str) -> list[dict[str, Any]]:
        """Options of locate or register: type, bounds, default, help."""
        return describe_options(kind)

    @router.post("/locate", tags=["jobs"], status_code=202)
    def locate(body: LocateRequest) -> dict[str, Any]:
        """Find where on an atlas an uploaded SAR image lies."""
        query = uploads.work_of(body.query)
        work = {
            "query": query,
            "atlas": library.get("atlas", body.atlas).place,
            "settings": checked("locate", body.settings),
            "force": body.force,
        }
        return jobs.add("locate", query["name"], body.model_dump(), work).public()

    @router.post("/register", tags=["jobs"], status_code=202)
    def register(body: RegisterRequest) -> dict[str, Any]:
        """Bring an uploaded SAR image onto an uploaded optical one."""
        sar, optical = uploads.work_of(body.sar), uploads.work_of(body.optical)
        work = {
            "sar": sar,
            "optical": optical,
            "settings": checked("register", body.settings),
            "force": body.force,
        }
        title = f"{sar['name']} on {optical['name']}"
        return jobs.add("register", title, body.model_dump(), work).public()

    @router.post("/jobs/{job}/points", tags=["jobs"], status_code=202)
    def refit(job: str, body: PointsRequest) -> dict[str, Any]:
        """Match again from two or three tie points set by hand; gives a new job."""
        old = jobs.get(job)
        if old.kind not in ("locate", "register", "refit", "written"):
            raise SettingError("tie points can be set for a located or registered image alone.")
        work = {**old.work.get("by_hand", old.work), "points": body.points}
        request = {**old.request, "points": body.points, "from": old.id}
        return jobs.add("refit", old.title, request, work).public()


def _add_jobs(router: APIRouter, jobs: Jobs) -> None:
    def shown(job: Job) -> dict[str, Any]:
        return {**job.public(), "ahead": jobs.ahead_of(job)}

    @router.get("/jobs", tags=["jobs"])
    def list_jobs(kind: str = "") -> list[dict[str, Any]]:
        """All jobs, the newest first, of one kind or of several with commas between, in brief."""
        kinds = kind.split(",") if kind else ()
        return [_brief(shown(job)) for job in jobs.all() if not kinds or job.kind in kinds]

    @router.get("/jobs/{job}", tags=["jobs"])
    def get_job(job: str) -> dict[str, Any]:
        """How far a job is, and what it gave: for a match the content of match.json."""
        return shown(jobs.get(job))

    @router.post("/jobs/{job}/cancel", tags=["jobs"])
    def cancel(job: str) -> dict[str, Any]:
        """End a job; its process is killed and its memory freed."""
        return shown(jobs.cancel(job))

    @router.post("/jobs/{job}/again", tags=["jobs"], status_code=202)
    def again(job: str) -> dict[str, Any]:
        """Start a job again; gives a new job."""
        old = jobs.get(job)
        return jobs.add(old.kind, old.title, old.request, old.work).public()

    @router.post("/jobs/{job}/decision", tags=["jobs"])
    def decide(job: str, body: DecisionRequest) -> dict[str, Any]:
        """Accept or refuse a result, or take that back."""
        return shown(jobs.decide(job, body.decision))

    @router.delete("/jobs/{job}", tags=["jobs"])
    def remove(job: str) -> dict[str, str]:
        """Remove a job and its files."""
        jobs.remove(job)
        return {"removed": job}


def _brief(line: dict[str, Any]) -> dict[str, Any]:
    """A job without what was asked for, and of a match the verdict alone."""
    match = line["result"].get("match", {})
    short = {n: match[n] for n in ("verdict", "confidence") if n in match}
    return {**{n: v for n, v in line.items() if n != "request"}, "result": short}


def _add_files(router: APIRouter, jobs: Jobs) -> None:
    @router.get("/jobs/{job}/files", tags=["results"])
    def list_files(job: str) -> list[dict[str, Any]]:
        """The files that the command line would have written."""
        folder = jobs.place_of(jobs.get(job)) / "files"
        return [{"name": n, "bytes": path.stat().st_size} for n, path in files_in(folder).items()]

    @router.get("/jobs/{job}/files/{name}", tags=["results"])
    def get_file(job: str, name: str) -> FileResponse:
        """One of the files, to keep."""
        path = file_of(jobs.place_of(jobs.get(job)) / "files", name)
        return FileResponse(path, filename=path.name, content_disposition_type="attachment")

    @router.get("/jobs/{job}/zip", tags=["results"])
    def get_zip(job: str) -> FileResponse:
        """All files of a result in one."""
        one = jobs.get(job)
        paths = files_in(jobs.place_of(one) / "files")
        if not paths:
            raise NotFoundError("there are no files yet; wait until the job is done.")
        about = {"title": one.title, "request": one.request, "decision": one.decision}
        return zip_of(paths, f"crosslook-{one.kind}-{one.id}.zip", about)

    @router.get("/jobs/{job}/view/{name}", tags=["results"])
    def get_view(job: str, name: str) -> Response:
        """An image or place.json, as the page shows them."""
        path = file_of(jobs.place_of(jobs.get(job)) / "view", name)
        return FileResponse(path, media_type=_MEDIA.get(path.suffix, "application/octet-stream"))


def zip_of(files: dict[str, Path], name: str, about: dict[str, Any] | None = None) -> FileResponse:
    """Files in one, with ``request.json`` where there is something to say ``about`` them."""
    with (
        tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as target,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for inside, path in files.items():
            archive.write(path, inside)
        if about is not None:
            archive.writestr("request.json", json.dumps(about, indent=1) + "\n")
    done = BackgroundTask(Path(target.name).unlink, missing_ok=True)
    return FileResponse(target.name, filename=name, media_type="application/zip", background=done)


def files_in(folder: Path) -> dict[str, Path]:
    """Files of a folder by name; those that are being written left out."""
    if not folder.is_dir():
        return {}
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    return {path.name: path for path in paths}


def file_of(folder: Path, name: str) -> Path:
    """A file by its name, which is looked up and never made a path."""
    paths = files_in(folder)
    if name not in paths:
        raise NotFoundError(f"there is no file '{name[:64]}'; there are: {', '.join(paths)}.")
    return paths[name]
