"""Images that users bring: kept under names of our own, opened within limits, shown."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.atomic import write_bytes, write_text
from crosslook.errors import InputError, NotFoundError, OutputError, RasterError, TooLargeError
from crosslook.explore.jobs import Quota, size_of
from crosslook.geo.grid import crs_text, is_placed, mean_metres, shape_of, to_lonlat
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.geo.opening import OPEN
from crosslook.geo.raster import RasterFile
from crosslook.match.files import colours_of
from crosslook.match.settings import RegisterSettings
from crosslook.progress import stage
from crosslook.storage import as_place
from crosslook.types import Mask, Modality

MEBI = 2**20
_BINS = 48
_MOST_SIDE = 768
_ID = re.compile(r"[0-9a-f]{16}")
_FILE = "upload.json"
_KINDS = (
    (b"II*\0", ".tif"), (b"MM\0*", ".tif"), (b"II+\0", ".tif"), (b"MM\0+", ".tif"),
    (b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg"),
    (b"\x00\x00\x00\x0cjP  ", ".jp2"), (b"\xff\x4f\xff\x51", ".jp2"),
)  # fmt: skip
"""First bytes of the kinds that are let in. Kinds that name other files, as VRTs do, are not."""
DRIVERS = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG", ".jp2": "JP2OpenJPEG"}
"""The one driver of GDAL that opens each: left to choose, GDAL goes by other bytes than these."""


@dataclass(frozen=True)
class Upload:
    """A file that was uploaded.

    Attributes
    ----------
    id : str
        Sixteen hexadecimal digits; its folder is called so.
    name : str
        What the user calls it; shown, and never part of a path.
    suffix : str
        By its content.
    bytes : int
    created : float
        Seconds since 1970.
    """

    id: str
    name: str
    suffix: str
    bytes: int
    created: float


class Uploads:
    """Uploaded files in ``folder/<id>/image<suffix>``.

    Parameters
    ----------
    folder : Path
        What an earlier server left in it half way is removed.
    most_bytes : int
        Of one file.
    quota : Quota
        Of all of them and the results.
    """

    def __init__(self, folder: Path, most_bytes: int, quota: Quota) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self.quota = quota
        for path in folder.iterdir():
            if _ID.fullmatch(path.name) and not (path / _FILE).is_file():
                shutil.rmtree(path, ignore_errors=True)
            else:
                quota.put(path.name, size_of(path))

    async def take(self, name: str, announced: int, chunks: AsyncIterator[bytes]) -> Upload:
        """Write what comes in to disk, a chunk in memory at a time.

        Raises
        ------
        TooLargeError
            If more comes, or is announced, than is allowed; nothing is kept.
        InputError
            If it is no image of a kind that is let in.
        OutputError
            If the disk is full.
        """
        self._check(announced)
        self.quota.check(announced)
        one = secrets.token_hex(8)
        folder = self.folder / one
        try:
            folder.mkdir()
            size = await self._write(one, folder / "incoming", chunks)
            with (folder / "incoming").open("rb") as file:
                suffix = _kind_of(file.read(16))
            (folder / "incoming").rename(folder / f"image{suffix}")
            upload = Upload(one, plain_name(name), suffix, size, time.time())
            write_text(folder / _FILE, json.dumps(asdict(upload)) + "\n")
            self.quota.put(one, size_of(folder))
        except BaseException as error:  # also a client that hangs up
            shutil.rmtree(folder, ignore_errors=True)
            self.quota.drop(one)
            if isinstance(error, OSError):
                raise OutputError(f"the upload cannot be kept: {error.strerror}.") from error
            raise
        return upload

    async def _write(self, one: str, path: Path, chunks: AsyncIterator[bytes]) -> int:
        """Write what comes, and count it as it does; returns its bytes."""
        size = 0
        with path.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                self._check(size)
                self.quota.put(one, size)
                self.quota.check()
                file.write(chunk)
        return size

    def get(self, name: str) -> Upload:
        """Find an upload; NotFoundError where there is none of that id."""
        if _ID.fullmatch(name):
            path = self.folder / name / _FILE
            if path.is_file():
                return Upload(**json.loads(path.read_text(encoding="utf-8")))
        raise NotFoundError(f"there is no upload '{name[:32]}'; drop the image again.")

    def all(self) -> list[Upload]:
        """All uploads, the newest first."""
        uploads = [self.get(path.parent.name) for path in self.folder.glob(f"*/{_FILE}")]
        return sorted(uploads, key=lambda one: -one.created)

    def remove(self, name: str) -> None:
        """Remove an upload."""
        shutil.rmtree(self.folder / self.get(name).id, ignore_errors=True)
        self.quota.drop(name)

    def work_of(self, name: str) -> dict[str, str]:
        """What a worker needs to open it."""
        upload = self.get(name)
        path = (self.folder / upload.id / f"image{upload.suffix}").resolve()
        return {"path": str(path), "name": upload.name, "driver": DRIVERS[upload.suffix]}

    def _check(self, size: int) -> None:
        if size > self.most_bytes:
            raise TooLargeError(
                f"the file is larger than {self.most_bytes // MEBI} MiB, the limit of this "
                "explorer. Cut the image or reduce it, or start the explorer with a larger "
                "--max-upload."
            )


def plain_name(name: str) -> str:
    """A name to show: the last part of a path, without control characters, at most 120 long."""
    last = re.split(r"[\\/]", name)[-1]
    return "".join(c for c in last if c.isprintable())[:120].strip() or "image"


def _kind_of(first: bytes) -> str:
    for start, suffix in _KINDS:
        if first.startswith(start):
            return suffix
    raise InputError(
        "this is no image of a kind that is read here: GeoTIFF, PNG, JPEG or JPEG 2000 is needed."
    )


def open_upload(
    work: dict[str, str], modality: Modality, reading: Reading, max_pixels: int
) -> ImageFile:
    """Open an uploaded image by the driver of its kind, after a look at its header.

    Raises
    ------
    NotFoundError
        If it was removed since the job was requested.
    RasterError
        If it is damaged, or has more pixels than allowed over all bands.
    """
    if not Path(work["path"]).exists():
        raise NotFoundError(f"the upload '{work['name']}' was removed; drop the image again.")
    source = RasterFile(
        as_place(work["path"]),
        height=reading.height,
        label=work["name"],
        driver=work.get("driver", DRIVERS.get(Path(work["path"]).suffix, "GTiff")),
        crs=reading.crs or "",
    )
    height, width = shape_of(source.header.grid)
    with OPEN.use(source) as (file, _):  # a tile may be far larger than its image
        tile = max(rows * cols for rows, cols in file.block_shapes)
    pixels = max(height * width, tile) * source.header.bands
    if pixels > max_pixels:
        raise RasterError(
            f"'{work['name']}' has {height} x {width} pixels in {source.header.bands} band(s), "
            f"{pixels / 1e6:,.0f} million numbers with its tiles; this explorer reads up to "
            f"{max_pixels / 1e6:,.0f} million. Cut or reduce it, or start the explorer with a "
            "larger --max-pixels."
        )
    return open_image(source, modality, reading)


def reading_of(settings: dict[str, Any]) -> Reading:
    """The part of a job's settings that says how images are read."""
    known = {n: settings[n] for n in ("sar", "optical", "bands", "height", "crs") if n in settings}
    return Reading.parse(RegisterSettings(**known).reading())


def inspect(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What was read of an image: header, radiometry, histogram, valid part, and an image."""
    stage("read")
    modality: Modality = work["modality"]
    reading = reading_of(work["settings"])
    image = open_upload(work["image"], modality, reading, work["max_pixels"])
    factor = max(1, -(-max(image.shape) // _MOST_SIDE))
    shown = image.read(None, factor)
    write_bytes(folder / "view" / "image.png", png_of(colours_of(shown), shown.valid))
    counts = [  # of the values after radiometry, of each band over valid pixels
        np.histogram(np.clip(band[shown.valid], 0, 1), _BINS, (0.0, 1.0))[0].tolist()
        for band in shown.values[:3]
    ]
    histogram = {"bins": _BINS, "counts": counts}
    return {**describe_image(image), "histogram": histogram, "factor": factor,
            "valid": float(shown.valid.mean()), "shown": list(shown.shape)}  # fmt: skip


def describe_image(image: ImageFile) -> dict[str, Any]:
    """Header and radiometry of an image, as JSON can hold them."""
    header, placed = image.header, is_placed(image.grid)
    centre = np.array([image.shape], np.float64) / 2
    numbers = image.survey.sample[0]
    numbers = numbers[np.isfinite(numbers)]
    quantiles = np.percentile(numbers, [1, 50, 99]).tolist() if numbers.size else []
    return {
        "name": image.name,
        "shape": list(image.shape),
        "bands": header.bands,
        "labels": list(header.labels),
        "used": list(image.bands),
        "dtype": header.dtype,
        "scale": image.scale,
        "crs": crs_text(image.grid) if placed else None,
        "placed_by": header.placed_by,
        "gsd": float(mean_metres(image.grid, centre)) if placed else None,
        "centre": [float(v) for v in to_lonlat(image.grid, centre)[0]] if placed else None,
        "nodata": None if image.nodata is None or np.isnan(image.nodata) else image.nodata,
        "radiometry": image.radiometry.describe(),
        "limits": {"low": list(image.stretch.low), "high": list(image.stretch.high)},
        "percentiles": quantiles,
        "notes": list(image.notes),
    }


def png_of(colours: NDArray[np.uint8], valid: Mask) -> bytes:
    """PNG of an RGB image (H, W, 3), transparent where not valid."""
    alpha = np.where(valid, 255, 0).astype(np.uint8)
    return encoded(".png", np.dstack([colours[:, :, ::-1], alpha]), cv2.IMWRITE_PNG_COMPRESSION, 3)


def jpeg_of(colours: NDArray[np.uint8], quality: int = 88) -> bytes:
    """JPEG of an RGB image (H, W, 3)."""
    return encoded(".jpg", colours[:, :, ::-1], cv2.IMWRITE_JPEG_QUALITY, quality)


def encoded(suffix: str, pixels: NDArray[np.uint8], option: int, value: int) -> bytes:
    """Bytes of an image (H, W, C) in blue, green, red as OpenCV writes them."""
    return bytes(cv2.imencode(suffix, np.ascontiguousarray(pixels), [option, value])[1])
