"""Windows of a scene."""

from __future__ import annotations

from crosslook.errors import InputError
from crosslook.types import Window


def tile(height: int, width: int, patch: int, stride: int, scene: str) -> list[Window]:
    """List the full windows of a scene, row by row.

    What does not fill a whole window at the lower and right border is left out.

    Raises
    ------
    InputError
        If the patch is larger than the scene.
    """
    if patch > min(height, width):
        raise InputError(
            f"patches of {patch} x {patch} px are larger than scene '{scene}' "
            f"({height} x {width} px); choose --patch of at most {min(height, width)}."
        )
    return [
        Window(row, col, patch, patch)
        for row in range(0, height - patch + 1, stride)
        for col in range(0, width - patch + 1, stride)
    ]
