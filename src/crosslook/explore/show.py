"""What the explorer was given to show, as JSON, tiles and images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field

from crosslook.errors import NotFoundError
from crosslook.explore import audits, written
from crosslook.explore.api import file_of, files_in, zip_of
from crosslook.explore.jobs import Jobs
from crosslook.explore.library import Library
from crosslook.explore.runs import Run, open_run
from crosslook.explore.tiles import describe_atlas, pixel_at
from crosslook.match.evidence import sentences

_KEEP = {"cache-control": "private, max-age=86400"}
_ALONE = {
    # A report is a page of its own: its scripts run, and reach nothing here.
    "content-security-policy": "sandbox allow-scripts allow-downloads; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
}
Modality = Literal["sar", "optical"]
Number = Annotated[int, Query(ge=0, description="Its number in the lists of /runs/{run}.")]


class MapsRequest(BaseModel):
    """Whose feature maps are wanted, and under which extractor."""

    index: int = Field(ge=0, le=2**31)
    extractor: str = Field(max_length=200)


class AuditRequest(BaseModel):
    """Which set of pairs is audited."""

    pairs: str = Field(max_length=64)


class MarkRequest(BaseModel):
    """What a person thinks of a scene."""

    scene: str = Field(max_length=1000)
    mark: Literal["good", "bad", ""]


def make_router(library: Library, jobs: Jobs, marks: Path) -> APIRouter:
    """Routes for atlases, runs, matches, audits and pairs."""
    router = APIRouter()
    _add_atlases(router, library)
    _add_runs(router, library, jobs)
    _add_maps(router, library, jobs)
    _add_matches(router, library, jobs)
    _add_audits(router, library, jobs, marks)
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


def _add_runs(router: APIRouter, library: Library, jobs: Jobs) -> None:
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
        match_files = written.read_written(library, shown)
        files = [{"name": n, "bytes": p.stat().st_size} for n, p in files_in(shown.path).items()]
        about = {"id": match, "match": match_files.match, "words": sentences(match_files.match)}
        return {**about, "files": files, "atlas": match_files.atlas, "missing": match_files.missing}

    @router.post("/matches/{match}/view", tags=["results"], status_code=202)
    def view(match: str) -> dict[str, Any]:
        """Draw a match that the command line wrote, from the images it names; a job."""
        shown = library.get("match", match)
        return written.draw_written(jobs, shown, written.read_written(library, shown)).public()

    @router.get("/matches/{match}/zip", tags=["results"])
    def get_zip(match: str) -> FileResponse:
        """All of its files in one."""
        shown = library.get("match", match)
        return zip_of(files_in(shown.path), f"crosslook-{shown.id}.zip")

    @router.get("/matches/{match}/files/{name}", tags=["results"])
    def get_file(match: str, name: str) -> FileResponse:
        """One of its files."""
        path = file_of(library.get("match", match).path, name)
        shown = path.suffix == ".png"
        kind = "inline" if shown else "attachment"
        return FileResponse(path, filename=path.name, content_disposition_type=kind)


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
