"""A grid that kills the process which first looks at one of its blocks."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from odc.geo.geobox import GeoBox

from crosslook.atlas.store import AtlasGrid


@dataclass(frozen=True)
class DeadlyGrid(AtlasGrid):
    marker: str = ""
    home: int = 0

    def __getattribute__(self, name: str) -> object:
        if name == "pixels":
            marker = Path(object.__getattribute__(self, "marker"))
            away = os.getpid() != object.__getattribute__(self, "home")
            if away and not marker.exists():
                marker.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
        value: GeoBox = object.__getattribute__(self, name)
        return value
