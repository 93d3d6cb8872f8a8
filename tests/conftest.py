"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.helpers.chromium import BROWSER, QUIET

# Workers share the cores: with two threads in each of two, both wait for each other and the
# networks of the tests take three times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

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


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Address of an empty bucket on a server of this machine."""
    server_module = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        patch.setenv(name, value)
    import fsspec

    fsspec.filesystem("s3").mkdir("features")
    yield "s3://features/set"
    patch.undo()
    server.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for the tests of a module; each opens pages of its own."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield browser
        browser.close()
