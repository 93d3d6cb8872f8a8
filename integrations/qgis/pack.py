"""``make qgis``: pack the plugin as a zip, with the version of the package."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def version() -> str:
    """Read the version from the one place where it stands."""
    text = (ROOT / "src" / "crosslook" / "_version.py").read_text(encoding="utf-8")
    stated = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if stated is None:
        raise SystemExit("src/crosslook/_version.py has no __version__")
    return stated[1]


def pack(out: Path) -> Path:
    """Write ``crosslook_qgis-VERSION.zip`` into a folder; the same files give the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"crosslook_qgis-{version()}.zip"
    files = sorted(p for p in (HERE / "crosslook_qgis").iterdir() if p.is_file())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [*files, ROOT / "LICENSE"]:
            text = path.read_text(encoding="utf-8").replace("@VERSION@", version())
            archive.writestr(zipfile.ZipInfo(f"crosslook_qgis/{path.name}"), text)
    return target


if __name__ == "__main__":
    print(pack(ROOT / "dist"))
