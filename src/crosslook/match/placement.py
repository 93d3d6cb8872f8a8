"""Where georeferences, or points that a user set, put a SAR image on an optical one."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from crosslook.errors import InputError, MatchError
from crosslook.geo.grid import (
    between,
    change_crs,
    crs_of,
    from_map,
    has_map,
    is_placed,
    near_grid,
    shape_of,
    shares_frame,
    to_map,
)
from crosslook.match.robust_fit import fit_exact
from crosslook.match.settings import Model
from crosslook.match.transform import Projection, Transform, grid_points, identity, narrowest
from crosslook.types import Array

_CSV = ("sar_row", "sar_col", "optical_row", "optical_col")
_QGIS = (("mapX", "mapY", "sourceX", "sourceY"), ("mapX", "mapY", "pixelX", "pixelY"))
_AFFINE_FROM = 6  # points; fewer that were set by hand would shear
_FAR_PX = 1e7


def placement(sar: GeoBox, optical: GeoBox) -> Transform:
    """SAR pixels to optical pixels as the georeferences say, exactly.

    The identity where they share no frame; within one CRS an affine map; between
    two the projection itself.
    """
    if not shares_frame(sar, optical):
        return identity("shift")
    if sar.crs != optical.crs:
        return Transform(Projection(sar, optical), "shift")
    points = grid_points(*shape_of(sar))
    flat = fit_exact(points, between(sar, optical, points), "affine")
    return Transform(flat.matrix, narrowest(flat.matrix))


def start_by_points(path: Path, sar: GeoBox, optical: GeoBox) -> Transform:
    """The map that points of a file ask for, SAR pixels to optical pixels.

    One point shifts the image from where its georeference puts it, two to five
    rotate and scale it too, more are fitted by an affine map.

    Raises
    ------
    InputError
        If the file cannot be read, or its points give no map.
    """
    here, there = read_points(path, sar, optical)
    placed = placement(sar, optical)
    model: Model = "shift" if len(here) == 1 else "similarity"
    if len(here) >= _AFFINE_FROM:
        model = "affine"
    try:
        fit = fit_exact(placed(here), there, model)
        scale = float(np.abs(np.linalg.det(fit.matrix[:2, :2])))
        if 1e-4 < scale < 1e4:
            return fit @ placed
    except MatchError:  # the map is singular
        pass
    raise InputError(
        f"the points of {path} lie on one place or one line, so they give no map. "
        "Set points that are spread over the image."
    )


def read_points(path: Path, sar: GeoBox, optical: GeoBox) -> tuple[Array, Array]:
    """Positions (n, 2) in SAR and in optical pixels.

    A CSV has the columns ``sar_row, sar_col, optical_row, optical_col`` and
    maybe ``inlier``; a file of QGIS's georeferencer ``mapX, mapY, sourceX,
    sourceY`` (``pixelX, pixelY`` in older ones) and maybe ``enable``. Points
    that are switched off there are left out.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        notes = [line for line in lines if line.startswith("#")]
        table = csv.DictReader(line for line in lines if line.strip() and not line.startswith("#"))
        columns = [name.strip() for name in table.fieldnames or ()]
        table.fieldnames = columns
        rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}. Give a CSV or a .points file.") from error
    names = next((one for one in (_CSV, *_QGIS) if set(one) <= set(columns)), None)
    if names is None:
        raise InputError(
            f"{path} has the columns {', '.join(columns) or 'none'}; {', '.join(_CSV)} or "
            f"those of QGIS ({', '.join(_QGIS[0])}) are needed."
        )
    if any(None in row for row in rows):
        raise InputError(f"{path} has a line of more than {len(columns)} values; mend it.")
    switch = "inlier" if names == _CSV else "enable"
    points = [
        [_number(row, name, path) for name in names]
        for row in rows
        if (row.get(switch) or "1").strip().lower() not in ("0", "false")
    ]
    if not points:
        raise InputError(f"{path} holds no point that is switched on.")
    numbers = np.array(points)
    if names == _CSV:
        return numbers[:, :2], numbers[:, 2:]
    crs = _crs_in(notes, path)
    return _from_plane(numbers[:, 2:], sar, None), _from_plane(numbers[:, :2], optical, crs)


def _number(row: dict[str, str | None], name: str, path: Path) -> float:
    text = row.get(name)
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < _FAR_PX * 100:
        raise InputError(f"{path}: {name} is '{text}'; a number is needed.")
    return value


def _crs_in(notes: list[str], path: Path) -> CRS | None:
    """The CRS that a file of QGIS names in its first line; None where it names none."""
    for line in notes:
        name, _, text = line.lstrip("#").partition(":")
        if name.strip().upper() == "CRS" and text.strip():
            try:
                return CRS.from_user_input(text.strip())
            except CRSError as error:
                raise InputError(
                    f"{path} names a CRS that is not known: {text.strip()[:80]}. Write it as "
                    "'#CRS: EPSG:32633', or leave the line out where that is the optical image's."
                ) from error
    return None


def to_plane(grid: GeoBox, points: Array) -> Array:
    """Pixels (n, 2) to map positions (x, y); of a plain image they are column and minus row."""
    if has_map(grid):
        return to_map(grid, points)
    return np.column_stack([points[:, 1], -points[:, 0]])


def _from_plane(positions: Array, grid: GeoBox, crs: CRS | None) -> Array:
    """The way back from :func:`to_plane`; positions may be of another CRS than the grid."""
    if not has_map(grid):
        return np.column_stack([-positions[:, 1], positions[:, 0]])
    own = crs_of(grid)
    if crs is not None and crs != own and is_placed(grid):
        positions = change_crs(positions, crs.to_wkt(), own.to_wkt())
    return from_map(grid, near_grid(grid, positions))
