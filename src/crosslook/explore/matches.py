"""Matches as the page shows them: jobs that match, and what the command line wrote."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist

from crosslook.atlas.locate import locate, locate_from
from crosslook.atlas.query import place_warnings
from crosslook.atlas.settings import LocateSettings
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.errors import CrosslookError, InputError, MatchError, NotFoundError, SettingError
from crosslook.explore.images import open_upload, reading_of
from crosslook.explore.jobs import Job, Jobs
from crosslook.explore.library import Library, Shown
from crosslook.explore.placed import PlacedMatch, draw_search, write_place
from crosslook.geo.block_store import NAME
from crosslook.geo.grid import same_grid
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.json_text import json_object
from crosslook.match.evidence import sentences
from crosslook.match.files import tie_point_rows
from crosslook.match.next_search import next_searches
from crosslook.match.register import register, register_from
from crosslook.match.result import MatchResult, grid_of
from crosslook.match.robust_fit import fit_exact
from crosslook.match.settings import RegisterSettings
from crosslook.match.sides import check_query, check_sides
from crosslook.match.transform import Transform
from crosslook.options import ReadingText
from crosslook.progress import stage
from crosslook.storage import as_place, is_gdal_name, is_remote
from crosslook.types import Modality, Window


@lru_cache(maxsize=1)  # one at a time: transformed blocks are large
def atlas_of(place: str) -> Atlas:
    """An atlas opened once per process: its transformed blocks serve all queries."""
    return open_atlas(place)


def locate_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Locate an uploaded image on an atlas."""
    settings = LocateSettings(**work["settings"])
    atlas = atlas_of(work["atlas"])
    query = open_upload(work["query"], "sar", reading_of(work["settings"]), work["max_pixels"])
    result = locate(query, atlas, **work["settings"])
    extra = draw_search(result, atlas, settings, folder)
    return _finish(result, work, folder, extra)


def check_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Say where images are not of the kind or the place that they are given for."""
    stage("read")
    reading = reading_of(work["settings"])
    sar = open_upload(work["sar"], "sar", reading, work["max_pixels"])
    if "optical" in work:
        optical = open_upload(work["optical"], "optical", reading, work["max_pixels"])
        warned = check_sides(sar, optical)
    else:
        warned = check_query(sar)
    if "atlas" in work:
        warned = (*warned, *place_warnings(sar, atlas_of(work["atlas"])))
    return {"warnings": [asdict(one) for one in warned]}


def register_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Register an uploaded SAR image on an uploaded optical one."""
    result = register(*_pair(work), **work["settings"])
    return _finish(result, work, folder, {})


def refit_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Match again from two or three tie points that a person set."""
    points = np.array(work["points"], np.float64)
    if points.ndim != 2 or points.shape[1] != 4 or not 2 <= len(points) <= 3:
        raise SettingError(
            "two or three tie points of four numbers each are needed: SAR row and column, "
            "optical row and column."
        )
    if min(pdist(points[:, :2]).min(), pdist(points[:, 2:]).min()) < 1.0:
        raise MatchError("two of the tie points are the same; set them farther apart.")
    start = fit_exact(points[:, :2], points[:, 2:], "similarity" if len(points) == 2 else "affine")
    if "atlas" in work:
        atlas = atlas_of(work["atlas"])
        query = open_upload(work["query"], "sar", reading_of(work["settings"]), work["max_pixels"])
        result = locate_from(query, atlas, start, LocateSettings(**work["settings"]))
    else:
        result = register_from(*_pair(work), start, RegisterSettings(**work["settings"]))
    return _finish(result, work, folder, {})


def _pair(work: dict[str, Any]) -> tuple[ImageFile, ImageFile]:
    reading = reading_of(work["settings"])
    return (
        open_upload(work["sar"], "sar", reading, work["max_pixels"]),
        open_upload(work["optical"], "optical", reading, work["max_pixels"]),
    )


def _finish(
    result: MatchResult, work: dict[str, Any], folder: Path, extra: dict[str, Any]
) -> dict[str, Any]:
    """Write the files of the command line and those of the page; the result as the API tells it."""
    stage("writing")
    rows = tie_point_rows(result.tie_points, result.transform, result.optical.grid)
    atlas = atlas_of(work["atlas"]) if "atlas" in work else None
    write_place(result, rows, folder, extra, atlas)
    # Last: its match.json says that the rest is there.
    result.write(folder / "files", force=bool(work.get("force")))
    content = json.loads((folder / "files" / "match.json").read_text(encoding="utf-8"))
    return {"match": content, **words_of(content)}


def words_of(match: dict[str, Any]) -> dict[str, Any]:
    """What is said of a ``match.json``: sentences for and against, and searches to try next."""
    searches = [{**asdict(one), "options": one.options} for one in next_searches(match)]
    return {"words": sentences(match), "next": searches}


_SIDES: tuple[tuple[Modality, str], ...] = (("sar", "SAR"), ("optical", "optical"))


@dataclass(frozen=True)
class WrittenMatch:
    """A ``match.json`` and what of the files that it names is there.

    Attributes
    ----------
    match : dict
        The content of ``match.json``.
    work : dict
        What :func:`written_task` needs.
    atlas : str or None
        Id of the atlas on which it was located.
    missing : tuple of str
        Sentences, one for each image or atlas that is not there; empty where it can be drawn.
    """

    match: dict[str, Any]
    work: dict[str, Any]
    atlas: str | None
    missing: tuple[str, ...]


def read_written(library: Library, shown: Shown) -> WrittenMatch:
    """Read a match, and look for its images and its atlas.

    Raises
    ------
    NotFoundError
        If ``match.json`` is not there any more, or none.
    """
    match = load_match(shown)
    work: dict[str, Any] = {"folder": shown.place}
    missing: list[str] = []
    atlas = None
    for side, word in _SIDES:
        if side == "optical" and match["window"] is not None:
            continue  # it is a part of the atlas
        place = _find_image(match["images"][side], shown.path)
        if place is None:
            missing.append(_lost_image(match["images"][side]["name"], word))
        else:
            work[side] = place
    if work.get("sar") is not None and work.get("sar") == work.get("optical"):
        # Both are called the same, and one file beside the match cannot be both.
        missing += [_lost_image(match["images"][side]["name"], word) for side, word in _SIDES]
    if match["window"] is not None:
        basemap = _find_atlas(library, match, shown.path)
        if basemap is None:
            missing.append(
                f"The atlas '{Path(match['settings']['atlas']).name}' on which it was located is "
                "not where it was. Name it to crosslook explore, beside the match."
            )
        else:
            atlas, work["atlas"] = basemap.id, basemap.place
    return WrittenMatch(match, work, atlas, tuple(missing))


def load_match(shown: Shown) -> dict[str, Any]:
    """The content of ``match.json``; NotFoundError where it is gone or damaged."""
    try:
        match = json_object((shown.path / "match.json").read_text(encoding="utf-8"))
        named = match["images"], match["settings"], match["window"], match["verdict"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotFoundError(f"the match '{shown.id}' cannot be read any more.") from error
    if not all(isinstance(part, dict) for part in named[:2]):
        raise NotFoundError(f"the match '{shown.id}' is no match.json that crosslook wrote.")
    return dict(match)


def add_atlases(library: Library) -> None:
    """Take in the atlases of this machine on which the matches that are shown were located."""
    for shown in library.all("match"):
        with suppress(CrosslookError):  # said where the match is looked at
            match = load_match(shown)
            if match["window"] is None or _find_atlas(library, match, shown.path) is not None:
                continue
            for place in _where(str(match["settings"]["atlas"]), shown.path):
                if (place / NAME).is_file():
                    library.add(str(place.resolve()))
                    break


def _find_image(image: dict[str, Any], folder: Path) -> str | None:
    """Where an image is: where it was, or by its name beside the match."""
    kept = image.get("path")
    if isinstance(kept, str) and (is_remote(kept) or is_gdal_name(kept)):
        return kept  # whether it can be read is seen when it is opened
    names = [kept] if isinstance(kept, str) else []
    for name in (*names, str(image["name"])):
        for place in _where(name, folder):
            if place.exists():
                return str(place.resolve())
    return None


def _lost_image(name: str, word: str) -> str:
    return (
        f"The {word} image '{name}' is neither where it was when it was matched nor beside "
        "match.json. Put it into that folder, and open this page again."
    )


def _find_atlas(library: Library, match: dict[str, Any], folder: Path) -> Shown | None:
    """The atlas that is shown from the same place, else one of the same name."""
    name = str(match["settings"].get("atlas", ""))
    places = {name, *(str(place.resolve()) for place in _where(name, folder))}
    shown = library.all("atlas")
    same = [one for one in shown if one.place in places]
    alike = [one for one in shown if Path(one.place).name == Path(name).name]
    return next(iter(same + alike), None)


def _where(name: str, folder: Path) -> Iterator[Path]:
    """Places of this machine that a name may mean: as it was given, and beside the match."""
    if is_remote(name) or is_gdal_name(name) or not name:
        return
    given = Path(name)
    yield given
    for near in (folder, folder.parent):
        if not given.is_absolute():
            yield near / given
        yield near / given.name


def written_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw a match from its files, as a job that matches draws its result."""
    stage("read")
    source = Path(work["folder"])
    match = json.loads((source / "match.json").read_text(encoding="utf-8"))
    placed = _opened(match, work, source)
    extra: dict[str, Any] = {}
    if "atlas" in work:
        stage("search")
        known = LocateSettings.model_fields
        settings = LocateSettings(**{n: v for n, v in match["settings"].items() if n in known})
        with suppress(CrosslookError):  # as where a model is not on this machine
            extra = draw_search(placed, atlas_of(work["atlas"]), settings, folder)
    stage("writing")
    atlas = atlas_of(work["atlas"]) if "atlas" in work else None
    write_place(placed, _tie_points(source / "tie_points.csv"), folder, extra, atlas)
    return {"match": match, **words_of(match)}


def _opened(match: dict[str, Any], work: dict[str, Any], folder: Path) -> PlacedMatch:
    """Both images, each on the pixels on which it was matched."""
    settings, window = match["settings"], match["window"]
    names = ("sar", "optical", "bands", "height", "dem", "crs")
    given = {n: settings[n] for n in names if settings.get(n) is not None}
    reading = Reading.parse(ReadingText(**given))
    sar = _same(open_image(as_place(work["sar"]), "sar", reading), match["images"]["sar"])
    if window is None:
        optical = open_image(as_place(work["optical"]), "optical", reading)
    else:
        corner, shape = (window["row"], window["col"]), (window["height"], window["width"])
        optical = atlas_of(work["atlas"]).image(corner, shape)
    transform = match["transform"]
    return PlacedMatch(
        sar=sar,
        optical=_same(optical, match["images"]["optical"]),
        transform=None if transform is None else Transform.from_dict(transform, folder),
        window=None if window is None else Window(**window),
        footprint=match["footprint"],
        alternatives=tuple(match["alternatives"]),
    )


def _same(image: ImageFile, was: dict[str, Any]) -> ImageFile:
    """The image, where its pixels lie as they did; InputError where it is another by now."""
    if not same_grid(image.grid, grid_of(was)):
        raise InputError(
            f"'{image.name}' is not the image that was matched: its size or its place on the map "
            "differs from what match.json says. Match it again, or put the former one back."
        )
    return image


def _tie_points(path: Path) -> list[dict[str, Any]]:
    """Tie points as they were written; none where the file is gone."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    numbers = ("sar_row", "sar_col", "optical_row", "optical_col", "score")
    return [
        {
            **{name: float(line[name]) for name in numbers},
            "residual_px": float(line["residual_px"]) if line["residual_px"] else None,
            "inlier": line["inlier"] == "1",
        }
        for line in csv.DictReader(io.StringIO(text))
    ]


_FILES = ("mask", "optical_mask", "dem")


def refit_work(written: WrittenMatch) -> dict[str, Any]:
    """What a fit from tie points set by hand needs of a written match."""
    atlas = "atlas" in written.work
    model = LocateSettings if atlas else RegisterSettings
    settings = {
        name: value
        for name, value in written.match["settings"].items()
        if name in model.model_fields and name != "points" and value is not None
    }
    for name in _FILES:  # they may be given relative to where the command was run
        if name in settings:
            given, folder = str(settings[name]), Path(written.work["folder"])
            found = _find_image({"path": given, "name": Path(given).name}, folder)
            settings[name] = found or given
    images = {"query": "sar"} if atlas else {"sar": "sar", "optical": "optical"}
    work: dict[str, Any] = {
        key: {
            "path": written.work[side],
            "name": written.match["images"][side]["name"],
            "driver": "",  # it is a file of whoever started the explorer, of any kind
        }
        for key, side in images.items()
    }
    where = {"atlas": written.work["atlas"]} if atlas else {}
    return {**work, **where, "settings": settings}


def draw_written(jobs: Jobs, shown: Shown, written: WrittenMatch) -> Job:
    """The job that draws a match: the one that did so already, unless a file has changed since.

    Raises
    ------
    InputError
        If an image or the atlas is missing.
    """
    if written.missing:
        raise InputError(" ".join(written.missing))
    request = {"match": shown.id, "state": _state(written)}
    if written.atlas is not None:
        request["atlas"] = written.atlas
    for job in jobs.all():
        same = job.kind == "written" and job.request == request
        fine = job.state not in ("failed", "cancelled")
        if same and fine and job.work["folder"] == shown.place:
            return job
    work = {**written.work, "by_hand": refit_work(written)}
    return jobs.add("written", shown.id, request, work)


def _state(written: WrittenMatch) -> list[int]:
    """When the files were last changed, of those on this machine."""
    paths = [Path(written.work["folder"]) / "match.json"]
    paths += [Path(written.work[side]) for side, _ in _SIDES if side in written.work]
    return [path.stat().st_mtime_ns for path in paths if path.exists()]
