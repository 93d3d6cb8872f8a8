"""Fetching weights from the Hugging Face hub: the only code that uses the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosslook.errors import MissingExtraError, WeightsError
from crosslook.extract.rows import ROWS, SETS, ExtractorRow, Variant, find_row
from crosslook.extract.spec import ExtractorSpec, parse_spec
from crosslook.extract.weights import (
    cache_folder,
    download_command,
    find_variant,
    find_weights,
    missing,
    weights_folder,
)


@dataclass(frozen=True)
class WeightsStatus:
    """Whether the weights of one variant are here.

    ``notice`` is what its licence restricts, empty where it does not.
    """

    spec: str
    model: str
    here: bool
    megabytes: int
    licence: str
    folder: Path
    notice: str


def weights_status() -> list[WeightsStatus]:
    """List every variant of every model; looks on the disk only."""
    return [_status(row, name, variant) for row in ROWS for name, variant in row.variants.items()]


def where(spec: str) -> Path:
    """Folder where the weights of ``spec`` lie, or would lie once fetched.

    Raises
    ------
    SpecError
        If the spec names no model with weights.
    """
    row, _, name, variant = _find(spec)
    return weights_folder(row, name, variant, {})


def expand(specs: Sequence[str]) -> list[str]:
    """Specs, those of a set in the place of its name: ``article`` is five models."""
    return [one for spec in specs for one in SETS.get(spec, (spec,))]


def size_of(specs: Sequence[str]) -> int:
    """Megabytes that fetching takes; what is here already takes none."""
    absent = {item.spec for item in missing(list(specs))}
    return sum(_find(spec)[3].megabytes for spec in dict.fromkeys(specs) if spec in absent)


def fetch(spec: str, say: Callable[[str], None] = print) -> Path:
    """Fetch the weights of one model into the hub's cache, with progress.

    Only the files that crosslook reads are fetched. Files that are there
    already are not fetched again.

    Parameters
    ----------
    spec : str
        As ``dinov2``, ``sd-unet:sd21`` or ``hf:facebook/dinov2-base``.
    say : callable
        Takes each line to show: what is fetched, and what its licence restricts.

    Returns
    -------
    Path
        The folder with the files.

    Raises
    ------
    WeightsError
        If the hub is out of reach or switched off, or the repository is
        gated, renamed or lacks the files; says what to do.
    """
    row, parsed, _, variant = _find(spec)
    if variant.package or not missing([spec]):
        folder = find_weights(row, parsed).checkpoint
        say(f"{spec}: already here, in {folder}")
        return folder
    if variant.page:
        how = download_command(f"{row.name}:{parsed.variant}", variant)
        raise WeightsError(f"the weights of {spec} are on no hub: {how}.")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise WeightsError(
            f"HF_HUB_OFFLINE is set, so {variant.hub_id} is not fetched. Unset it, or run where "
            f"the hub is in reach: {download_command(row.name, variant)}."
        )
    say(f"{spec}: fetching {variant.hub_id}; licence: {variant.licence}")
    if variant.notice:
        say(f"note: {variant.notice}")
    _download(row.name, variant, say)
    return find_weights(row, parsed).checkpoint


def _download(name: str, variant: Variant, say: Callable[[str], None]) -> None:
    hub, errors = _hub()
    unreachable = (OSError, getattr(errors, "HTTPError", OSError))
    try:
        info = hub.HfApi().model_info(
            variant.hub_id, revision=variant.revision, files_metadata=True
        )
        sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or ()}
        chosen = choose_files(variant, list(sizes))
        total = sum(sizes[path] for path in chosen)
        say(f"{len(chosen)} files, {total / 1e6:.0f} MB")
        hub.snapshot_download(
            variant.hub_id,
            revision=variant.revision,
            allow_patterns=chosen,
            cache_dir=cache_folder(),
        )
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{variant.hub_id} is gated: accept its terms at https://huggingface.co/"
            f"{variant.hub_id}, then sign in with 'hf auth login' and fetch again."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise WeightsError(
            f"{variant.hub_id} (revision {variant.revision}) is not on the hub: it was renamed, "
            "removed or made private. If you have its files, name their folder with --weights."
        ) from error
    except unreachable as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"the hub cannot be reached for {variant.hub_id} ({said}). "
            f"On a machine that reaches it run: {download_command(name, variant)}."
        ) from error


def choose_files(variant: Variant, listed: Sequence[str]) -> list[str]:
    """Choose, of the files of a repository, those that crosslook reads.

    Raises
    ------
    WeightsError
        If a needed file has no form that can be read safely.
    """
    chosen = []
    for names in variant.files:
        paths = [f"{variant.folder}/{name}" if variant.folder else name for name in names]
        present = next((path for path in paths if path in listed), None)
        if present is None:
            raise WeightsError(
                f"{variant.hub_id} has none of {', '.join(paths)}; only these formats are read."
            )
        chosen.append(present)
        if present.endswith(".index.json"):
            stem, suffix = present.removesuffix(".index.json").rsplit(".", 1)
            chosen += [n for n in listed if n.startswith(f"{stem}-") and n.endswith(suffix)]
    optional = ("preprocessor_config.json", "processor_config.json")
    return chosen + [name for name in optional if name in listed]


def _status(row: ExtractorRow, name: str, variant: Variant) -> WeightsStatus:
    spec = f"{row.name}:{name}"
    return WeightsStatus(
        spec,
        variant.hub_id or f"package {variant.package.partition(':')[0]}",
        not missing([spec]),
        variant.megabytes,
        variant.licence,
        weights_folder(row, name, variant, {}),
        variant.notice,
    )


def _find(spec: str) -> tuple[ExtractorRow, ExtractorSpec, str, Variant]:
    parsed = parse_spec(spec)
    row = find_row(parsed.name)
    if not row.variants and row.name != "hf":
        raise WeightsError(f"'{row.name}' has no weights; it computes its features directly.")
    return row, parsed, *find_variant(row, parsed)


def _hub() -> tuple[Any, Any]:
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingExtraError(
            "fetching weights needs huggingface_hub: pip install 'crosslook[models]'."
        ) from error
    return huggingface_hub, errors
