"""A Ray actor that kills itself once, half way through the SAR patches."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from crosslook.extract.ray_engine import ShardWorker

MARKER, DEADLY = "CROSSLOOK_TEST_MARKER", 6


class DeadlyWorker(ShardWorker):
    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        marker = Path(os.environ[MARKER])
        if self.job.modality == "sar" and DEADLY in batch["shard"] and not marker.exists():
            marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)
