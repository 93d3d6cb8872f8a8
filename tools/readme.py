"""The shell lines of README.md, for those that follow them: a test and ``make dist``."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands(text: str | None = None) -> list[str]:
    """Return the lines behind ``$`` in the ``console`` blocks of the README, in order.

    Parameters
    ----------
    text : str, optional
        Another text than that of ``README.md``.

    Returns
    -------
    list of str
        Without the prompt; what the commands print is left out.
    """
    text = README.read_text(encoding="utf-8") if text is None else text
    lines = [line for block in _BLOCK.findall(text) for line in block.splitlines()]
    return [line[2:] for line in lines if line.startswith("$ ")]
