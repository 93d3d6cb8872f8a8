"""Compiled loops of matching: correlations, histograms, votes.

Importing this module takes as long as importing numba, so it is imported where a loop is about
to run.
"""

from __future__ import annotations

from crosslook.compiled import compiled

__all__ = ["compiled"]
