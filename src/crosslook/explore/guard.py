"""Who may talk to the server: hosts, origins, the token, sizes; and headers on every answer."""

from __future__ import annotations

import asyncio
import secrets
import sys
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crosslook.console import debugging

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "crosslook_token"
_MOST_JSON = 2**20
_PATIENCE = 60.0  # seconds without a byte of a request that is not whole
_DRAINED = 2**22
_CHANGES = ("POST", "PUT", "PATCH", "DELETE")
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; frame-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """Lets in what comes from a page of this server, or carries its token.

    Parameters
    ----------
    app : ASGIApp
    host : str
        What the server listens on. For the loopback address other names in
        ``Host`` are refused, so that no page elsewhere reaches it by a name of its own.
    token : str
        Asked for in a cookie, as a bearer, or once in the address; empty for none.
    """

    def __init__(self, app: ASGIApp, host: str, token: str) -> None:
        self.app = app
        self.host = host
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, given)
        if refusal is None and self.token and self._is_invited(scope):
            cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            back = Response(status_code=303, headers={"location": "/", "set-cookie": cookie})
            await back(scope, receive, send)
            return
        if refusal is not None:
            await _drain(receive)
            await _answer(*refusal)(scope, receive, send)
            return

        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for header, value in _HEADERS.items():
                    headers.setdefault(header, value)
            await send(message)

        try:
            await self.app(scope, _in_time(receive), send_guarded)
        except Exception as error:
            if debugging():
                raise
            what = f"unexpected error: {' '.join(f'{type(error).__name__}: {error}'.split())}"
            print(f"{scope['path'][:80]!r}: {what}; please report it", file=sys.stderr)
            if not begun:
                words = "unexpected error; please report what was requested."
                await _answer(500, words)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and reason where a request is refused."""
        host = headers.get("host", "")
        name = _name_of(host)
        if not self.token and name not in (*LOOPBACK, self.host):
            return 421, f"this explorer is not called '{name[:64]}'; use http://127.0.0.1."
        if scope["method"] in _CHANGES:
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != host:
                return 403, "a page from elsewhere may not change anything here."
            refused = _too_much(scope["path"], headers)
            if refused is not None:
                return refused
        if self.token and not self._knows(scope, headers) and not self._is_invited(scope):
            return 401, (
                "a token is needed: open the address that 'crosslook explore' printed, or send "
                "it as 'Authorization: Bearer TOKEN'."
            )
        return None

    def _knows(self, scope: Scope, headers: dict[str, str]) -> bool:
        given = headers.get("authorization", "").removeprefix("Bearer ").strip()
        return self._is_token(given) or self._is_token(Request(scope).cookies.get(COOKIE, ""))

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self.token.encode())

    def _is_invited(self, scope: Scope) -> bool:
        """Whether the address of the start page carries the token."""
        token = Request(scope).query_params.get("token", "")
        return self._is_token(token) and scope["path"] == "/" and scope["method"] == "GET"


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _too_much(path: str, headers: dict[str, str]) -> tuple[int, str] | None:
    """Requests are small, but for uploads, which count as they come."""
    if path == "/uploads":
        return None
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or (length and not length.isdigit()):
        return 411, "the length of the request must be given in advance."
    if length and int(length) > _MOST_JSON:
        return 413, "the request is larger than 1 MiB; images go to /uploads first."
    return None


def _in_time(receive: Receive) -> Receive:
    """Take a client whose request stops half way for one that has hung up."""
    whole = False

    async def receive_in_time() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), _PATIENCE)
        except TimeoutError:
            return {"type": "http.disconnect"}
        whole = not message.get("more_body", False)
        return message

    return receive_in_time


async def _drain(receive: Receive) -> None:
    """Take in a little of what is refused: a client that still sends would miss the answer."""
    left = _DRAINED
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return


def _answer(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status, {**_HEADERS, "connection": "close"})
