"""Answers pinned while code moves: the same inputs give the same bytes before and after.

    python benchmarks/pins.py inputs SENSORS SENTINEL PINS
    python benchmarks/pins.py record PINS ANSWERS [--only TEXT]
    python benchmarks/pins.py compare BEFORE AFTER

``inputs`` writes the images once: pairs of ``sensors``, windows and scenes of
``sentinel``, simulated pairs, with right and wrong partners, masks, points,
heights and every model, a basemap with chips, and two sets of pairs. ``record``
runs ``register``, ``locate``, ``audit`` and ``study`` on them by the public
calls alone, so any two commits can be compared; what is there already is not
run again. ``compare`` maps the keys that were renamed, leaves times and paths
out, and exits with 1 where anything else differs. Bytes depend on the
processor and the versions of libraries: record both on one machine.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from rasterio.windows import Window

import crosslook
from crosslook.atomic import write_text
from crosslook.match.evidence import OLD_NAMES
from crosslook.progress import track

RENAMED: dict[str, str] = {
    **OLD_NAMES,
    "near": "initial",
    "widened": "expanded",
    "rivals": "candidates",
    "nothing on the atlas fits it as it lies: it may be turned or of another pixel size than is "
    "told, or lie elsewhere. Try --rotation 180 --scale 0.1, check --gsd, and see atlas info for "
    "what the atlas holds.": "nothing on the atlas fits it as it lies: it may be rotated, of "
    "another pixel size than was given, or lie elsewhere. Try --rotation 180 --scale 0.1, check "
    "--gsd, and see atlas info for what the atlas holds.",
    "nothing on the atlas fits it, turned or not: it may show another place. See atlas info for "
    "what the atlas holds, and build one with a basemap of more ground.": "nothing on the atlas "
    "fits it, rotated or not: it may show another place. See atlas info for what the atlas holds, "
    "and build one with a basemap of more ground.",
}
"""Old key, or value that is text, to the new one."""

LEFT_OUT = {"timings_s", "path", "version", "format", "atlas"}
ROUNDED = {"whole", "lead"}
"""Compared to six digits: the order in which channels are summed was changed once."""

Case = dict[str, Any]


def make_inputs(sensors: Path, sentinel: Path, pins: Path) -> None:
    """Write all images, and ``cases.json``, which says what is done with them."""
    pins.mkdir(parents=True, exist_ok=True)
    cases = [
        *_sensor_cases(sensors, pins),
        *_scene_cases(sentinel, pins),
        *_simulated_cases(pins),
    ]
    _atlas_inputs(sentinel, pins)
    _study_inputs(sentinel, pins)
    write_text(pins / "cases.json", json.dumps(cases, indent=1) + "\n")
    print(f"{len(cases)} registrations in {pins}")


def _sensor_cases(root: Path, pins: Path) -> Iterator[Case]:
    names = sorted(path.stem for path in (root / "sar").glob("*.png"))
    for number in np.linspace(0, len(names) - 1, 26).round().astype(int):
        name, wrong = names[number], names[(number + 35) % len(names)]
        rng = np.random.default_rng([3, number])
        wide, other = number % 4 == 1, number % 4 == 2
        image = cv2.imread(str(root / "sar" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        turn, grow = (rng.uniform(-40, 40), rng.uniform(0.8, 1.3)) if wide else (1.2, 1.01)
        middle = image.shape[1] / 2, image.shape[0] / 2
        move = cv2.getRotationMatrix2D(middle, turn, grow)
        move[:, 2] += rng.uniform(-9, 9, 2)
        moved = cv2.warpAffine(image, move, image.shape[1::-1], flags=cv2.INTER_CUBIC)
        sar, optical = pins / f"{name}-sar.png", pins / f"{name}-optical.png"
        cv2.imwrite(str(sar), moved)
        shutil.copyfile(root / "optical" / f"{wrong if other else name}.png", optical)
        options: dict[str, Any] = {}
        if wide:
            options = {"rotation": 45.0, "scale": "0.7:1.4", "flip": bool(number % 8 == 5)}
        yield _case(f"sensor-{name}", sar, optical, options)


def _scene_cases(root: Path, pins: Path) -> Iterator[Case]:
    names = sorted(path.stem for path in (root / "sar").glob("*.tif"))
    for number, name in enumerate(names[::6]):
        sar, optical = (pins / f"{name}-{kind}.tif" for kind in ("sar", "optical"))
        corner = (40 + 37 * number, 60 + 29 * number)
        _cut(root / "sar" / f"{name}.tif", sar, corner, 512)
        _cut(root / "optical" / f"{name}.tif", optical, (corner[0] - 20, corner[1] + 15), 520)
        yield _case(f"scene-{name}", sar, optical, {})
        if number == 0:
            for model in ("shift", "similarity", "affine", "homography", "tps", "relief"):
                yield _case(f"model-{model}", sar, optical, {"model": model})
            mask = pins / "mask.tif"
            with rasterio.open(sar) as file:
                profile, half = file.profile, np.ones((1, 512, 512), np.uint8)
            half[:, :, 300:] = 0
            profile.update(count=1, dtype="uint8", nodata=None)
            with rasterio.open(mask, "w", **profile) as file:
                file.write(half)
            yield _case("mask", sar, optical, {"mask": str(mask)})
            points = pins / "points.csv"
            write_text(
                points,
                "sar_row,sar_col,optical_row,optical_col\n100,100,121,86\n"
                "400,120,420,104\n300,380,321,364\n",
            )
            yield _case("points", sar, optical, {"points": str(points)})
            yield _case("shift-metres", sar, optical, {"shift": 800.0})
            yield _case("aspect", sar, optical, {"aspect": "0.9:1.1"})
    for name in ("T11SLT_047", "T11SMT_161"):
        sar, optical = (root / kind / f"{name}.tif" for kind in ("sar", "optical"))
        yield _case(f"whole-{name}", sar, optical, {})
    wrong = root / "sar" / "T11SLT_003.tif", root / "optical" / "T11SLT_003.tif"
    elsewhere = pins / "elsewhere.tif"
    with rasterio.open(root / "optical" / "T11SLT_031.tif") as file:
        values, profile = file.read(), file.profile
    with rasterio.open(wrong[1]) as file:
        profile.update(transform=file.transform, crs=file.crs)
    with rasterio.open(elsewhere, "w", **profile) as file:
        file.write(values)
    yield _case("wrong-near", wrong[0], elsewhere, {"near_only": True})


def _simulated_cases(pins: Path) -> Iterator[Case]:
    flat, hilly = pins / "flat", pins / "hilly"
    crosslook.write_pairs(flat, 4, size=384, shift=(7.0, -9.0), rotation=1.0, seed=5, relief=20.0)
    crosslook.write_pairs(hilly, 2, size=512, seed=3, relief=135.0, uncorrected=True)
    for folder in (flat, hilly):
        for sar in sorted((folder / "sar").glob("*.tif")):
            optical = folder / "optical" / sar.name
            yield _case(f"{folder.name}-{sar.stem}", sar, optical, {})


def _atlas_inputs(root: Path, pins: Path) -> None:
    basemaps, chips = pins / "basemaps", pins / "chips"
    basemaps.mkdir(exist_ok=True)
    chips.mkdir(exist_ok=True)
    for name in ("T11SLT_046", "T11SLT_047", "T11SLT_048", "T11SLT_060", "T11SLT_061"):
        shutil.copyfile(root / "optical" / f"{name}.tif", basemaps / f"{name}.tif")
    for number in range(20):
        name = ("T11SLT_046", "T11SLT_047", "T11SLT_061", "T11SMT_161")[number % 4]
        rng = np.random.default_rng([11, number])
        corner = tuple(int(v) for v in rng.integers(0, 1024 - 320, 2))
        side = 320 if number % 5 else 192
        _cut(root / "sar" / f"{name}.tif", chips / f"chip{number:02}.tif", corner, side)


def _study_inputs(root: Path, pins: Path) -> None:
    crosslook.write_pairs(pins / "study", 8, size=384, seed=9)
    for kind in ("sar", "optical"):
        (pins / "real" / kind).mkdir(parents=True, exist_ok=True)
        for name in sorted(p.name for p in (root / kind).glob("*.tif"))[::6]:
            _cut(root / kind / name, pins / "real" / kind / name, (256, 256), 512)


def _cut(source: Path, target: Path, corner: tuple[int, ...], side: int) -> None:
    window = Window(corner[1], corner[0], side, side)
    with rasterio.open(source) as file:
        values, profile = file.read(window=window), file.profile
        profile.update(height=side, width=side, transform=file.window_transform(window))
    with rasterio.open(target, "w", **profile) as file:
        file.write(values)


def _case(name: str, sar: Path, optical: Path, options: dict[str, Any]) -> Case:
    return {"name": name, "sar": str(sar), "optical": str(optical), "options": options}


def record(pins: Path, answers: Path, only: str = "") -> None:
    """Run everything of which no answer is there yet."""
    answers.mkdir(parents=True, exist_ok=True)
    cases = [c for c in json.loads((pins / "cases.json").read_text()) if only in c["name"]]
    for case in track(cases, "register", len(cases)):
        out = answers / case["name"]
        if not (out / "match.json").exists():
            crosslook.register(case["sar"], case["optical"], out=out, force=True, **case["options"])
    if only in "locate" and not (answers / "located").exists():
        atlas = crosslook.build_atlas(pins / "basemaps", answers / "atlas")
        chips = sorted((pins / "chips").glob("*.tif"))
        found = [
            *crosslook.locate_all(chips[:16], atlas),
            *crosslook.locate_all(chips[16:], atlas, rotation=10.0, scale=0.05),
        ]
        (answers / "located").mkdir()
        for chip, one in zip(chips, found, strict=True):
            text = json.dumps(one.to_dict() if hasattr(one, "to_dict") else str(one.error))
            write_text(answers / "located" / f"{chip.stem}.json", text)
    if only in "audit" and not (answers / "audit").exists():
        crosslook.audit(list(crosslook.open_pairs(pins / "real")), out=answers / "audit")
    if only in "study":
        _record_studies(pins, answers)


def _record_studies(pins: Path, answers: Path) -> None:
    if not (answers / "study" / "results.parquet").exists():
        crosslook.study(
            pins / "study",
            answers / "study",
            extractors="raw,hog,hog:cell=16",
            two_stage="raw+hog,hog:cell=16+hog",
            fusion="raw+hog",
            patch=96,
            split="both",
            robustness=True,
        )
    if not (answers / "real" / "results.parquet").exists():
        crosslook.study(
            pins / "real",
            answers / "real",
            extractors="hog,hog:cell=4",
            pooling="dense:1",
            patch=128,
            seeds="0..1",
        )


def compare(before: Path, after: Path) -> list[str]:
    """What differs beyond renamed keys."""
    out = []
    for one in sorted([*before.glob("*/match.json"), *before.glob("located/*.json")]):
        other = after / one.relative_to(before)
        if not other.exists():
            continue
        old, new = (json.loads(p.read_text()) for p in (one, other))
        out += [f"{one.relative_to(before)}: {text}" for text in _differences(old, new)]
        table = one.with_name("tie_points.csv")
        if table.exists() and table.read_bytes() != (other.parent / table.name).read_bytes():
            out.append(f"{table.relative_to(before)} differs")
    for name in ("study/results.parquet", "real/results.parquet", "audit/audit.csv"):
        if not (before / name).exists() or not (after / name).exists():
            continue
        if (before / name).read_bytes() != (after / name).read_bytes():
            out.append(f"{name} differs")
    return out


def _differences(old: Any, new: Any, at: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            name = key if key in new else RENAMED.get(key, key)
            if key in LEFT_OUT:
                continue
            if key in ROUNDED and math.isclose(
                value, new.get(name, math.nan), rel_tol=1e-6, abs_tol=1e-5
            ):
                continue
            if name not in new:
                yield f"{at}{key} is gone"
            else:
                yield from _differences(value, new[name], f"{at}{name}.")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(*pair, f"{at}{number}.")
    elif old != new and _text(old) != _text(new):
        yield f"{at[:-1]}: {old!r} became {new!r}"


def _text(value: Any) -> str:
    """A value as text by its new name: an option that takes text now held a number once."""
    return str(RENAMED.get(value, value) if isinstance(value, str) else value or "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["inputs", "record", "compare"])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    if given.task == "inputs":
        sensors, sentinel, pins = given.folders
        make_inputs(sensors, sentinel, pins)
    elif given.task == "record":
        pins, answers = given.folders
        record(pins, answers, given.only)
    else:
        before, after = given.folders
        lines = compare(before, after)
        print("\n".join(lines) or "nothing differs")
        sys.exit(bool(lines))


if __name__ == "__main__":
    main()
