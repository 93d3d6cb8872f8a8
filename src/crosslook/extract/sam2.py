"""SAM 2.1: the image encoder of Segment Anything 2.

Ravi et al., "SAM 2: segment anything in images and videos", ICLR 2025
(arXiv:2408.00714); Hiera: Ryali et al., ICML 2023 (arXiv:2306.00989).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from crosslook.extract.base import Geometry, resize_to_multiple
from crosslook.extract.checkpoint import from_pretrained
from crosslook.extract.dinov2 import IMAGENET_MEAN, IMAGENET_STD
from crosslook.extract.spec import Option
from crosslook.extract.torch_base import TorchExtractor
from crosslook.extract.weights import check_processor

_LEVELS = (4, 8, 16)


class Sam2(TorchExtractor):
    """The image embedding: output of the feature pyramid at one stride.

    ``level=16`` is what the mask decoder reads as the image embedding (before
    the constant 'no memory' vector is added, which moves every cell alike);
    8 and 4 are the finer levels of the pyramid. The image is enlarged to
    ``side`` pixels, since the model was trained at 1024.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {
        "level": Option(16, "stride of the map in pixels of the model's input", _LEVELS),
        "side": Option(1024, "longer side of the input in pixels", low=32, high=4096),
    }
    SWEPT = "level"
    MEAN = IMAGENET_MEAN
    STD = IMAGENET_STD
    RESAMPLE = "bilinear"
    BYTES_PER_PIXEL: ClassVar[float] = 600.0

    def _validate(self) -> None:
        check_processor(self.source, self.MEAN, self.STD, "a checkpoint of the published kind")

    def geometry(self, height: int, width: int) -> Geometry:
        """Resize the longer side to ``side``, in whole cells of the coarsest stage."""
        # The window of the first stage tiles the position embedding, and the
        # pyramid doubles the coarsest map exactly.
        backbone = self.source.vision_config["backbone_config"]
        windows = backbone.get("window_size_per_stage") or (8, 4, 14, 7)
        unit = math.lcm(32, 4 * int(windows[0]))
        fitted = resize_to_multiple(height, width, unit, int(self.options["side"]))
        return replace(fitted, cell=float(self.options["level"]))

    def _load(self) -> Any:
        from transformers import Sam2Config, Sam2Model, Sam2VisionConfig, Sam2VisionModel

        inner = Sam2VisionConfig(**self.source.vision_config)
        dtype = self.runtime.torch_dtype
        if "vision_config" not in self.source.config:
            encoder = from_pretrained(Sam2VisionModel, self.source, inner, dtype)
        else:
            whole = dict(self.source.config, model_type="sam2", vision_config=inner)
            model = from_pretrained(Sam2Model, self.source, Sam2Config(**whole), dtype)
            encoder = model.vision_encoder
        # Only the mask decoder reads them, and at stride 4 they are as large as the features.
        encoder.neck.position_encoding = _no_positions()
        return encoder

    def _forward(self, model: Any, images: Any) -> tuple[Any, None]:
        return self._forward_family(model, images, [self])[0]

    def _forward_family(
        self, model: Any, images: Any, family: Sequence[Any]
    ) -> list[tuple[Any, None]]:
        pyramid = model(images).fpn_hidden_states
        return [(pyramid[_LEVELS.index(int(one.options["level"]))], None) for one in family]


def _no_positions() -> Any:
    import torch

    class NoPositions(torch.nn.Module):  # type: ignore[misc]
        """Takes the place of the position encodings of the pyramid."""

        def forward(self, shape: Any, device: Any, dtype: Any) -> Any:
            """Give nothing."""
            return torch.empty(0, device=device, dtype=dtype)

    return NoPositions()
