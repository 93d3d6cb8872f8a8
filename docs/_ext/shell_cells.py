"""Cells of shell commands as one types them, and their output as a terminal shows it."""

from __future__ import annotations

import re
from typing import Any

import myst_nb.core.render as render
from docutils import nodes
from sphinx.application import Sphinx

_MAGIC = "%%bash"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def without_magic(app: Sphinx, doctree: nodes.document) -> None:
    """Drop the first line of such cells from the page, so that what is copied runs in a shell."""
    for block in doctree.findall(nodes.literal_block):
        first, _, rest = block.astext().partition("\n")
        if first.startswith(_MAGIC):
            block.rawsource = rest
            block.children = []
            block += nodes.Text(rest)
            block["language"] = "bash"


def joined(outputs: list[Any]) -> list[Any]:
    """Put the pieces of a stream together as they came, without styles.

    A kernel sends what a command writes in pieces that end anywhere, and the renderer ends
    each with a new line.
    """
    whole: list[Any] = []
    for output in outputs:
        if output["output_type"] == "stream":
            before = next((o for o in whole if o.get("name") == output["name"]), None)
            if before is not None:
                before["text"] += output["text"]
                continue
        whole.append(output)
    for output in whole:
        if output["output_type"] == "stream":
            output["text"] = _STYLE.sub("", output["text"])
    return whole


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of both."""
    merge = render.coalesce_streams
    render.coalesce_streams = lambda outputs: merge(joined(outputs))
    app.connect("doctree-read", without_magic)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
