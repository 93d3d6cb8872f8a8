"""Names of images that GDAL alone understands, taken apart: which file, and what inside of it.

These are subdatasets (``NETCDF:"file":variable``), virtual files
(``/vsizip/...``, ``/vsicurl/...``) and virtual rasters given as text. Many hold
an address, which may hold a key.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs
from xml.sax.saxutils import unescape

_SCHEME = re.compile(r"(?:[A-Za-z][\w+.-]*::)*[A-Za-z][\w+.-]*://")
_XML = re.compile(r"\s*<[A-Za-z_]+[\s>]")
_DRIVER = re.compile(r"([A-Za-z][A-Za-z0-9_]+):(?!//|:)")
_QUOTED = re.compile(r'((?:\w+:)*)"([^"]*)"(?::(.*))?', re.DOTALL)
_WORDS = re.compile(r"((?:[A-Z0-9_]{2,}:|\d:|off:)*)(?=(?:[A-Za-z]:)?[^:]*[./\\])")
# A colon ends a file, except those of an address and of a drive letter.
_FILE = re.compile(
    r"((?:/vsi\w+/+)*(?:(?:https?|ftp|s3|gs|az|file)://[^/]*|[A-Za-z]:(?=[/\\]))?[^:]*)(?::(.*))?",
    re.DOTALL,
)
_SOURCE = re.compile(r"<SourceFilename[^>]*>(.*?)</SourceFilename>", re.DOTALL)
_STORES = {"/vsicurl/": "", "/vsis3/": "s3://", "/vsigs/": "gs://", "/vsiaz/": "az://"}
_QUERY = re.compile(r"(://[^\s\"<>{}?]*)\?[^\s\"<>{}]*")
_BARE_QUERY = re.compile(r"\?[\w.%~-]+=[^\s'\",)]*")
_USER = re.compile(r"://[^/?#\s\"<>]*@")
_SECRET = re.compile(r"(?i)\b(\w*(?:password|passwd|token|secret|authorization))=[^\s\"&<>]*")


def is_address(text: str) -> bool:
    """Tell an address with a scheme from a path and from a name that holds an address."""
    return bool(_SCHEME.match(text)) and not text.startswith("vrt://")


def is_gdal_name(text: str) -> bool:
    """Tell names that GDAL alone understands from paths and addresses."""
    if text.startswith(("/vsi", "vrt://")) or _XML.match(text):
        return True
    return bool(_DRIVER.match(text)) and not _exists(text)


def is_virtual(text: str) -> bool:
    """Tell the text of a virtual raster from names of files."""
    return bool(_XML.match(text))


def split_name(text: str) -> tuple[str, str, str]:
    """Take ``DRIVER:"file":inside`` apart.

    Returns
    -------
    driver : str
        Empty where the name is none of a driver.
    file : str
    inside : str
        What is meant inside the file: a variable, or the number of an image.
    """
    if not (driver := _DRIVER.match(text)) or text.startswith("/vsi") or _XML.match(text):
        return "", text, ""
    rest = text[driver.end() :]
    if quoted := _QUOTED.fullmatch(rest):
        return driver[1], quoted[2], (quoted[1] + (quoted[3] or "")).strip(":")
    words = _WORDS.match(rest)
    before = words[1] if words else ""
    parts = _FILE.fullmatch(rest[len(before) :])
    file, after = (parts[1], parts[2] or "") if parts else (rest, "")
    return driver[1], file, (before + after).strip(":")


def files_of(text: str) -> tuple[str, ...]:
    """Files, folders and addresses that hold what a name means; the name itself for a path."""
    if _XML.match(text):
        named = [unescape(one) for one in _SOURCE.findall(text)]
        return tuple(dict.fromkeys(file for one in named for file in files_of(one)))
    if text.startswith("vrt://"):
        return files_of(text.removeprefix("vrt://").partition("?")[0])
    if text.startswith("/vsi"):
        return (_stored(text),)
    driver, file, _ = split_name(text)
    return files_of(file) if driver and file != text and not _exists(text) else (text,)


def label_of(text: str) -> str:
    """A short name of a name, fit for a file: the file with what is meant inside of it.

    ``HDF5:"a.h5"://grids/A/HH`` is ``a_A_HH.h5``, ``GTIFF_DIR:2:b.tif`` is ``b_2.tif``.
    """
    if _XML.match(text) or text.startswith("vrt://"):
        return _last(next(iter(files_of(text)), "virtual.vrt"))
    _, file, inside = split_name(without_keys(text))
    path = Path(_last(_plain(file)))
    parts = [part for part in re.split(r"[/:]+", inside) if part][-2:]
    words = [re.sub(r"[^\w.-]+", "_", part).strip("_") for part in parts]
    return "_".join([path.stem, *words]) + path.suffix


def without_keys(text: str) -> str:
    """The same text without what may be a key: users and queries of addresses, passwords."""
    if text.startswith("/vsi"):
        text = _plain(text)
    cut = _USER.sub("://", text)
    if not cut.startswith("vrt://") or cut.count("://") > 1:
        cut = _QUERY.sub(r"\1", cut)
    return _SECRET.sub(r"\1=", cut)


def words_without_keys(message: str) -> str:
    """A message without keys, also where it names the last part of a signed address alone."""
    return _BARE_QUERY.sub("", without_keys(message))


def _plain(text: str) -> str:
    """Write ``/vsicurl?url=...&header=...`` as ``/vsicurl/...``."""
    start, question, options = text.partition("?")
    if question and re.fullmatch(r"/vsi\w+", start) and "url=" in options:
        return f"{start}/{parse_qs(options).get('url', [''])[0]}"
    return text


def _stored(text: str) -> str:
    """The address of a virtual file, or the local file around it."""
    text = _plain(text)
    for prefix, scheme in _STORES.items():
        if text.startswith(prefix):
            return scheme + text.removeprefix(prefix)
    inside = re.sub(r"^(?:/vsi\w+/\{?)+", "", text)
    for candidate in (Path(inside), *Path(inside).parents):
        name = str(candidate).partition("}")[0]
        if _exists(name) and Path(name).is_file():
            return name
    return text


def _last(text: str) -> str:
    """The last part of a path or an address, without its query."""
    if "://" in text:
        text = without_keys(text)
    return text.rstrip("/").rpartition("/")[2].strip('"{}') or text


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long, or not a path at all
        return False
