"""Radar images in NITF: complex pairs, amplitude and phase, and the products SICD and SIDD.

How GDAL gives their pixels changes with its version; what they are is known from
the subcategories of the bands (I and Q, M and P) and by the XML of the product.
A large SICD is cut into several image segments, which are one image here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, tostring

import rasterio
from rasterio.enums import ColorInterp

from crosslook.geo.products.bands import Part
from crosslook.geo.products.sicd import Located, located, size_of
from crosslook.geo.products.vrt import (
    COMPLEX,
    Placement,
    add_amplitude,
    add_band,
    add_colours,
    add_complex,
    add_source,
    add_tags,
    head,
    new_band,
    placement_of,
    quiet,
    stepwise,
)

_IMAGE = re.compile(r"^NITF_IM:\d+:")
_PRODUCT = re.compile(r"^(SICD|SIDD\d{3})", re.IGNORECASE)


@dataclass(frozen=True)
class _Segment:
    name: str
    product: str
    shape: tuple[int, int]


def keeps_numbers(data: Any) -> bool:
    """Whether a palette is only for display: a grey one of a radar image.

    GDAL takes the low byte alone of grey look-up tables of 16 bits.
    """
    tags = data.tags()
    grey = str(tags.get("NITF_IREP", "")) == "MONO"
    return grey and str(tags.get("NITF_ICAT", "")).startswith("SAR")


def nitf_raster(data: Any, *, lengths: bool = True) -> str | None:
    """Write the virtual raster of an open radar image in NITF; None for anything else.

    With ``lengths`` its amplitude, else its numbers with their phase.
    """
    if data.driver != "NITF":
        return None
    layout = tuple(data.tags(band).get("NITF_ISUBCAT", "").strip() for band in (1, 2)[: data.count])
    document = _document(data)
    pairs = layout in (("I", "Q"), ("M", "P")) or data.dtypes[0] in COMPLEX
    if document is None and not pairs:
        return None
    parts, above = _parts(data)
    height = sum(part.shape[0] for part in parts)
    where = _located(document, data, above, height)
    remarks = _remarks(where, document, pairs=pairs) | {"PARTS": str(len(parts))}
    root = head(height, data.width, where.placement, remarks)
    if not lengths:
        add_tags(root, "", data.tags())
    if len(parts) == 1:
        _add_bands(root, data, data.name, layout, document, lengths=lengths)
    else:
        text = _mosaic(data, parts)
        with quiet(), rasterio.open(text) as whole:
            _add_bands(root, whole, text, layout, document, lengths=lengths)
    return tostring(root, encoding="unicode")


def _remarks(where: Located, document: Element | None, *, pairs: bool) -> dict[str, str]:
    out = {"PLACED_BY": where.by, "NOTE": where.note}
    if pairs or (document is not None and "SICD" in document.tag):
        out["MAGNITUDE"] = "YES"
    return {key: value for key, value in out.items() if value}


def _located(document: Element | None, data: Any, above: int, height: int) -> Located:
    """By the XML where it is of these pixels, else as GDAL says."""
    rounded = data.tags().get("NITF_ICORDS") == "G"
    note = "the corners in its header are rounded to a second of arc, some 15 m"
    own = Located(placement_of(data), "", note if rounded else "")
    if document is None:
        return own
    rows, cols = size_of(document)
    if cols != data.width or rows < above + height:
        return own
    found = located(document)
    return own if found is None else found.below(above)


def _add_bands(
    root: Element,
    data: Any,
    file: str,
    layout: tuple[str, ...],
    document: Element | None,
    *,
    lengths: bool,
) -> None:
    """Add one band of amplitudes, or the bands as they are where they are detected already."""
    if layout == ("I", "Q") and not lengths:
        add_complex(root, data, file, (1, 2))
    elif layout == ("I", "Q"):
        add_amplitude(root, data, file, (1, 2))
    elif layout == ("M", "P") and lengths:
        table = _amplitudes(document)
        amplitude = new_band(root, "float32" if table else data.dtypes[0])
        kind = "ComplexSource" if table else "SimpleSource"
        source = add_source(root, amplitude, kind, file, data.shape, 1)
        if table:
            SubElement(source, "LUT").text = stepwise(table)
    elif data.colorinterp[0] is ColorInterp.palette and lengths and not keeps_numbers(data):
        add_colours(root, data, file)
    else:
        for band in range(1, data.count + 1):
            add_band(root, data, Part(file), band, "", lengths=lengths)


def _amplitudes(document: Element | None) -> list[float]:
    """Amplitude of each of the 256 numbers, where the XML has a table of them."""
    found = [] if document is None else document.findall("{*}ImageData/{*}AmpTable/{*}Amplitude")
    try:
        table = {int(e.get("index", "")): float(e.text or "") for e in found}
    except ValueError:
        return []
    return [table[n] for n in range(256)] if set(table) == set(range(256)) else []


def _document(data: Any) -> Element | None:
    """The XML of the product that an open image belongs to; None where it has none."""
    found: dict[str, list[Element]] = {"SICD": [], "SIDD": []}
    for text in _texts(data):
        try:
            listed = fromstring(text)
        except ParseError:
            continue
        for content in listed.iter("xml_content"):
            for root in content:
                found.get(root.tag.rpartition("}")[2], []).append(root)
    name = data.tags().get("NITF_IID1", "").upper()
    if name.startswith("SIDD") and name[4:7].isdecimal():
        number = int(name[4:7])  # products are counted as their documents lie
        return found["SIDD"][number - 1] if 0 < number <= len(found["SIDD"]) else None
    if name.startswith("SICD") or (len(found["SICD"]) == 1 and not found["SIDD"]):
        return found["SICD"][0] if found["SICD"] else None
    return None


def _texts(data: Any) -> list[str]:
    """What GDAL gives of the XML in an open file."""
    try:
        texts = data.tags(ns="xml:DES") if "xml:DES" in data.tag_namespaces() else {}
        return [str(text) for text in texts.values()]
    except UnicodeError:
        return []
    finally:
        # What GDAL has against a document would be raised by whatever is called next.
        rasterio.open(data.name).close()


def _parts(data: Any) -> tuple[list[_Segment], int]:
    """Segments of the image that is open, and how many rows of it lie above them.

    A bare file name stands for the whole first image, the name of a segment
    for that one alone.
    """
    named = _IMAGE.match(data.name)
    own = _segment(data.name, data)
    if not (named or data.subdatasets) or not own.product:
        return [own], 0
    with rasterio.open(_IMAGE.sub("", data.name)) as bare:
        names = list(bare.subdatasets)
    same = []
    for name in names:
        with rasterio.open(name) as image:
            segment = _segment(name, image)
        if segment.product == own.product and image.width == data.width:
            same.append(segment)
    if not named:
        return same, 0
    before = names.index(data.name) if data.name in names else 0
    return [own], sum(s.shape[0] for s in same if names.index(s.name) < before)


def _segment(name: str, data: Any) -> _Segment:
    product = _PRODUCT.match(data.tags().get("NITF_IID1", ""))
    return _Segment(name, product[1].upper() if product else "", data.shape)


def _mosaic(data: Any, parts: Sequence[_Segment]) -> str:
    """Write the virtual raster of the segments of one image, one below the other."""
    root = head(sum(part.shape[0] for part in parts), data.width, Placement())
    for band, kind in enumerate(data.dtypes, 1):
        added, top = new_band(root, kind), 0
        for part in parts:
            add_source(root, added, "SimpleSource", part.name, part.shape, band, top)
            top += part.shape[0]
    return tostring(root, encoding="unicode")
