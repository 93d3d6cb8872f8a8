"""Small checkpoints of the real classes, in the hub's own format, for tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def shaken(model: Any, seed: int = 0) -> Any:
    """Give every parameter a value of its own: zeros and ones hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def processor(name: str) -> Any:
    """The image processor of that name in NumPy, which transformers 5 calls NAMEPil."""
    import transformers

    return getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)


def images(count: int = 2, side: int = 32, seed: int = 0) -> np.ndarray:
    """Smooth random images in steps of 1/255, float32 (count, 3, side, side)."""
    import cv2

    rng = np.random.default_rng(seed)
    small = rng.random((count, 6, 6, 3)).astype(np.float32)
    large = np.stack([cv2.resize(s, (side, side), interpolation=cv2.INTER_LINEAR) for s in small])
    return (np.round(large * 255).astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2).copy()


def dinov2(folder: Path, other: bool = False) -> Path:
    from transformers import (
        Dinov2Config,
        Dinov2Model,
        Dinov2WithRegistersConfig,
        Dinov2WithRegistersModel,
    )

    if other:
        config: Any = Dinov2WithRegistersConfig(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=3, patch_size=7,
            image_size=42, num_register_tokens=4, use_swiglu_ffn=True,
        )  # fmt: skip
        shaken(Dinov2WithRegistersModel(config)).save_pretrained(folder)
    else:
        config = Dinov2Config(
            hidden_size=16, num_hidden_layers=3, num_attention_heads=2, patch_size=8, image_size=24
        )
        shaken(Dinov2Model(config)).save_pretrained(folder)
    processor("BitImageProcessor")(
        do_resize=False, do_center_crop=False,
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)  # fmt: skip
    return folder


def clip(folder: Path, other: bool = False) -> Path:
    from transformers import (
        CLIPConfig,
        CLIPModel,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    if other:
        vision = CLIPVisionConfig(
            hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
            patch_size=16, image_size=64, projection_dim=10,
        )  # fmt: skip
        shaken(CLIPVisionModelWithProjection(vision)).save_pretrained(folder)
        return folder
    config = CLIPConfig(
        text_config={
            "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 2, "vocab_size": 99, "max_position_embeddings": 12,
        },
        vision_config={
            "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3,
            "num_attention_heads": 2, "patch_size": 8, "image_size": 32,
        },
        projection_dim=14,
    )  # fmt: skip
    shaken(CLIPModel(config)).save_pretrained(folder)
    return folder


def sam2(folder: Path, other: bool = False) -> Path:
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    widths = [6, 12, 24, 48] if other else [8, 16, 32, 64]
    backbone = Sam2HieraDetConfig(
        hidden_size=widths[0], num_attention_heads=1, image_size=[64, 64],
        blocks_per_stage=[1, 2, 2, 1] if other else [1, 1, 2, 1], embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[1, 2, 3, 6] if other else [1, 2, 4, 8],
        window_size_per_stage=[4, 2, 4, 2] if other else [8, 4, 4, 2],
        global_attention_blocks=[4] if other else [3],
        window_positional_embedding_background_size=[5, 5] if other else [3, 3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=widths[::-1],
        fpn_hidden_size=12 if other else 16, fpn_top_down_levels=[2, 3],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )  # fmt: skip
    hidden = vision.fpn_hidden_size
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": hidden, "image_size": 64, "patch_size": 16},
        mask_decoder_config={"hidden_size": hidden, "mlp_dim": 16, "num_attention_heads": 2,
                             "iou_head_hidden_dim": 8},
    )  # fmt: skip
    shaken(Sam2Model(config)).save_pretrained(folder)
    return folder


def sd_vae(folder: Path, other: bool = False) -> Path:
    from diffusers import AutoencoderKL

    flux: dict[str, Any] = {}
    if other:
        flux = {"shift_factor": 0.1, "use_quant_conv": False, "use_post_quant_conv": False}
    widths = (8, 16, 16, 16) if other else (8, 8, 16)
    model = AutoencoderKL(
        block_out_channels=widths, norm_num_groups=4, latent_channels=6 if other else 4,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        scaling_factor=0.3 if other else 0.18215, force_upcast=False, **flux,
    )  # fmt: skip
    shaken(model).save_pretrained(folder)
    return folder


def taesd(folder: Path, other: bool = False) -> Path:
    from diffusers import AutoencoderTiny

    widths = (8, 8, 8, 8) if not other else (6, 6, 6)
    blocks = (1, 1, 2, 1) if not other else (1, 2, 1)
    model = AutoencoderTiny(
        encoder_block_out_channels=widths, decoder_block_out_channels=widths,
        num_encoder_blocks=blocks, num_decoder_blocks=blocks, latent_channels=4 if not other else 5,
    )  # fmt: skip
    shaken(model).save_pretrained(folder)
    return folder


def sd_unet(folder: Path, other: bool = False) -> Path:
    from diffusers import DDIMScheduler, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    wide = 24 if other else 16
    blocks = 4 if other else 3
    unet = UNet2DConditionModel(
        block_out_channels=(8, 8, 16, 16)[:blocks], layers_per_block=2 if other else 1,
        cross_attention_dim=wide, attention_head_dim=(2, 2, 4, 4) if other else 2,
        down_block_types=("CrossAttnDownBlock2D",) * (blocks - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (blocks - 1),
        norm_num_groups=4, sample_size=8, use_linear_projection=other,
    )  # fmt: skip
    shaken(unet).save_pretrained(folder / "unet")
    sd_vae(folder / "vae")
    text = CLIPTextConfig(
        hidden_size=wide, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
        vocab_size=600, max_position_embeddings=77,
    )  # fmt: skip
    shaken(CLIPTextModel(text)).save_pretrained(folder / "text_encoder")
    common = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = (
        DDIMScheduler(prediction_type="v_prediction", **common)
        if other
        else PNDMScheduler(skip_prk_steps=True, steps_offset=1, **common)
    )
    scheduler.save_pretrained(folder / "scheduler")
    _tokenizer(folder / "tokenizer")
    return folder


def _tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True)
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "fi", "fie", "fiel", "field</w>"]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nf i\nfi e\nfie l\nfiel d</w>\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "CLIPTokenizer", "model_max_length": 77,
                "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
                "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
            }
        )
    )  # fmt: skip


def vit(folder: Path, other: bool = False) -> Path:
    from transformers import SiglipConfig, SiglipModel, ViTConfig, ViTModel

    if other:
        config: Any = SiglipConfig(
            text_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                         "num_attention_heads": 2, "vocab_size": 60},
            vision_config={"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
                           "num_attention_heads": 2, "patch_size": 16, "image_size": 48},
        )  # fmt: skip
        shaken(SiglipModel(config)).save_pretrained(folder)
        mean = [0.5, 0.5, 0.5]
    else:
        config = ViTConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            patch_size=8, image_size=32,
        )  # fmt: skip
        shaken(ViTModel(config)).save_pretrained(folder)
        mean = [0.4, 0.5, 0.6]
    side = config.vision_config.image_size if other else config.image_size
    processor("ViTImageProcessor")(
        size={"height": side, "width": side}, image_mean=mean, image_std=[0.5, 0.25, 0.2]
    ).save_pretrained(folder)
    return folder


MAKERS: dict[str, Callable[..., Path]] = {
    "dinov2": dinov2,
    "clip": clip,
    "sam2": sam2,
    "sd-vae": sd_vae,
    "sd-vae:taesd": taesd,
    "sd-unet": sd_unet,
    "hf": vit,
}
