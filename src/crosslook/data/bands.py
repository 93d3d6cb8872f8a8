"""Patches as models of satellite data take them: bands by name, in physical units.

Models that were trained on radar and multispectral images want VV and VH in
decibels and Sentinel-2 bands as reflectance, not three channels in 0..1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from crosslook.data.patches import PatchSet, Scene, fill_invalid, open_scene
from crosslook.errors import InputError
from crosslook.geo.image import ImageFile
from crosslook.geo.radiometry import OpticalRadiometry, SarRadiometry, Stretch
from crosslook.geo.raster import Raster
from crosslook.types import MODALITIES, FloatArray, Modality, Patch

REFLECTANCE = 10_000.0
"""What whole numbers of 16 bits are divided by, as Sentinel-2 and most others are scaled."""

_SENTINEL_2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09")
CONVENTIONS: dict[tuple[Modality, int], tuple[str, ...]] = {
    ("sar", 2): ("VV", "VH"),
    ("optical", 12): (*_SENTINEL_2, "B11", "B12"),
    ("optical", 13): (*_SENTINEL_2, "B10", "B11", "B12"),
}
"""Names of the bands of files that name none, by their number."""

_COLOURS = ("gray", "grey", "red", "green", "blue", "alpha", "palette", "undefined")
_MOST_OPEN = 64


@dataclass(frozen=True)
class NamedBands:
    """A patch set read as named bands: what extraction needs of patches.

    SAR comes in decibels, optical bands as reflectance (1 is all light).

    Attributes
    ----------
    source : PatchSet
    names : mapping of modality to tuple of str
        Bands in the order of the channels, as ``VV`` or ``B8A``.
    """

    source: PatchSet
    names: Mapping[Modality, tuple[str, ...]]
    _open: dict[str, Scene] = field(default_factory=dict, repr=False, compare=False)

    @property
    def patches(self) -> tuple[Patch, ...]:
        """All patches, in order."""
        return self.source.patches

    def fingerprint(self, modality: Modality) -> str:
        """Hash of everything that changes the pixels: those of the set, and which bands."""
        text = f"{self.source.fingerprint(modality)}/bands/1/{self.names[modality]}"
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, modality: Modality, indices: Sequence[int]) -> FloatArray:
        """Read patches as float32 (n, bands, size, size).

        The few invalid pixels of a patch take the median of its valid ones.

        Raises
        ------
        InputError
            If a file lacks a band, or holds no physical numbers.
        """
        size = self.source.size
        out = np.empty((len(indices), len(self.names[modality]), size, size), np.float32)
        for at, index in enumerate(indices):
            patch = self.patches[index]
            scene = self._scene(patch.scene)
            out[at] = fill_invalid(scene.read_bands(modality, patch.window))
        return out

    def _scene(self, name: str) -> Scene:
        if name not in self._open:
            if len(self._open) >= _MOST_OPEN:
                self._open.clear()
            self._open[name] = open_physical(self.source.scenes[name], self.names, self.source)
        return self._open[name]


def open_physical(
    scene: Scene, names: Mapping[Modality, tuple[str, ...]], source: PatchSet
) -> Scene:
    """Open a scene again so that its sides read as named bands in physical units."""
    bands = {m: band_places(scene.sides[m].header, m, names[m]) for m in MODALITIES}
    before = source.reading
    reading = replace(
        before,
        sar=SarRadiometry(
            scale=before.sar.scale, tone="log", bands=bands["sar"], zeros=before.sar.zeros
        ),
        optical=OpticalRadiometry(bands=bands["optical"], zeros=before.optical.zeros),
    )
    again = open_scene(scene.pair, reading, scene.shift)
    sides = {m: side.restretched(_as_it_is(side)) for m, side in again.sides.items()}
    return replace(again, sides=sides)


def band_places(header: Raster, modality: Modality, names: Sequence[str]) -> tuple[str, ...]:
    """Names or numbers by which a file finds its bands: its own names, or the usual order.

    Raises
    ------
    InputError
        If it has neither.
    """
    # What a TIFF says of display alone is no name of a band.
    labels = [label for label in header.labels if label and label not in _COLOURS]
    if all(name.lower() in labels for name in names):
        return tuple(names)
    usual = CONVENTIONS.get((modality, header.bands), ())
    if all(name in usual for name in names) and not labels:
        return tuple(str(usual.index(name) + 1) for name in names)
    has = f"names {', '.join(labels)}" if labels else f"{header.bands} band(s) without names"
    raise InputError(
        f"{header.name} has {has}; the extractor asks for {', '.join(names)}. Name the bands in "
        "the file (gdal_edit -d, band descriptions), or give files that hold them."
    )


def _as_it_is(side: ImageFile) -> Stretch:
    """Limits that leave decibels as they are and bring whole numbers to reflectance."""
    count, header = len(side.bands), side.header
    if header.dtype == "uint8":
        raise InputError(
            f"{header.name} holds 8-bit values, which are neither decibels nor reflectance; an "
            "extractor that asks for bands by name needs the product itself."
        )
    if side.modality == "sar" and side.scale == "stored":
        raise InputError(
            f"{header.name} holds numbers on no known scale; say which, as --sar scale=decibel."
        )
    scaled = set(header.scales) != {1.0} or header.dtype.startswith("float")
    one = 1.0 if side.modality == "sar" or scaled else REFLECTANCE
    return Stretch(side.scale, (0.0,) * count, (one,) * count)
