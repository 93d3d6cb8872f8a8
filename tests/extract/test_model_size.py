"""Sizes as published, work that is really saved, and runs without weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models extra is not installed")
pytest.importorskip("diffusers", reason="the models extra is not installed")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from crosslook.extract.registry import ROWS, find_row, open_extractor  # noqa: E402
from crosslook.extract.weights import UNTRAINED_REVISION, published_config  # noqa: E402
from tests.helpers.checkpoints import images  # noqa: E402

# Of taef2 there is the encoder alone, with branches of ours: test_taef2.py counts them.
HUB_VARIANTS = [
    (row.name, name)
    for row in ROWS
    for name, variant in row.variants.items()
    if variant.hub_id and name != "taef2"
]


def build(name: str, config: dict[str, Any]) -> Any:
    """The whole published model (the image tower), without memory for its weights."""
    import diffusers
    import transformers

    with torch.device("meta"):
        if name in ("sd-vae", "sd-unet"):
            part = config if name == "sd-vae" else config["unet"]
            return getattr(diffusers, part["_class_name"]).from_config(part)
        known = transformers.CONFIG_MAPPING[config["model_type"]](**config)
        if name == "clip":
            return transformers.CLIPVisionModelWithProjection(known)
        return transformers.AutoModel.from_config(known)


def count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "variant"), HUB_VARIANTS)
def test_parameters_are_those_of_the_table(name: str, variant: str) -> None:
    model = build(name, published_config(name, variant))
    assert count(model) == find_row(name).variants[variant].parameters


def test_parameters_are_the_published_ones() -> None:
    for name, variant, millions in (
        ("dinov2", "vitb14", 86.58), ("clip", "vitl14", 303.97), ("sam2", "hiera-tiny", 27.22),
        ("sd-vae", "ft-mse", 83.65), ("sd-unet", "sd15", 859.52),
    ):  # fmt: skip
        assert round(find_row(name).variants[variant].parameters / 1e6, 2) == millions
    vae = build("sd-vae", published_config("sd-vae", "ft-mse"))
    assert round((count(vae.encoder) + count(vae.quant_conv)) / 1e6, 2) == 34.16


def flops(call: Any) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        call()
    return int(counter.get_total_flops())


@pytest.mark.slow
def test_an_up_block_costs_less_than_the_whole_unet(models: Any) -> None:
    from diffusers import UNet2DConditionModel

    whole = UNet2DConditionModel.from_pretrained(models.folder("sd-unet", True) / "unet")
    latents, text = torch.zeros(1, 4, 16, 16), torch.zeros(1, 77, 24)
    full = flops(lambda: whole(latents, 0, encoder_hidden_states=text))
    work, sizes = [], []
    for block in range(4):
        unet = models.open("sd-unet", other=True, block=block, t=0).model["unet"]
        work.append(flops(lambda: unet(latents, 0, encoder_hidden_states=text)))  # noqa: B023
        sizes.append(count(unet))
    assert work == sorted(set(work))
    assert work[1] < 0.75 * full
    assert work[3] < full
    assert sizes == sorted(set(sizes))
    assert sizes[3] < count(whole)


@pytest.mark.parametrize(("name", "layer"), [("dinov2", 1), ("clip", 1)])
def test_layers_after_the_one_read_are_not_held(models: Any, name: str, layer: int) -> None:
    assert count(models.open(name, layer=layer).model) < count(models.open(name).model)


def test_blocks_after_the_one_read_are_not_held(models: Any) -> None:
    sizes = [count(models.open("efficientnet-lite0", block=b).model) for b in range(1, 8)]
    assert sizes == sorted(set(sizes))


def test_the_decoder_is_not_held(models: Any) -> None:
    for name in ("sd-vae", "sd-vae:taesd"):
        assert not any("decoder" in key for key in models.open(name).model.state_dict())


def test_untrained_is_seeded_marked_and_of_published_size() -> None:
    stack = images(1, 64)
    spec = "untrained:dinov2:vits14,layer=2"
    first, second = open_extractor(spec, device="cpu"), open_extractor(spec, device="cpu")
    a, b = first.extract(stack), second.extract(stack)
    np.testing.assert_array_equal(a.values, b.values)
    assert a.values.shape == (1, 384, 4, 4)
    assert first.revision == UNTRAINED_REVISION
    assert first.key["untrained"] == "True"


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("untrained:sd-vae:taesd", (1, 4, 8, 8)),
        ("untrained:clip:vitb32,layer=1", (1, 768, 7, 7)),
        ("untrained:sam2:hiera-tiny,side=64", (1, 256, 4, 4)),
        ("untrained:efficientnet-lite0", (1, 112, 4, 4)),
    ],
)
def test_untrained_forms_need_no_files(spec: str, shape: tuple[int, ...]) -> None:
    stack = images(2, 64)
    values = open_extractor(spec, device="cpu").extract(stack).values
    assert values[:1].shape == shape
    assert not np.allclose(values[0], values[1]), "random weights still see the image"


def test_closing_releases_the_model(models: Any) -> None:
    extractor = models.open("dinov2")
    stack = images(1, 32)
    before = extractor.extract(stack)
    extractor.close()
    assert extractor._model is None
    np.testing.assert_array_equal(before.values, extractor.extract(stack).values)
