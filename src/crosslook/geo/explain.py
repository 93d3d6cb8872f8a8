"""Errors of web servers in words, wherever GDAL or the standard library meets them."""

from __future__ import annotations

import re

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
    text = str(cause).strip().rstrip(".") or type(cause).__name__
    meaning = refusal(text)
    return f"cannot be read: {meaning or without_query(text)}"


def refusal(text: str) -> str:
    """What the status that a message of GDAL or urllib names means; empty where it names none."""
    match = _CODE.search(text)
    if match is None:
        return ""
    code = int(match[1])
    if code < 400:
        return ""
    problem = "the server failed (HTTP {}): try again later" if code >= 500 else "HTTP {}"
    return _MEANING.get(code, problem.format(code))


def without_query(text: str) -> str:
    """A message without the queries of the addresses in it."""
    return re.sub(r"(\w+://[^\s?'\"]+|/vsi\w+/[^\s?'\"]+)\?[^\s'\"]*", r"\1", text)
