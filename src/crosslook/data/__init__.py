"""Scenes to patches: reading, radiometry, tiling, public sets, simulation."""
