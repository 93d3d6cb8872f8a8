"""How results show themselves in Jupyter: a small table and an image, safe to embed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

_TABLE = 'style="border-collapse:collapse;margin:.3em 0"'
_CELL = 'style="text-align:left;padding:.15em .8em .15em 0;vertical-align:top"'


def card(title: str, facts: Mapping[str, str], *more: str) -> str:
    """Make the HTML of a title, a line per fact, and what :func:`grid` and :func:`image` made.

    Everything is escaped: names of files come from outside.
    """
    lines = (
        f"<tr><th {_CELL}>{escape(name)}</th><td {_CELL}>{escape(text)}</td></tr>"
        for name, text in facts.items()
    )
    return (
        f"<div><b>{escape(title)}</b><table {_TABLE}>{''.join(lines)}</table>{''.join(more)}</div>"
    )


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make the HTML of a table with a header."""
    head = "".join(f"<th {_CELL}>{escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td {_CELL}>{escape(text)}</td>" for text in row) + "</tr>"
        for row in rows
    )
    return f"<table {_TABLE}><tr>{head}</tr>{body}</table>"


def image(data: bytes, words: str, kind: str = "png") -> str:
    """Make the HTML of an image that is carried along; ``words`` say what it shows."""
    encoded = base64.b64encode(data).decode("ascii")
    source = f"data:image/{kind};base64,{encoded}"
    return f'<img style="max-width:100%" alt="{escape(words)}" src="{source}">'
