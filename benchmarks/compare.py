"""What became slower since another commit: ``make bench-compare``.

    python benchmarks/compare.py [--base COMMIT] [--rounds 3] [--only hog,search] [--slower 1.1]

Runs the short benchmarks on this tree and on a base commit alternately, in one run on one machine,
since times of another day say little. The base is, unless given, the last commit that
``benchmarks/history`` has a line of, else HEAD. The benchmarks of this tree measure the code of
both, so that they measure the same thing.

Each figure is the best of its rounds. It counts as slower (or larger, where it is memory) where it
is more than --slower times that of the base and more than the rounds of the base differ among
themselves. The exit code is 1 where something is, 2 where nothing could be compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from history import FOLDER, ROOT, SMALLER_IS_BETTER, history_folder, read_history
from quick import HERE, quick

Figure = tuple[str, str]
"""Name of a line of the history, and of a figure of it."""


@dataclass(frozen=True)
class Change:
    """A figure here and at the base.

    Attributes
    ----------
    figure : (str, str)
    base, here : float
        The best of the rounds.
    noise : float
        The worst round of the base over the best.
    """

    figure: Figure
    base: float
    here: float
    noise: float

    @property
    def ratio(self) -> float:
        """Here over base: above 1 is slower."""
        return self.here / self.base

    def is_slower(self, limit: float) -> bool:
        """Whether it is so by more than a limit, and than rounds differ."""
        return self.ratio > max(limit, self.noise)


def changes(base: dict[Figure, list[float]], here: dict[Figure, list[float]]) -> list[Change]:
    """Compare the figures that both have, the largest ratio first."""
    compared = [
        Change(name, min(base[name]), min(here[name]), max(base[name]) / min(base[name]))
        for name in base.keys() & here.keys()
        if name[1].endswith(SMALLER_IS_BETTER) and min(base[name]) > 0
    ]
    return sorted(compared, key=lambda change: (-change.ratio, change.figure))


def last_commit(folder: Path, tree: Path) -> str:
    """The last commit of the history that is in this repository, HEAD where there is none."""
    for line in reversed(read_history(folder)):
        commit = line["commit"].removesuffix("+")
        known = ["git", "-C", str(tree), "cat-file", "-e", f"{commit}^{{commit}}"]
        if commit and subprocess.run(known, capture_output=True, check=False).returncode == 0:
            return str(commit)
    return "HEAD"


@contextmanager
def checked_out(commit: str, tree: Path) -> Iterator[Path]:
    """A folder with the files of a commit, removed at the end."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "base"
        git = ["git", "-C", str(tree), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def measure(script: Sequence[str], source: Path) -> dict[Figure, float]:
    """Run a benchmark of this tree on the code of ``source``; nothing where it does not run."""
    with TemporaryDirectory() as lines:
        environment = os.environ | {"PYTHONPATH": str(source), FOLDER: lines}
        call = [sys.executable, str(HERE / script[0]), *script[1:]]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{' '.join(script)} does not run on {source}: {why}", flush=True)
        return {
            (line["name"], key): value
            for line in read_history(Path(lines))
            for key, value in line["figures"].items()
        }


def alternately(
    scripts: Sequence[Sequence[str]], base: Path, here: Path, rounds: int
) -> tuple[dict[Figure, list[float]], dict[Figure, list[float]]]:
    """Figures of all rounds, base and here; who begins changes, as a machine grows warm."""
    figures: tuple[dict[Figure, list[float]], ...] = (defaultdict(list), defaultdict(list))
    for number in range(rounds):
        for script in scripts:
            print(f"round {number + 1} of {rounds}: {' '.join(script)}", flush=True)
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                for name, value in measure(script, (base, here)[side]).items():
                    figures[side][name].append(value)
    return figures[0], figures[1]


def report(compared: Sequence[Change], limit: float) -> int:
    """Print a line for each figure, those that are slower first; the exit code."""
    if not compared:
        print("nothing could be compared.")
        return 2
    width = max(len(" ".join(change.figure)) for change in compared)
    for change in compared:
        word = "SLOWER" if change.is_slower(limit) else ""
        values = f"{change.base:10.4g} {change.here:10.4g}  {change.ratio:5.2f}"
        noise = f"(rounds differ by {change.noise:.2f})"
        print(f"{' '.join(change.figure):{width}}  {values}  {noise}  {word}".rstrip())
    slower = [change for change in compared if change.is_slower(limit)]
    print(f"{len(slower)} of {len(compared)} figures are slower or larger by more than {limit:g}.")
    return 1 if slower else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="", help="commit to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="scripts, as hog,search")
    parser.add_argument("--slower", type=float, default=1.1, help="ratio that counts")
    given = parser.parse_args()
    only = [f"{name}.py" for name in given.only.split(",") if name]
    scripts = [one for one in quick() if not only or one[0] in only]
    base = given.base or last_commit(history_folder(), ROOT)
    with checked_out(base, ROOT) as folder:
        print(f"base {base}, {given.rounds} rounds; a figure is the best of them", flush=True)
        compared = changes(*alternately(scripts, folder / "src", ROOT / "src", given.rounds))
    sys.exit(report(compared, given.slower))


if __name__ == "__main__":
    main()
