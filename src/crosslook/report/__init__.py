"""Rows to figures to one HTML file."""
