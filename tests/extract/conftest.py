"""Fixtures of the model tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Small checkpoints, each written once in a session."""
    pytest.importorskip("torch", reason="the models extra is not installed")
    pytest.importorskip("diffusers", reason="the models extra is not installed")
    from tests.helpers.models import Checkpoints

    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))
