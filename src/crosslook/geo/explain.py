"""Errors of web servers in words, wherever GDAL or the standard library meets them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from crosslook.gdal_names import words_without_keys
from crosslook.storage import Place

_PATIENCE = 20.0  # seconds
_CODE = re.compile(r"(?:HTTP (?:response code|Error)[: ]*|status code[: ]*)(\d{3})", re.IGNORECASE)
_MEANING = {
    401: "the server wants credentials (HTTP 401): sign the address, or give the keys of the store",
    403: "the server refuses it (HTTP 403): the signature of the address may have run out, or is "
    "missing; sign it anew",
    404: "the server has nothing there (HTTP 404): check the address",
    410: "the server has it no longer (HTTP 410): look for another address",
    429: "the server asks for a pause (HTTP 429): try again later",
}


def explain(error: BaseException) -> str:
    """Say why something cannot be read: what a server answered, else what the library says.

    The query of an address, which may hold a key, is taken out.
    """
    cause = error.__cause__ or error
    if isinstance(cause, URLError) and not isinstance(cause, HTTPError):
        return f"cannot be read: {_unreached(str(cause.reason))}"
    text = str(cause).strip().rstrip(".") or type(cause).__name__
    meaning = refusal(text)
    return f"cannot be read: {meaning or words_without_keys(text)}"


def reason(error: Exception) -> str:
    """Say what GDAL itself says of an error; rasterio's own text may only point to it."""
    cause = error.__cause__ or error
    return words_without_keys(str(cause)).strip().rstrip(".") or type(cause).__name__


def refusal(text: str) -> str:
    """What a server answered, by a message of GDAL or urllib; empty where that names no answer."""
    match = _CODE.search(text)
    if match is None:
        _, unreached, why = text.partition("CURL error: ")
        return _unreached(why) if unreached else ""
    code = int(match[1])
    failed = f"the server failed (HTTP {code}): try again later" if code >= 500 else f"HTTP {code}"
    return _MEANING.get(code, failed) if code >= 400 else ""


def _unreached(why: str) -> str:
    reason = f" ({why.strip().rstrip('.')})" if why else ""
    return f"the server does not answer{reason}: check the address and the network"


def refused_now(places: Iterable[Place]) -> str:
    """What the first server that refuses one of the addresses says; empty where none does.

    GDAL loses the status of an answer when it reads pixels, so it is requested once more.
    """
    for place in places:
        address = str(place).removeprefix("/vsicurl/")
        if not address.startswith(("http://", "https://")):
            continue
        try:
            with urlopen(Request(address, headers={"Range": "bytes=0-0"}), timeout=_PATIENCE):
                continue
        except HTTPError as error:
            return refusal(str(error))
        except (OSError, HTTPException, ValueError):
            return _unreached("")
    return ""
