"""From a file to pixels on a grid: the only place that opens rasters."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _Late(ModuleType):
    """Stands for a module, which is imported when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def _import_rasterio() -> None:
    """Without boto3, which it imports at once, for sessions of which crosslook opens none."""
    if {"boto3", "rasterio.session"} & set(sys.modules) or find_spec("boto3") is None:
        return
    sys.modules["boto3"] = _Late("boto3")
    try:
        import_module("rasterio.session")
    finally:
        del sys.modules["boto3"]


_import_rasterio()
