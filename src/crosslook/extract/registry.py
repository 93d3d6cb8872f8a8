"""The table of extractors: one row each, data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from crosslook.errors import SpecError, did_you_mean
from crosslook.extract.base import Extractor
from crosslook.extract.options import read_options
from crosslook.extract.spec import parse_spec


@dataclass(frozen=True)
class Variant:
    """One set of weights of an extractor."""

    hub_id: str
    revision: str
    licence: str
    parameters: int
    channels: int
    stride: float


@dataclass(frozen=True)
class ExtractorRow:
    """One line of ``crosslook extractors``.

    Attributes
    ----------
    name, path : str
        What the user types; the class as ``module:Class``.
    input : str
        Input range and statistics in words.
    extra : str
        The pip extra it needs, empty for the core.
    variants : dict of str to Variant
        First one is the default; empty for features without weights.
    """

    name: str
    path: str
    summary: str
    channels: int
    stride: float
    input: str
    licence: str = "Apache-2.0"
    extra: str = ""
    parameters: int = 0
    variants: Mapping[str, Variant] = field(default_factory=dict)


ROWS: tuple[ExtractorRow, ...] = (
    ExtractorRow(
        "raw", "crosslook.extract.raw:Raw", "block means of the image", 3, 16, "0..1"
    ),
    ExtractorRow(
        "hog",
        "crosslook.extract.hog:Hog",
        "dense histograms of unsigned oriented gradients",
        9,
        16,
        "0..1, grey",
    ),
)


def find_row(name: str) -> ExtractorRow:
    """Return the row called ``name``.

    Raises
    ------
    SpecError
        If there is none; names the known ones and the nearest.
    """
    for row in ROWS:
        if row.name == name:
            return row
    names = [row.name for row in ROWS]
    raise SpecError(
        f"unknown extractor '{name}'; known are: {', '.join(names)}." + did_you_mean(name, names)
    )


def extractor_class(row: ExtractorRow) -> type[Extractor]:
    """Import the class of a row."""
    module, _, name = row.path.partition(":")
    found: type[Extractor] = getattr(import_module(module), name)
    return found


def open_extractor(
    spec: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int | None = None,
    weights: Mapping[str, Path] | None = None,
) -> Extractor:
    """Open the extractor that ``spec`` names; loads weights where it has any.

    Parameters
    ----------
    spec : str
        See :mod:`crosslook.extract.spec`.
    device, dtype, batch_size
        Where and how a model runs; without meaning for ``raw`` and ``hog``.
    weights : mapping of extractor name to folder, optional
        Local checkpoints, as ``--weights dinov2=FOLDER`` names them.

    Raises
    ------
    SpecError
        If the spec is unknown or malformed.
    WeightsError
        If weights are missing or damaged.
    MissingExtraError
        If the extra that the row names is not installed.
    """
    parsed = parse_spec(spec)
    row = find_row(parsed.name)
    cls = extractor_class(row)
    options: dict[str, Any] = read_options(parsed.name, cls.OPTIONS, parsed.options)
    if parsed.untrained:
        raise SpecError(f"'{spec}': '{parsed.name}' has no weights, so no untrained form.")
    if parsed.variant is not None:
        raise SpecError(f"'{parsed.name}' has no variant '{parsed.variant}'.")
    return cls(spec, options)
