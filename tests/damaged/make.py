"""Damaged inputs, drawn by a seed: the same seed gives the same bytes.

``python -m tests.damaged.make FOLDER [COUNT] [SEED]`` writes them to be looked at.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.damaged.bases import BASES, Base, make_valid

SEED = 26


@dataclass(frozen=True)
class Case:
    """A damaged input and the command that reads it.

    ``tells`` is true where the format can tell that it is damaged: nothing but
    an error is right then.
    """

    name: str
    command: list[str]
    out: str
    tells: bool


def make_cases(folder: Path, count: int, seed: int = SEED, first: int = 0) -> list[Case]:
    """Write damaged inputs below a folder; ``made`` in it has the valid ones.

    Case ``n`` is of one kind of file after the other, and does not depend on
    how many are made.
    """
    made = folder / "made"
    if not made.exists():
        make_valid(made)
    return [_case(folder, made, number, seed) for number in range(first, first + count)]


def _case(folder: Path, made: Path, number: int, seed: int) -> Case:
    rng = np.random.default_rng([seed, number])
    base = BASES[number % len(BASES)]
    choices = [*((one, True) for one in base.tells), *((one, False) for one in base.damages)]
    # All damages of a kind come in turn; only what they do is drawn.
    damage, tells = choices[number // len(BASES) % len(choices)]
    here = folder / f"case{number:04d}"
    file = _copied(made, here, base, rng)
    data = file.read_bytes()
    damaged = damage(data, rng)
    file.write_bytes(damaged)
    out = here / "out"
    words = {"file": file, "folder": file.parent, "made": made, "out": out}
    words["tree"] = here / base.tree if base.tree else here
    command = [word.format(**words) for word in base.command]
    name = f"{number}: {base.name}, {damage.__name__}"
    return Case(name, command, str(out), tells and damaged != data)


def _copied(made: Path, here: Path, base: Base, rng: np.random.Generator) -> Path:
    """Copy the file, with the folder that it belongs to; one of several that fit a pattern."""
    found = sorted(_matching(made, base.file)) if "*" in base.file else [made / base.file]
    source = found[int(rng.integers(len(found)))]
    if base.tree:
        shutil.copytree(made / base.tree, here / base.tree)
        return here / source.relative_to(made)
    here.mkdir(parents=True)
    if base.file.endswith((".vrt", ".json")):  # beside what it names
        shutil.copy(made / "optical.tif", here)
        shutil.copy(made / "sar.tif", here)
    shutil.copy(source, here)
    return here / source.name


def _matching(made: Path, pattern: str) -> list[Path]:
    top, _, name = pattern.partition("/")
    return [path for path in (made / top).rglob(name.rpartition("/")[2]) if path.is_file()]


if __name__ == "__main__":
    for one in make_cases(Path(sys.argv[1]), *map(int, sys.argv[2:])):
        print(one.name, *one.command)
