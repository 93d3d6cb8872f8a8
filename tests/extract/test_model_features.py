"""Features equal a direct call of transformers or diffusers, preprocessing included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models extra is not installed")
pytest.importorskip("diffusers", reason="the models extra is not installed")

from tests.helpers.checkpoints import images, processor, shaken  # noqa: E402
from tests.helpers.models import Checkpoints  # noqa: E402

BOTH = pytest.mark.parametrize("other", [False, True])


def uint8(stack: np.ndarray) -> list[np.ndarray]:
    """Pictures as a processor takes them: uint8, channels last."""
    return list(np.round(stack * 255).astype(np.uint8).transpose(0, 2, 3, 1))


def as_map(tokens: Any, side: int) -> np.ndarray:
    patches: np.ndarray = tokens[:, -side * side :].numpy()
    return patches.transpose(0, 2, 1).reshape(len(patches), -1, side, side)


def close(mine: np.ndarray | None, theirs: Any) -> None:
    assert mine is not None
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    assert mine.shape == theirs.shape
    assert theirs.std() > 1e-3, "a constant answer proves nothing"
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


@BOTH
@torch.inference_mode()
def test_dinov2(models: Checkpoints, other: bool) -> None:
    from transformers import AutoModel

    folder, side = models.folder("dinov2", other), 42 if other else 32
    stack = images(3, side)
    prepare = processor("BitImageProcessor").from_pretrained(folder)
    pixels = prepare(uint8(stack), return_tensors="pt").pixel_values
    answer = AutoModel.from_pretrained(folder)(pixels)
    mine = models.open("dinov2", other).extract(stack)
    close(mine.values, as_map(answer.last_hidden_state, 6 if other else 4))
    close(mine.vector, answer.last_hidden_state[:, 0])
    assert mine.stride == (7 if other else 8)


@torch.inference_mode()
def test_a_dinov2_layer_is_the_normed_hidden_state(models: Checkpoints) -> None:
    from transformers import AutoModel

    stack = images(2, 24)
    mine = models.open("dinov2", layer=2).extract(stack)
    model = AutoModel.from_pretrained(models.folder("dinov2"))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = (stack - mean[:, None, None]) / std[:, None, None]
    states = model(torch.tensor(pixels, dtype=torch.float32), output_hidden_states=True)
    close(mine.values, as_map(model.layernorm(states.hidden_states[2]), 3))


@BOTH
@torch.inference_mode()
def test_clip(models: Checkpoints, other: bool) -> None:
    from transformers import CLIPModel, CLIPVisionModelWithProjection

    folder, side = models.folder("clip", other), 64 if other else 32
    stack = images(3, side)
    prepare = processor("CLIPImageProcessor")(size={"shortest_edge": side}, crop_size=side)
    pixels = prepare(uint8(stack), return_tensors="pt").pixel_values
    if other:
        answer = CLIPVisionModelWithProjection.from_pretrained(folder)(pixels)
        embedding = answer.image_embeds
    else:
        model = CLIPModel.from_pretrained(folder)
        answer = model.vision_model(pixels)
        embedding = model.visual_projection(answer.pooler_output)
    mine = models.open("clip", other).extract(stack)
    close(mine.values, as_map(answer.last_hidden_state, 4))
    close(mine.vector, embedding)


@torch.inference_mode()
def test_clip_at_another_side_and_layer(models: Checkpoints) -> None:
    from transformers import CLIPModel

    stack = images(2, 48)
    prepare = processor("CLIPImageProcessor")(size={"shortest_edge": 48}, crop_size=48)
    pixels = prepare(uint8(stack), return_tensors="pt").pixel_values
    model = CLIPModel.from_pretrained(models.folder("clip")).vision_model
    answer = model(pixels, interpolate_pos_encoding=True, output_hidden_states=True)
    close(models.open("clip", side=48).extract(stack).values, as_map(answer.last_hidden_state, 6))
    mine = models.open("clip", side=48, layer=1).extract(stack)
    close(mine.values, as_map(answer.hidden_states[1], 6))


@BOTH
@torch.inference_mode()
def test_sam2(models: Checkpoints, other: bool) -> None:
    # The library's processor needs torchvision; its published steps at equal
    # size are these: divide by 255, subtract the mean, divide by the standard deviation.
    from transformers import Sam2Model
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    stack = images(2, 64)
    mean, std = torch.tensor(IMAGENET_DEFAULT_MEAN), torch.tensor(IMAGENET_DEFAULT_STD)
    pixels = (torch.tensor(stack) - mean[:, None, None]) / std[:, None, None]
    encoder = Sam2Model.from_pretrained(models.folder("sam2", other)).vision_encoder
    pyramid = encoder(pixels).fpn_hidden_states
    for index, level in enumerate((4, 8, 16)):
        mine = models.open("sam2", other, level=level).extract(stack)
        close(mine.values, pyramid[index])
        assert mine.stride == level


@BOTH
@torch.inference_mode()
def test_sd_vae(models: Checkpoints, other: bool) -> None:
    from diffusers import AutoencoderKL
    from diffusers.image_processor import VaeImageProcessor

    stack = images(2, 32)
    model = AutoencoderKL.from_pretrained(models.folder("sd-vae", other))
    pixels = VaeImageProcessor(vae_scale_factor=8).preprocess(torch.tensor(stack))
    mean = model.encode(pixels).latent_dist.mean
    latents = (mean - (model.config.shift_factor or 0)) * model.config.scaling_factor
    mine = models.open("sd-vae", other).extract(stack)
    close(mine.values, latents)
    assert mine.stride == (8 if other else 4)


@BOTH
@torch.inference_mode()
def test_taesd(models: Checkpoints, other: bool) -> None:
    from diffusers import AutoencoderTiny
    from diffusers.image_processor import VaeImageProcessor

    stack = images(2, 32)
    model = AutoencoderTiny.from_pretrained(models.folder("sd-vae:taesd", other))
    pixels = VaeImageProcessor(vae_scale_factor=8).preprocess(torch.tensor(stack))
    close(models.open("sd-vae:taesd", other).extract(stack).values, model.encode(pixels).latents)


def whole_unet(folder: Any, stack: np.ndarray, t: int, block: int, prompt: str = "") -> list[Any]:
    """Hooked outputs of the full UNet for no noise or two noises, by diffusers alone."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    from crosslook.extract.stable_diffusion import content_seed, seeded_noise

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    ids = tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
    text = CLIPTextModel.from_pretrained(folder / "text_encoder")(ids).last_hidden_state
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    pixels = torch.tensor(stack) * 2 - 1
    latents = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    seen: list[Any] = []
    unet.up_blocks[block].register_forward_hook(lambda _m, _i, output: seen.append(output))
    scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
    noises = [seeded_noise(content_seed(i.numpy()), 2, latents.shape[1:]) for i in pixels]
    for draw in range(2 if t else 1):
        noise = torch.stack([noise[draw] for noise in noises])
        noisy = scheduler.add_noise(latents, noise, torch.tensor([t])) if t else latents
        unet(noisy, t, encoder_hidden_states=text.expand(len(noisy), -1, -1))
    return seen


@pytest.mark.parametrize(
    ("other", "t", "block", "prompt"),
    [(False, 261, 1, ""), (True, 101, 1, ""), (True, 0, 0, ""), (False, 50, 2, "a field")],
)
@torch.inference_mode()
def test_sd_unet(models: Checkpoints, other: bool, t: int, block: int, prompt: str) -> None:
    stack = images(2, 64)
    settings: dict[str, Any] = {"t": t, "block": block}
    if prompt:
        settings["prompt"] = prompt
    mine = models.open("sd-unet", other, **settings).extract(stack)
    seen = whole_unet(models.folder("sd-unet", other), stack, t, block, prompt)
    close(mine.values, sum(seen) / len(seen))
    assert mine.stride == 64 / mine.values.shape[2]


@BOTH
@torch.inference_mode()
def test_hub_models(models: Checkpoints, other: bool) -> None:
    from transformers import AutoModel, SiglipVisionModel

    folder, side = models.folder("hf", other), 48 if other else 32
    stack = images(2, side)
    prepare = processor("ViTImageProcessor").from_pretrained(folder)
    pixels = prepare(uint8(stack), return_tensors="pt")
    answer = (SiglipVisionModel if other else AutoModel).from_pretrained(folder)(**pixels)
    mine = models.open("hf", other).extract(stack)
    close(mine.values, as_map(answer.last_hidden_state, 3 if other else 4))
    close(mine.vector, answer.pooler_output)


def test_old_names_of_the_attention_of_a_vae_are_read(models: Checkpoints, tmp_path: Any) -> None:
    from safetensors.torch import load_file, save_file

    from crosslook.extract.registry import open_extractor

    folder = models.folder("sd-vae")
    new = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, tensor in load_file(folder / "diffusion_pytorch_model.safetensors").items():
        for current, former in new.items():
            name = name.replace(f".{current}.", f".{former}.")
        state[name] = tensor
    save_file(state, tmp_path / "diffusion_pytorch_model.safetensors")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    old = open_extractor("sd-vae", weights={"sd-vae": tmp_path}, device="cpu")
    stack = images(1, 32)
    np.testing.assert_array_equal(
        old.extract(stack).values, models.open("sd-vae").extract(stack).values
    )


def test_resizing_is_that_of_the_models_own_processors(models: Checkpoints) -> None:
    """Within the rounding to 8 bits that those do and crosslook does not."""
    from PIL import Image

    stack = images(1, 60)
    for name, how in (("dinov2", Image.Resampling.BICUBIC), ("sam2", Image.Resampling.BILINEAR)):
        extractor = models.open(name)
        geometry = extractor.geometry(60, 60)
        mine = extractor._prepare(stack, geometry)[0]
        for channel, plane in zip(mine, stack[0], strict=True):
            theirs = Image.fromarray(plane).resize(geometry.resized[::-1], how)
            inside = np.clip(np.asarray(theirs), 0, 1)
            np.testing.assert_allclose(channel, inside, atol=1e-5)


@torch.inference_mode()
def test_sam2_in_the_form_of_a_video_model(models: Checkpoints, tmp_path: Any) -> None:
    """The hub holds SAM 2.1 as a video model; its image encoder is read all the same."""
    from transformers import Sam2Model, Sam2VideoConfig, Sam2VideoModel

    from crosslook.extract.registry import open_extractor

    vision = Sam2Model.from_pretrained(models.folder("sam2")).config.vision_config
    vision.fpn_hidden_size = 256
    config = Sam2VideoConfig(
        vision_config=vision, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=16, mask_decoder_config={"mlp_dim": 16},
    )  # fmt: skip
    model = shaken(Sam2VideoModel(config))
    model.save_pretrained(tmp_path)
    stack = images(2, 64)
    mine = open_extractor("sam2:hiera-tiny,side=64", weights={"sam2": tmp_path}, device="cpu")
    mean, std = torch.tensor(mine.MEAN)[:, None, None], torch.tensor(mine.STD)[:, None, None]
    pyramid = model.vision_encoder((torch.tensor(stack) - mean) / std).fpn_hidden_states
    close(mine.extract(stack).values, pyramid[-1])
