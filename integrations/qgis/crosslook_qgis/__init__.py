"""crosslook in QGIS: a Processing provider that calls the ``crosslook`` command."""


def classFactory(iface):
    """Return the plugin; QGIS calls this when it loads it."""
    from .plugin import CrosslookPlugin

    return CrosslookPlugin(iface)
