"""What transformers share: a choice of layer, and tokens set back on their grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosslook.errors import SpecError
from crosslook.extract.options import Option

LAYER = Option(-1, "read after this block, counted from 1; -1 for the last", low=-1)


def check_layer(spec: str, layer: int, config: Mapping[str, Any]) -> int:
    """Return the number of blocks to run for the option ``layer``.

    Raises
    ------
    SpecError
        If the model has no such block.
    """
    depth = int(config["num_hidden_layers"])
    if layer == -1:
        return depth
    if not 1 <= layer <= depth:
        raise SpecError(f"'{spec}': layer={layer} must lie in 1..{depth}, or be -1 for the last.")
    return layer


def token_map(tokens: Any, grid: tuple[int, int]) -> Any:
    """Lay the last ``h * w`` tokens out as a map: (n, T, C) to (n, C, h, w).

    Class and register tokens stand before the patch tokens.
    """
    height, width = grid
    patches = tokens[:, tokens.shape[1] - height * width :]
    return patches.transpose(1, 2).reshape(len(tokens), tokens.shape[2], height, width)
