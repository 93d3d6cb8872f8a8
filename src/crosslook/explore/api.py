"""The JSON API: uploads, jobs and their results; and what the explorer was given to show."""

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
from crosslook.explore import audits
from crosslook.explore.again import search_again
from crosslook.explore.images import Upload, Uploads
from crosslook.explore.jobs import Job, Jobs
from crosslook.explore.library import Library
from crosslook.explore.matches import draw_written, read_written, words_of
from crosslook.explore.options import checked, describe_options, schema_of
from crosslook.explore.runs import Run, open_run
from crosslook.explore.tiles import describe_atlas, pixel_at
from crosslook.types import Modality

_MOST_ID = 64
Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Force = Annotated[
    bool, Field(description="Write aligned.tif and images for an uncertain match too.")
]


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
    force: Force = False


class RegisterRequest(BaseModel):
    """A SAR image to bring onto an optical one."""

    sar: str = Field(max_length=_MOST_ID, description="Id of an upload.")
    optical: str = Field(max_length=_MOST_ID, description="Id of an upload.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of crosslook register, by their names in run files.",
        json_schema_extra=schema_of("register"),
    )
    force: Force = False


class PointsRequest(BaseModel):
    """Two or three tie points set by hand."""

    points: list[Annotated[list[Pixel], Field(min_length=4, max_length=4)]] = Field(
        min_length=2,
        max_length=3,
        description="Each: SAR row and column, optical (or atlas) row and column, in pixels.",
    )


class SearchRequest(BaseModel):
    """How a finished job is searched again."""

    settings: dict[str, Any] = Field(
        default_factory=dict, description="Options that change; null takes one out."
    )
    swap: bool = Field(default=False, description="Swap the SAR and the optical image.")


class CheckRequest(BaseModel):
    """Images whose kinds and places are compared before they are matched."""

    sar: str = Field(max_length=_MOST_ID, description="Id of an upload.")
    optical: str = Field(default="", max_length=_MOST_ID, description="Id of an upload, or none.")
    atlas: str = Field(default="", max_length=_MOST_ID, description="Id of an atlas, or none.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Radiometry and CRS.")


class DecisionRequest(BaseModel):
    """What a person thinks of a result."""

    decision: Literal["accepted", "refused", ""]


def request_routes(uploads: Uploads, jobs: Jobs, library: Library) -> APIRouter:
    """Routes for uploads and jobs."""
    router = APIRouter()
    _add_uploads(router, uploads, jobs)
    _add_requests(router, uploads, jobs, library)
    _add_jobs(router, jobs, library)
    _add_bin(router, jobs, library)
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
        query, atlas = uploads.work_of(body.query), library.get("atlas", body.atlas).place
        settings = checked("locate", body.settings)
        work = {"query": query, "atlas": atlas, "settings": settings, "force": body.force}
        return jobs.add("locate", query["name"], body.model_dump(), work).public()

    @router.post("/register", tags=["jobs"], status_code=202)
    def register(body: RegisterRequest) -> dict[str, Any]:
        """Bring an uploaded SAR image onto an uploaded optical one."""
        sar, optical = uploads.work_of(body.sar), uploads.work_of(body.optical)
        settings = checked("register", body.settings)
        work = {"sar": sar, "optical": optical, "settings": settings, "force": body.force}
        title = f"{sar['name']} on {optical['name']}"
        return jobs.add("register", title, body.model_dump(), work).public()

    @router.post("/check", tags=["jobs"], status_code=202)
    def check(body: CheckRequest) -> dict[str, Any]:
        """See whether images are of the kind and the place that they are given for; a job."""
        kind = "locate" if body.atlas else "register"
        work: dict[str, Any] = {
            "sar": uploads.work_of(body.sar),
            "settings": checked(kind, body.settings),
        }
        if body.optical:
            work["optical"] = uploads.work_of(body.optical)
        if body.atlas:
            work["atlas"] = library.get("atlas", body.atlas).place
        return jobs.add("check", work["sar"]["name"], body.model_dump(), work).public()

    @router.post("/jobs/{job}/search", tags=["jobs"], status_code=202)
    def search(job: str, body: SearchRequest) -> dict[str, Any]:
        """Search again for the images of a job under other options; gives a new job."""
        return search_again(jobs, jobs.get(job), body.settings, swap=body.swap).public()

    @router.post("/jobs/{job}/points", tags=["jobs"], status_code=202)
    def refit(job: str, body: PointsRequest) -> dict[str, Any]:
        """Match again from two or three tie points set by hand; gives a new job."""
        old = jobs.get(job)
        if old.kind not in ("locate", "register", "refit", "written"):
            raise SettingError("tie points can be set for a located or registered image alone.")
        work = {**old.work.get("by_hand", old.work), "points": body.points}
        request = {**old.request, "points": body.points, "from": old.id}
        return jobs.add("refit", old.title, request, work).public()


def _add_jobs(router: APIRouter, jobs: Jobs, library: Library) -> None:
    @router.get("/jobs", tags=["jobs"])
    def list_jobs(kind: str = "") -> list[dict[str, Any]]:
        """All jobs, the newest first, of one kind or of several with commas between, in brief."""
        kinds = kind.split(",") if kind else ()
        return [
            _brief(_shown(jobs, library, job))
            for job in jobs.all()
            if not kinds or job.kind in kinds
        ]

    @router.get("/jobs/{job}", tags=["jobs"])
    def get_job(job: str) -> dict[str, Any]:
        """How far a job is, and what it gave: for a match the content of match.json."""
        return _shown(jobs, library, jobs.get(job))

    @router.post("/jobs/{job}/cancel", tags=["jobs"])
    def cancel(job: str) -> dict[str, Any]:
        """End a job; its process is killed and its memory freed."""
        return _shown(jobs, library, jobs.cancel(job))

    @router.post("/jobs/{job}/again", tags=["jobs"], status_code=202)
    def again(job: str) -> dict[str, Any]:
        """Start a job again; gives a new job."""
        old = jobs.get(job)
        return jobs.add(old.kind, old.title, old.request, old.work).public()

    @router.post("/jobs/{job}/decision", tags=["jobs"])
    def decide(job: str, body: DecisionRequest) -> dict[str, Any]:
        """Accept or refuse a result, or take that back."""
        return _shown(jobs, library, jobs.decide(job, body.decision))

    @router.delete("/jobs/{job}", tags=["jobs"])
    def remove(job: str) -> dict[str, str]:
        """Put a job and its files into the bin; they still count on what may be stored."""
        return {"removed": jobs.remove(job).id}


def _add_bin(router: APIRouter, jobs: Jobs, library: Library) -> None:
    @router.post("/jobs/{job}/restore", tags=["jobs"])
    def restore(job: str) -> dict[str, Any]:
        """Take a job out of the bin."""
        return _shown(jobs, library, jobs.restore(job))

    @router.get("/bin", tags=["jobs"])
    def list_bin() -> list[dict[str, Any]]:
        """What is in the bin, the latest first; the oldest goes where room is needed."""
        return [
            {**_brief(_shown(jobs, library, job)), "bytes": jobs.size(job)} for job in jobs.bin()
        ]

    @router.delete("/bin", tags=["jobs"])
    def empty_bin() -> dict[str, int]:
        """Remove everything in the bin for good."""
        removed = jobs.bin()
        for job in removed:
            jobs.discard(job.id)
        return {"removed": len(removed)}

    @router.delete("/bin/{job}", tags=["jobs"])
    def discard(job: str) -> dict[str, str]:
        """Remove a job in the bin for good."""
        if not jobs.get(job).removed:
            raise SettingError("it is not in the bin; remove it first.")
        jobs.discard(job)
        return {"removed": job}


def _shown(jobs: Jobs, library: Library, job: Job) -> dict[str, Any]:
    """A job as the page gets it; its atlas by the name under which it is shown by now.

    Names are given anew when the explorer starts, and when an atlas comes out of the bin.
    """
    shown = {**job.public(), "ahead": jobs.ahead_of(job)}
    if "atlas" in shown["request"] and "atlas" in job.work:
        shown["request"]["atlas"] = library.id_at("atlas", job.work["atlas"])
    return shown


def _brief(line: dict[str, Any]) -> dict[str, Any]:
    """A job without what was requested, and of a match the verdict alone."""
    match = line["result"].get("match", {})
    short = {n: match[n] for n in ("verdict", "confidence") if n in match}
    short |= {n: line["result"][n] for n in ("counted",) if n in line["result"]}
    return {**{n: v for n, v in line.items() if n != "request"}, "result": short}


def _add_files(router: APIRouter, jobs: Jobs) -> None:
    @router.get("/jobs/{job}/files", tags=["results"])
    def list_files(job: str) -> list[dict[str, Any]]:
        """The files that the command line would have written."""
        return _listed(jobs.place_of(jobs.get(job)) / "files")

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
        return FileResponse(file_of(jobs.place_of(jobs.get(job)) / "view", name))


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


def _listed(folder: Path) -> list[dict[str, Any]]:
    return [{"name": n, "bytes": path.stat().st_size} for n, path in files_in(folder).items()]


def file_of(folder: Path, name: str) -> Path:
    """A file by its name, which is looked up and never made a path."""
    paths = files_in(folder)
    if name not in paths:
        raise NotFoundError(f"there is no file '{name[:64]}'; there are: {', '.join(paths)}.")
    return paths[name]


_KEEP = {"cache-control": "private, max-age=86400"}
_ALONE = {
    # A report is a page of its own: its scripts run, and reach nothing here.
    "content-security-policy": "sandbox allow-scripts allow-downloads; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
}
Number = Annotated[int, Query(ge=0, description="Its number in the lists of /runs/{run}.")]


class MapsRequest(BaseModel):
    """Whose feature maps are requested, and under which extractor."""

    index: int = Field(ge=0, le=2**31)
    extractor: str = Field(max_length=200)


class AuditRequest(BaseModel):
    """Which set of pairs is audited."""

    pairs: str = Field(max_length=64)


class MarkRequest(BaseModel):
    """What a person thinks of a scene."""

    scene: str = Field(max_length=1000)
    mark: Literal["good", "bad", ""]


def shown_routes(library: Library, jobs: Jobs, marks: Path) -> APIRouter:
    """Routes for atlases, runs, matches, audits and pairs."""
    router = APIRouter()
    _add_atlases(router, library)
    _add_runs(router, library)
    _add_maps(router, library, jobs)
    _add_matches(router, library, jobs)
    _add_audits(router, library, jobs, marks)
    _add_scene_reports(router, library)
    return router


def _add_atlases(router: APIRouter, library: Library) -> None:
    @router.get("/atlases/{atlas}", tags=["atlas"])
    def describe(atlas: str) -> dict[str, Any]:
        """Size, blocks, levels, sources, and longitudes and latitudes of an atlas."""
        tiles = library.tiles(atlas)
        shown = library.get("atlas", atlas)
        about = {"id": shown.id, "synthetic": shown.synthetic, "zooms": tiles.zooms}
        about |= {"version": tiles.version, "ready": tiles.ready}
        return {**about, **describe_atlas(tiles.atlas)}

    @router.get("/atlases/{atlas}/tiles/{zoom}/{row}/{col}", tags=["atlas"])
    def tile(atlas: str, zoom: int, row: int, col: int) -> Response:
        """A tile of 256 pixels on the grid of the atlas; at zoom 0 one holds all.

        While ``ready`` of the atlas is below 1, it may lack blocks that are being
        read, and must not be kept.
        """
        made = library.tiles(atlas).tile(zoom, row, col)
        headers = _KEEP if made.whole else {"cache-control": "no-store"}
        return Response(made.data, media_type=made.media, headers=headers)

    @router.get("/atlases/{atlas}/at", tags=["atlas"])
    def pixel(atlas: str, lon: float, lat: float) -> dict[str, Any]:
        """The pixel at a longitude and latitude, and whether the atlas holds it."""
        return pixel_at(library.atlas(atlas), lon, lat)


def _add_runs(router: APIRouter, library: Library) -> None:
    def opened(name: str) -> Run:
        return open_run(library.get("run", name).path)

    @router.get("/runs/{run}", tags=["study"])
    def describe(run: str) -> dict[str, Any]:
        """Headline rows of a run, and lists of its setups, embeddings and heat maps."""
        return {"id": run, **opened(run).describe()}

    @router.get("/runs/{run}/rows", tags=["study"])
    def rows(run: str) -> list[dict[str, Any]]:
        """Every result of a run, as results.parquet holds it: one row each."""
        return opened(run).rows_as_json()

    @router.get("/runs/{run}/report", tags=["study"])
    def report(run: str) -> FileResponse:
        """The report of a run."""
        path = file_of(library.get("run", run).path, "report.html")
        return FileResponse(path, media_type="text/html", headers=_ALONE)

    @router.get("/runs/{run}/embedding", tags=["study"])
    def embedding(run: str, number: Number = 0) -> dict[str, Any]:
        """Points of an embedding: patch, scene, and the place of both sensors."""
        return opened(run).embedding(number)

    @router.get("/runs/{run}/heat_map", tags=["study"])
    def heat_map(run: str, number: Number = 0) -> dict[str, Any]:
        """Mean cosines of blocks of patches, and which patches those are."""
        return opened(run).heat_map(number)

    @router.get("/runs/{run}/queries", tags=["study"])
    def queries(
        run: str,
        setup: Number = 0,
        scene: str = "",
        lowest: int = 1,
        highest: int = 2**31,
        worst: bool = True,
    ) -> dict[str, Any]:
        """Queries of a setup by the rank of their partner, at most 500 of them."""
        return opened(run).queries(setup, scene, lowest, highest, worst)

    @router.get("/runs/{run}/patches/{index}", tags=["study"])
    def patch(run: str, index: int, setup: Number = 0) -> dict[str, Any]:
        """A patch, the rank of its partner, and the ten nearest with their scores."""
        return opened(run).patch(index, setup)

    @router.get("/runs/{run}/patches/{index}/{modality}", tags=["study"])
    def thumbnail(run: str, index: int, modality: Modality) -> Response:
        """A small image of one side of a patch."""
        data = opened(run).thumbnail(index, modality)
        return Response(data, media_type="image/jpeg", headers=_KEEP)


def _add_maps(router: APIRouter, library: Library, jobs: Jobs) -> None:
    @router.post("/runs/{run}/maps", tags=["study"], status_code=202)
    def maps(run: str, body: MapsRequest) -> dict[str, Any]:
        """Feature maps of both sides of a patch under an extractor; a job."""
        work = {"run": library.get("run", run).place, **body.model_dump()}
        request = {"run": run, **body.model_dump()}
        return jobs.add("maps", f"{run}, patch {body.index}", request, work).public()


def _add_matches(router: APIRouter, library: Library, jobs: Jobs) -> None:
    @router.get("/matches/{match}", tags=["results"])
    def describe(match: str) -> dict[str, Any]:
        """A match that the command line wrote: match.json, the reasons in words, what is missing.

        ``missing`` has a sentence for each image or atlas that is not where it was;
        where it is empty, /matches/{match}/view draws it as the result of a job.
        """
        shown = library.get("match", match)
        match_files = read_written(library, shown)
        return {
            "id": match,
            "match": match_files.match,
            **words_of(match_files.match),
            "files": _listed(shown.path),
            "atlas": match_files.atlas,
            "missing": match_files.missing,
        }

    @router.post("/matches/{match}/view", tags=["results"], status_code=202)
    def view(match: str) -> dict[str, Any]:
        """Draw a match that the command line wrote, from the images it names; a job."""
        shown = library.get("match", match)
        drawn = draw_written(jobs, shown, read_written(library, shown))
        return _shown(jobs, library, drawn)

    @router.get("/matches/{match}/zip", tags=["results"])
    def get_zip(match: str) -> FileResponse:
        """All of its files in one."""
        shown = library.get("match", match)
        return zip_of(files_in(shown.path), f"crosslook-{shown.id}.zip")

    @router.get("/matches/{match}/files/{name}", tags=["results"])
    def get_file(match: str, name: str) -> FileResponse:
        """One of its files."""
        path = file_of(library.get("match", match).path, name)
        kind = "inline" if path.suffix == ".png" else "attachment"
        return FileResponse(path, filename=path.name, content_disposition_type=kind)


def _add_scene_reports(router: APIRouter, library: Library) -> None:
    @router.get("/audits/{audit}/report", tags=["audit"])
    def report(audit: str, scene: str) -> FileResponse:
        """The page of one large scene: how far its images lie apart all over it."""
        path = audits.map_report(library, audit, scene)
        return FileResponse(path, media_type="text/html", headers=_ALONE)


def _add_audits(router: APIRouter, library: Library, jobs: Jobs, marks: Path) -> None:
    def place(audit: str) -> Path:
        return marks / f"{library.get('audit', audit).id}.json"

    @router.post("/audits", tags=["audit"], status_code=202)
    def start(body: AuditRequest) -> dict[str, Any]:
        """Audit a set of pairs; a job."""
        work = {"pairs": library.get("pairs", body.pairs).place}
        return jobs.add("audit", f"audit of {body.pairs}", body.model_dump(), work).public()

    @router.get("/audits/{audit}", tags=["audit"])
    def describe(audit: str) -> dict[str, Any]:
        """Rows of an audit, the worst first, and the marks of a person."""
        return audits.read_audit(library, library.get("audit", audit), place(audit))

    @router.get("/audits/{audit}/map", tags=["audit"])
    def scene_map(audit: str) -> dict[str, Any]:
        """Where its scenes lie on Earth, and which way they are shifted there.

        While ``ready`` is below 1, files are still being looked at: ask again.
        """
        return audits.map_audit(library, library.get("audit", audit))

    @router.post("/audits/{audit}/marks", tags=["audit"])
    def mark(audit: str, body: MarkRequest) -> dict[str, str]:
        """Mark a scene as good or bad; an empty mark takes it back."""
        known = audits.read_audit(library, library.get("audit", audit), place(audit))
        if body.scene not in {row["scene"] for row in known["rows"]}:
            raise NotFoundError(f"there is no scene '{body.scene[:64]}' in '{audit}'.")
        return audits.write_mark(place(audit), body.scene, body.mark)

    @router.get("/audits/{audit}/marks.csv", tags=["audit"])
    def export(audit: str) -> Response:
        """The marks as a table."""
        head = {"content-disposition": f'attachment; filename="{audit}-marks.csv"'}
        return Response(audits.marks_csv(place(audit)), media_type="text/csv", headers=head)

    @router.get("/pairs/{pairs}", tags=["audit"])
    def scenes(pairs: str) -> list[str]:
        """Scenes of a set of pairs."""
        return library.scenes(pairs)

    @router.get("/pairs/{pairs}/image", tags=["audit"])
    def get_image(pairs: str, scene: str, modality: Modality) -> Response:
        """One side of a scene on the grid of its optical image."""
        data = audits.scene_preview(library, pairs, scene, modality)
        return Response(data, media_type="image/jpeg", headers=_KEEP)
