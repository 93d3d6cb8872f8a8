"""Location of SAR chips in one atlas of all Sentinel scenes, on their real map.

    python benchmarks/location.py SENTINEL [--side 256] [--queries 200] [--seed 0 ...]
        [--rotation D --scale S] [--absent] [--relief AUDIT.csv] [--out FILE.csv]

Each query is a random chip of a random scene, without georeference; the ground
size of a pixel is given. The truth is the georeference, corrected by the
published shift of the scene; 'within 5 px' counts trusted scenes alone, as the
mean over a 9 x 9 grid. That truth is one shift per scene, but relief moves
hills along the range of the radar; so the offsets of the centre are split into
their parts along the range and across it for trusted answers that are called a
match and lie beyond 5 px, and with --relief the scenes where `crosslook audit`
finds relief of at most 6 px are counted apart too.

With --absent the scenes are split into two atlases by the seed, and every query
is looked for in both: once where it is, once where it is not. With --rotation
and --scale the chips are rotated and scaled at random within that range, and
the range is given.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from scipy.stats import binomtest

from crosslook.atlas.build import build_atlas
from crosslook.atlas.locate import locate
from crosslook.atlas.search import searcher
from crosslook.atlas.store import Atlas
from crosslook.geo.raster import RasterArray, RasterFile
from crosslook.match.ncc import correlation_device
from crosslook.match.placement import placement
from crosslook.match.relief import HILLY_PX
from crosslook.match.transform import Transform, grid_points, mean_distance, similarity, translation
from crosslook.match.warp import opencv_matrix
from crosslook.progress import track
from registration_cases import all_shifts, trusted_shifts

NEAR_PX, CLOSE_PX = 32.0, 5.0
# All SAR scenes come from one descending pass of Sentinel-1A. An inclination of
# 98.18 degrees makes its track over the turning Earth head 193 degrees at 34
# degrees north; range lies at right angles to that. (row, column):
RANGE = np.array([np.sin(np.radians(13.0)), np.cos(np.radians(13.0))])
ALONG_DEGREES = 15.0
FAILED_PX = 99_999.0


@dataclass(frozen=True)
class Chip:
    """A query; ``truth`` maps its pixels to those of the atlas grid."""

    scene: str
    image: RasterArray
    in_scene: Transform
    trusted: bool


def make_chip(root: Path, scene: str, side: int, rng: np.random.Generator, args: Any) -> Chip:
    """Cut a chip whose pixels all lie within the scene."""
    rotation = rng.uniform(-args.rotation, args.rotation)
    scale = 1.0 + rng.uniform(-args.scale, args.scale)
    reach = (
        side / 2 * scale * (abs(np.cos(np.radians(rotation))) + abs(np.sin(np.radians(rotation))))
    )
    centre = rng.uniform(reach, 1024 - reach, 2)
    if not args.rotation and not args.scale:
        centre = np.round(centre)
    into = similarity(
        (centre[0] - side / 2, centre[1] - side / 2), rotation, scale, (side / 2, side / 2)
    )
    sar = RasterFile(root / "sar" / f"{scene}.tif").read(None, (1,))[0]
    cut = cv2.warpPerspective(sar, opencv_matrix(into.inverse), (side, side), flags=cv2.INTER_CUBIC)
    bytes_cut = np.clip(np.rint(cut), 0, 255).astype(np.uint8)
    row, col = all_shifts(root)[scene]
    move = Transform(translation(row, col), "shift")
    image = RasterArray.of(bytes_cut, name=f"{scene} chip")
    return Chip(scene, image, move @ into, scene in trusted_shifts(root))


def truth_in(chip: Chip, atlas: Atlas, root: Path) -> Transform:
    """Chip pixels to atlas pixels."""
    optical = RasterFile(root / "optical" / f"{chip.scene}.tif").header.grid
    return placement(optical, atlas.grid.pixels) @ chip.in_scene


def ask(chip: Chip, atlas: Atlas, gsd: float, args: Any) -> tuple[Transform | None, float, Any]:
    """Where crosslook puts a chip, in atlas pixels; the seconds; the result."""
    started = perf_counter()
    result = locate(chip.image, atlas, gsd=gsd, rotation=args.rotation, scale=args.scale)
    seconds = perf_counter() - started
    if result.transform is None:
        return None, seconds, result
    assert result.window is not None  # a place has a window
    move = Transform(translation(result.window.row, result.window.col), "shift")
    return move @ result.transform, seconds, result


def run(args: Any, seed: int) -> list[dict[str, object]]:
    root = args.sentinel
    scenes = sorted(p.stem for p in (root / "optical").glob("*.tif"))
    rng = np.random.default_rng(seed)
    halves = [scenes]
    if args.absent:
        mixed = rng.permutation(len(scenes))
        halves = [sorted(scenes[i] for i in part) for part in np.array_split(mixed, 2)]
    lines: list[dict[str, object]] = []
    with TemporaryDirectory() as folder:
        atlases = [_atlas(root, half, Path(folder) / str(n)) for n, half in enumerate(halves)]
        chosen = rng.integers(len(scenes), size=args.queries)
        for number in track(chosen, "Locating"):
            chip = make_chip(root, scenes[number], args.side, rng, args)
            for half, atlas in zip(halves, atlases, strict=True):
                lines.append(_line(chip, atlas, root, chip.scene in half, args))
    return lines


def _atlas(root: Path, scenes: list[str], out: Path) -> Atlas:
    started = perf_counter()
    atlas = build_atlas([root / "optical" / f"{s}.tif" for s in scenes], out)
    seconds = perf_counter() - started
    for level in range(len(atlas.manifest.levels)):
        searcher(atlas, level, correlation_device()).precompute()
    pixels = atlas.manifest.valid_pixels / 1e6
    print(f"atlas of {len(scenes)} scenes: {pixels:.1f} Mpx, {seconds / pixels:.2f} s/Mpx to build")
    return atlas


def _line(chip: Chip, atlas: Atlas, root: Path, present: bool, args: Any) -> dict[str, object]:
    truth = truth_in(chip, atlas, root)
    position = np.array([[args.side / 2, args.side / 2]])
    gsd = atlas.grid.ground_metres(truth(position))
    transform, seconds, result = ask(chip, atlas, gsd, args)
    centre = error = FAILED_PX
    offset = np.full(2, FAILED_PX)
    if transform is not None:
        offset = (transform(position) - truth(position))[0]
        centre = float(np.linalg.norm(offset))
        error = mean_distance(transform, truth, grid_points(args.side, args.side))
    return {
        "scene": chip.scene,
        "present": int(present),
        "trusted": int(chip.trusted),
        "centre_error": round(centre, 3),
        "error": round(error, 3),
        "error_row": round(float(offset[0]), 3),
        "error_col": round(float(offset[1]), 3),
        # Some scenes overlap: a chip may be seen in an atlas without its own scene.
        "right": int(centre <= NEAR_PX),
        "verdict": result.verdict,
        "confidence": round(result.confidence, 5),
        "seconds": round(seconds, 4),
        **{f"s_{k}": round(v, 4) for k, v in result.timings.items()},
        **{k: float(v) for k, v in vars(result.evidence).items()},
    }


def _fraction(name: str, hits: np.ndarray) -> None:
    if len(hits) == 0:
        print(f"{name:44}none")
        return
    low, high = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    print(f"{name:44}{hits.mean():.3f} ({low:.3f} to {high:.3f}), n = {len(hits)}")


def report(lines: list[dict[str, object]], flat: set[str] | None = None) -> None:
    """Print shares with their intervals (Wilson); ``flat`` names scenes of little relief."""
    here = [line for line in lines if line["present"]]
    _fraction("centre within 32 px", np.array([line["right"] for line in here]))
    known = [line for line in here if line["trusted"]]
    close = np.array([line["error"] for line in known], np.float64) <= CLOSE_PX
    _fraction("within 5 px over the chip, trusted scenes", close)
    called = np.array([line["verdict"] == "match" for line in known])
    _fraction("the same, of those called a match", close[called])
    if flat is not None:
        level = np.array([line["scene"] in flat for line in known])
        _fraction(f"the same, of scenes with relief up to {HILLY_PX:g} px", close[level])
        _fraction("the same, of these called a match", close[level & called])
    _relief([line for line, near in zip(known, close, strict=True) if not near])
    sure = np.array([line["verdict"] == "match" for line in here])
    _fraction("verdict 'match' where the scene is there", sure)
    seconds = np.array([line["seconds"] for line in lines], np.float64)
    print(
        f"{'seconds a query: median, mean, largest':44}"
        f"{np.median(seconds):.2f}, {seconds.mean():.2f}, {seconds.max():.2f}"
    )
    wrong = np.array([line["verdict"] == "match" for line in lines if not line["right"]])
    if len(wrong):
        _fraction("verdict 'match' where the place is wrong", wrong)
    if any(not line["present"] for line in lines):
        from sklearn.metrics import roc_auc_score

        right = [line["right"] for line in lines]
        print(
            f"AUROC of the confidence: {roc_auc_score(right, [x['confidence'] for x in lines]):.4f}"
        )


def _flat(audited: Path) -> set[str]:
    """Scenes whose relief is known and small."""
    with audited.open(newline="") as file:
        known = {row["scene"]: row["relief_px"] for row in csv.DictReader(file)}
    return {scene for scene, relief in known.items() if relief and float(relief) <= HILLY_PX}


def _relief(beyond: list[dict[str, object]]) -> None:
    """How many offsets of confident answers beyond 5 px point where relief would."""
    sure = [line for line in beyond if line["verdict"] == "match"]
    if not sure:
        return
    offset = np.array([[line["error_row"], line["error_col"]] for line in sure], np.float64)
    along = np.abs(offset @ RANGE)
    across = np.abs(offset @ np.array([RANGE[1], -RANGE[0]]))
    print(f"of the {len(sure)} beyond 5 px that are called a match:")
    name = f"  along the range, +-{ALONG_DEGREES:g} deg (chance {ALONG_DEGREES / 90:.2f})"
    _fraction(name, np.degrees(np.arctan2(across, along)) <= ALONG_DEGREES)
    _fraction("  across the range within 5 px", across <= CLOSE_PX)
    print(f"  median along and across: {np.median(along):.1f}, {np.median(across):.1f} px")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rotation", type=float, default=0.0)
    parser.add_argument("--scale", type=float, default=0.0)
    parser.add_argument("--absent", action="store_true")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="one draw of chips each")
    parser.add_argument("--relief", type=Path, default=None, help="audit.csv of the scenes")
    parser.add_argument("--out", type=Path, default=None, help="CSV with one line per query")
    given = parser.parse_args()
    lines = [line for seed in given.seed for line in run(given, seed)]
    if given.out is not None:
        with given.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted({k for line in lines for k in line}))
            writer.writeheader()
            writer.writerows(lines)
    report(lines, None if given.relief is None else _flat(given.relief))


if __name__ == "__main__":
    main()
