"""Register many pairs; keep what is sure, list what is not."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import crosslook
from crosslook.match.result import Failure


def main(folder: Path) -> dict[str, str]:
    """Register three pairs, one of which is no image; return the verdict of each."""
    crosslook.write_pairs(folder, 3, size=384, shift=(6.0, 4.0), seed=2)
    (folder / "sar" / "sim-0002.tif").write_bytes(b"this is no image")

    pairs = crosslook.open_pairs(folder)
    verdicts = {}
    for pair, result in zip(pairs, crosslook.register_all(pairs), strict=True):
        if isinstance(result, Failure):  # the others go on
            verdicts[pair.id] = "failed"
            print(f"{pair.id}: {result.error}")
            continue
        verdicts[pair.id] = result.verdict
        result.write(folder / "out" / pair.id)
        error = result.expected_error_m
        print(f"{pair.id}: {result.verdict}", "" if error is None else f"({error:.0f} m)")
    return verdicts


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(temporary))
