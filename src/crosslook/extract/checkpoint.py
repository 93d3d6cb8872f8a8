"""Building models from checkpoints or seeded random weights, and only the part needed.

Nothing here reaches for the network: a model is read from a folder that has
been found already. Code from a checkpoint is never run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from crosslook.errors import WeightsError
from crosslook.extract.weights import WeightsSource, shards

_CONVERTED_AT_ONCE = 16
_STORED = {"torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16"}
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_BARE = "taef2_encoder.pth"
"""A file of weights that is published alone, without a configuration."""


def from_pretrained(cls: Any, source: WeightsSource, config: Any, dtype: Any) -> Any:
    """Open a transformers model, or build it with seeded random weights.

    ``config`` may have fewer layers than the checkpoint: those are not read.

    Raises
    ------
    WeightsError
        If the files are damaged or lack a parameter of the model.
    """
    if source.folder is None:
        with seeded():
            return cls._from_config(config).to(dtype)
    with quiet_libraries():
        try:
            model, info = cls.from_pretrained(
                config=config,
                dtype=dtype,
                output_loading_info=True,
                **_weights(cls, source, config, dtype),
            )
        except _damage() as error:
            raise _damaged(source.folder, error) from error
    wrong = [k for k in (*info["missing_keys"], *info["mismatched_keys"]) if not _spare(model, k)]
    if wrong:
        raise WeightsError(
            f"{source.folder} lacks {len(wrong)} parameters of {cls.__name__}, the first is "
            f"'{sorted(map(str, wrong))[0]}'. It is another model, or only a part of it."
        )
    return model


def _spare(model: Any, key: Any) -> bool:
    """Whether a parameter belongs to a pooler, without which the map is whole.

    A checkpoint trained with a classifier has none. Random weights would be no
    embedding, so the model goes on without it.
    """
    parts = str(key if isinstance(key, str) else key[0]).split(".")
    if "pooler" not in parts:
        return False
    owner = model
    for part in parts[: parts.index("pooler")]:
        owner = getattr(owner, part)
    owner.pooler = None
    return True


def _weights(cls: Any, source: WeightsSource, config: Any, dtype: Any) -> dict[str, Any]:
    """Where the library takes the weights from: the folder, or tensors converted already.

    The library keeps a file that it converts mapped to the end, so that whole
    float32 weights stay resident beside those of 16 bits. Converted here, a few
    at a time, they do not. The library renames them as it does those of a file.
    """
    import torch

    folder = source.folder
    # hf: names no class, and leaves the choice of it to the library, by the folder.
    if folder is None or not hasattr(cls, "_from_config") or not _converts(folder, dtype):
        half = (
            {"variant": "fp16"}
            if folder is not None and ".fp16" in _weight_files(folder)[0].name
            else {}
        )
        return {"pretrained_model_name_or_path": folder, "local_files_only": True, **half}
    with torch.device("meta"):
        parts = {name.partition(".")[0] for name in cls._from_config(config).state_dict()}
    stored = {name.partition(".")[0] for name, _ in _tensors(folder, dtype)}
    # Another tower of the checkpoint is not read; a model saved below a prefix is read whole.
    if not parts & stored:
        parts = stored
    state = {
        name: read().to(dtype)
        for name, read in _tensors(folder, dtype)
        if name.partition(".")[0] in parts
    }
    return {"pretrained_model_name_or_path": None, "state_dict": state}


def fill(
    module: Any, source: WeightsSource, dtype: Any, rename: Callable[[str], str] = lambda name: name
) -> Any:
    """Give a module on the ``meta`` device its weights, reading nothing else.

    The module may be a part of the model that was saved (an encoder without
    its decoder): only tensors that it has are read from the file.

    Parameters
    ----------
    rename
        Maps names of older checkpoints to those of the module.

    Raises
    ------
    WeightsError
        If the files are damaged or lack a parameter of the module.
    """
    if source.folder is None:
        return _initialise(module, dtype)
    expected = module.state_dict()
    filled = {}
    try:
        for name, read in _tensors(source.folder, dtype):
            target = rename(name)
            if target in expected:
                tensor = read().to(dtype)
                shape = expected[target].shape
                # Attention was once saved as 1 x 1 convolutions.
                filled[target] = tensor.reshape(shape) if tensor.ndim != len(shape) else tensor
        module.load_state_dict(filled, strict=True, assign=True)
    except _damage() as error:
        raise _damaged(source.folder, error) from error
    return module


@contextmanager
def seeded() -> Iterator[None]:
    """Make random weights the same every time, without touching torch's own state."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep loading reports off the terminal: what is wrong is raised instead."""
    from transformers.utils import logging as of_transformers

    logs = [of_transformers]
    if "diffusers" in sys.modules:
        from diffusers.utils import logging as of_diffusers

        logs.append(of_diffusers)
    levels = [(log, log.get_verbosity()) for log in logs]
    bars = of_transformers.is_progress_bar_enabled()
    for log, _ in levels:
        log.set_verbosity_error()
    of_transformers.disable_progress_bar()
    try:
        yield
    finally:
        for log, level in levels:
            log.set_verbosity(level)
        if bars:
            of_transformers.enable_progress_bar()


def _initialise(module: Any, dtype: Any) -> Any:
    import torch

    module.to_empty(device="cpu")
    with seeded():
        for part in module.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
    return torch.nn.Module.to(module, dtype)


def _tensors(folder: Path, dtype: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield name and reader of every tensor in the weight files of a folder."""
    for path in _weight_files(folder):
        if path.suffix == ".safetensors":
            yield from _mapped(path, dtype)
        else:
            import torch

            # Files from before torch 1.6 are no archives, and cannot be mapped.
            how = {"map_location": "cpu", "weights_only": True, "mmap": is_zipfile(path)}
            state = torch.load(path, **how)
            for name in state:
                yield name, partial(state.__getitem__, name)


def _mapped(path: Path, dtype: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Tensors mapped from a safetensors file.

    Those of the requested dtype stay mapped. Where they will be converted, the
    file is opened anew for every few, so that the pages already read leave.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
    step = _CONVERTED_AT_ONCE if _is_other(path, dtype) else len(names)
    for start in range(0, len(names), max(1, step)):
        with safe_open(path, framework="pt") as file:
            for name in names[start : start + step]:
                yield name, partial(file.get_tensor, name)


def _converts(folder: Path, dtype: Any) -> bool:
    """Whether the weights lie in files of another dtype, from which tensors can be taken singly."""
    return all(p.suffix == ".safetensors" and _is_other(p, dtype) for p in _weight_files(folder))


def _is_other(path: Path, dtype: Any) -> bool:
    """Whether a safetensors file, by its first tensor, has another dtype."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        stored = str(file.get_slice(names[0]).get_dtype()) if names else ""
    return stored != _STORED.get(str(dtype))


def _weight_files(folder: Path) -> list[Path]:
    for half, suffix, stem in product(("", ".fp16"), ("safetensors", "bin"), _STEMS):
        path = folder / f"{stem}{half}.{suffix}"
        if path.is_file():
            return [path]
        for name in (f"{stem}.{suffix}.index{half}.json", f"{stem}{half}.{suffix}.index.json"):
            if (folder / name).is_file():
                return [folder / part for part in shards(folder / name)]
    if (folder / _BARE).is_file():
        return [folder / _BARE]
    raise WeightsError(f"{folder} holds no weight file; looked for {_STEMS[0]}.safetensors.")


def _damage() -> tuple[type[Exception], ...]:
    import pickle

    from safetensors import SafetensorError

    own = (SafetensorError, pickle.UnpicklingError)
    return (OSError, ValueError, RuntimeError, KeyError, EOFError, *own)


def _damaged(folder: Path, error: Exception) -> WeightsError:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return WeightsError(
        f"the checkpoint in {folder} cannot be read: {text[0]} {' '.join(text[1:3])}".rstrip()
        + " It is damaged or another model; fetch it again."
    )
