"""The provider: a name, a setting, three algorithms."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider

from .algorithms import Audit, Locate, Register
from .command import SETTING

try:  # absent where QGIS runs without its Python plugins
    from processing.core.ProcessingConfig import ProcessingConfig, Setting
except ImportError:
    ProcessingConfig = None


class CrosslookProvider(QgsProcessingProvider):
    """Algorithms ``crosslook:register``, ``crosslook:locate`` and ``crosslook:audit``."""

    def id(self) -> str:
        """Name in ``crosslook:register``."""
        return "crosslook"

    def name(self) -> str:
        """Name in the toolbox."""
        return "crosslook"

    def longName(self) -> str:
        """Name with what it is for."""
        return "crosslook (SAR and optical matching)"

    def load(self) -> bool:
        """Add the setting of where the command lies."""
        if ProcessingConfig is not None:
            words = "The crosslook command (empty: the one on the PATH)"
            ProcessingConfig.addSetting(
                Setting(self.name(), SETTING, words, "", valuetype=Setting.FILE)
            )
            ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def loadAlgorithms(self) -> None:
        """Add the three."""
        for algorithm in (Register, Locate, Audit):
            self.addAlgorithm(algorithm())
