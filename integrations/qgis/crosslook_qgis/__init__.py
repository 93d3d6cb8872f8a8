"""crosslook in QGIS: a Processing provider that calls the ``crosslook`` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plugin import CrosslookPlugin


def classFactory(iface: Any) -> CrosslookPlugin:
    """Return the plugin; QGIS calls this when it loads it."""
    from .plugin import CrosslookPlugin

    return CrosslookPlugin(iface)
