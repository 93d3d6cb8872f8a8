"""Where the weights of one model come from, once they have been found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from crosslook.errors import WeightsError
from crosslook.json_text import json_object

UNTRAINED_REVISION = "untrained-0"
"""Marks features of seeded random weights; the number is the seed."""


@dataclass(frozen=True)
class WeightsSource:
    """A checkpoint folder, or a published configuration for random weights.

    Attributes
    ----------
    model : str
        Hub id or folder, as messages name it.
    variant : str
        Name of the variant.
    revision : str
        Commit, digest of the weight files, or ``untrained-0``.
    folder : Path or None
        Folder that ``from_pretrained`` takes; None for random weights.
    config : mapping
        Content of ``config.json``; for a pipeline one entry per part.
    """

    model: str
    variant: str
    revision: str
    folder: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Path:
        """The folder, for code that runs only with trained weights.

        Raises
        ------
        WeightsError
            If the source is an untrained one.
        """
        if self.folder is None:
            raise WeightsError(f"{self.model} is opened untrained, so it has no checkpoint.")
        return self.folder

    def part(self, name: str) -> WeightsSource:
        """The source of one part of a pipeline, such as ``unet``."""
        folder = None if self.folder is None else self.folder / name
        return WeightsSource(
            self.model, self.variant, self.revision, folder, self.config.get(name, {})
        )


def published_config(name: str, variant: str) -> dict[str, Any]:
    """Read the published configuration of a variant, kept as package data."""
    path = files("crosslook.extract") / "configs" / f"{name}-{variant}.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def read_config(folder: Path) -> dict[str, Any]:
    """Read ``config.json`` of a folder, or of each part of a pipeline folder.

    Raises
    ------
    WeightsError
        If a file is not JSON.
    """
    if (folder / "config.json").is_file():
        return read_json(folder / "config.json")
    return {
        path.parent.name: read_json(path)
        for name in ("config.json", "scheduler_config.json")
        for path in sorted(folder.glob(f"*/{name}"))
    }


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    WeightsError
        If the file cannot be read or holds something else.
    """
    try:
        return json_object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({error}). Fetch the model again.") from error


def read_processor(folder: Path | None) -> dict[str, Any]:
    """What a checkpoint says of its input: ``preprocessor_config.json``, empty without one."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if folder is not None and (folder / name).is_file():
            content = read_json(folder / name)
            return dict(content.get("image_processor", content))
    return {}


def value_factor(processor: Mapping[str, Any], place: str) -> float:
    """What pixels in 0..1 are multiplied with before the mean is taken away; mostly 1.

    Raises
    ------
    WeightsError
        If the processor does what is not done here: an offset, or blue before red.
    """
    for key in ("rescale_offset", "offset", "do_flip_channel_order"):
        if processor.get(key):
            raise WeightsError(
                f"preprocessor_config.json in {place} sets {key}, which crosslook does not do. "
                "Name the statistics that fit, as stats=imagenet, half or none."
            )
    if processor.get("do_rescale") is False:
        return 255.0
    factor = 255.0 * float(processor.get("rescale_factor") or 1 / 255)
    return 1.0 if abs(factor - 1.0) < 1e-6 else factor


def check_processor(
    source: WeightsSource, mean: Sequence[float], std: Sequence[float], other: str
) -> None:
    """Refuse a checkpoint whose own statistics are not those of its kind.

    Raises
    ------
    WeightsError
        Naming the two, and the extractor that applies them.
    """
    own = read_processor(source.folder)
    if not own or own.get("do_normalize") is False:
        return
    factor = value_factor(own, str(source.folder))
    for name, expected in (("image_mean", mean), ("image_std", std)):
        seen = own.get(name)
        if seen is None:
            continue
        same = len(seen) == len(expected) and all(
            abs(a / factor - b) < 1e-3 for a, b in zip(seen, expected, strict=True)
        )
        if not same:
            raise WeightsError(
                f"{source.folder} was trained with {name} {seen} (times {factor:g}), and this "
                f"extractor applies {list(expected)}. Use {other}, which applies its own."
            )
