"""Cells of shell commands as one types them: without the line that makes the notebook run them."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

_MAGIC = "%%bash"


def without_magic(app: Sphinx, doctree: nodes.document) -> None:
    """Drop the first line of such cells from the page, so that what is copied runs in a shell."""
    for block in doctree.findall(nodes.literal_block):
        first, _, rest = block.astext().partition("\n")
        if first.startswith(_MAGIC):
            block.rawsource = rest
            block.children = []
            block += nodes.Text(rest)
            block["language"] = "bash"


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of it."""
    app.connect("doctree-read", without_magic)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
