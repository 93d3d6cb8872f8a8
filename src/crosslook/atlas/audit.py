"""Tell whether the pairs of a data set are really aligned."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np

from crosslook.atlas.audit_scene import AuditRow, measure_scene
from crosslook.atlas.geo_image import GeoImage, open_image
from crosslook.atlas.pictures import shift_picture
from crosslook.atlas.result import placement
from crosslook.atomic import check_writable, write_bytes, write_text
from crosslook.errors import GridError, InputError
from crosslook.extract.registry import open_extractor
from crosslook.match.picture import Picture, warp
from crosslook.match.relief import HILLY_PX
from crosslook.match.transform import Transform
from crosslook.progress import track

RADIUS_PX = 24.0
_SHIFT_FEATURES = "hog:cell=2,blur=1.5"
_TURN_FEATURES = "hog:cell=4,blur=1"


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
        """Counts, and median and 90 % quantile of the shift over trusted scenes.

        ``relief_over_6_px`` counts the trusted scenes where relief spreads tie
        points by more than that: there no one shift is the truth.
        """
        distance = [row.distance for row in self.rows if row.trusted]
        relief = [row.relief_px for row in self.rows if row.trusted]
        return {
            "scenes": float(len(self.rows)),
            "trusted": float(len(distance)),
            "median_px": float(np.median(distance)) if distance else float("nan"),
            "p90_px": float(np.quantile(distance, 0.9)) if distance else float("nan"),
            "relief_over_6_px": float(sum(value > HILLY_PX for value in relief)),
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
        rows.append(measure_scene(pair.id, sar, optical, radius, shift_features, turn_features))
    trusted = [number for number, row in enumerate(rows) if row.trusted]
    worst = b""
    if trusted:
        number = max(trusted, key=lambda n: rows[n].distance)
        sar, _, image = _on_one_grid(pairs[number])
        worst = shift_picture(sar, image, (rows[number].row, rows[number].col))
    return Audit(tuple(rows), worst)


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
