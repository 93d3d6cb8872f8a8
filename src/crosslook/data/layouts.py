"""How paired sets lie on disk: layouts of one's own, and those in which public sets are published.

Each is one row of ``LAYOUTS``: how to recognise it, and how to list its images.
A recogniser looks at few files, so opening a large set stays quick.

In a layout of one's own, folders or names say which sensor an image is of.
Folders of both sensors may lie side by side (``sar`` and ``optical``), inside
others (``train/sar``, ``test/optical``) or hold others (``sar/train``). Without
such folders, names of files say it (``tile0_s1.png``, ``scene1/sar.tif``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from crosslook.data.sides import (
    Sides,
    folder_side,
    is_aside,
    same_name,
    side_of,
    sides_of,
    without_side,
)
from crosslook.errors import LayoutError
from crosslook.geo.products import resolve as products
from crosslook.storage import Place, is_remote, name_of
from crosslook.types import MODALITIES, Modality

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt"})
"""Of public sets, and of images in an object store, whose content is not looked at."""
_MOST_LEVELS = 4


def images_in(folder: Path, pattern: str = "*") -> list[Path]:
    """List the raster files of a folder, sorted, hidden ones left out."""
    return sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def is_image_folder(folder: Path) -> bool:
    """Whether a folder is one image: a product, or files named by band."""
    return not is_remote(folder) and products.is_image(folder)


def images_below(
    folder: Path, is_one: Callable[[Path], bool] = is_image_folder, deepest: int = _MOST_LEVELS
) -> Iterator[tuple[tuple[str, ...], Place]]:
    """List images and the names of the folders below ``folder`` that they lie in.

    ``is_one`` says which folders are one image and not entered; the folder
    itself is not asked.
    """
    found = images_in(folder) if is_remote(folder) else products.images_below(folder)
    folders = folders_in(folder)
    for place in found:
        if place not in folders:
            yield (), place
    for inside in folders:
        if is_one(inside):
            yield (), inside
        elif deepest:
            for parts, place in images_below(inside, is_one, deepest - 1):
                yield (inside.name, *parts), place


def folders_in(folder: Path) -> list[Path]:
    """List the folders of a folder, sorted; not hidden ones and not the pixels of a ``.dim``."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and not (path.suffix == ".data" and path.with_suffix(".dim").exists())
    )


_ENDING = re.compile(r"(\.(?:tar|zarr))?\.[a-z]\w{0,7}$", re.IGNORECASE)


def stem_of(place: Place) -> str:
    """The name of an image without its ending, which begins with a letter.

    >>> stem_of("a/S1A_x.SAFE"), stem_of("OPERA_v1.0"), stem_of("b.tar.gz")
    ('S1A_x', 'OPERA_v1.0', 'b')
    """
    return _ENDING.sub("", name_of(place)) or name_of(place)


_MOST_SIDE_LEVELS = 3
_FEW = 1000  # images whose names are looked at to recognise a set


def has_side_folders(folder: Path) -> bool:
    """Whether folders of both sensors lie in a folder or below it."""
    sides = (side for _, _, side in _side_folders(folder))
    first = next(sides, None)
    return any(side != first for side in sides)


def by_folders(folder: Path) -> Sides:
    """List the images of folders that are named by sensor; the rest of the path is the key.

    Raises
    ------
    LayoutError
        If a sensor has no folder.
    """
    folders = list(_side_folders(folder))
    for side in MODALITIES:
        if side not in [said for _, _, said in folders]:
            raise LayoutError(f"{folder} has no folder of {side} images, named as {side}.")
    images = {path: list(images_below(path)) for _, path, _ in folders}
    # Files of one side may look like the bands of one image; the other side says what they are.
    names = {path: _names_in(images[path], side) for _, path, side in folders}
    whole = {
        path
        for above, path, _ in folders
        if len(images[path]) != 1
        and is_image_folder(path)
        and not any(names[path] & names[p] for a, p, _ in folders if a == above and p != path)
    }
    single = bool(whole) and all(p in whole or len(images[p]) == 1 for a, p, _ in folders if not a)
    listed: list[tuple[Modality, str, Place]] = []
    for above, inside, side in folders:
        if inside in whole and (above or single):
            listed.append((side, "/".join(above) or folder.name, inside))
            continue
        for parts, path in images[inside]:
            key = folder.name if single and not above else ""
            listed.append((side, key or "/".join((*above, *parts, stem_of(path))), path))
    return sides_of(listed, folder)


def _names_in(images: Iterable[tuple[tuple[str, ...], Place]], side: Modality) -> set[str]:
    """Names of images, as they are and without the words that say their sensor."""
    stems = [stem_of(path) for _, path in images]
    return {same_name(name) for stem in stems for name in (stem, without_side(stem, side))} - {""}


def has_side_names(folder: Path) -> bool:
    """Whether files of both sensors are named by them, in a folder or below it."""
    few = islice(images_below(folder, _is_named_image), _FEW)
    seen: set[Modality | None] = {side_of(stem_of(path)) for _, path in few}
    return set(MODALITIES) <= seen


def by_names(folder: Path) -> Sides:
    """List the images whose names say a sensor."""
    named = (
        (side_of(stem_of(path)), parts, path)
        for parts, path in images_below(folder, _is_named_image)
    )
    listed = ((side, "/".join((*p, stem_of(path))), path) for side, p, path in named if side)
    return sides_of(listed, folder)


def _is_named_image(folder: Path) -> bool:
    """Whether a folder is one image whose name says the sensor; others may hold both sensors."""
    return side_of(stem_of(folder)) is not None and is_image_folder(folder)


def _side_folders(
    folder: Path, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Path, Modality]]:
    """Folders of one sensor, each with the names of those that it lies in, few levels deep.

    Of several of one sensor side by side (``vv`` and ``vh``) the first counts.
    Without any, those count that have a word of the sensor in their names
    (``sar_images``); where there are more of these (``s1_spring``,
    ``s1_autumn``), the rest of the name is part of the key.
    """
    if above and is_image_folder(folder):
        return
    folders = folders_in(folder)
    whole = {path: found for path in folders if (found := folder_side(path.name))}
    worded = {path: side for path in folders if (side := side_of(path.name)) and path not in whole}
    counts = Counter(worded.values())
    for side in MODALITIES:
        ranks = [(rank, path) for path, (said, rank) in whole.items() if said == side]
        if ranks:
            yield above, min(ranks)[1], side
            continue
        for path in (path for path, said in worded.items() if said == side):
            if not is_image_folder(path):
                rest = without_side(path.name, side) if max(counts.values()) > 1 else ""
                yield (*above, rest) if rest else above, path, side
    if len(above) < _MOST_SIDE_LEVELS:
        for path in folders:
            if path not in whole and path not in worded and not is_aside(path.name):
                yield from _side_folders(path, (*above, path.name))


Finder = Callable[[Path], Sides]


@dataclass(frozen=True)
class Layout:
    """A way in which a set lies on disk."""

    name: str
    recognise: Callable[[Path], bool]
    find: Finder


def _has(pattern: str) -> Callable[[Path], bool]:
    return lambda folder: next(iter(folder.glob(pattern)), None) is not None


def _published(pattern: str, name: str, member: str = "", ties: str = "") -> Finder:
    """Make the finder of a set in which the place of an image says its sensor and key.

    Parameters
    ----------
    pattern : str
        Of the images below the folder.
    name : str
        Expression of their paths without endings. Its groups are ``sar`` or
        ``optical``, and the key in two parts, ``front`` and ``back``.
    member : str
        Expression of what in a key is not of the group; empty where none is known.
    ties : str
        Name of the table of tie points beside a SAR image, in terms of the groups of
        ``name``; empty where a set has none.
    """
    form = re.compile(name)

    def find(folder: Path) -> Sides:
        files: dict[str, dict[str, Place]] = {"sar": {}, "optical": {}}
        tables: dict[str, Place] = {}
        for path in images_in(folder, pattern):
            match = form.fullmatch(f"{path.parent.relative_to(folder).as_posix()}/{path.stem}")
            if match:
                key = f"{match['front'] or ''}{match['back']}"
                files["sar" if match["sar"] else "optical"][key] = path
                table = path.with_name(ties.format(**match.groupdict())) if ties else path
                if match["sar"] and table != path and table.is_file():
                    tables[key] = table
        groups = {key: re.sub(member, "", key) for key in files["sar"]} if member else {}
        return Sides(files["sar"], files["optical"], groups, tie_points=tables)

    return find


def _srif(folder: Path) -> Sides:
    """SRIF's optical-SAR pairs, those alone whose truth has been repaired.

    Raises
    ------
    LayoutError
        If no pair has a repaired table.
    """
    listed = _published("**/pair*.jpg", _SRIF, ties="tiepoints_{number}.csv")(folder)
    kept = set(listed.tie_points)
    if not kept:
        raise LayoutError(
            f"{folder} is SRIF, whose published truth (gt_*.txt) is wrong: its scales are 1 "
            "throughout and centres are off by tens of pixels. Lay a repaired table "
            "tiepoints_N.csv (sar_row, sar_col, optical_row, optical_col) beside pairN_1.jpg, or "
            "give a table of pairs with a column tie_points."
        )
    sar, optical = ({k: v for k, v in listed.of(side).items() if k in kept} for side in MODALITIES)
    return Sides(sar, optical, tie_points=listed.tie_points)


def _qxs(folder: Path) -> Sides:
    folders = zip(MODALITIES, ("sar_256_oc_0.2", "opt_256_oc_0.2"), strict=True)
    listed = ((m, path.stem, path) for m, name in folders for path in images_in(folder / name))
    return sides_of(listed, folder)


# s2_cloudy of SEN12MS-CR does not match, and is left out.
_SEN = r".*/(?P<front>ROIs\d+_[a-z]+)_(?:(?P<sar>s1)|s2)(?P<back>_\d+_p\d+)"
_OSDATASET = r"(?:\./)?(?P<front>.*/)?(?:(?P<sar>sar)|opt)(?P<back>\d+)"
# The tiles of one acquisition share its time stamp.
_SPACENET = (
    r"(?:.*/)?(?P<kind>(?P<sar>SAR-Intensity)|PS-RGB)/"
    r"(?P<front>[^/]*_)(?P=kind)_(?P<back>[^/]*tile_\d+)"
)
# Both sides have the same name, in some releases with _A and _B.
_SAR2OPT = r"(?P<front>train|test)(?:(?P<sar>A)|B)(?P<back>/.*?)(?:_[AB])?"

# One case is several pairs of one place; tables name rows and columns of both images.
_SPACENET9 = (
    r"(?:.*/)?(?P<front>[^/]+?)_(?:(?P<sar>sar)|optical)(?P<back>_(?:train|publictest|privatetest)"
    r"(?:_[^/]*)?)"
)
_MMIM = r"(?:.*/)?(?P<front>)(?P<back>SO\d+)(?:(?P<sar>a)|b)"
# Optical before an event, SAR after it; the group is the event.
_BRIGHT = r"(?:.*/)?(?P<front>)(?:(?P<sar>post)|pre)-event/(?P<back>.+_\d{8})_(?:pre|post)_disaster"
_SRIF = r"(?:.*/)?(?P<front>pair)(?P<back>(?P<number>\d+))_(?:1|(?P<sar>2))"

_SEN_TIF = _published("ROIs*/s[12]_*/ROIs*.tif", _SEN, r"_p\d+$")
_TILES = _published("**/[SP]*-[IR]*/*.tif", _SPACENET, r"_tile_\d+$")

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "sen1-2",
        _has("ROIs*/s1_*/ROIs*.png"),
        _published("ROIs*/s[12]_*/ROIs*.png", _SEN, r"_p\d+$"),
    ),
    Layout("sen12ms-cr", _has("ROIs*/s2_cloudy_*/ROIs*.tif"), _SEN_TIF),
    Layout("sen12ms", _has("ROIs*/s1_*/ROIs*.tif"), _SEN_TIF),
    Layout("qxs-saropt", _has("sar_256_oc_0.2"), _qxs),
    Layout("spacenet6", _has("**/SAR-Intensity"), _TILES),
    Layout(
        "spacenet9",
        _has("**/*_optical_*t*.tif"),
        _published(
            "**/*_[so]*_*.tif", _SPACENET9, r"_(?:train|p\w+test).*", "{front}_tiepoints{back}.csv"
        ),
    ),
    Layout("mmim", _has("**/SO[0-9]*.mat"), _published("**/SO*.*", _MMIM, ties="{back}.mat")),
    Layout(
        "bright",
        _has("**/post-event/*_????????_post_disaster.tif"),
        _published("**/*-event/*_disaster.tif", _BRIGHT, r"_\d{8}$"),
    ),
    Layout("srif", _has("**/pair[0-9]*_2.jpg"), _srif),
    Layout("sar2opt", _has("t*[tn]A"), _published("t*[tn][AB]/*", _SAR2OPT, "/.*")),
    Layout("optical-sar-dataset", _has("dataset/opt"), lambda at: by_folders(at / "dataset")),
    Layout("folders", has_side_folders, by_folders),  # sar/ and optical/, or as train/sar
    Layout("osdataset", _has("**/sar[0-9]*.png"), _published("**/*", _OSDATASET)),
    Layout("names", has_side_names, by_names),  # tile_s1.png and tile_s2.png
)
