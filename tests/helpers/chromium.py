"""The installed Chromium that browser tests drive, and what keeps it from asking anything."""

from __future__ import annotations

import shutil

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
