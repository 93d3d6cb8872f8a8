"""Scenes to patches: pairs, layouts of sets on disk, tiling, named bands, simulation."""
