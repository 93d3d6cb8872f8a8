"""Layouts of one's own: folders or names say which sensor an image is of.

Folders of both sensors may lie side by side (``sar`` and ``optical``), inside
others (``train/sar``, ``test/optical``) or hold others (``sar/train``); without
such folders, names of files say it (``tile0_s1.png``, ``scene1/sar.tif``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from crosslook.data.layouts.images import folders_in, images_below, is_image_folder, stem_of
from crosslook.data.layouts.sides import Sides, sides_of
from crosslook.data.layouts.words import folder_side, is_aside, same_name, side_of, without_side
from crosslook.errors import LayoutError
from crosslook.storage import Place
from crosslook.types import MODALITIES, Modality

_DEEPEST = 3
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
    if len(above) < _DEEPEST:
        for path in folders:
            if path not in whole and path not in worded and not is_aside(path.name):
                yield from _side_folders(path, (*above, path.name))
