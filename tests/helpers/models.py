"""Opening the small checkpoints through the public path; shared by the model tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_extractor
from tests.helpers.checkpoints import MAKERS

SMALL_OPTIONS = {"sam2": {"side": "64"}, "sd-unet": {"noises": "2"}}
"""Options that keep a test quick; a test may override them."""


class Checkpoints:
    """Writes each checkpoint once and opens extractors on it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder

    def folder(self, name: str, other: bool = False) -> Path:
        target = self.root / f"{name.replace(':', '-')}-{int(other)}"
        if not target.exists():
            import torch

            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                MAKERS[name](target, other)
        return target

    def open(self, name: str, other: bool = False, **settings: Any) -> Extractor:
        """Open ``raw``, ``dinov2``, ``sd-vae:taesd`` ... with options as keywords."""
        runtime = {k: settings.pop(k) for k in ("batch_size", "dtype") if k in settings}
        family = name.split(":")[0]
        typed = {**SMALL_OPTIONS.get(family, {}), **{k: str(v) for k, v in settings.items()}}
        if typed.get("t") == "0":
            typed.pop("noises", None)
        weights = {}
        spec = name
        if name in MAKERS:
            folder = self.folder(name, other)
            spec = f"hf:{folder}" if name == "hf" else name
            weights = {} if name == "hf" else {name: folder}
        options = ",".join(f"{key}={value}" for key, value in typed.items())
        separator = "" if not options else "," if ":" in spec else ":"
        return open_extractor(
            f"{spec}{separator}{options}", device="cpu", weights=weights, **runtime
        )
