"""The section that shows feature maps side by side."""

from __future__ import annotations

import base64
from pathlib import Path

from crosslook.report.sections import Part, Section, ShownMatch, Thumbnail
from crosslook.retrieval.run_folder import read_patches, read_table
from crosslook.retrieval.thumbnails import read_thumbnails
from crosslook.retrieval.views import VIEWS_FILE


def views_section(run: Path) -> list[Section]:
    """Show every view: both patches, both maps, and the response of one cell."""
    if not (run / VIEWS_FILE).is_file():
        return []
    patches, thumbnails = read_patches(run), read_thumbnails(run)
    lines = read_table(run / VIEWS_FILE).to_pylist()
    parts = []
    for name in dict.fromkeys(line["extractor"] for line in lines):
        shown = []
        for line in (one for one in lines if one["extractor"] == name):
            own = thumbnails.get(line["index"], {})
            images = [("SAR", own.get("sar")), ("optical", own.get("optical"))]
            images += [
                ("SAR map", line["sar"]),
                ("optical map", line["optical"]),
                ("response", line["response"]),
            ]
            text = f"{patches[line['index']].id}, SAR cell ({line['row']}, {line['col']})"
            kept = [Thumbnail(title, _text(data)) for title, data in images if data]
            shown.append(ShownMatch(kept, text))
        parts.append(Part(name, matches=shown))
    how = (
        "Equal colours in both maps mean equal features, whichever sensor saw them. The response "
        "is the cosine of one SAR cell (white square) with every optical cell: a feature that "
        "finds its place is brightest inside the square, and dark elsewhere."
    )
    return [Section("views", "What a feature sees", how, parts)]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
