"""Real scenes that touch, as one mosaic, and products as they are delivered."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from crosslook.data.simulate.settings import SimulateOptions
from crosslook.match.transform import Transform
from crosslook.types import Array, Mask
from history import record
from safe import optical_products, radar_product
from scenes_cases import COMMON, SEED, Run, Scene, fractions, made, register

SIDE = 1024
TRUSTED = 1.5
"""Pixels by which the two measures of a scene may differ."""


def mosaics(given: argparse.Namespace) -> None:
    """Mosaics of the scenes that touch: held-out tie points, and the shift of every scene."""
    published = _published(given.sentinel)
    for number, corners in enumerate(_groups(given.sentinel)):
        if len(corners) < 4:
            continue
        sar, optical = _mosaic(given, corners, number)
        run = register(sar, optical, given.folder / "runs" / f"mosaic-{number}")
        if not (run.out / "match.json").exists():
            print(f"mosaic {number}: code {run.code}, {run.words.strip()[-300:]}", flush=True)
            continue
        _print_mosaic(number, corners, run, published)


def _published(root: Path) -> dict[str, tuple[Array, bool]]:
    """By how many rows and columns each scene was published off, and whether that is trusted."""
    with (root / "alignment.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    out = {}
    for row in rows:
        both = np.array([[float(row[f"{k}_{a}"]) for a in ("row", "col")] for k in ("mi", "grad")])
        out[row["scene"]] = both.mean(axis=0), float(row["disagreement"]) <= TRUSTED
    return out


def _groups(root: Path) -> list[dict[str, tuple[int, int]]]:
    """Scenes on one lattice that touch along an edge; row and column of each in its mosaic."""
    places = {}
    for path in sorted((root / "optical").glob("*.tif")):
        with rasterio.open(path) as file:
            a, c, f = file.transform.a, file.transform.c, file.transform.f
            zone = path.stem.split("_")[0]
            places[path.stem] = zone, round(-f / a), round(c / a)
    groups: list[dict[str, tuple[int, int]]] = []
    left = dict(places)
    while left:
        name, place = left.popitem()
        group, waiting = {name: place}, [place]
        while waiting:
            zone, row, col = waiting.pop()
            near = [k for k, (z, r, c) in left.items() if z == zone and
                    sorted((abs(r - row), abs(c - col))) == [0, SIDE]]  # fmt: skip
            for k in near:
                group[k] = left.pop(k)
                waiting.append(group[k])
        top, edge = (min(p[axis] for p in group.values()) for axis in (1, 2))
        groups.append({k: (r - top, c - edge) for k, (_, r, c) in sorted(group.items())})
    return sorted(groups, key=len, reverse=True)


def _mosaic(
    given: argparse.Namespace, corners: dict[str, tuple[int, int]], number: int
) -> tuple[Path, Path]:
    """Both sides as they were published, put side by side; 0 where no scene lies."""
    shape = tuple(max(c[axis] for c in corners.values()) + SIDE for axis in (0, 1))
    first = next(k for k, c in corners.items())
    out = []
    for kind, count in (("sar", 1), ("optical", 3)):
        pixels = np.zeros((count, *shape), np.uint8)
        for name, (row, col) in corners.items():
            with rasterio.open(given.sentinel / kind / f"{name}.tif") as file:
                part = np.maximum(file.read(), 1)
                pixels[:, row : row + SIDE, col : col + SIDE] = part
                if name == first:
                    place = file.transform @ Affine.translation(-col, -row)
                    crs = file.crs
        path = given.folder / f"mosaic-{number}-{kind}.tif"
        profile: dict[str, Any] = {
            "driver": "GTiff", "count": count, "dtype": "uint8", "height": shape[0],
            "width": shape[1], "crs": crs, "transform": place, "nodata": 0, "tiled": True,
            "compress": "deflate",
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as file:
            file.write(pixels)
        out.append(path)
    return out[0], out[1]


def _inside(points: Array, corner: tuple[int, int], rim: int = 64) -> Mask:
    low = np.array(corner) + rim
    return np.asarray(((points >= low) & (points < np.array(corner) + SIDE - rim)).all(axis=1))


def _print_mosaic(
    number: int, corners: dict[str, tuple[int, int]], run: Run, published: dict[str, Any]
) -> None:
    sar, optical = run.tie_points()
    match = run.match
    scene: dict[str, Any] = match.get("scene", {})
    base = Transform.from_dict(scene["one_map"]) if scene else run.transform
    flat = np.linalg.norm(optical - base(sar), axis=1)
    held = [float(t["held_out_px"]) for t in run.tiles() if t.get("held_out_px")]
    off = []
    for name, corner in corners.items():
        shift, trusted = published[name]
        mine = _inside(optical, corner)
        if trusted and mine.sum() >= 10:
            found = np.median((optical - sar)[mine], axis=0)
            off.append(float(np.linalg.norm(found - shift)))
            print(f"  {name}: published {shift.round(2)}, found {found.round(2)}", flush=True)
    ratio = float(np.median(held) / np.median(flat)) if held else float("nan")
    print(
        f"mosaic {number}, {len(corners)} scenes: {match['verdict']}, {len(sar)} tie points; one "
        f"map {np.median(flat):.2f} px, held-out {np.median(held) if held else float('nan'):.2f} "
        f"px, ratio {ratio:.2f}; published shifts of {len(off)} trusted scenes within "
        f"{np.median(off) if off else float('nan'):.2f} px in the median; {run.processor:.0f} s, "
        f"{run.mebibytes:.0f} MiB; candidates {scene.get('geometry')}",
        flush=True,
    )
    record(f"scenes mosaic {number}", {
        "held_out_ratio": ratio, "shift_px": float(np.median(off)) if off else -1.0,
        "processor_s": run.processor, "peak_mib": run.mebibytes,
    })  # fmt: skip


def safe(given: argparse.Namespace) -> None:
    """A GRD product on a folder of optical products, by the command of the README."""
    columns = given.size
    rows = given.rows or columns * 2 // 3
    options = COMMON | {
        "size": rows, "width": columns, "seed": SEED, "rotation": 9.0, "shift": (0.0, 0.0),
    }  # fmt: skip
    settings = SimulateOptions(**options)
    name = f"swath-{columns}" + (f"x{given.rows}" if given.rows else "")
    scene = made(given.folder, name, options)
    delivered = given.folder / f"{name}-delivered"
    radar = radar_product(delivered, scene.path("sar"), settings, off=(90.0, -140.0))
    tiles = optical_products(delivered / "sentinel-2", scene.path("optical"), 10_980 if
                             columns > 20_000 else -(-columns // 3))  # fmt: skip
    run = register(radar, tiles, given.folder / "runs" / name)
    products = len(list(tiles.iterdir()))
    label = f"{columns} x {rows} px on {products} products"
    if not (run.out / "match.json").exists():
        print(f"{label}: code {run.code}, {run.words.strip()[-600:]}", flush=True)
        return
    print(
        f"{label}: {run.match['verdict']}, {run.processor:.0f} s, {run.mebibytes:.0f} MiB; "
        f"{_on_map(scene, run)}",
        flush=True,
    )


def _on_map(scene: Scene, run: Run) -> str:
    """How far tie points lie from the truth, on the map: both sides have grids of their own."""
    sar, optical = run.tie_points()
    match = run.match["images"]
    with rasterio.open(scene.path("optical")) as file:
        place = file.transform
    there = _to_pixels(match["optical"], optical, place)
    # The SAR grid is that of the rectified product: by its georeference 90 m east, 140 m south.
    here = _to_pixels(match["sar"], sar, place) - np.array([14.0, 9.0])
    moved, land = scene.truth(there)
    del moved
    error = np.linalg.norm(here - there, axis=1)[land]
    return f"{len(error)} tie points on land, {fractions(error)}"


def _to_pixels(image: dict[str, Any], points: Array, place: Affine) -> Array:
    """Pixels of an image of ``match.json`` as pixels of the simulated optical image."""
    from pyproj import Transformer

    x, y = Affine(*image["affine"]) @ (points[:, 1], points[:, 0])
    east, north = Transformer.from_crs(image["crs"], "EPSG:32633", always_xy=True).transform(x, y)
    col, row = ~place @ (np.asarray(east), np.asarray(north))
    return np.column_stack([row, col])
