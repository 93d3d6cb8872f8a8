"""Where the search for a SAR image on an optical one begins."""

from __future__ import annotations

from pathlib import Path

from crosslook.errors import GridError
from crosslook.geo.grid import frame_name, has_map, is_placed, is_unnamed, shares_frame
from crosslook.geo.image import ImageFile
from crosslook.match.placement import placement, start_by_points
from crosslook.match.transform import Transform


def start_of(sar: ImageFile, optical: ImageFile, points: Path | None) -> Transform:
    """SAR pixels to optical pixels: by the points given, else by the georeferences.

    Two images without CRS that both have a map, as world files give, are taken to lie in one
    frame; where one has none at all, both begin at the same upper left corner.

    Raises
    ------
    GridError
        If how the frames of the two lie is not known.
    InputError
        If the points give no map.
    """
    if points is not None:
        return start_by_points(points, sar.grid, optical.grid)
    grids = sar.grid, optical.grid
    one_plain = not all(map(has_map, grids)) and not any(map(is_placed, grids))
    if shares_frame(*grids) or one_plain:
        return placement(*grids)
    for image, other in ((sar, optical), (optical, sar)):
        if is_unnamed(image.grid) and has_map(other.grid):
            raise GridError(
                f"'{image.name}' has a map (as of a world file) but no CRS, '{other.name}' lies in "
                f"{frame_name(other.grid)}: where to start is not known. Give the CRS of "
                f"'{image.name}' with --crs, as EPSG:32611, or points that both show (--points)."
            )
    if all(map(has_map, grids)):
        raise GridError(
            f"'{sar.name}' lies in {frame_name(sar.grid)} and '{optical.name}' in "
            f"{frame_name(optical.grid)}: no way from one to the other is known. Give both in "
            "one CRS, or points that both show (--points)."
        )
    has, lacks = (sar, optical) if is_placed(sar.grid) else (optical, sar)
    raise GridError(
        f"'{has.name}' has a CRS, '{lacks.name}' has none{_why(lacks)}: "
        "where to start is not known. Give two georeferenced images, or two plain ones that begin "
        "at the same corner, or points that both show (--points)."
    )


def _why(image: ImageFile) -> str:
    """What its file says of a place that does not do, as two control points."""
    said = "; ".join(image.source.header.notes)
    return f" ({said})" if said else ""
