"""Matches that the command line wrote, drawn as those of a job where their images are there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox

from crosslook.atlas.settings import LocateSettings
from crosslook.atlas.store import NAME
from crosslook.errors import CrosslookError, InputError, NotFoundError
from crosslook.explore.jobs import Job, Jobs
from crosslook.explore.library import Library, Shown
from crosslook.explore.matching import PlacedMatch, atlas_of, draw_search, write_place
from crosslook.explore.words import explain
from crosslook.geo.grid import has_map, make_grid, same_grid, shape_of
from crosslook.geo.image import ImageFile, open_image
from crosslook.geo.reading import Reading
from crosslook.json_text import json_object
from crosslook.match.settings import RegisterSettings
from crosslook.match.transform import Transform
from crosslook.options import ReadingText
from crosslook.progress import stage
from crosslook.storage import as_place, is_gdal_name, is_remote
from crosslook.types import Modality, Window

_GOOD = ("queued", "running", "done")
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
    placed = _opened(match, work)
    extra: dict[str, Any] = {}
    if "atlas" in work:
        stage("search")
        known = LocateSettings.model_fields
        settings = LocateSettings(**{n: v for n, v in match["settings"].items() if n in known})
        with suppress(CrosslookError):  # as where a model is not on this machine
            extra = draw_search(placed, atlas_of(work["atlas"]), settings, folder)
    stage("writing")
    write_place(placed, _tie_points(source / "tie_points.csv"), folder, extra)
    return {"match": match, "words": explain(match)}


def _opened(match: dict[str, Any], work: dict[str, Any]) -> PlacedMatch:
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
        transform=None if transform is None else Transform.from_dict(transform),
        window=None if window is None else Window(**window),
        footprint=match["footprint"],
        alternatives=tuple(match["alternatives"]),
    )


def _same(image: ImageFile, was: dict[str, Any]) -> ImageFile:
    """The image, where its pixels lie as they did; InputError where it is another by now."""
    if shape_of(image.grid) != tuple(was["shape"]) or not _same_place(image.grid, was):
        raise InputError(
            f"'{image.name}' is not the image that was matched: its size or its place on the map "
            "differs from what match.json says. Match it again, or put the former one back."
        )
    return image


def _same_place(grid: GeoBox, was: dict[str, Any]) -> bool:
    if was["affine"] is None or not has_map(grid):
        return was["affine"] is None and not has_map(grid)
    return same_grid(grid, make_grid(was["crs"], tuple(was["affine"]), *was["shape"]))


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


def refit_work(written: WrittenMatch) -> dict[str, Any]:
    """What a fit from tie points set by hand needs of a written match."""
    atlas = "atlas" in written.work
    model = LocateSettings if atlas else RegisterSettings
    settings = {
        name: value
        for name, value in written.match["settings"].items()
        if name in model.model_fields and name != "points" and value is not None
    }
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
        if same and job.work["folder"] == shown.place and job.state in _GOOD:
            return job
    work = {**written.work, "by_hand": refit_work(written)}
    return jobs.add("written", shown.id, request, work)


def _state(written: WrittenMatch) -> list[int]:
    """When the files were last changed, of those on this machine."""
    paths = [Path(written.work["folder"]) / "match.json"]
    paths += [Path(written.work[side]) for side, _ in _SIDES if side in written.work]
    return [path.stat().st_mtime_ns for path in paths if path.exists()]
