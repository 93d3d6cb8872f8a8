"""Whole scenes: how exactly, beside others, how fast, and what becomes of them when killed.

    python benchmarks/scenes.py FOLDER --only accuracy [--size 10980] [--kinds relief-10,both]
    python benchmarks/scenes.py FOLDER --only peers [--size 4096] [--kinds both] [--base CHECKOUT]
    python benchmarks/scenes.py FOLDER --only floor,scale,workers [--size 10980]
    python benchmarks/scenes.py FOLDER --only wide
    python benchmarks/scenes.py FOLDER --only killed,broken [--size 4096]
    python benchmarks/scenes.py FOLDER --only stack [--size 2048]
    python benchmarks/scenes.py FOLDER --only mosaics --sentinel SENTINEL
    python benchmarks/scenes.py FOLDER --only safe [--size 25000] [--rows 4096]

Scenes are simulated into FOLDER where they are not there. Errors are distances in SAR pixels
from the truth, on land that both images show. Times are of the processor in one thread, reading
and writing included; memory is the peak of the process. ``floor`` is what the same pair takes at
the least: both images read and five oriented channels of each computed once, and 29,000
templates of 96 px correlated over 32 px by FFT, of which a thousand are timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from time import process_time

import cv2
import numpy as np
import rasterio
from rasterio.windows import Window as FileWindow

from crosslook.types import Array
from history import record
from scenes_broken import broken, killed
from scenes_cases import (
    HERE,
    KINDS,
    Run,
    Scene,
    false_tiles,
    fractions,
    land_errors,
    register,
    simulated,
    tie_point_errors,
)
from scenes_peers import PEERS, Grey, Points
from scenes_real import mosaics, safe
from scenes_stack import stack

TEMPLATES, TIMED = 29_000, 1000
TEMPLATE, RADIUS, CHANNELS, TILE = 96, 32, 5, 1024


def accuracy(given: argparse.Namespace) -> None:
    """Errors of tie points and of land, with heights too where there is relief."""
    for kind in (given.kinds or "relief-10,relief-45,wander,both").split(","):
        scene = simulated(given.folder, kind, given.size)
        _accuracy_of(given, scene, "")
        if KINDS[kind].get("uncorrected"):
            heights = ("--dem", str(scene.path("heights")))
            _accuracy_of(given, scene, " with heights", *heights)


def _accuracy_of(given: argparse.Namespace, scene: Scene, how: str, *options: str) -> None:
    out = given.folder / "runs" / (scene.name + how.replace(" ", "-"))
    run = register(scene.path("sar"), scene.path("optical"), out, *options)
    label = scene.name + how
    if not (run.out / "match.json").exists():
        print(f"{label}: exit code {run.code}, {run.words.strip()[-400:]}", flush=True)
        return
    points = tie_point_errors(scene, run)
    places, errors = land_errors(scene, run.transform)
    wrong = false_tiles(scene, run, places, errors)
    sure = sum(tile["verdict"] == "match" for tile in run.tiles())
    print(
        f"{label}: {run.match['verdict']}, {len(points)} tie points on land, median "
        f"{np.median(points):.2f} px, {(points <= 2).mean():.3f} within 2 px; "
        f"{sure} of {len(run.tiles())} tiles sure, {wrong} of them off by more than 5 px; land "
        f"{(errors <= 1.5).mean():.3f} within 1.5 px, median {np.median(errors):.2f}, "
        f"{fractions(errors)}; {run.processor:.0f} s, {run.mebibytes:.0f} MiB",
        flush=True,
    )
    figures = {
        "tie_points": len(points), "median_px": float(np.median(points)),
        "within_2": float((points <= 2).mean()), "land_within_1.5": float((errors <= 1.5).mean()),
        "false_tiles": wrong, "processor_s": run.processor, "peak_mib": run.mebibytes,
    }  # fmt: skip
    record(f"scenes accuracy {label}", figures)


def peers(given: argparse.Namespace) -> None:
    """The same scene by others and by another checkout: fractions of tie points and of land."""
    scene = simulated(given.folder, given.kinds or "both", given.size)
    places, there = scene.land(4)
    start = np.rint(np.median(there - places, axis=0)).astype(int)
    sar, optical = _grey(scene, start)
    for name in filter(None, given.methods.split(",")):
        began = process_time()
        try:
            points = PEERS[name](sar, optical)
        except (ImportError, cv2.error, RuntimeError, ValueError, MemoryError) as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            continue
        _print_peer(name, scene, (points[0], points[1] + start), process_time() - began)
    checkouts = {"crosslook": HERE.parent} | ({"base": given.base} if given.base else {})
    for name, checkout in checkouts.items():
        out = given.folder / "runs" / f"{scene.name}-{name}"
        run = register(scene.path("sar"), scene.path("optical"), out, checkout=checkout)
        errors = land_errors(scene, run.transform, 4)[1]
        own = tie_point_errors(scene, run)
        print(
            f"{name}: {len(own)} tie points, {fractions(own)}; land {fractions(errors)}; "
            f"{run.processor:.0f} s",
            flush=True,
        )


def _grey(scene: Scene, start: Array) -> tuple[Grey, Grey]:
    """Both images in grey; the SAR one moved by whole pixels, the root of its amplitude."""
    with rasterio.open(scene.path("sar")) as file:
        power = np.sqrt(np.sqrt(file.read(1)))
    with rasterio.open(scene.path("optical")) as file:
        optical = file.read().mean(axis=0).astype(np.uint8)
    scaled = np.clip(power / np.quantile(power[::8, ::8], 0.99), 0, 1) * 255
    moved = np.roll(scaled.astype(np.uint8), tuple(-start), (0, 1))
    return moved, optical


def _print_peer(name: str, scene: Scene, points: Points, seconds: float) -> None:
    """Errors at the tie points on land, and of land by triangles between them."""
    from scipy.interpolate import LinearNDInterpolator

    here, seen = points
    if len(here) < 4:
        print(f"{name}: {len(here)} tie points; {seconds:.0f} s", flush=True)
        return
    there, land = scene.truth(here)
    own = np.linalg.norm(seen - there, axis=1)[land]
    places, wanted = scene.land(4)
    moved = LinearNDInterpolator(here, seen - here)(places)
    errors = np.linalg.norm(places + moved - wanted, axis=1)
    errors[np.isnan(errors)] = np.inf  # not covered
    print(
        f"{name}: {len(own)} tie points on land, {fractions(own)}; land {fractions(errors)}; "
        f"{seconds:.0f} s",
        flush=True,
    )
    record(f"scenes peers {name} {scene.name}", {
        "within_1": float((errors <= 1).mean()), "within_2": float((errors <= 2).mean()),
        "within_5": float((errors <= 5).mean()), "processor_s": seconds,
    })  # fmt: skip


def floor(given: argparse.Namespace) -> None:
    """What reading, features and correlation take at the least, and what registering takes."""
    scene = simulated(given.folder, "both", given.size)
    read = sum(_features(scene.path(kind)) for kind in ("sar", "optical"))
    each = _correlation()
    least = read + each * TEMPLATES
    out = given.folder / "runs" / f"{scene.name}-timed"
    run = register(scene.path("sar"), scene.path("optical"), out)
    print(
        f"{scene.name}: floor {least:.0f} s (read and features {read:.0f} s, {each * 1e3:.2f} ms a "
        f"template); register {run.processor:.0f} s, {run.processor / least:.2f} times; "
        f"{run.mebibytes:.0f} MiB; {run.match['verdict']}",
        flush=True,
    )
    record(f"scenes floor {scene.name}", {
        "floor_s": least, "processor_s": run.processor, "floor_times": run.processor / least,
        "peak_mib": run.mebibytes,
    })  # fmt: skip


def _features(path: Path) -> float:
    """Seconds to read an image tile by tile and to compute oriented channels of it."""
    began = process_time()
    with rasterio.Env(GDAL_CACHEMAX=256 << 20), rasterio.open(path) as file:
        for row in range(0, file.height, TILE):
            for col in range(0, file.width, TILE):
                sides = min(TILE, file.width - col), min(TILE, file.height - row)
                grey = file.read(window=FileWindow(col, row, *sides)).mean(axis=0)
                channels(grey.astype(np.float32))
    return process_time() - began


def channels(grey: np.ndarray) -> np.ndarray:
    """Gradients in five unsigned directions, blurred (Dalal and Triggs, CVPR 2005)."""
    down, right = (cv2.Sobel(grey, cv2.CV_32F, *order) for order in ((0, 1), (1, 0)))
    length, angle = cv2.cartToPolar(right, down)
    place = (angle % np.pi) * np.float32(CHANNELS / np.pi)
    out = np.empty((CHANNELS, *grey.shape), np.float32)
    for number in range(CHANNELS):
        apart = np.abs(place - number)
        apart = np.minimum(apart, CHANNELS - apart)
        cv2.GaussianBlur(length * np.maximum(0, 1 - apart), (0, 0), 1.0, dst=out[number])
    return out


def _correlation() -> float:
    """Seconds of one template of five channels over its window, by FFT."""
    from scipy import fft

    rng = np.random.default_rng(0)
    side = fft.next_fast_len(TEMPLATE + 2 * RADIUS, real=True)
    template = rng.random((CHANNELS, TEMPLATE, TEMPLATE), np.float32)
    window = rng.random((CHANNELS, TEMPLATE + 2 * RADIUS, TEMPLATE + 2 * RADIUS), np.float32)
    began = process_time()
    for _ in range(TIMED):
        spectra = [fft.rfft2(part, (side, side)) for part in (template, window)]
        product = (spectra[0].conj() * spectra[1]).sum(axis=0)
        fft.irfft2(product, (side, side))[: 2 * RADIUS + 1, : 2 * RADIUS + 1].argmax()
    return (process_time() - began) / TIMED


def scale(given: argparse.Namespace) -> None:
    """Time and memory at a quarter, half and all of the side."""
    for size in (given.size // 4, given.size // 2, given.size):
        scene = simulated(given.folder, "both", size)
        _print_times(scene.name, _timed(given, scene), size * size)


def wide(given: argparse.Namespace) -> None:
    """25,000 x 16,000 pixels on a basemap of six files; ``--size`` for a smaller one."""
    rows = given.size if given.size != SIZES["wide"] else 16_000
    scene = simulated(given.folder, "both", rows, rows * 25 // 16)
    tiles = given.folder / f"{scene.name}-tiles"
    cut(scene.path("optical"), tiles, rows // 2 + 1)
    out = given.folder / "runs" / scene.name
    run = register(scene.path("sar"), tiles, out)
    label = f"{scene.name} on {len(list(tiles.glob('*.tif')))} files"
    _print_times(label, run, rows * rows * 25 // 16)


def cut(path: Path, folder: Path, side: int) -> None:
    """Write an image as files of at most ``side`` pixels along an edge."""
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path) as file:
        for row in range(0, file.height, side):
            for col in range(0, file.width, side):
                target = folder / f"tile-{row}-{col}.tif"
                if target.exists():
                    continue
                height, width = min(side, file.height - row), min(side, file.width - col)
                at = FileWindow(col, row, width, height)
                profile = file.profile | {
                    "height": height, "width": width, "transform": file.window_transform(at),
                    "tiled": True, "blockxsize": 256, "blockysize": 256,
                }  # fmt: skip
                with rasterio.open(target, "w", **profile) as tile:
                    for top in range(0, height, TILE):
                        deep = min(TILE, height - top)
                        band = file.read(window=FileWindow(col, row + top, width, deep))
                        tile.write(band, window=FileWindow(0, top, width, deep))


def _timed(given: argparse.Namespace, scene: Scene, *options: str) -> Run:
    out = given.folder / "runs" / f"{scene.name}-timed"
    return register(scene.path("sar"), scene.path("optical"), out, *options)


def _print_times(label: str, run: Run, pixels: int) -> None:
    print(
        f"{label}: code {run.code}, {run.processor:.0f} s of the processor, {run.clock:.0f} s by "
        f"the clock, {run.processor / pixels * 1e6:.2f} us a pixel, {run.mebibytes:.0f} MiB",
        flush=True,
    )
    record(f"scenes times {label}", {
        "processor_s": run.processor, "clock_s": run.clock, "peak_mib": run.mebibytes,
    })  # fmt: skip


def workers(given: argparse.Namespace) -> None:
    """One worker beside two, by the clock; the same files."""
    scene = simulated(given.folder, "both", given.size)
    runs = {}
    for count in (1, 2):
        out = given.folder / "runs" / f"{scene.name}-workers-{count}"
        runs[count] = register(
            scene.path("sar"), scene.path("optical"), out, "--workers", str(count)
        )
        _print_times(f"{scene.name} workers {count}", runs[count], given.size**2)
    print(f"two workers are {runs[1].clock / runs[2].clock:.2f} times as fast as one", flush=True)


SECTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "accuracy": accuracy, "peers": peers, "floor": floor, "scale": scale, "workers": workers,
    "wide": wide, "killed": killed, "broken": broken, "mosaics": mosaics, "safe": safe,
    "stack": stack,
}  # fmt: skip
SIZES = {
    "stack": 2048,
    "peers": 4096,
    "killed": 4096,
    "broken": 3072,
    "safe": 25_000,
    "wide": 16_000,
}
"""Rows of a scene where no ``--size`` is given and 10,980 is not meant."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="for scenes and what is made of them")
    parser.add_argument("--only", default="accuracy", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--size", type=int, default=None, help="rows of a scene")
    parser.add_argument("--rows", type=int, default=None, help="of the product: a strip of it")
    parser.add_argument("--kinds", default=None, help=f"of scenes: {', '.join(KINDS)}")
    parser.add_argument("--methods", default=",".join(PEERS))
    parser.add_argument("--base", type=Path, default=None, help="another checkout")
    parser.add_argument("--sentinel", type=Path, default=None)
    parser.add_argument("--times", type=int, default=10, help="how often it is killed")
    given = parser.parse_args()
    given.folder = given.folder.resolve()
    cv2.setNumThreads(1)
    asked = given.size
    for name in given.only.split(","):
        given.size = asked or SIZES.get(name, 10_980)
        SECTIONS[name](given)


if __name__ == "__main__":
    main()
