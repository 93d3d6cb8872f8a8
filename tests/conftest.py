"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every machine and run; explore more with --hypothesis-profile default.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

_BESIDE_PROJECT = Path(__file__).resolve().parents[2] / "shared" / "data" / "sentinel"


@pytest.fixture(scope="session")
def sentinel() -> Path:
    """The folder of real Sentinel-1/2 pairs; skips where it is absent."""
    folder = Path(os.environ.get("CROSSLOOK_SENTINEL", _BESIDE_PROJECT))
    if not (folder / "optical").is_dir():
        pytest.skip(f"the Sentinel pairs are not at {folder}; set CROSSLOOK_SENTINEL")
    return folder
