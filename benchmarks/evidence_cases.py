"""The cases of evidence.py: pairs of every sensor, size, search and kind, by number.

A family is one kind of pair: which images, how large, right or wrong, near or far. Its
``n``-th case depends on the seed and ``n`` alone, so that cases can be made in any order, by
several processes, and made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from crosslook.data.simulate.scene import make_pair
from crosslook.match.transform import (
    Transform,
    grid_points,
    mean_distance,
    translation,
)
from crosslook.match.warp import opencv_matrix
from crosslook.types import Mask
from registration_cases import FAILED_PX, SCENE, Image, Reach, grounds, level, places, read_image

Kind = Literal["right", "wrong", "mirrored", "turned", "quarter"]
Away = Literal["near", "far", "requested"]
REQUESTED: dict[str, Any] = {"rotation": 90.0, "scale": (0.7, 1.4)}
NEAR = Reach(2.0, (0.98, 1.02), 10.0)
NEAR_WINDOW = Reach(2.0, (0.98, 1.02), 24.0)
TURNED = Reach(28.0, (0.85, 1.2), 8.0)
ANY = Reach(88.0, (0.72, 1.38), 8.0)
_AROUND = 96  # optical pixels around a window from which the search may begin elsewhere
_FAR_PX = (72.0, 92.0)


@dataclass(frozen=True, eq=False)
class Trial:
    """One call of ``register``.

    Attributes
    ----------
    source, region, other : str
        Sensor; what must not be split between fit and test, of the SAR image and of its partner.
    kind : str
        Of the partner.
    sar, optical : arrays (H, W) and (B, H', W')
    placed, truth : Transform
        SAR to optical pixels: where the search begins, and where it should end. ``truth`` is
        None where the partner shows another place.
    valid : bool array (H, W), or None
        Where the SAR image holds something.
    settings : dict
        Of ``register``.
    """

    source: str
    region: str
    other: str
    kind: Kind
    sar: Image
    optical: Image
    placed: Transform
    truth: Transform | None
    valid: Mask | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def error(self, transform: Transform | None) -> float:
        """Mean distance from the truth over 9 x 9 valid SAR positions, optical pixels."""
        if transform is None or self.truth is None:
            return FAILED_PX
        points = grid_points(*self.sar.shape)
        if self.valid is not None:
            points = points[self.valid[tuple(points.astype(int).T)]]
        return min(mean_distance(level(transform), self.truth, points), FAILED_PX)


class Ask(NamedTuple):
    """What a case is to be."""

    kind: Kind = "right"
    away: Away = "near"
    side: int = 0


@dataclass(frozen=True)
class Family:
    """A kind of pair, how often it is tried, and what makes its case from a random state."""

    name: str
    often: float
    make: Callable[[np.random.Generator, Ask], Trial]
    ask: Ask


def families(data: Path) -> list[Family]:
    """All of them; ``often`` are relative numbers of calls."""
    sensors = Sensors(data / "sensors")
    rtc = Sensors(data / "terramind", ("S1RTC", "S2RGB"), "terramind")
    sentinel = Windows(data / "sentinel")
    out = []
    for name, make, times in (
        ("sensors", sensors.trial, (16, 26, 3, 3, 6, 6, 1.2, 1.2)),
        ("enlarged", sensors.enlarged, (4, 8, 0, 0, 1, 2, 0, 0)),
        ("terramind", rtc.trial, (2, 2, 0, 0, 0.5, 0, 0, 0)),
        ("simulated", simulated, (5, 6, 0.5, 0.5, 1, 0, 0.3, 0.3)),
        ("window", sentinel.trial, (14, 14, 1.5, 1.5, 7, 0, 1.2, 1.2)),
    ):
        asks = (
            Ask(), Ask("wrong"), Ask("mirrored"), Ask("turned"), Ask("right", "far"),
            Ask("wrong", "far"), Ask("right", "requested"), Ask("wrong", "requested"),
        )  # fmt: skip
        for ask, often in zip(asks, times, strict=True):
            if often:
                out.append(Family(f"{name}-{ask.kind}-{ask.away}", often, make, ask))
    for side, often in ((384, 3.0), (512, 2.0), (1024, 0.6), (2048, 0.15)):
        for ask, share in ((Ask("right", "near", side), 1.0), (Ask("wrong", "near", side), 0.6)):
            out.append(Family(f"window-{ask.kind}-{side}", often * share, sentinel.trial, ask))
    for side, often in ((256, 2.0), (512, 0.4)):
        ask = Ask("quarter", "near", side)
        out.append(Family(f"window-quarter-{side}", often, sentinel.trial, ask))
    return out


def schedule(known: list[Family]) -> Iterator[tuple[int, int]]:
    """Family and number of one case after the other; every prefix has all in their proportions."""
    total = sum(one.often for one in known)
    owed, made = np.zeros(len(known)), [0] * len(known)
    while True:
        owed += [one.often / total for one in known]
        next_one = int(owed.argmax())
        yield next_one, made[next_one]
        owed[next_one] -= 1.0
        made[next_one] += 1


@dataclass(frozen=True, eq=False)
class _Scene:
    """Two aligned images, larger than what is cut of them."""

    source: str
    region: str
    sar: Image
    optical: Image


class Sensors:
    """Pairs of small images in two folders; a partner from elsewhere is of another region."""

    def __init__(
        self, root: Path, folders: tuple[str, str] = ("sar", "optical"), source: str = ""
    ) -> None:
        self.root, self.folders, self.source = root, folders, source
        self.names = sorted(path.name for path in (root / folders[0]).iterdir())

    def trial(self, rng: np.random.Generator, ask: Ask) -> Trial:
        """A window of 160 px or more of a pair, or all of it."""
        own, other = self._drawn(rng)
        most = min(own.sar.shape)
        sides = [n for n in (160, 160, 176, 192, 192, 224, 256) if n <= most]
        return _cut(rng, own, other, ask, int(rng.choice(sides)))

    def cut(self, rng: np.random.Generator, names: tuple[str, str], ask: Ask, side: int) -> Trial:
        """A window of a pair, and its partner or that of another pair."""
        own, other = map(self._scene, names)
        return _cut(rng, own, other, ask, side)

    def enlarged(self, rng: np.random.Generator, ask: Ask) -> Trial:
        """A part of a pair with more pixels: as of a finer sensor, with fewer structures."""
        own, other = self._drawn(rng)
        side, grow = int(rng.integers(96, 145)), float(rng.uniform(1.5, 2.0))
        corner = rng.integers(0, min(own.sar.shape) - side + 1, 2)
        far = rng.integers(0, min(other.sar.shape) - side + 1, 2)
        own, other = (_grown(one, at, side, grow) for one, at in ((own, corner), (other, far)))
        sides = [n for n in (160, 176, 192, 224, 256) if n <= min(own.sar.shape)]
        # A sensor of its own: what is learned of it is not of the one it was made of.
        trial = _cut(rng, own, other, ask, int(rng.choice(sides or [min(own.sar.shape)])))
        return replace(trial, source=f"{trial.source} enlarged")

    def _drawn(self, rng: np.random.Generator) -> tuple[_Scene, _Scene]:
        one = self.names[int(rng.integers(len(self.names)))]
        others = [name for name in self.names if self._region(name) != self._region(one)]
        return self._scene(one), self._scene(others[int(rng.integers(len(others)))])

    def _region(self, name: str) -> str:
        return Path(name).stem if self.source else Path(name).stem.rsplit("_", 1)[0]

    def _scene(self, name: str) -> _Scene:
        sar, optical = (read_image(self.root / folder / name) for folder in self.folders)
        band = sar[0] if sar.dtype == np.uint8 else sar[0].astype(np.float32)
        return _Scene(self.source or name.split("_")[0], self._region(name), band, optical)


class Windows:
    """Windows of Sentinel ground of any side; large ones span several scenes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def trial(self, rng: np.random.Generator, ask: Ask) -> Trial:
        """One of the side asked for, else of 128 to 256 px."""
        side = ask.side or int(rng.choice([128, 160, 160, 192, 192, 256, 256]))
        spare = 2 * _AROUND if ask.away == "far" else _AROUND if side <= 512 else 48
        spare = side // 2 + 16 if ask.kind == "quarter" else spare
        wide = side + 2 * spare
        known, free = _free(self.root, wide, 1)
        g, top, left = free[int(rng.integers(len(free)))]
        own = other = self._scene(known[g], top, left, wide)
        if ask.kind in ("wrong", "quarter"):
            far = [
                p
                for p in _free(self.root, wide, 0)[1]
                if p[0] != g or max(abs(p[1] - top), abs(p[2] - left)) >= wide
            ]
            h, row, col = far[int(rng.integers(len(far)))]
            other = self._scene(known[h], row, col, wide)
        return _cut(rng, own, other, ask, side, NEAR_WINDOW)

    def _scene(self, ground: Any, top: int, left: int, wide: int) -> _Scene:
        row, col = ((at + wide // 2) // SCENE for at in (top, left))
        region = f"{ground.cells[row, col][:6]} {row // 2}"
        sar = ground.read("sar", top, left, wide)[0]
        return _Scene("sentinel", region, sar, ground.read("optical", top, left, wide))


@lru_cache(maxsize=32)
def _free(root: Path, side: int, room: int) -> tuple[list[Any], list[tuple[int, int, int]]]:
    known = grounds(root)
    return known, [(g, r, c) for g, one in enumerate(known) for r, c in places(one, side, room)]


def simulated(rng: np.random.Generator, ask: Ask) -> Trial:
    """A pair of the simulator on low ground, of pixels of 1 to 20 m and any speckle."""
    side = int(rng.choice([160, 192, 256, 256, 384]))
    wide = side + 2 * _AROUND if ask.away == "far" else side + 48
    options = {
        "gsd": float(rng.choice([1.0, 2.0, 5.0, 10.0, 20.0])),
        "looks": float(rng.choice([1.0, 2.0, 4.0, 16.0])),
        "look": str(rng.choice(["east", "west"])),
        "sun_azimuth": float(rng.uniform(90.0, 270.0)),
        "sun_elevation": float(rng.uniform(25.0, 65.0)),
        "relief": 10.0,
    }
    seeds = rng.integers(0, 10_000, 2)
    seeds[1] += 10_000
    scenes = [
        _Scene("simulated", str(seed % 10), pair.sar, pair.optical)
        for seed in map(int, seeds[: 2 if ask.kind == "wrong" else 1])
        for pair in [make_pair(size=wide, seed=seed, **options)]
    ]
    return _cut(rng, scenes[0], scenes[-1], ask, side)


def _grown(scene: _Scene, corner: Any, side: int, grow: float) -> _Scene:
    size = (round(side * grow),) * 2
    rows, cols = (slice(int(at), int(at) + side) for at in corner)
    sar = cv2.resize(scene.sar[rows, cols], size, interpolation=cv2.INTER_CUBIC)
    bands = [
        cv2.resize(one[rows, cols], size, interpolation=cv2.INTER_CUBIC) for one in scene.optical
    ]
    return replace(scene, sar=sar, optical=np.stack(bands))


def _cut(
    rng: np.random.Generator, own: _Scene, other: _Scene, ask: Ask, side: int, near: Reach = NEAR
) -> Trial:
    """A SAR window moved within its scene, and the optical window that it is registered on."""
    wide = own.sar.shape[0]
    reach = {"near": near, "far": TURNED, "requested": ANY}[ask.away]
    corner = rng.integers(0, wide - side + 1, 2) if wide < side + 2 * _AROUND else [_AROUND] * 2
    if ask.away == "far" and wide >= side + 4 * _AROUND:
        corner = [2 * _AROUND] * 2
    if ask.kind == "quarter":
        corner = [(wide - side) // 2] * 2
    window = Transform(translation(*map(float, corner)), "shift")
    into = window @ reach.draw(rng, side)
    sar, valid = _warped(own.sar, into, side)
    (row, col), (height, width) = _optical_window(rng, ask, wide, side, corner)
    # Of those that would share a quarter, half share nothing.
    away = ask.kind == "wrong" or (ask.kind == "quarter" and rng.uniform() < 0.5)
    optical = other.optical if away else own.optical
    cut = optical[:, row : row + height, col : col + width]
    back = Transform(translation(-row, -col), "shift")
    truth: Transform | None = None if away else back @ into
    placed = back @ window
    if ask.away == "far" and wide >= side + 2 * _AROUND:
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(*_FAR_PX)
        placed = (
            Transform(translation(length * np.sin(angle), length * np.cos(angle)), "shift") @ placed
        )
    cut, turn = _turned(rng, ask.kind, cut)
    if truth is not None and turn is not None:
        truth = turn @ truth
    settings = REQUESTED if ask.away == "requested" else {}
    where = other.region if away else own.region
    return Trial(
        own.source, own.region, where, ask.kind, sar, np.ascontiguousarray(cut),
        placed, truth, valid, settings,
    )  # fmt: skip


def _optical_window(
    rng: np.random.Generator, ask: Ask, wide: int, side: int, corner: Any
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Corner and shape of the optical window: about that of the SAR image, or all there is."""
    if ask.kind == "quarter":
        row, col = (int(at) + side // 2 * int(rng.choice([-1, 1])) for at in corner)
        low = max(0, row), max(0, col)
        return low, (min(wide, row + side) - low[0], min(wide, col + side) - low[1])
    if ask.away == "far" or rng.uniform() < 0.5:
        return (0, 0), (wide, wide)
    return (int(corner[0]), int(corner[1])), (side, side)


def _turned(rng: np.random.Generator, kind: Kind, image: Image) -> tuple[Image, Transform | None]:
    """An image mirrored, or turned by 90, 180 or 270 degrees, and the map onto it."""
    height, width = image.shape[1:]
    matrix = np.eye(3)
    if kind == "mirrored":
        matrix[1] = [0.0, -1.0, width]
        return image[:, :, ::-1], Transform(matrix, "affine")
    if kind != "turned":
        return image, None
    times = int(rng.integers(1, 4))
    for _ in range(times):  # counter-clockwise: the last column becomes the first row
        matrix = np.array([[0.0, -1.0, width], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) @ matrix
        height, width = width, height
    return np.rot90(image, times, (1, 2)), Transform(matrix, "affine")


def _warped(sar: Image, into: Transform, side: int) -> tuple[Image, Mask | None]:
    matrix, size = opencv_matrix(into.inverse), (side, side)
    moved = cv2.warpPerspective(sar, matrix, size, flags=cv2.INTER_CUBIC)
    if not (sar < 0).any():
        moved = np.maximum(moved, 0)
    inside = cv2.warpPerspective(np.ones(sar.shape, np.float32), matrix, size) > 0.999
    return moved, None if inside.all() else inside
