"""Words by which names of files and folders say which sensor they are of."""

from __future__ import annotations

import re
import unicodedata

from crosslook.types import MODALITIES, Modality

NAMES: dict[Modality, tuple[str, ...]] = {
    "sar": ("sar", "s1", "radar", "sentinel1", "vv", "vh", "hh", "hv", "postevent"),
    "optical": ("optical", "opt", "rgb", "eo", "s2", "sentinel2", "visible", "preevent"),
}
"""Whole names of folders, without hyphens and underscores; the first that is there counts.

Events: BRIGHT has the optical image from before and the SAR image from after.
"""

_SATELLITES: dict[Modality, frozenset[str]] = {
    "sar": frozenset({*NAMES["sar"], "s1a", "s1b", "s1c", "s1d"}),
    "optical": frozenset({*NAMES["optical"], "s2a", "s2b", "s2c"}),
}
_DROPPED: dict[Modality, frozenset[str]] = {
    "sar": _SATELLITES["sar"]
    | {"grd", "slc", "rtc", "intensity", "amplitude"}
    | {"post", "postdisaster"},
    "optical": _SATELLITES["optical"]
    | {"msi", "vis", "ms", "ps", "l1c", "l2a", "tci"}
    | {"pre", "predisaster"},
}
_NOT_IMAGERY = frozenset(
    {"mask", "masks", "label", "labels", "target", "targets", "cloud", "clouds", "cloudy", "dem"}
    | {"udm", "udm2", "preview", "previews", "thumbnail", "thumbnails", "browse", "quicklook"}
)
_NUMBERED = re.compile(r"^(sar|radar|vv|vh|opt|optical|rgb|eo)(\d+)$")
_JOINED = re.compile(r"(sentinel|pre|post)[-_ ](?=[12]\b|[12][-_ ]|event|disaster)", re.IGNORECASE)

SPLITS = frozenset(
    {"train", "training", "trainval", "val", "valid", "validation", "dev", "test", "testing"}
)
"""Folders that say what a scene is used for, and not where it lies."""


def same_name(name: str) -> str:
    """A name without what file systems change: case, and how accents are composed."""
    return unicodedata.normalize("NFC", name).casefold()


def folder_side(name: str) -> tuple[Modality, int] | None:
    """The sensor that the whole name of a folder says, and its place among the names of it.

    >>> folder_side("SAR"), folder_side("pre-event"), folder_side("sar_images")
    (('sar', 0), ('optical', 7), None)
    """
    whole = "".join(_said(name))
    return next(
        ((side, NAMES[side].index(whole)) for side in MODALITIES if whole in NAMES[side]), None
    )


def is_aside(name: str) -> bool:
    """Whether a folder holds something else than images, as masks or labels."""
    return bool({word.casefold() for word in _words(name)} & _NOT_IMAGERY)


def side_of(name: str) -> Modality | None:
    """The sensor that one word of a name says; None where none does, or both do.

    >>> side_of("tile0_s1"), side_of("opt12"), side_of("tile0"), side_of("s1_s2")
    ('sar', 'optical', None, None)
    """
    words = _said(name)
    said = [side for side in MODALITIES if any(_says(word, side) for word in words)]
    return said[0] if len(said) == 1 else None


def without_side(name: str, side: Modality) -> str:
    """A name without the words that say its sensor, joined by underscores.

    >>> without_side("Tile0_S1", "sar"), without_side("sar-17", "sar"), without_side("sar3", "sar")
    ('Tile0', '17', '3')
    """
    kept = []
    for word in _words(name):
        number = _NUMBERED.match(word.casefold())
        if number and number[1] in _DROPPED[side]:
            kept.append(number[2])
        elif word.casefold() not in _DROPPED[side]:
            kept.append(word)
    return "_".join(kept)


def _said(name: str) -> list[str]:
    """The words of a name in small letters; none where it is of something else than images."""
    return [] if is_aside(name) else [word.casefold() for word in _words(name)]


def _says(word: str, side: Modality) -> bool:
    number = _NUMBERED.match(word)
    return (number[1] if number else word) in _SATELLITES[side]


def _words(name: str) -> list[str]:
    joined = _JOINED.sub(r"\1", unicodedata.normalize("NFC", name))
    return [word for word in re.split(r"[\W_]+", joined) if word]
