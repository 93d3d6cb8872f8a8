"""Latents of the autoencoders that Stable Diffusion works in.

Rombach et al., "High-resolution image synthesis with latent diffusion models",
CVPR 2022 (arXiv:2112.10752). The feature is the mean of the posterior times
the scaling factor (after the shift, where there is one), never a sample: that
is what the diffusion model itself sees. ``taesd`` is a distilled encoder that
gives nearly the same latents at about a fiftieth of the work; ``taef2`` is one
distilled from the autoencoder of FLUX.2, with 32 channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from crosslook.extract.base import Geometry, pad_to_multiple, resize_to_multiple
from crosslook.extract.checkpoint import fill, quiet_libraries
from crosslook.extract.runtime import Runtime
from crosslook.extract.source import WeightsSource
from crosslook.extract.spec import Option
from crosslook.extract.torch_base import TorchExtractor

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


class SdVae(TorchExtractor):
    """Scaled latents; only the encoder is loaded."""

    OPTIONS: ClassVar[dict[str, Option]] = {
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

    def geometry(self, height: int, width: int) -> Geometry:
        """Whole latent cells; the image keeps its size unless ``side`` is given."""
        cell, side = latent_cell(self.source), int(self.options["side"])
        if side:
            return resize_to_multiple(height, width, cell, side)
        return pad_to_multiple(height, width, cell)

    def _load(self) -> Any:
        return load_encoder(self.source, self.runtime.torch_dtype)

    def _forward(self, model: Any, images: Any) -> tuple[Any, None]:
        return encode(model, images), None


def latent_cell(source: WeightsSource) -> int:
    """Pixels per latent: every block of the encoder but one halves the image."""
    widths = source.config.get("block_out_channels") or source.config["encoder_block_out_channels"]
    return int(2 ** (len(widths) - 1))


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

    tiny = source.config.get("_class_name") == "AutoencoderTiny"
    with torch.device("meta"), quiet_libraries():
        model = (AutoencoderTiny if tiny else AutoencoderKL).from_config(dict(source.config))
        blocks = source.config.get("pooled_blocks", ())
        for at in blocks:
            _add_pool(model.encoder.layers[at])
    model.decoder = None
    if not tiny:
        model.post_quant_conv = None
    return fill(model, source, dtype, _bare_name if blocks else _current_name)


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


def _bare_name(name: str) -> str:
    return f"encoder.layers.{name}"


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
