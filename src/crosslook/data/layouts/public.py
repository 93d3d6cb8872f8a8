"""Public sets, each in the layout in which it is published.

Each is one row of ``LAYOUTS``: how to recognise it, and how to list its
images. A recogniser looks at few files, so opening a large set stays quick.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from crosslook.data.layouts.by_name import by_folders, by_names, has_side_folders, has_side_names
from crosslook.data.layouts.images import images_in
from crosslook.data.layouts.sides import Sides, by_key
from crosslook.storage import Place

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
