"""What QGIS loads: it adds the provider to Processing, and takes it away."""

from qgis.core import QgsApplication

from .provider import CrosslookProvider


class CrosslookPlugin:
    """The plugin; it has no window of its own."""

    def __init__(self, iface=None):
        self.iface = iface
        self.provider = None

    def initProcessing(self):
        """Add the provider; ``qgis_process`` calls this alone."""
        self.provider = CrosslookProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """Add the provider in a running QGIS."""
        self.initProcessing()

    def unload(self):
        """Take the provider away."""
        QgsApplication.processingRegistry().removeProvider(self.provider)
