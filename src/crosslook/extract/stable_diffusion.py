"""Stable Diffusion: latents of the autoencoders it works in, and features of its UNet.

Rombach et al., "High-resolution image synthesis with latent diffusion models",
CVPR 2022 (arXiv:2112.10752). A latent is the mean of the posterior times the
scaling factor (after the shift, where there is one), never a sample: that is
what the diffusion model itself sees. ``taesd`` is a distilled encoder that gives
nearly the same latents at about a fiftieth of the work; ``taef2`` is one
distilled from the autoencoder of FLUX.2, with 32 channels.

Features of the UNet come from a latent with noise, read at an up block. Tang et
al., "Emergent correspondence from image diffusion" (DIFT), NeurIPS 2023
(arXiv:2306.03881): timestep 261, up block 1, mean over 8 noises, empty prompt,
found at 768 px with Stable Diffusion 2.1. Stracke et al., "CleanDIFT", CVPR 2025
(arXiv:2412.03439), train a model to do without noise; a stock model, as here, is
worst with little of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from crosslook.errors import SpecError, WeightsError
from crosslook.extract.base import (
    Extractor,
    Features,
    Geometry,
    pad_to_multiple,
    resize_to_multiple,
)
from crosslook.extract.checkpoint import fill, from_pretrained, quiet_libraries
from crosslook.extract.runtime import Runtime
from crosslook.extract.spec import ExtractorSpec, Option
from crosslook.extract.torch_base import TorchExtractor
from crosslook.extract.weights import WeightsSource
from crosslook.types import FloatArray

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


class SdVae(TorchExtractor):
    """Scaled latents, or the map at one resolution of the encoder; the decoder is not loaded.

    Each resolution halves the one before, so that of ``block=1`` has the pixels of the image.
    Later layers are not computed.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {
        "block": Option(0, "resolution to read, 1 (finest) to 4; 0 for the latent", low=0, high=8),
        "side": Option(0, "longer side of the input in pixels, 0 for the image's own", low=0),
    }
    MEAN = (0.5, 0.5, 0.5)
    STD = (0.5, 0.5, 0.5)
    BYTES_PER_PIXEL: ClassVar[float] = 4000.0

    def __init__(
        self, spec: str, options: dict[str, Any], source: WeightsSource, runtime: Runtime
    ) -> None:
        # The key then names the dtype that the features are made in.
        dtype = encoder_dtype(source, runtime.dtype)
        super().__init__(spec, options, source, replace(runtime, dtype=dtype))

    @property
    def _block(self) -> int:
        return int(self.options["block"])

    def _validate(self) -> None:
        if self._block > (most := _resolutions(self.source)):
            raise SpecError(f"'{self.spec}': block must lie in 0..{most}.")

    def geometry(self, height: int, width: int) -> Geometry:
        """Whole latent cells; the image keeps its size unless ``side`` is given."""
        cell, side = latent_cell(self.source), int(self.options["side"])
        if side:
            base = resize_to_multiple(height, width, cell, side)
        else:
            base = pad_to_multiple(height, width, cell)
        return replace(base, cell=float(2 ** (self._block - 1))) if self._block else base

    def _load(self) -> Any:
        model = load_encoder(self.source, self.runtime.torch_dtype)
        return _up_to(model.encoder, self._block) if self._block else model

    def _forward(self, model: Any, images: Any) -> tuple[Any, None]:
        if not self._block:
            return encode(model, images), None
        return model((images + 1) / 2 if _is_tiny(self.source) else images), None


def _resolutions(source: WeightsSource) -> int:
    widths = source.config.get("block_out_channels") or source.config["encoder_block_out_channels"]
    return len(widths)


def _is_tiny(source: WeightsSource) -> bool:
    return bool(source.config.get("_class_name") == "AutoencoderTiny")


def latent_cell(source: WeightsSource) -> int:
    """Pixels per latent: every block of the encoder but one halves the image."""
    return int(2 ** (_resolutions(source) - 1))


def _up_to(encoder: Any, block: int) -> Any:
    """The first resolutions of an encoder, each without the layer that halves the last of them."""
    from torch import nn

    if hasattr(encoder, "layers"):  # of AutoencoderTiny, for images in 0..1
        layers = list(encoder.layers)
        halving = [at for at, one in enumerate(layers) if getattr(one, "stride", None) == (2, 2)]
        ends = [*halving, len(layers) - 1]
        return nn.Sequential(*layers[: ends[block - 1]])
    kept = encoder.down_blocks[:block]
    kept[-1].downsamplers = None
    return nn.Sequential(encoder.conv_in, *kept)


def encoder_dtype(source: WeightsSource, dtype: str) -> str:
    """The dtype that an encoder runs in: float32 where float16 overflows in it.

    The configuration says so by ``force_upcast``, as that of SDXL does: its
    activations leave the range of float16 and become NaN.
    """
    forced = dtype == "float16" and source.config.get("force_upcast") is True
    return "float32" if forced else dtype


def load_encoder(source: WeightsSource, dtype: Any) -> Any:
    """Load the encoder of an autoencoder; its decoder is neither read nor kept."""
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny

    tiny = _is_tiny(source)
    with torch.device("meta"), quiet_libraries():
        model = (AutoencoderTiny if tiny else AutoencoderKL).from_config(dict(source.config))
        blocks = source.config.get("pooled_blocks", ())
        for at in blocks:
            _add_pool(model.encoder.layers[at])
    model.decoder = None
    if not tiny:
        model.post_quant_conv = None
    return fill(model, source, dtype, "encoder.layers.{}".format if blocks else _current_name)


def _add_pool(block: Any) -> None:
    """Add ``x + pool(x)`` before a residual block, which diffusers' class does not have."""
    from torch import nn

    width = int(block.conv[0].in_channels)
    block.pool = nn.Sequential(
        nn.Conv2d(width, 4 * width, 1, bias=False),
        nn.GroupNorm(4, 4 * width),
        nn.ReLU(),
        nn.Conv2d(4 * width, width, 1, bias=False),
    )
    block.register_forward_pre_hook(lambda module, given: (given[0] + module.pool(given[0]),))


def encode(model: Any, images: Any) -> Any:
    """Images in -1..1 to scaled latents in the model's dtype, as the diffusion model sees them."""
    encoded = model.encode(images.to(model.dtype))
    latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
    shift = getattr(model.config, "shift_factor", None) or 0.0
    return (latents - shift) * model.config.scaling_factor


def _current_name(name: str) -> str:
    *front, module, kind = name.rsplit(".", 2)
    if front and ".attentions." in name and module in _OLD_ATTENTION:
        return ".".join([*front, _OLD_ATTENTION[module], kind])
    return name


_START, _END, _LENGTH = 49406, 49407, 77
"""Tokens that frame every text of CLIP, and the length it is padded to."""


def embed_prompt(source: WeightsSource, prompt: str, dtype: Any) -> Any:
    """Embed a prompt: tensor (1, tokens, D). The text encoder is released.

    Raises
    ------
    WeightsError
        If tokenizer or text encoder are damaged.
    """
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    part = source.part("text_encoder")
    with quiet_libraries():
        config = CLIPTextConfig(**dict(part.config))
    tokens = _tokens(source, prompt, config.vocab_size)
    model = from_pretrained(CLIPTextModel, part, config, dtype).eval()
    with torch.no_grad():
        return model(torch.tensor([tokens])).last_hidden_state.detach()


def _tokens(source: WeightsSource, prompt: str, vocabulary: int) -> list[int]:
    if source.folder is None:
        return [_START % vocabulary, *[_END % vocabulary] * (_LENGTH - 1)]
    from transformers import CLIPTokenizer

    folder = source.part("tokenizer").checkpoint
    with quiet_libraries():
        try:
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"the tokenizer in {folder} cannot be read: {error}") from error
    ids: list[int] = tokenizer(
        prompt, padding="max_length", max_length=tokenizer.model_max_length, truncation=True
    ).input_ids
    return ids


class SdUnet(TorchExtractor):
    """Output of an up block of the UNet; later blocks are neither loaded nor run.

    The noise is drawn from a generator seeded by the content of each image,
    so that batches, order and resuming change nothing.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {
        "t": Option(261, "timestep of the noise; 0 for none", low=0, high=999),
        "block": Option(1, "up block to read, 0 (coarsest) to 3", low=0, high=3),
        "noises": Option(8, "average over this many noises", low=1, high=64),
        "prompt": Option("", "text condition; empty by default"),
        "side": Option(0, "longer side of the input in pixels, 0 for the image's own", low=0),
    }
    SWEPT = "block"
    MEAN = (0.5, 0.5, 0.5)
    STD = (0.5, 0.5, 0.5)
    READY_ON_GPU = False  # the noise is seeded by the very bytes that a processor makes ready
    BYTES_PER_PIXEL: ClassVar[float] = 4000.0
    CPU_STEP_BYTES: ClassVar[float] = float("inf")  # its weights are read once per step

    @classmethod
    def check_options(cls, parsed: ExtractorSpec, options: dict[str, Any]) -> None:
        """Refuse what would do nothing: noises without noise, words untrained."""
        if options["t"] == 0 and "noises" in parsed.options:
            raise SpecError("sd-unet: 'noises' has no meaning with t=0, which adds no noise.")
        if parsed.untrained and options["prompt"]:
            raise SpecError("sd-unet: 'prompt' has no meaning for untrained weights.")

    def _validate(self) -> None:
        blocks = len(self.source.config["unet"]["block_out_channels"])
        if int(self.options["block"]) >= blocks:
            raise SpecError(f"'{self.spec}': block must lie in 0..{blocks - 1}.")

    def geometry(self, height: int, width: int) -> Geometry:
        """Whole cells of the UNet's coarsest map."""
        blocks = len(self.source.config["unet"]["block_out_channels"])
        cell = latent_cell(self.source.part("vae"))
        unit, side = cell * 2 ** (blocks - 1), int(self.options["side"])
        if side:
            base = resize_to_multiple(height, width, unit, side)
        else:
            base = pad_to_multiple(height, width, unit)
        # Every up block but the last doubles the map it is given.
        halvings = max(0, blocks - 2 - int(self.options["block"]))
        return replace(base, cell=float(cell * 2**halvings))

    def _load(self) -> Any:
        import torch

        dtype = self.runtime.torch_dtype
        prompt = embed_prompt(self.source, str(self.options["prompt"]), dtype)
        vae = self.source.part("vae")
        encoder = load_encoder(vae, getattr(torch, encoder_dtype(vae, self.runtime.dtype)))
        model = torch.nn.ModuleDict({"vae": encoder, "unet": self._load_unet(dtype)})
        model.register_buffer("prompt", prompt)
        return model

    def _load_unet(self, dtype: Any) -> Any:
        import torch
        from diffusers import UNet2DConditionModel

        source, block = self.source.part("unet"), int(self.options["block"])
        with torch.device("meta"), quiet_libraries():
            unet = UNet2DConditionModel.from_config(dict(source.config))
        unet.up_blocks = unet.up_blocks[: block + 1]
        unet.conv_norm_out = unet.conv_act = None
        unet.conv_out = torch.nn.Identity()
        return fill(unet, source, dtype)

    @property
    def depth(self) -> float:
        """Up blocks that are run."""
        return float(self.options["block"])

    def _many(self, images: FloatArray, family: Sequence[Extractor]) -> list[Features]:
        # Before the images are rounded to the dtype: every dtype then meets the same noise.
        self._seeds = [content_seed(image) for image in images]
        return super()._many(images, family)

    def _forward(self, model: Any, images: Any) -> tuple[Any, None]:
        return self._forward_family(model, images, [self])[0]

    def _forward_family(
        self, model: Any, images: Any, family: Sequence[Any]
    ) -> list[tuple[Any, None]]:
        import torch

        blocks = [int(member.options["block"]) for member in family]
        latents = encode(model["vae"], images).to(images.dtype)
        t, count = int(self.options["t"]), int(self.options["noises"])
        if t == 0:
            return [(values, None) for values in self._read(model, latents, t, blocks)]
        keep = signal_fraction(self.source.config["scheduler"], t)
        noises = [seeded_noise(seed, count, latents.shape[1:]) for seed in self._seeds]
        noise = torch.stack(noises, dim=1).to(latents)
        totals: list[Any] = [0.0] * len(blocks)
        for draw in noise:
            noisy = keep**0.5 * latents + (1 - keep) ** 0.5 * draw
            read = self._read(model, noisy, t, blocks)
            totals = [total + values.float() for total, values in zip(totals, read, strict=True)]
        return [(total / count, None) for total in totals]

    def _read(self, model: Any, latents: Any, t: int, blocks: Sequence[int]) -> list[Any]:
        """Outputs of up blocks, of which the last one ends the work."""
        prompt, unet = model.prompt.expand(len(latents), -1, -1), model["unet"]
        seen: dict[Any, Any] = {}

        def keep(module: Any, given: Any, output: Any) -> None:
            seen[module] = output

        read = [unet.up_blocks[block] for block in blocks]
        hooks = [block.register_forward_hook(keep) for block in set(read)]
        try:
            unet(latents, t, encoder_hidden_states=prompt)
        finally:
            for hook in hooks:
                hook.remove()
        return [seen[block] for block in read]


def content_seed(image: FloatArray) -> int:
    """A seed from the pixels of one image, float32 (3, H, W)."""
    pixels = np.ascontiguousarray(image, np.float32).tobytes()
    return int.from_bytes(hashlib.sha256(pixels).digest()[:8], "little") >> 1


def seeded_noise(seed: int, count: int, shape: tuple[int, ...]) -> Any:
    """Standard normal noise (count, *shape)."""
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((count, *shape), generator=generator)


def signal_fraction(config: dict[str, Any], t: int) -> float:
    """Fraction of the signal's variance left at timestep ``t``: the product of 1 - beta."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler.from_config(dict(config))
    return float(scheduler.alphas_cumprod[t])
