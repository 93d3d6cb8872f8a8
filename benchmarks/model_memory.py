"""Peak memory of loading and running each model, beside its weights.

    python benchmarks/model_memory.py [--models sd-vae,dinov2,...] [--dtype float32]

A checkpoint of published size with random weights is written in the hub's
format first; a fresh process then opens it and extracts one image. What is
counted lies above a process that has only imported torch and the library:
the peak after loading, as a ratio to the bytes of the weights that crosslook
holds, and the peak after one image.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from crosslook.atlas.plan import peak_memory_bytes
from crosslook.extract.clip import vision_config
from crosslook.extract.registry import find_row, open_extractor
from crosslook.extract.torch_base import TorchExtractor
from history import record

MODELS = ("sd-vae", "sd-unet", "dinov2", "clip", "sam2")


def published(name: str) -> dict[str, Any]:
    """The published configuration of a model."""
    twin = open_extractor(f"untrained:{name}")
    assert isinstance(twin, TorchExtractor)
    return dict(twin.source.config)


def write_checkpoint(name: str, folder: Path) -> None:
    """The whole published model with random weights, float32, in the hub's format."""
    import diffusers
    import torch
    import transformers

    config = published(name)
    if name == "sd-vae":
        diffusers.AutoencoderKL.from_config(config).save_pretrained(folder)
        return
    if name == "sd-unet":
        unet, vae = dict(config["unet"]), dict(config["vae"])
        diffusers.UNet2DConditionModel.from_config(unet).save_pretrained(folder / "unet")
        gc.collect()
        diffusers.AutoencoderKL.from_config(vae).save_pretrained(folder / "vae")
        scheduler = diffusers.DDPMScheduler.from_config(dict(config["scheduler"]))
        scheduler.save_pretrained(folder / "scheduler")
        _write_prompt(folder)
        return
    if name == "sam2":
        inner = transformers.Sam2VisionConfig(**config)
        model: Any = transformers.Sam2Model(transformers.Sam2Config(vision_config=inner))
    elif name == "clip":
        vision = transformers.CLIPVisionConfig(**vision_config(config))
        model = transformers.CLIPVisionModelWithProjection(vision)
    else:
        model = transformers.Dinov2Model(transformers.Dinov2Config(**config))
    with torch.inference_mode():
        model.save_pretrained(folder)


def _write_prompt(folder: Path) -> None:
    """A text encoder of the published width, one layer deep: its size is not measured."""
    from transformers import CLIPTextConfig, CLIPTextModel

    words = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}
    text = CLIPTextConfig(
        vocab_size=3, hidden_size=768, num_hidden_layers=1, bos_token_id=0, eos_token_id=1
    )
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    place = folder / "tokenizer"
    place.mkdir()
    (place / "vocab.json").write_text(json.dumps(words))
    (place / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (place / "tokenizer_config.json").write_text(json.dumps(tokenizer))


def load(name: str, folder: Path, dtype: str) -> dict[str, float]:
    """Measure in this process, which must be fresh."""
    import diffusers
    import torch
    import transformers

    # What any use of the libraries costs, before a weight is read.
    _ = diffusers.AutoencoderKL, diffusers.UNet2DConditionModel, transformers.Dinov2Model
    _ = transformers.CLIPVisionModelWithProjection, transformers.Sam2Model
    torch.zeros(1) @ torch.zeros(1)
    extractor = open_extractor(
        name, device="cpu", dtype=dtype, batch_size=1, weights={name: folder}
    )
    assert isinstance(extractor, TorchExtractor)
    start = peak_memory_bytes()
    model = extractor.model
    weight_bytes = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    loaded = peak_memory_bytes() - start
    side = 256
    extractor.extract(np.random.default_rng(0).random((1, 3, side, side), dtype=np.float32))
    return {"weights": weight_bytes, "loaded": loaded, "one_image": peak_memory_bytes() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--folder", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--step", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step == "write":
        write_checkpoint(given.models, given.folder)
        return
    if given.step == "load":
        print(json.dumps(load(given.models, given.folder, given.dtype)))
        return
    for name in given.models.split(","):
        find_row(name)
        with TemporaryDirectory() as temporary:
            call = [sys.executable, __file__, "--models", name, "--folder", temporary]
            subprocess.run([*call, "--step", "write"], check=True)
            done = subprocess.run(
                [*call, "--step", "load", "--dtype", given.dtype],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
        measured = json.loads(done.stdout.splitlines()[-1])
        mib = {key: value / 2**20 for key, value in measured.items()}
        print(
            f"{name:8} {given.dtype}: {mib['weights']:.0f} MiB of weights held, peak of loading "
            f"{mib['loaded']:.0f} MiB ({mib['loaded'] / mib['weights']:.2f} times), with one "
            f"image {mib['one_image']:.0f} MiB",
            flush=True,
        )
        figures = {"loaded_mib": mib["loaded"], "one_image_mib": mib["one_image"]}
        record(f"model_memory {name}, {given.dtype}", figures)


if __name__ == "__main__":
    main()
