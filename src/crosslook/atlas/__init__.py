"""A basemap made searchable: build, open, locate, register, audit."""
