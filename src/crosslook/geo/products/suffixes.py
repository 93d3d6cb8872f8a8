"""Endings of raster files."""

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".nc", ".h5", ".ntf", ".img")
"""Endings of the rasters that are looked for in a folder."""
