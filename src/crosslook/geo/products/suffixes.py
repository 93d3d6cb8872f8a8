"""Endings of raster files."""

SUFFIXES = (
    ".tif", ".tiff", ".vrt", ".jp2", ".nc", ".h5", ".ntf", ".nitf", ".img", ".png", ".jpg",
    ".jpeg", ".gpkg", ".webp", ".hdf5", ".he5",
)  # fmt: skip
"""Endings of the rasters that are looked for in a folder."""
