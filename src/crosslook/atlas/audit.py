"""Tell whether the pairs of a data set are really aligned."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np

from crosslook.atlas.geo_image import GeoImage, open_image
from crosslook.atlas.pictures import shift_picture
from crosslook.atlas.result import placement
from crosslook.atomic import check_writable, write_bytes, write_text
from crosslook.errors import GridError, InputError
from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_extractor
from crosslook.match.align import PASSES, align
from crosslook.match.picture import Picture, warp
from crosslook.match.transform import Transform, identity
from crosslook.match.whole_shift import gradient_shift, information_shift
from crosslook.progress import track

RADIUS_PX = 24.0
AGREE_PX = 1.5
_SHIFT_FEATURES = "hog:cell=2,blur=1.5"
_TURN_FEATURES = "hog:cell=4,blur=1"
_MIN_INLIERS = 60
_OFF_ZERO_PX = 4.0


class Pair(Protocol):
    """What an audit needs of a scene pair."""

    @property
    def id(self) -> str:
        """Name of the scene."""

    @property
    def sar(self) -> Path:
        """File of the SAR image."""

    @property
    def optical(self) -> Path:
        """File of the optical image."""


@dataclass(frozen=True)
class AuditRow:
    """Residual shift of one scene in optical pixels.

    SAR pixel (r, c) shows the ground that the optical image has at
    (r + row, c + col). ``row`` and ``col`` are the mean of both measures.

    Attributes
    ----------
    information_row, information_col, gradient_row, gradient_col : float
        By mutual information and by correlation of oriented gradients.
    disagreement : float
        Distance between the two.
    trusted : bool
        True where they differ by at most 1.5 px.
    rotation_degrees, scale : float
        From tie points over the scene; NaN where fewer than 60 agree or the
        two shifts do not.
    """

    scene: str
    row: float
    col: float
    information_row: float
    information_col: float
    gradient_row: float
    gradient_col: float
    disagreement: float
    trusted: bool
    rotation_degrees: float
    scale: float

    @property
    def distance(self) -> float:
        """Length of the residual shift in pixels."""
        return float(np.hypot(self.row, self.col))


@dataclass(frozen=True)
class Audit:
    """The residual shifts of a data set.

    Attributes
    ----------
    rows : tuple of AuditRow
        In the order of the pairs.
    worst : bytes
        PNG of the trusted scene that is farthest off, as published and as
        corrected; empty where no scene is trusted.
    """

    rows: tuple[AuditRow, ...]
    worst: bytes

    def summary(self) -> dict[str, float]:
        """Counts, and median and 90 % quantile of the shift over trusted scenes."""
        distance = [row.distance for row in self.rows if row.trusted]
        return {
            "scenes": float(len(self.rows)),
            "trusted": float(len(distance)),
            "median_px": float(np.median(distance)) if distance else float("nan"),
            "p90_px": float(np.quantile(distance, 0.9)) if distance else float("nan"),
        }

    def write(self, out: str | Path) -> list[Path]:
        """Write ``audit.csv``, ``alignment.csv`` and ``worst.png``.

        ``alignment.csv`` has ``scene,row,col`` for the trusted scenes alone;
        ``study --alignment FILE`` applies it.
        """
        folder = Path(out)
        check_writable(folder)
        names = [field.name for field in fields(AuditRow)]
        table = [[_text(value) for value in asdict(row).values()] for row in self.rows]
        write_text(folder / "audit.csv", _csv(names, table))
        shifts = [[r.scene, f"{r.row:.3f}", f"{r.col:.3f}"] for r in self.rows if r.trusted]
        write_text(folder / "alignment.csv", _csv(["scene", "row", "col"], shifts))
        written = [folder / "audit.csv", folder / "alignment.csv"]
        if self.worst:
            write_bytes(folder / "worst.png", self.worst)
            written.append(folder / "worst.png")
        return written


def audit(pairs: Sequence[Pair], *, radius: float = RADIUS_PX) -> Audit:
    """Measure the residual shift of every scene in two independent ways.

    Parameters
    ----------
    pairs : sequence with ``id``, ``sar`` and ``optical``
    radius : float
        Largest shift looked for, optical pixels.

    Raises
    ------
    InputError
        If there is no pair.
    GridError
        If a pair does not overlap.
    MatchError
        If a scene is smaller than four times ``radius``, constant or nodata.
    """
    if not pairs:
        raise InputError("no pair to audit. Give a folder or table with at least one scene.")
    shift_features, turn_features = open_extractor(_SHIFT_FEATURES), open_extractor(_TURN_FEATURES)
    rows = []
    for pair in track(pairs, "Auditing", total=len(pairs)):
        sar, optical, _ = _on_one_grid(pair)
        rows.append(_measure(pair.id, sar, optical, radius, shift_features, turn_features))
    trusted = [number for number, row in enumerate(rows) if row.trusted]
    worst = b""
    if trusted:
        number = max(trusted, key=lambda n: rows[n].distance)
        sar, _, image = _on_one_grid(pairs[number])
        worst = shift_picture(sar, image, (rows[number].row, rows[number].col))
    return Audit(tuple(rows), worst)


def _measure(
    scene: str,
    sar: Picture,
    optical: Picture,
    radius: float,
    shift_features: Extractor,
    turn_features: Extractor,
) -> AuditRow:
    information, _ = information_shift(sar, optical, radius)
    gradient, _ = gradient_shift(sar, optical, shift_features, radius)
    apart = float(np.linalg.norm(information - gradient))
    mean = (information + gradient) / 2
    rotation, scale = float("nan"), float("nan")
    if apart <= AGREE_PX:
        rotation, scale = _turn(sar, optical, turn_features, (float(mean[0]), float(mean[1])))
    return AuditRow(
        scene=scene,
        row=float(mean[0]),
        col=float(mean[1]),
        information_row=float(information[0]),
        information_col=float(information[1]),
        gradient_row=float(gradient[0]),
        gradient_col=float(gradient[1]),
        disagreement=apart,
        trusted=apart <= AGREE_PX,
        rotation_degrees=rotation,
        scale=scale,
    )


def _turn(
    sar: Picture, optical: Picture, extractor: Extractor, shift: tuple[float, float]
) -> tuple[float, float]:
    found = align(sar, optical, extractor, identity(), "similarity", PASSES)
    if found.transform is None or found.evidence.inliers < _MIN_INLIERS:
        return float("nan"), float("nan")
    middle = np.array(sar.shape, np.float64) / 2
    moved = found.transform.describe(middle)
    if np.hypot(moved["row_px"] - shift[0], moved["col_px"] - shift[1]) > _OFF_ZERO_PX:
        return float("nan"), float("nan")
    return moved["rotation_degrees"], moved["scale"]


def _on_one_grid(pair: Pair) -> tuple[Picture, Picture, GeoImage]:
    """Both pictures on the optical grid, and the optical image."""
    sar, optical = open_image(pair.sar), open_image(pair.optical)
    picture = sar.picture("sar")
    placed = placement(sar.reference, optical.reference, sar.shape)
    if not _is_identity(placed) or sar.shape != optical.shape:
        picture = warp(picture, placed, optical.shape)
    if not picture.valid.any():
        raise GridError(
            f"the two images of scene '{pair.id}' do not overlap. "
            "Check their CRS and extent, or leave the scene out."
        )
    return picture, optical.picture("optical"), optical


def _is_identity(transform: Transform) -> bool:
    return bool(np.allclose(transform.matrix, np.eye(3), rtol=0.0, atol=1e-6))


def _csv(header: list[str], rows: list[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4f}"
    return str(value)
