"""What ``atlas info`` says."""

from __future__ import annotations

from crosslook.atlas.blocks import VALID
from crosslook.atlas.prior import whole_sample
from crosslook.atlas.store import Atlas
from crosslook.geo.grid import crs_text, to_lonlat


def describe(atlas: Atlas) -> str:
    """Area, grid, extractors, size, sources and date of an atlas, a line each."""
    return "\n".join(f"{name:10}{value}" for name, value in describe_facts(atlas).items())


def describe_facts(atlas: Atlas) -> dict[str, str]:
    """The same by name."""
    grid = atlas.grid
    rows, cols = grid.shape
    sample = whole_sample(atlas)
    corners = to_lonlat(grid.pixels, sample)
    west, south = corners.min(axis=0)
    east, north = corners.max(axis=0)
    facts = atlas.facts()
    last = ("sources", "left out", "built")
    after = {name: facts.pop(name) for name in last if name in facts}
    return {
        "area": facts.pop("area"),
        "bounds": f"{west:.6f} {south:.6f} {east:.6f} {north:.6f} (west south east north)",
        "grid": (
            f"{rows} x {cols} pixels of {grid.ground_metres(sample):.2f} m, {crs_text(grid.pixels)}"
        ),
        **facts,
        "size": f"{stored_bytes(atlas) / 1e6:,.0f} MB",
        **after,
    }


def stored_bytes(atlas: Atlas) -> int:
    """Bytes of all arrays; known from their shapes, since none is compressed."""
    manifest = atlas.manifest
    side = manifest.grid.block
    features = sum(
        2 * (len(statistics.mean) + 1) * (side // level.cell) ** 2
        for level, statistics in zip(manifest.levels, manifest.statistics, strict=True)
    )
    masks = sum(VALID in files for files in manifest.blocks.values())
    return len(manifest.blocks) * (manifest.bands * side**2 + features) + masks * side**2 // 8
