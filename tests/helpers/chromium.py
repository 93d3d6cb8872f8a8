"""The installed Chromium that browser tests drive, kept from asking anything, and its pages."""

from __future__ import annotations

import shutil
import time
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def watched_page(
    chromium: Any, allowed: tuple[str, ...], width: int = 1280, scheme: str = "light"
) -> tuple[Any, list[str]]:
    """A page, and a list that fills with errors, and requests to what is not ``allowed``."""
    problems: list[str] = []

    def refused(dialog: Any) -> None:
        problems.append("a script ran")
        dialog.dismiss()

    page = chromium.new_page(viewport={"width": width, "height": 860}, color_scheme=scheme)
    page.set_default_timeout(90_000)
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", refused)
    page.on(
        "request",
        lambda r: None if r.url.startswith(allowed) else problems.append(f"asked {r.url}"),
    )
    return page, problems


def open_page(
    chromium: Any, address: str, width: int = 1280, scheme: str = "light"
) -> tuple[Any, list[str]]:
    """The first page of an explorer, and a list that fills with what goes wrong."""
    page, problems = watched_page(chromium, (address, "data:", "blob:"), width, scheme)
    page.goto(f"{address}/")
    return page, problems


def until(page: Any, holds: str) -> None:
    """Wait for an expression; the policy of the page forbids what Playwright does for that."""
    ends = time.monotonic() + 90
    while not page.evaluate(holds):
        assert time.monotonic() < ends, f"never came true: {holds}"
        page.wait_for_timeout(50)


def fits(page: Any) -> bool:
    """Whether nothing is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
