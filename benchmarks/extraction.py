"""Time per image of crosslook beside the plain use of each model's own library.

    python benchmarks/extraction.py [--models dinov2,clip,...] [--images 8]
        [--sentinel SENTINEL [--pairs 16]]

Both sides get the same 256 px images and give the same features. Plain use is
what a script would do: float32, the whole model, one image at a time, prepared
by the library's own processor (at the input size that crosslook uses too).
crosslook runs with ``--dtype bfloat16``, batched, without what is not read.
Weights are random, of published size. The median cosine per cell is against
the float32 features of crosslook, which the tests hold equal to the library's.

With --sentinel one patch of each of as many scenes is described at float32 and
at bfloat16, each modality standardised over these patches, and recall at 1 from
SAR to optical is set beside the interval of the float32 one (scenes drawn).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.data.pairs import open_pairs
from crosslook.data.patches import PatchSet
from crosslook.extract.clip import vision_config
from crosslook.extract.dinov2 import IMAGENET_MEAN, IMAGENET_STD
from crosslook.extract.registry import open_extractor
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.similarity import normalise, rank_partners
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.types import MODALITIES, FloatArray
from history import record
from measure import best_of
from model_memory import published

MODELS = ("sd-vae", "sd-unet", "dinov2", "clip", "sam2")
SIDE = 256
Plain = Callable[[Any], object]


def plain(name: str) -> tuple[Callable[[Any], Any], Plain]:
    """The library's own processor and whole model, as two calls on one image."""
    config = published(name)
    return {
        "sd-vae": _plain_vae,
        "sd-unet": _plain_unet,
        "dinov2": _plain_dinov2,
        "clip": _plain_clip,
        "sam2": _plain_sam2,
    }[name](config)


def _plain_vae(config: dict[str, Any]) -> tuple[Callable[[Any], Any], Plain]:
    from diffusers import AutoencoderKL
    from diffusers.image_processor import VaeImageProcessor

    model = AutoencoderKL.from_config(config).eval()
    processor = VaeImageProcessor()
    return processor.preprocess, lambda x: model.encode(x).latent_dist.mode()


def _plain_unet(config: dict[str, Any]) -> tuple[Callable[[Any], Any], Plain]:
    import torch
    from diffusers import UNet2DConditionModel

    prepare, encode = _plain_vae(dict(config["vae"]))
    model = UNet2DConditionModel.from_config(dict(config["unet"])).eval()
    words = torch.zeros(1, 77, model.config.cross_attention_dim)

    def run(image: Any) -> object:
        latents: Any = encode(image)
        draws = [latents + torch.randn_like(latents) for _ in range(8)]
        return [model(draw, 261, encoder_hidden_states=words).sample for draw in draws]

    return prepare, run


def _plain_dinov2(config: dict[str, Any]) -> tuple[Callable[[Any], Any], Plain]:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    model = Dinov2Model(Dinov2Config(**config)).eval()
    size = {"height": 252, "width": 252}
    processor = BitImageProcessor(size=size, do_center_crop=False, do_resize=True)
    return _pixels(processor), lambda x: model(x).last_hidden_state


def _plain_clip(config: dict[str, Any]) -> tuple[Callable[[Any], Any], Plain]:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**vision_config(config))).eval()
    return _pixels(CLIPImageProcessor()), lambda x: model(x).last_hidden_state


def _plain_sam2(config: dict[str, Any]) -> tuple[Callable[[Any], Any], Plain]:
    import torch
    from transformers import Sam2Config, Sam2Model, Sam2VisionConfig

    inner = Sam2VisionConfig(**config)
    model = Sam2Model(Sam2Config(vision_config=inner)).eval()
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)

    def prepare(image: Any) -> Any:
        # What the library's processor does, which itself needs torchvision.
        large = np.asarray(image.resize((1024, 1024), 2), np.float32) / 255
        return ((torch.from_numpy(large) - mean) / std).permute(2, 0, 1)[None]

    return prepare, lambda x: model.get_image_embeddings(x)


def _pixels(processor: Any) -> Callable[[Any], Any]:
    return lambda image: processor(images=image, return_tensors="pt")["pixel_values"]


def run(name: str, count: int, sentinel: Path | None, pairs: int) -> dict[str, float]:
    """Measure one model in this process."""
    import torch
    from PIL import Image

    images = _images(count)
    images_pil = [Image.fromarray((i.transpose(1, 2, 0) * 255).astype(np.uint8)) for i in images]
    with torch.inference_mode():
        seconds = _plain_seconds(name, images_pil[0])
    spec = f"untrained:{name}"
    sides = [] if sentinel is None else real_patches(sentinel, pairs)
    exact = open_extractor(spec, device="cpu")
    wanted = exact.extract(images[:2]).values
    before = [exact.extract(side).values for side in sides]
    exact.close()
    fast = open_extractor(spec, device="cpu", dtype="bfloat16")
    got = fast.extract(images[:2]).values
    ours = best_of(lambda: fast.extract(images), 2) / count
    measured = {"plain_s": seconds, "crosslook_s": ours, "cosine": _cosine(wanted, got)}
    if sides:
        after = [fast.extract(side).values for side in sides]
        measured["cosine_real"] = min(_cosine(a, b) for a, b in zip(before, after, strict=True))
        exactly, closely = hits(*before), hits(*after)
        estimate = bootstrap_mean(exactly, np.arange(pairs), 0)
        measured |= {"recall": estimate.value, "low": estimate.low, "high": estimate.high}
        measured["recall_fast"] = float(closely.mean())
    return measured


def real_patches(sentinel: Path, pairs: int) -> list[FloatArray]:
    """SAR and optical patches (n, 3, 256, 256), the centre of evenly spread scenes."""
    scenes = open_pairs(sentinel)
    chosen = [scenes[i] for i in np.linspace(0, len(scenes) - 1, pairs).round().astype(int)]
    patches = PatchSet.open(chosen, patch=SIDE, stride=3 * SIDE // 2)
    first = [
        next(i for i, p in enumerate(patches.patches) if p.scene == pair.id) for pair in chosen
    ]
    return [patches.read(modality, first) for modality in MODALITIES]


def hits(sar: FloatArray, optical: FloatArray) -> FloatArray:
    """1 where the own partner is the nearest, after standardising each modality."""
    flat = [side.reshape(len(side), -1) for side in (sar, optical)]
    calibration = fit_calibration("standardize", *flat)
    query = normalise(calibration.apply(flat[0], "sar"))
    gallery = normalise(calibration.apply(flat[1], "optical"))
    ranks = rank_partners(query, gallery, np.arange(len(query)))
    return np.asarray(ranks.rank == 1, np.float32)


def _plain_seconds(name: str, image: Any) -> float:
    prepare, model = plain(name)
    return best_of(lambda: model(prepare(image)), 3)


def _images(count: int) -> FloatArray:
    """Smooth random images: white noise would be unlike any scene."""
    import cv2

    noise = np.random.default_rng(0).random((count * 3, SIDE, SIDE), dtype=np.float32)
    soft = np.stack([cv2.GaussianBlur(n, (0, 0), 2.0) for n in noise])
    soft -= soft.min()
    return np.asarray((soft / soft.max()).reshape(count, 3, SIDE, SIDE), np.float32)


def _cosine(a: FloatArray, b: FloatArray) -> float:
    dot = (a * b).sum(axis=1)
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.median(dot / np.maximum(length, 1e-12)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--sentinel", type=Path, default=None)
    parser.add_argument("--pairs", type=int, default=16, help="scenes for the recall")
    parser.add_argument("--one", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(run(given.one, given.images, given.sentinel, given.pairs)))
        return
    for name in given.models.split(","):
        call = [sys.executable, __file__, "--one", name, "--images", str(given.images)]
        if given.sentinel is not None:
            call += ["--sentinel", str(given.sentinel), "--pairs", str(given.pairs)]
        done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{name:8} plain {measured['plain_s']:7.3f} s, "
            f"crosslook {measured['crosslook_s']:7.3f} s an image, "
            f"ratio {measured['plain_s'] / measured['crosslook_s']:.2f}, "
            f"cosine {measured['cosine']:.5f}",
            flush=True,
        )
        kept = ("cosine", "recall", "recall_fast")
        figures = {key: measured[key] for key in kept if key in measured}
        record(f"extraction {name}", {"image_s": measured["crosslook_s"], **figures})
        if "recall" in measured:
            inside = measured["low"] <= measured["recall_fast"] <= measured["high"]
            print(
                f"         recall at 1 of {given.pairs} pairs {measured['recall']:.3f} "
                f"({measured['low']:.3f} to {measured['high']:.3f}) at float32, "
                f"{measured['recall_fast']:.3f} as measured here"
                f"{'' if inside else ': OUTSIDE'}; chance {1 / given.pairs:.3f}; "
                f"cosine {measured['cosine_real']:.5f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
