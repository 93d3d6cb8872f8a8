"""Any vision model that ``AutoModel`` opens: tokens or a map, with its own statistics."""

from __future__ import annotations

import inspect
import math
from typing import Any, ClassVar, Literal

from crosslook.errors import WeightsError
from crosslook.extract.base import Geometry, resize_to_multiple
from crosslook.extract.checkpoint import from_pretrained, quiet_libraries, seeded
from crosslook.extract.clip import CLIP_MEAN, CLIP_STD
from crosslook.extract.dinov2 import IMAGENET_MEAN, IMAGENET_STD
from crosslook.extract.source import read_json
from crosslook.extract.spec import Option
from crosslook.extract.torch_base import TorchExtractor, token_map

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
_STATISTICS: dict[str, Statistics] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "clip": (CLIP_MEAN, CLIP_STD),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
_RESAMPLE: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}


class HubModel(TorchExtractor):
    """Patch tokens laid out as a map, or the map of a convolutional model.

    A model of text and images gives its image tower. The pooled output, where
    there is one, is the ``vector``. A model whose output is neither a map nor
    one token per cell is refused. Code from a repository is never run.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {
        "side": Option(0, "longer side of the input in pixels, 0 for the trained one", low=0),
        "stats": Option(
            "auto", "statistics of the input; auto reads preprocessor_config.json",
            ("auto", *_STATISTICS),
        ),
    }  # fmt: skip
    VECTOR = None
    BYTES_PER_PIXEL: ClassVar[float] = 2000.0

    def _validate(self) -> None:
        self._cells: dict[int, float] = {}
        self._processor = self._read_processor()
        self.MEAN, self.STD = self._statistics()
        self.RESAMPLE = _RESAMPLE.get(int(self._processor.get("resample") or 3), "bicubic")

    def geometry(self, height: int, width: int) -> Geometry:
        """A square of the trained side, or of the asked one in whole patches."""
        config = self._vision_config()
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
        if kind not in transformers.CONFIG_MAPPING:
            raise WeightsError(
                f"{self.source.model} is a '{kind}' model, which transformers "
                f"{transformers.__version__} does not know. If it needs code from its repository, "
                "it cannot be used: crosslook never runs such code."
            )
        wanted = transformers.CONFIG_MAPPING[kind](**config)
        dtype = self.runtime.torch_dtype
        if self.source.folder is None:
            with seeded(), quiet_libraries():
                model = transformers.AutoModel.from_config(wanted).to(dtype)
        else:
            model = from_pretrained(transformers.AutoModel, self.source, wanted, dtype)
        model = getattr(model, "vision_model", model)
        if model.main_input_name != "pixel_values":
            raise self._refusal(f"it reads {model.main_input_name}, not images")
        return model

    def _forward(self, model: Any, images: Any) -> tuple[Any, Any | None]:
        output = self._call(model, images)
        tokens = getattr(output, "last_hidden_state", None)
        if tokens is None or tokens.ndim not in (3, 4):
            shape = None if tokens is None else tuple(tokens.shape)
            raise self._refusal(f"its last hidden state has shape {shape}, no map or tokens")
        pooled = getattr(output, "pooler_output", None)
        vector = pooled.flatten(1) if pooled is not None else None
        if tokens.ndim == 4:
            return tokens, vector
        return token_map(tokens, self._grid(tokens.shape[1], images.shape[2])), vector

    def _call(self, model: Any, images: Any) -> Any:
        extra = {}
        if "interpolate_pos_encoding" in inspect.signature(model.forward).parameters:
            side = self._trained_side(self._vision_config())
            extra["interpolate_pos_encoding"] = images.shape[2:] != (side, side)
        try:
            return model(pixel_values=images, **extra)
        except (ValueError, TypeError, AssertionError) as error:
            raise self._refusal(f"it does not take {images.shape[2]} px: {error}") from error

    def _grid(self, count: int, side: int) -> tuple[int, int]:
        config = self._vision_config()
        if patch := _number(config.get("patch_size")):
            cells = side // patch
            prefix = count - cells * cells
            if 0 <= prefix <= 1 + int(config.get("num_register_tokens") or 0):
                return cells, cells
        cells = math.isqrt(count)
        if cells * cells != count or side % cells:
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

    def _vision_config(self) -> dict[str, Any]:
        config = dict(self.source.config)
        return dict(config.get("vision_config", config))

    def _trained_side(self, config: dict[str, Any]) -> int:
        size = self._processor.get("crop_size") or self._processor.get("size") or {}
        if isinstance(size, dict):
            size = size.get("height") or size.get("shortest_edge")
        return _number(config.get("image_size")) or _number(size) or 224

    def _read_processor(self) -> dict[str, Any]:
        if self.source.folder is None:
            return {}
        for name in ("preprocessor_config.json", "processor_config.json"):
            path = self.source.folder / name
            if path.is_file():
                content = read_json(path)
                return dict(content.get("image_processor", content))
        return {}

    def _statistics(self) -> Statistics:
        asked = str(self.options["stats"])
        if asked != "auto":
            return _STATISTICS[asked]
        if self.source.folder is None:
            return _STATISTICS["imagenet"]
        found = self._processor
        if found.get("do_normalize") is False:
            return _STATISTICS["none"]
        if "image_mean" not in found or "image_std" not in found:
            raise WeightsError(
                f"{self.source.folder} has no preprocessor_config.json with image_mean and "
                "image_std; fetch it, or name the statistics: "
                f"{self.spec},stats=imagenet (or clip, half, none)."
            )
        return tuple(found["image_mean"]), tuple(found["image_std"])


def _number(value: Any) -> int:
    if isinstance(value, list | tuple):
        value = value[-1]
    return int(value) if isinstance(value, int | float) else 0
