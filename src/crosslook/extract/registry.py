"""From a spec as typed to an open extractor, and the table of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crosslook.errors import MissingExtraError, SpecError
from crosslook.extract.base import Extractor
from crosslook.extract.rows import ROWS, ExtractorRow, Variant, all_rows, find_row
from crosslook.extract.spec import ExtractorSpec, parse_spec, read_options
from crosslook.extract.weights import (
    WeightsSource,
    check_overrides,
    find_variant,
    find_weights,
    missing,
)
from crosslook.options import ModelOptions

__all__ = [
    "ROWS",
    "ExtractorRow",
    "RowInfo",
    "Variant",
    "check_spec",
    "describe_rows",
    "extractor_class",
    "find_row",
    "open_extractor",
    "open_model",
]


@dataclass(frozen=True)
class RowInfo:
    """One line of ``crosslook extractors``, as text ready to print."""

    spec: str
    what: str
    parameters: str
    channels: str
    stride: str
    input: str
    licence: str
    extra: str
    weights: str


def extractor_class(row: ExtractorRow) -> type[Extractor]:
    """Import the class of a row; torch is not imported by it."""
    module, _, name = row.path.partition(":")
    try:
        cls: type[Extractor] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        if not row.plugin:
            raise
        raise SpecError(
            f"'{row.name}' of the package {row.plugin} cannot be loaded: {error}."
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Extractor)):
        raise SpecError(
            f"'{row.name}' of the package {row.plugin} is no subclass of crosslook's Extractor."
        )
    return cls


def check_spec(spec: str) -> None:
    """Check a spec and its options without looking for weights.

    Raises
    ------
    SpecError
        If the spec is unknown or malformed.
    MissingExtraError
        If the extra that the row names is not installed.
    """
    _resolve(spec)


def open_extractor(
    spec: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int | None = None,
    weights: Mapping[str, Path] | None = None,
) -> Extractor:
    """Open the extractor that ``spec`` names.

    The presence of weights is checked here; they are read at the first image.

    Parameters
    ----------
    spec : str
        See :mod:`crosslook.extract.spec`.
    device, dtype, batch_size
        Where and how a model runs; without meaning for ``raw`` and ``hog``.
        By default the batch size is fitted to the memory.
    weights : mapping of extractor name to folder, optional
        Local checkpoints, as ``--weights dinov2=FOLDER`` names them.

    Raises
    ------
    SpecError
        If the spec is unknown or malformed.
    SettingError
        If device, dtype or batch size is not possible.
    WeightsError
        If weights are missing or damaged.
    MissingExtraError
        If the extra that the row names is not installed.
    """
    row, parsed, cls, options = _resolve(spec)
    if not row.needs and not row.plugin:
        return cls(spec, options)
    weights = weights or {}
    check_overrides(weights)
    if find_spec("torch") is not None:
        from crosslook.extract.runtime import resolve_runtime
        from crosslook.extract.torch_base import TorchExtractor

        if issubclass(cls, TorchExtractor):
            # The version of another package identifies its weights.
            source = (
                WeightsSource(row.name, row.plugin, weights.get(row.name))
                if row.plugin
                else find_weights(row, parsed, weights)
            )
            return cls(spec, options, source, resolve_runtime(device, dtype, batch_size))
    extractor = cls(spec, options)
    extractor.revision = row.plugin
    return extractor


def open_model(spec: str, options: ModelOptions) -> Extractor:
    """Open the extractor that ``spec`` names, as :func:`open_extractor` does, by settings."""
    return open_extractor(
        spec,
        device=options.device,
        dtype=options.dtype,
        batch_size=options.batch_size,
        weights=options.weights,
    )


def describe_rows(weights: Mapping[str, Path] | None = None) -> list[RowInfo]:
    """Describe every extractor and variant; imports neither torch nor a model."""
    return [
        _describe(row, name, variant, weights)
        for row in all_rows()
        for name, variant in row.variants.items() or [("", None)]
    ]


def _resolve(spec: str) -> tuple[ExtractorRow, ExtractorSpec, type[Extractor], dict[str, Any]]:
    parsed = parse_spec(spec)
    row = find_row(parsed.name)
    cls = extractor_class(row)
    options = read_options(parsed.name, cls.OPTIONS, parsed.options)
    if not row.needs:
        if parsed.untrained:
            raise SpecError(f"'{spec}': '{parsed.name}' has no weights, so no untrained form.")
        if parsed.variant is not None:
            raise SpecError(f"'{parsed.name}' has no variant '{parsed.variant}'.")
        return row, parsed, cls, options
    find_variant(row, parsed)
    cls.check_options(parsed, options)
    absent = [name for name in row.needs if find_spec(name) is None]
    if absent:
        raise MissingExtraError(
            f"'{row.name}' needs {', '.join(absent)}, which is not installed: "
            f"pip install 'crosslook[{row.extra}]'."
        )
    return row, parsed, cls, options


def _describe(
    row: ExtractorRow, name: str, variant: Variant | None, weights: Mapping[str, Path] | None
) -> RowInfo:
    installed = all(find_spec(module) is not None for module in row.needs)
    extra = row.extra if installed or not row.extra else f"{row.extra} (not installed)"
    if variant is None:
        hub = row.name == "hf"
        return RowInfo(
            "hf:<hub id or folder>" if hub else row.name, row.summary,
            "any" if hub or row.plugin else "0", str(row.channels or "any"),
            f"{row.stride:g}" if row.stride else "any", row.input, row.licence, extra,
            "depends" if hub else "none needed",
        )  # fmt: skip
    spec = f"{row.name}:{name}"
    return RowInfo(
        spec, row.summary, f"{variant.parameters / 1e6:.2f} M", str(variant.channels),
        f"{variant.stride:g}", row.input, variant.licence, extra,
        "missing" if missing([spec], weights) else "here",
    )  # fmt: skip
