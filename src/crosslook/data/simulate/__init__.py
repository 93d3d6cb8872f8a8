"""Seeded synthetic SAR/optical pairs whose truth is known exactly."""
