"""Draw ``docs/images/swipe.webp``: a divider sweeps over both images, before and after, simulated.

python tools/swipe_animation.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import crosslook  # noqa: E402
from show import read  # noqa: E402

SIDE, STEPS = 420, 20
MILLISECONDS = 90


def main() -> None:
    """Simulate the pair of the README, register it, and sweep over it twice."""
    with TemporaryDirectory() as folder:
        crosslook.write_pairs(
            folder, 1, size=512, shift=(20.0, -14.0), rotation=2.0, relief=40.0, seed=14
        )
        sar, optical = (f"{folder}/{side}/sim-0000.tif" for side in ("sar", "optical"))
        crosslook.register(sar, optical, out=f"{folder}/out")
        ground = shown(read(optical))
        sides = {
            "SAR as georeferenced | optical": shown(read(sar)),
            "SAR aligned | optical": shown(read(f"{folder}/out/aligned.tif")),
        }
    frames = [
        frame(image, ground, at, words)
        for words, image in sides.items()
        for at in (0.5 - 0.42 * np.cos(np.linspace(0, 2 * np.pi, STEPS, endpoint=False)))
    ]
    frames[0].save(
        ROOT / "docs" / "images" / "swipe.webp",
        save_all=True,
        append_images=frames[1:],
        duration=MILLISECONDS,
        loop=0,
        quality=55,
        method=6,
    )


def shown(values: Any) -> Image.Image:
    """An image of 0..1 or 0..255, grey or colour, as one draws it."""
    array = np.nan_to_num(np.asarray(values, np.float32))
    if array.max() <= 1.5:
        array = array * 255
    array = np.clip(array, 0, 255).astype(np.uint8)
    return Image.fromarray(array).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def frame(left: Image.Image, right: Image.Image, at: float, words: str) -> Image.Image:
    """Both images with a divider at a fraction of the width, and what they are."""
    column = round(at * SIDE)
    out = right.copy()
    out.paste(left.crop((0, 0, column, SIDE)), (0, 0))
    pen = ImageDraw.Draw(out)
    pen.line([(column, 0), (column, SIDE)], fill="#ffffff", width=3)
    pen.rectangle([(0, SIDE - 30), (SIDE, SIDE)], fill="#12171f")
    pen.text(
        (12, SIDE - 24), words + "  (simulated)", fill="#ffffff", font=ImageFont.load_default(15)
    )
    return out


if __name__ == "__main__":
    main()
