"""``make dist``: build wheel and sdist, install the wheel into nothing, run what README says.

The environment is new and has nothing but Python and the index that pip is set up for. The
source tree is not on the path of what runs there: a file that the wheel lacks is missed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from readme import commands

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"


def package_files() -> set[str]:
    """What belongs into a wheel: every file below ``src/crosslook`` that git keeps."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/crosslook"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    present = (line for line in listed.stdout.splitlines() if (ROOT / line).is_file())
    return {line.removeprefix("src/") for line in present}


def build(out: Path) -> tuple[Path, Path]:
    """Build both, and return them; the wheel is built from the sdist, so that proves it whole."""
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def check_content(wheel: Path, sdist: Path) -> None:
    """See that neither lacks a file of the package."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2].removeprefix("src/") for name in archive.getnames()}
    for what, names in ((wheel, inside), (sdist, packed)):
        if lacking := sorted(package_files() - names):
            sys.exit(f"{what.name} lacks {', '.join(lacking)}; see package-data in pyproject.toml")
    print(f"{len(package_files())} files of the package are in both")


def run(line: str, where: Path, environment: dict[str, str]) -> None:
    """Run one line as a user would; 3 is the exit code of an answer that is no sure match."""
    start = perf_counter()
    done = subprocess.run(shlex.split(line), cwd=where, env=environment, check=False)
    print(f"[{perf_counter() - start:.0f} s] {line}", flush=True)
    if done.returncode:
        sys.exit(f"'{line}' ended with {done.returncode}")


def main() -> None:
    """Build, look inside, install, follow the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--constraint", type=Path, help="versions to install, as constraints.txt")
    given = parser.parse_args()
    wheel, sdist = build(given.out)
    check_content(wheel, sdist)
    start = perf_counter()
    with TemporaryDirectory() as folder:
        home, work = Path(folder, "env"), Path(folder, "work")
        work.mkdir()
        venv.create(home, with_pip=True)
        # Without PYTHONPATH: pip would find the source tree, and install nothing.
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        clean["PATH"] = f"{home / 'bin'}{os.pathsep}{clean['PATH']}"
        constraint = ["--constraint", str(given.constraint.resolve())] if given.constraint else []
        pip = [
            str(home / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            *constraint,
            str(wheel),
        ]
        subprocess.run(pip, check=True, cwd=work, env=clean)
        print(f"[{perf_counter() - start:.0f} s] pip install {wheel.name}", flush=True)
        if not (home / "bin" / "crosslook").exists():
            sys.exit("pip installed no crosslook command into the new environment")
        for line in commands():
            if line.startswith("crosslook "):
                run(line, work, clean)
    print(f"Python {sys.version.split()[0]}: all of it in {perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
