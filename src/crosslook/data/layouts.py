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
    by_key,
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
    folder: Path,
    is_one: Callable[[Path], bool] = is_image_folder,
    deepest: int = _MOST_LEVELS,
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
    seen: set[Modality] = set()
    for _, _, side in _side_folders(folder):
        seen.add(side)
        if len(seen) == len(MODALITIES):
            return True
    return False


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
    few = islice(images_below(folder, _is_told), _FEW)
    seen: set[Modality | None] = {side_of(stem_of(path)) for _, path in few}
    return set(MODALITIES) <= seen


def by_names(folder: Path) -> Sides:
    """List the images whose names say a sensor."""
    named = (
        (side_of(stem_of(path)), parts, path) for parts, path in images_below(folder, _is_told)
    )
    listed = [
        (side, "/".join((*parts, stem_of(path))), path) for side, parts, path in named if side
    ]
    return sides_of(listed, folder)


def _is_told(folder: Path) -> bool:
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
    shape: str
    recognise: Callable[[Path], bool]
    find: Finder


def _by_stem(folder: Path) -> dict[str, Place]:
    paths = images_in(folder)
    return by_key(paths, [path.stem for path in paths])


_SEN = re.compile(r"^(ROIs\d+_[a-z]+)_(s1|s2)_(\d+)_(p\d+)$")


def _sen_files(folder: Path, suffix: str) -> Iterable[Path]:
    return folder.glob(f"ROIs*/s[12]_*/ROIs*{suffix}")


def _sen(suffix: str) -> Finder:
    """SEN1-2 (png) and SEN12MS, SEN12MS-CR (tif) share their names."""

    def find(folder: Path) -> Sides:
        sides: dict[str, dict[str, Place]] = {"s1": {}, "s2": {}}
        groups: dict[str, str] = {}
        for path in sorted(_sen_files(folder, suffix)):
            match = _SEN.match(path.stem)
            if match:  # s2_cloudy of SEN12MS-CR does not match, and is left out
                roi, sensor, number, patch = match.groups()
                key = f"{roi}_{number}_{patch}"
                sides[sensor][key] = path
                groups[key] = f"{roi}_{number}"
        return Sides(sides["s1"], sides["s2"], groups)

    return find


def _has(pattern: str) -> Callable[[Path], bool]:
    return lambda folder: any(True for _ in islice(folder.glob(pattern), 1))


def _two_folders(sar: str, optical: str) -> Finder:
    def find(folder: Path) -> Sides:
        return Sides(_by_stem(folder / sar), _by_stem(folder / optical))

    return find


_OS = re.compile(r"^(sar|opt)(\d+)$")


def _osdataset(folder: Path) -> Sides:
    sides: dict[str, dict[str, Place]] = {"sar": {}, "opt": {}}
    for path in images_in(folder, "**/*"):
        match = _OS.match(path.stem)
        if match:
            below = path.parent.relative_to(folder).as_posix()
            prefix = "" if below == "." else f"{below}/"
            sides[match.group(1)][prefix + match.group(2)] = path
    return Sides(sides["sar"], sides["opt"])


_SPACENET = re.compile(r"^(.*)_(SAR-Intensity|PS-RGB)_(.*tile_\d+)$")


def _spacenet6(folder: Path) -> Sides:
    sides: dict[str, dict[str, Place]] = {"SAR-Intensity": {}, "PS-RGB": {}}
    groups: dict[str, str] = {}
    for kind, files in sides.items():
        for path in sorted(folder.glob(f"**/{kind}/*.tif")):
            match = _SPACENET.match(path.stem)
            if match and match.group(2) == kind:
                key = f"{match.group(1)}_{match.group(3)}"
                files[key] = path
                # The tiles of one acquisition share its time stamp.
                groups[key] = key.rpartition("_tile_")[0]
    return Sides(sides["SAR-Intensity"], sides["PS-RGB"], groups)


def _sar2opt(folder: Path) -> Sides:
    sar: dict[str, Place] = {}
    optical: dict[str, Place] = {}
    groups: dict[str, str] = {}
    for split in ("train", "test"):
        for side, paths in (("A", sar), ("B", optical)):
            for path in images_in(folder / f"{split}{side}"):
                # Both sides carry the same name, in some releases with _A and _B.
                key = f"{split}/{re.sub(r'_[AB]$', '', path.stem)}"
                paths[key] = path
                groups[key] = split
    return Sides(sar, optical, groups)


LAYOUTS: tuple[Layout, ...] = (
    Layout("sen1-2", "ROIs*/s1_*/*.png", _has("ROIs*/s1_*/ROIs*.png"), _sen(".png")),
    Layout(
        "sen12ms-cr",
        "as sen12ms, with s2_cloudy_*",
        _has("ROIs*/s2_cloudy_*/ROIs*.tif"),
        _sen(".tif"),
    ),
    Layout("sen12ms", "ROIs*/s1_*/*.tif", _has("ROIs*/s1_*/ROIs*.tif"), _sen(".tif")),
    Layout(
        "qxs-saropt",
        "sar_256_oc_0.2/ and opt_256_oc_0.2/",
        _has("sar_256_oc_0.2"),
        _two_folders("sar_256_oc_0.2", "opt_256_oc_0.2"),
    ),
    Layout("spacenet6", "**/SAR-Intensity/ and PS-RGB/", _has("**/SAR-Intensity"), _spacenet6),
    Layout("sar2opt", "trainA, trainB, testA, testB", _has("t*[tn]A"), _sar2opt),
    Layout(
        "optical-sar-dataset",
        "dataset/sar/ and dataset/opt/",
        _has("dataset/opt"),
        lambda folder: by_folders(folder / "dataset"),
    ),
    Layout("folders", "sar/ and optical/, or as train/sar", has_side_folders, by_folders),
    Layout("osdataset", "sar1.png and opt1.png", _has("**/sar[0-9]*.png"), _osdataset),
    Layout("names", "tile_s1.png and tile_s2.png", has_side_names, by_names),
)
