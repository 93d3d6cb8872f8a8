"""Routes for files below the root: look, open, and start long work on them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from crosslook.errors import InputError, SettingError
from crosslook.explore.browse import Root
from crosslook.explore.jobs import Jobs
from crosslook.explore.library import Library, places_in
from crosslook.explore.options import check_built_in, checked

Relative = Annotated[str, Field(max_length=1000, description="Path below the root.")]


class OpenRequest(BaseModel):
    """What to show."""

    path: Relative


class PairRequest(BaseModel):
    """Two images to register."""

    sar: Relative
    optical: Relative
    settings: dict[str, Any] = Field(default_factory=dict, description="Options of register.")


class BatchRequest(BaseModel):
    """A set of pairs to register."""

    path: Relative
    settings: dict[str, Any] = Field(default_factory=dict, description="Options of register.")


class AtlasRequest(BaseModel):
    """What to make searchable."""

    paths: list[Relative] = Field(min_length=1, max_length=200)


class StudyRequest(BaseModel):
    """What to study."""

    path: Relative
    extractors: list[Annotated[str, Field(max_length=200)]] = Field(
        default=["raw", "hog"], min_length=1, max_length=16
    )
    patch: int = Field(default=256, ge=16, le=8192)
    limit_scenes: int | None = Field(default=None, ge=3)
    structure: bool = True


def root_routes(root: Root, library: Library, jobs: Jobs) -> APIRouter:
    """Routes that name files below the root."""
    router = APIRouter()

    @router.get("/browse", tags=["files"])
    def browse(path: Annotated[str, Query(max_length=1000)] = "") -> dict[str, Any]:
        """What lies in a folder below the root that the explorer was started with."""
        return root.listing(path)

    @router.post("/open", tags=["files"])
    def open_place(body: OpenRequest) -> list[dict[str, str]]:
        """Show an atlas, a run, a match, a batch, an audit or a set of pairs."""
        shown = [library.add(place) for place in places_in(str(root.whole(body.path)))]
        return [{"kind": one.kind, "id": one.id} for one in shown]

    @router.post("/open/pair", tags=["files"], status_code=202)
    def pair(body: PairRequest) -> dict[str, Any]:
        """Register two images below the root; a job."""
        images = {}
        for side in ("sar", "optical"):
            place = root.place(getattr(body, side))
            if place.is_dir():
                raise InputError(f"'{place.name}' is a folder; name an image.")
            images[side] = {"path": str(place), "name": place.name, "driver": ""}
        work = {**images, "settings": checked("register", body.settings)}
        title = f"{images['sar']['name']} on {images['optical']['name']}"
        return jobs.add("register", title, body.model_dump(), work).public()

    _add_works(router, root, jobs)
    return router


def _add_works(router: APIRouter, root: Root, jobs: Jobs) -> None:
    @router.post("/open/batch", tags=["files"], status_code=202)
    def batch(body: BatchRequest) -> dict[str, Any]:
        """Register all pairs of a folder; a job."""
        place = root.whole(body.path)
        name = _name(f"{place.name}-matches")
        settings = checked("register", body.settings)
        work = {"pairs": str(place), "settings": settings, "name": name}
        return jobs.add("batch", f"pairs of {place.name}", body.model_dump(), work).public()

    @router.post("/open/atlas", tags=["files"], status_code=202)
    def atlas(body: AtlasRequest) -> dict[str, Any]:
        """Build an atlas of images, or of a folder of them; a job."""
        places = [root.whole(path) for path in body.paths]
        name = _name(f"{places[0].stem}-atlas")
        work = {"places": [str(place) for place in places], "name": name}
        return jobs.add("atlas", f"atlas of {places[0].name}", body.model_dump(), work).public()

    @router.post("/open/study", tags=["files"], status_code=202)
    def study(body: StudyRequest) -> dict[str, Any]:
        """Study a set of pairs; a job."""
        place = root.whole(body.path)
        for spec in body.extractors:
            check_built_in("extractors", spec)
        if not place.is_dir() and place.suffix.lower() not in (".csv", ".parquet"):
            raise SettingError(f"'{place.name}' is no set of pairs: name a folder or a table.")
        settings = body.model_dump(exclude={"path"})
        work = {"pairs": str(place), "settings": settings, "name": _name(f"{place.name}-study")}
        return jobs.add("study", f"study of {place.name}", body.model_dump(), work).public()


def _name(text: str) -> str:
    """A name of a folder: letters, digits, hyphens."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(text).name).strip("-")[:60] or "made"
