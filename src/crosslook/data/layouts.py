"""How paired sets lie on disk: the plain folder and the public sets.

Each layout is one row of ``LAYOUTS``: how to recognise it, and how to list its
pairs. A recogniser looks at few files, so opening a large set stays quick.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from crosslook.data.groups import read_groups
from crosslook.data.pairs import ScenePair, by_key, images_in, pair_up
from crosslook.errors import LayoutError, SettingError, did_you_mean

OPTICAL_NAMES = ("optical", "opt", "rgb", "eo", "s2", "sentinel2", "sentinel-2", "visible")
SAR_NAMES = ("sar", "s1", "radar", "sentinel1", "sentinel-1", "vv", "vh")

Finder = Callable[[Path], list[ScenePair]]


@dataclass(frozen=True)
class Layout:
    """A way in which a set lies on disk."""

    name: str
    shape: str
    recognise: Callable[[Path], bool]
    find: Finder


def find_layout(folder: Path, name: str = "auto") -> Finder:
    """Return the finder of a layout by name, or of the first one recognised.

    Raises
    ------
    SettingError
        If the name is unknown.
    LayoutError
        If the folder is in no known layout.
    """
    names = [layout.name for layout in LAYOUTS]
    for layout in LAYOUTS:
        if layout.name == name or (name == "auto" and layout.recognise(folder)):
            return layout.find
    if name != "auto":
        raise SettingError(
            f"unknown layout '{name}'; known are: auto, {', '.join(names)}."
            + did_you_mean(name, names)
        )
    shapes = "; ".join(f"{layout.name}: {layout.shape}" for layout in LAYOUTS)
    raise LayoutError(f"{folder} holds no pairs in a known layout. Known are {shapes}.")


def _side(folder: Path, names: Iterable[str]) -> Path | None:
    """Find the folder of one modality, by the first of ``names`` that is there."""
    folders = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    return next((folders[name] for name in names if name in folders), None)


def _plain_recognise(folder: Path) -> bool:
    return bool(_side(folder, SAR_NAMES) and _side(folder, OPTICAL_NAMES))


def _plain(folder: Path) -> list[ScenePair]:
    sar, optical = _side(folder, SAR_NAMES), _side(folder, OPTICAL_NAMES)
    if sar is None or optical is None:
        names = SAR_NAMES if sar is None else OPTICAL_NAMES
        raise LayoutError(f"{folder} has no folder named one of: {', '.join(names)}.")
    return pair_up(_by_stem(sar), _by_stem(optical), read_groups(folder))


def _by_stem(folder: Path) -> dict[str, Path]:
    paths = images_in(folder)
    return by_key(paths, [path.stem for path in paths])


_SEN = re.compile(r"^(ROIs\d+_[a-z]+)_(s1|s2)_(\d+)_(p\d+)$")


def _sen_files(folder: Path, suffix: str) -> Iterable[Path]:
    return folder.glob(f"ROIs*/s[12]_*/ROIs*{suffix}")


def _sen(suffix: str) -> Finder:
    """SEN1-2 (png) and SEN12MS, SEN12MS-CR (tif) share their names."""

    def find(folder: Path) -> list[ScenePair]:
        sides: dict[str, dict[str, Path]] = {"s1": {}, "s2": {}}
        groups: dict[str, str] = {}
        for path in sorted(_sen_files(folder, suffix)):
            match = _SEN.match(path.stem)
            if match:  # s2_cloudy of SEN12MS-CR does not match, and is left out
                roi, sensor, number, patch = match.groups()
                key = f"{roi}_{number}_{patch}"
                sides[sensor][key] = path
                groups[key] = f"{roi}_{number}"
        return pair_up(sides["s1"], sides["s2"], groups)

    return find


def _has(pattern: str) -> Callable[[Path], bool]:
    return lambda folder: any(True for _ in islice(folder.glob(pattern), 1))


def _two_folders(sar: str, optical: str) -> Finder:
    def find(folder: Path) -> list[ScenePair]:
        return pair_up(_by_stem(folder / sar), _by_stem(folder / optical))

    return find


_OS = re.compile(r"^(sar|opt)(\d+)$")


def _osdataset(folder: Path) -> list[ScenePair]:
    sides: dict[str, dict[str, Path]] = {"sar": {}, "opt": {}}
    for path in images_in(folder, "**/*"):
        match = _OS.match(path.stem)
        if match:
            below = path.parent.relative_to(folder).as_posix()
            prefix = "" if below == "." else f"{below}/"
            sides[match.group(1)][prefix + match.group(2)] = path
    return pair_up(sides["sar"], sides["opt"])


_SPACENET = re.compile(r"^(.*)_(SAR-Intensity|PS-RGB)_(.*tile_\d+)$")


def _spacenet6(folder: Path) -> list[ScenePair]:
    sides: dict[str, dict[str, Path]] = {"SAR-Intensity": {}, "PS-RGB": {}}
    groups: dict[str, str] = {}
    for kind, files in sides.items():
        for path in sorted(folder.glob(f"**/{kind}/*.tif")):
            match = _SPACENET.match(path.stem)
            if match and match.group(2) == kind:
                key = f"{match.group(1)}_{match.group(3)}"
                files[key] = path
                # The tiles of one acquisition share its time stamp.
                groups[key] = key.rpartition("_tile_")[0]
    return pair_up(sides["SAR-Intensity"], sides["PS-RGB"], groups)


def _sar2opt(folder: Path) -> list[ScenePair]:
    sar: dict[str, Path] = {}
    optical: dict[str, Path] = {}
    groups: dict[str, str] = {}
    for split in ("train", "test"):
        for side, found in (("A", sar), ("B", optical)):
            for path in images_in(folder / f"{split}{side}"):
                # Both sides carry the same name, in some releases with _A and _B.
                key = f"{split}/{re.sub(r'_[AB]$', '', path.stem)}"
                found[key] = path
                groups[key] = split
    return pair_up(sar, optical, groups)


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
        lambda folder: _plain(folder / "dataset"),
    ),
    Layout("folders", "sar/ and optical/ (or synonyms)", _plain_recognise, _plain),
    Layout("osdataset", "sar1.png and opt1.png", _has("**/sar[0-9]*.png"), _osdataset),
)
