"""Whole scenes at their own resolution: tiles, tie points all over, and a field through them."""
