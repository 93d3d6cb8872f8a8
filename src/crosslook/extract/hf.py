"""Any vision model that ``AutoModel`` opens: tokens or a map, with its own statistics."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from crosslook.errors import SpecError, WeightsError
from crosslook.extract.base import Geometry, resize_to_multiple
from crosslook.extract.checkpoint import from_pretrained, quiet_libraries, seeded
from crosslook.extract.clip import CLIP_MEAN, CLIP_STD
from crosslook.extract.dinov2 import IMAGENET_MEAN, IMAGENET_STD
from crosslook.extract.spec import Option
from crosslook.extract.torch_base import LAYER, TorchExtractor, token_map
from crosslook.extract.weights import read_processor, value_factor

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
_STATISTICS: dict[str, Statistics] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "clip": (CLIP_MEAN, CLIP_STD),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
_OWN_ROW = {"sam2": "sam2", "sam2_video": "sam2", "sam2_vision_model": "sam2"}
"""Kinds whose features are pyramids, which an extractor of their own reads."""

_FINAL_NORMS = ("layernorm", "post_layernorm", "norm")
_RESAMPLE: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}


class HubModel(TorchExtractor):
    """Patch tokens laid out as a map, or the map of a convolutional model.

    A model of text and images gives its image tower. The pooled output, where
    there is one, is the ``vector``. A model whose output is neither a map nor
    one token per cell is refused. Code from a repository is never run.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {
        "layer": LAYER,
        "side": Option(0, "longer side of the input in pixels, 0 for the trained one", low=0),
        "stats": Option(
            "auto", "statistics of the input; auto reads preprocessor_config.json",
            ("auto", *_STATISTICS),
        ),
    }  # fmt: skip
    VECTOR = None
    SWEPT = "layer"
    BYTES_PER_PIXEL: ClassVar[float] = 2000.0

    def _validate(self) -> None:
        self._cells: dict[int, float] = {}
        self._processor = read_processor(self.source.folder)
        self.MEAN, self.STD = self._statistics()
        self.RESAMPLE = _RESAMPLE.get(int(self._processor.get("resample") or 3), "bicubic")

    def geometry(self, height: int, width: int) -> Geometry:
        """A square of the trained side, or of the requested one in whole patches."""
        config = self.source.vision_config
        patch = _number(config.get("patch_size")) or 32
        side = int(self.options["side"]) or self._trained_side(config)
        unit = math.gcd(patch, 32) if patch < 8 else patch
        base = resize_to_multiple(height, width, max(unit, 1), side)
        square = max(base.padded)
        if square not in self._cells:
            self._cells[square] = self._probe(square)
        return Geometry(base.resized, (square, square), base.scale, self._cells[square])

    def _load(self) -> Any:
        import transformers

        config = dict(self.source.config)
        kind = config.pop("model_type", None)
        if name := _OWN_ROW.get(str(kind)):
            raise WeightsError(
                f"{self.source.model} is a '{kind}' model, whose features are a pyramid. Read it "
                f"by its own extractor: '{name}' with --weights {name}=FOLDER."
            )
        if kind not in transformers.CONFIG_MAPPING:
            raise WeightsError(
                f"{self.source.model} is a '{kind}' model, which transformers "
                f"{transformers.__version__} does not know. If it needs code from its repository, "
                "it cannot be used: crosslook never runs such code."
            )
        if "mask_ratio" in config or kind == "vit_mae":
            config["mask_ratio"] = 0.0  # features are of the whole image
        expected = transformers.CONFIG_MAPPING[kind](**config)
        dtype = self.runtime.torch_dtype
        if self.source.folder is None:
            with seeded(), quiet_libraries():
                model = transformers.AutoModel.from_config(expected).to(dtype)
        else:
            model = from_pretrained(transformers.AutoModel, self.source, expected, dtype)
        if hasattr(model, "vision_model"):  # reads images, which not every release says of it
            return model.vision_model
        if model.main_input_name != "pixel_values":
            raise self._refusal(f"it reads {model.main_input_name}, not images")
        return model

    @property
    def depth(self) -> float:
        """The layer that is read; the last of all by default."""
        layer = int(self.options["layer"])
        return math.inf if layer == -1 else float(layer)

    def _forward(self, model: Any, images: Any) -> tuple[Any, Any | None]:
        return self._forward_family(model, images, [self])[0]

    def _forward_family(
        self, model: Any, images: Any, family: Sequence[Any]
    ) -> list[tuple[Any, Any | None]]:
        inner = any(member.options["layer"] != -1 for member in family)
        output = self._call(model, images, inner)
        return [
            member._laid_out(*member._chosen(model, output), images.shape[2]) for member in family
        ]

    def _chosen(self, model: Any, output: Any) -> tuple[Any, Any | None]:
        """Tokens or map that the option ``layer`` names, and the pooled output of the last."""
        layer = int(self.options["layer"])
        if layer == -1:
            pooled = getattr(output, "pooler_output", None)
            vector = pooled.flatten(1) if pooled is not None else None
            return getattr(output, "last_hidden_state", None), vector
        states = getattr(output, "hidden_states", None) or ()
        if layer >= len(states):
            raise SpecError(
                f"'{self.spec}': layer={layer} must lie in 1..{len(states) - 1}, or be -1 for "
                "the last."
            )
        tokens = states[layer]
        norm = next((n for name in _FINAL_NORMS if (n := getattr(model, name, None))), None)
        return (norm(tokens) if norm is not None and tokens.ndim == 3 else tokens), None

    def _laid_out(self, tokens: Any, vector: Any | None, side: int) -> tuple[Any, Any | None]:
        if tokens is None or tokens.ndim not in (3, 4):
            shape = None if tokens is None else tuple(tokens.shape)
            raise self._refusal(f"its hidden state has shape {shape}, no map or tokens")
        if tokens.ndim == 4:
            return tokens, vector
        return token_map(tokens, self._grid(tokens.shape[1], side)), vector

    def _call(self, model: Any, images: Any, inner: bool) -> Any:
        extra: dict[str, Any] = {"output_hidden_states": True} if inner else {}
        known = inspect.signature(model.forward).parameters
        if "interpolate_pos_encoding" in known:
            side = self._trained_side(self.source.vision_config)
            extra["interpolate_pos_encoding"] = images.shape[2:] != (side, side)
        if "noise" in known:
            extra["noise"] = self._in_order(images)
        # SigLIP 2 NaFlex takes an image cut into patches.
        taken = {"pixel_values": images}
        if "spatial_shapes" in known:
            taken = self._cut(images)
            if "attention_mask" in known:  # its name in transformers 4
                taken["attention_mask"] = taken.pop("pixel_attention_mask")
        try:
            return model(**taken, **extra)
        except (ValueError, TypeError, AssertionError) as error:
            raise self._refusal(f"it does not take {images.shape[2]} px: {error}") from error

    def _cut(self, images: Any) -> dict[str, Any]:
        """Patches of an image, row by row, each with its channels last, and how many there are."""
        import torch

        side = _number(self.source.vision_config.get("patch_size"))
        count, _, height, width = images.shape
        cells = (height // side, width // side)
        patches = images.reshape(count, 3, cells[0], side, cells[1], side)
        patches = patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        every = {"dtype": torch.long, "device": images.device}
        return {
            "pixel_values": patches,
            "pixel_attention_mask": torch.ones(count, cells[0] * cells[1], **every),
            "spatial_shapes": torch.tensor([cells] * count, **every),
        }

    def _in_order(self, images: Any) -> Any:
        """Noise by which a masked autoencoder keeps its tokens where they are.

        It hides the tokens of greatest noise and shuffles the rest; with nothing
        to hide, rising numbers leave all in place.
        """
        import torch

        patch = _number(self.source.vision_config.get("patch_size"))
        count = (images.shape[2] // patch) * (images.shape[3] // patch)
        return torch.arange(count, device=images.device).float().expand(len(images), count)

    def _grid(self, count: int, side: int) -> tuple[int, int]:
        config = self.source.vision_config
        if patch := _number(config.get("patch_size")):
            cells = side // patch
            prefix = count - cells * cells
            # A class token, that of a distilled model, registers.
            if 0 <= prefix <= 2 + int(config.get("num_register_tokens") or 0):
                return cells, cells
        # Convolutional models give a map, or as DINOv3 a pooled token before its cells.
        cells = math.isqrt(count)
        if cells * cells + 1 not in (count, count + 1) or side % cells:
            raise self._refusal(f"its {count} tokens are not the cells of a {side} px square")
        return cells, cells

    def _probe(self, side: int) -> float:
        import torch

        blank = torch.zeros(1, 3, side, side).to(self.runtime.device, self.runtime.torch_dtype)
        with torch.inference_mode():
            values, _ = self._forward(self.model, blank)
        height, width = values.shape[2:]
        if height != width or height < 2:
            raise self._refusal(f"a {side} px image gives a map of {height} x {width} cells")
        return side / float(height)

    def _refusal(self, reason: str) -> WeightsError:
        return WeightsError(
            f"{self.source.model} cannot serve as an extractor: {reason}. Models with patch "
            "tokens or a feature map work, as ViT, DINOv3, SigLIP 2, I-JEPA or ConvNeXt."
        )

    def _trained_side(self, config: dict[str, Any]) -> int:
        size = self._processor.get("crop_size") or self._processor.get("size") or {}
        if isinstance(size, dict):
            size = size.get("height") or size.get("shortest_edge")
        known = _number(config.get("image_size")) or _number(size)
        patches = _number(config.get("num_patches"))  # of a model that takes images of any shape
        return known or math.isqrt(patches) * _number(config.get("patch_size")) or 224

    def _statistics(self) -> Statistics:
        requested = str(self.options["stats"])
        if requested != "auto":
            return _STATISTICS[requested]
        if self.source.folder is None:
            return _STATISTICS["imagenet"]
        factor = value_factor(self._processor, str(self.source.folder))
        mean, std = (0.0,) * 3, (1.0,) * 3
        if self._processor.get("do_normalize") is not False:
            if "image_mean" not in self._processor or "image_std" not in self._processor:
                raise WeightsError(
                    f"{self.source.folder} has no preprocessor_config.json with image_mean and "
                    "image_std; fetch it, or name the statistics: "
                    f"{self.spec},stats=imagenet (or clip, half, none)."
                )
            mean, std = self._processor["image_mean"], self._processor["image_std"]
        # Pixels come in 0..1: (factor * x - mean) / std.
        (m0, m1, m2), (s0, s1, s2) = mean, std
        return (m0 / factor, m1 / factor, m2 / factor), (s0 / factor, s1 / factor, s2 / factor)

    @property
    def key(self) -> dict[str, str]:
        """With the statistics of the input, which a file beside the weights may change."""
        return {**super().key, "input": f"{self.MEAN}/{self.STD}/{self.RESAMPLE}"}


def _number(value: Any) -> int:
    if isinstance(value, list | tuple):
        value = value[-1]
    return int(value) if isinstance(value, int | float) else 0
