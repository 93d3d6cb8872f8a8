"""From a file to pixels on a grid: the only place that opens rasters."""
