"""How long ``register`` takes, beside SimpleITK and beside another checkout.

    python benchmarks/speed.py SENTINEL [--base FOLDER] [--sizes 256,512,1024,2048] [--limit 20]
        [--only sizes,wrong,threads,relief] [--busy 4]

Seconds of the processor in one thread, reading included, of the same aligned
Sentinel pairs, one tool after the other pair by pair. SimpleITK maximises
Mattes mutual information of 32 bins on a fifth of the pixels, for a
similarity over four levels. ``--base`` is the folder of another checkout of
crosslook. Each tool runs in a process of its own that has registered a pair
before, so imports and the compilation of loops are not counted; what is
counted of ``relief`` is a whole fresh process. Ratios are of medians, with
95 % of 2,000 draws of pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.progress import track
from speed_pairs import Files, pair_files, relief_files

HERE = Path(__file__).resolve().parent
SECTIONS = ("sizes", "wrong", "threads", "relief")
Seconds = NDArray[np.float64]


class Tool:
    """One tool in a process of its own, which is asked pair by pair."""

    def __init__(self, tool: str, checkout: Path, threads: int = 1) -> None:
        names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
        limits = {f"{name}_NUM_THREADS": str(threads) for name in names}
        where = os.pathsep.join(map(str, (checkout / "src", HERE)))
        self.tool = tool
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "speed_worker.py")],
            env={**os.environ, **limits, "PYTHONPATH": where},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Tool:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()

    def take(self, sar: Path, optical: Path) -> dict[str, Any]:
        """Register one pair; its seconds and what was found."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked = {"tool": self.tool, "sar": str(sar), "optical": str(optical)}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def warm_up(self, pairs: list[Files]) -> None:
        """Import and compile what pairs of one size need."""
        for optical in dict.fromkeys((pairs[0].optical, pairs[0].wrong)):
            self.take(pairs[0].sar, optical)


def ratio(
    above: Seconds, below: Seconds, of: Callable[[Seconds, Seconds], float] | None = None
) -> str:
    """A ratio over pairs with the middle 95 % of draws of pairs; of medians by default."""
    of = of or (lambda a, b: float(np.median(a) / np.median(b)))
    rng, count = np.random.default_rng(0), len(above)
    drawn = (rng.integers(0, count, count) for _ in range(2000))
    low, high = np.quantile([of(above[i], below[i]) for i in drawn], (0.025, 0.975))
    return f"{of(above, below):.2f} ({low:.2f}-{high:.2f})"


def slowest_tenth(above: Seconds, below: Seconds) -> float:
    """Ratio of sums over the tenth of the pairs that take longest above."""
    chosen = np.argsort(above)[-max(1, len(above) // 10) :]
    return float(above[chosen].sum() / below[chosen].sum())


def measured(tools: dict[str, Tool], pairs: list[Files], label: str) -> dict[str, Seconds]:
    """Processor seconds of every tool, one after the other, pair by pair."""
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    for tool in tools.values():
        tool.warm_up(pairs)
    for number, pair in enumerate(track(pairs, label, len(pairs))):
        names = list(tools)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds[name].append(tools[name].take(pair.sar, pair.optical)["processor"])
    return {name: np.array(values) for name, values in seconds.items()}


def sizes(given: argparse.Namespace, pairs: dict[int, list[Files]]) -> None:
    """Time this checkout beside SimpleITK and the base."""
    with ExitStack() as stack:
        tools = {"crosslook": stack.enter_context(Tool("crosslook", HERE.parent))}
        tools["simpleitk"] = stack.enter_context(Tool("simpleitk", HERE.parent))
        if given.base is not None:
            tools["base"] = stack.enter_context(Tool("crosslook", given.base))
        for side, mine in pairs.items():
            seconds = measured(tools, mine, f"{side} px")
            middle = ", ".join(f"{n} {np.median(s):.3f} s" for n, s in seconds.items())
            print(f"{side} px, {len(mine)} pairs: {middle}")
            new = seconds["crosslook"]
            print(f"  crosslook to simpleitk {ratio(new, seconds['simpleitk'])}")
            if "base" in seconds:
                old = seconds["base"]
                tenth = ratio(old, new, slowest_tenth)
                print(f"  base to crosslook {ratio(old, new)}, slowest tenth {tenth}", flush=True)


def wrong(pairs: dict[int, list[Files]]) -> None:
    """The optical image of another place beside that of the right one."""
    with Tool("crosslook", HERE.parent) as tool:
        for side, mine in pairs.items():
            tool.warm_up(mine)
            right, other, found = [], [], []
            for pair in track(mine, f"{side} px", len(mine)):
                right.append(tool.take(pair.sar, pair.optical)["processor"])
                answer = tool.take(pair.sar, pair.wrong)
                other.append(answer["processor"])
                found.append(answer["verdict"] == "match")
            slower = ratio(np.array(other), np.array(right))
            print(
                f"{side} px: right {np.median(right):.3f} s, wrong {np.median(other):.3f} s, "
                f"{slower} times; {sum(found)} of {len(found)} wrong ones called match",
                flush=True,
            )


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes beside that do nothing but count."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def threads(given: argparse.Namespace, pairs: dict[int, list[Files]]) -> None:
    """Two threads beside one, by the clock and by the processor."""
    tool, here = "crosslook", HERE.parent
    for side, mine in pairs.items():
        for beside in dict.fromkeys((0, given.busy)):
            with Tool(tool, here, 1) as one, Tool(tool, here, 2) as two:
                one.warm_up(mine)
                two.warm_up(mine)
                with busy(beside):
                    answers = [
                        [t.take(p.sar, p.optical) for t in (one, two)]
                        for p in track(mine, f"{side} px", len(mine))
                    ]
            clock, processor = (
                np.array([[a[name] for a in both] for both in answers]).T
                for name in ("clock", "processor")
            )
            print(
                f"{side} px, {beside} busy processes beside: by the clock one thread "
                f"{ratio(clock[0], clock[1])} times two, of the processor two "
                f"{ratio(processor[1], processor[0])} times one",
                flush=True,
            )


def relief(given: argparse.Namespace, folder: Path) -> None:
    """Whole processes on scenes of relief: seconds and peak memory."""
    checkouts = {"crosslook": HERE.parent} | ({"base": given.base} if given.base else {})
    pairs = relief_files(given.sentinel, folder)
    for checkout in checkouts.values():
        with Tool("crosslook", checkout) as tool:
            tool.warm_up(pairs)  # so that what is compiled lies on the disk
    for pair in pairs:
        for name, checkout in checkouts.items():
            with Tool("crosslook", checkout) as tool:
                answer = tool.take(pair.sar, pair.optical)
                assert tool.process.stdin is not None
                tool.process.stdin.close()
                _, _, used = os.wait4(tool.process.pid, 0)
                tool.process.returncode = 0
            print(
                f"{pair.name}, {name}: {used.ru_utime:.2f} s user and {used.ru_stime:.2f} s "
                f"system, {answer['processor']:.2f} s of them in register, "
                f"{used.ru_maxrss / 2**20:.2f} GiB; {answer['verdict']}, {answer['model']}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("--base", type=Path, default=None, help="another checkout")
    parser.add_argument("--sizes", default="256,512,1024,2048")
    parser.add_argument("--limit", type=int, default=20, help="pairs of each size")
    parser.add_argument("--only", default=",".join(SECTIONS), help="parts, by comma")
    parser.add_argument("--busy", type=int, default=4, help="processes beside two threads")
    given = parser.parse_args()
    parts = given.only.split(",")
    sides = [int(side) for side in given.sizes.split(",")]
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        needed = sides if {"sizes", "wrong"} & set(parts) else []
        needed += [1024] if "threads" in parts and 1024 not in needed else []
        pairs = {s: pair_files(given.sentinel, s, given.limit, folder) for s in needed}
        if "sizes" in parts:
            sizes(given, {side: pairs[side] for side in sides})
        if "wrong" in parts:
            wrong({side: pairs[side] for side in sides})
        if "threads" in parts:
            threads(given, {1024: pairs[1024]})
        if "relief" in parts:
            relief(given, folder)


if __name__ == "__main__":
    main()
