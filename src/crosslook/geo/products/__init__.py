"""Products as their makers deliver them: which files, which bands, and how GDAL opens them."""
