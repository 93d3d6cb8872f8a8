"""The page of a batch: each pair before and after, its verdict, a filter, an order, a way in."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from crosslook.atomic import write_text
from crosslook.match.drawn import Scene, make_panels
from crosslook.match.files import Pixels, checkerboard

_TEMPLATE = Path(__file__).with_name("batch.html")
_SIDE = 220
_QUALITY = 70


@dataclass(frozen=True)
class Thumbnails:
    """Checkerboards of a pair as data addresses; empty where there is none."""

    before: str = ""
    after: str = ""


def thumbnails(scene: Scene) -> Thumbnails:
    """Draw a pair small, as its georeference and as the match puts it."""
    panels = make_panels(scene, _SIDE)
    drawn = [
        "" if one is None else _address(checkerboard(panels.ground, grey, one.valid))
        for one, grey in ((image, _grey(image)) for image in (panels.before, panels.after))
    ]
    return Thumbnails(*drawn)


def _grey(image: Any) -> Pixels:
    if image is None:
        return np.zeros((1, 1, 3), np.uint8)
    values = np.clip(np.where(image.valid, image.values, 0), 0, 1)
    return np.repeat((values * 255).astype(np.uint8)[..., None], 3, axis=2)


def _address(image: Pixels) -> str:
    data = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1]
    return f"data:image/webp;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def write_batch_page(
    path: Path,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    drawn: Mapping[str, Thumbnails],
) -> None:
    """Write ``index.html`` of a batch: one page whose images are in it, with links to the pairs.

    Parameters
    ----------
    path : Path
    title : str
    rows : sequence of mapping
        As ``matches.csv`` has them.
    drawn : mapping of str to Thumbnails
        By the name of the pair.
    """
    from jinja2 import Template

    lines = []
    for row in rows:
        folder = row.get("folder")
        kind = "failed" if row.get("error") else str(row.get("verdict", ""))
        link = ""
        if folder:
            where = Path(str(folder))
            inside = quote(where.relative_to(path.parent).as_posix())
            files = ("swipe.html", "match.json")
            link = next((f"{inside}/{one}" for one in files if (where / one).is_file()), "")
        lines.append({**row, "kind": kind, "link": link, "thumbs": drawn.get(str(row["name"]))})
    kinds = ("match", "uncertain", "no match", "failed")
    counts = {kind: sum(line["kind"] == kind for line in lines) for kind in kinds}
    text = Template(_TEMPLATE.read_text(encoding="utf-8"), autoescape=True).render(
        title=title, rows=lines, counts=counts
    )
    write_text(path, text + "\n")
