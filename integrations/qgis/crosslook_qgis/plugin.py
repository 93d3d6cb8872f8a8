"""What QGIS loads: it adds the provider to Processing, and takes it away."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication

from .provider import CrosslookProvider


class CrosslookPlugin:
    """The plugin; it has no window of its own."""

    def __init__(self, iface: Any = None) -> None:
        self.iface = iface
        self.provider: CrosslookProvider | None = None

    def initProcessing(self) -> None:
        """Add the provider; ``qgis_process`` calls this alone."""
        self.provider = CrosslookProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Add the provider in a running QGIS."""
        self.initProcessing()

    def unload(self) -> None:
        """Take the provider away."""
        QgsApplication.processingRegistry().removeProvider(self.provider)
