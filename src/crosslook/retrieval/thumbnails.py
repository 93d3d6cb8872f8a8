"""Small images of the patches, kept with the run so that a report needs no data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pyarrow as pa

from crosslook.retrieval.run_folder import read_table, write_table
from crosslook.types import MODALITIES, FloatArray, Modality

SIDE = 96
_QUALITY = 80
_FILE = "thumbnails.parquet"


class ReadsPatches(Protocol):
    """What a patch set offers for thumbnails."""

    def read(self, modality: Modality, indices: Sequence[int]) -> FloatArray:
        """Images (n, 3, p, p) in 0..1."""


def write_thumbnails(run: Path, patches: ReadsPatches, indices: Iterable[int]) -> None:
    """Write both sides of these patches as JPEG, one patch in memory at a time."""
    wanted = sorted(set(indices))
    thumbnails: dict[str, list[bytes]] = {m: [] for m in MODALITIES}
    for index in wanted:
        for modality in MODALITIES:
            thumbnails[modality].append(encode(patches.read(modality, [index])[0]))
    columns = {"index": pa.array(wanted, pa.int64())}
    columns |= {m: pa.array(thumbnails[m], pa.binary()) for m in MODALITIES}
    write_table(run / _FILE, pa.table(columns))


def read_thumbnails(run: Path) -> dict[int, dict[str, bytes]]:
    """Read the JPEG bytes of both sides, by patch index; none of a run that was not finished."""
    if not (run / _FILE).is_file():
        return {}
    table = read_table(run / _FILE).to_pylist()
    return {line["index"]: {m: line[m] for m in MODALITIES} for line in table}


def encode(image: FloatArray) -> bytes:
    """Encode (3, p, p) in 0..1 as a JPEG of at most ``SIDE`` pixels."""
    height, width = image.shape[1:]
    scale = SIDE / max(height, width)
    pixels = (image.transpose(1, 2, 0)[:, :, ::-1] * 255).round().astype(np.uint8)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return bytes(data)


def shrink(data: bytes, side: int = 64) -> bytes:
    """Encode a JPEG again with at most ``side`` pixels, to keep a report small."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1])
