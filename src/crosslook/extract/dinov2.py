"""DINOv2: patch tokens of a self-supervised vision transformer.

Oquab et al., "DINOv2: learning robust visual features without supervision",
TMLR 2024 (arXiv:2304.07193); registers: Darcet et al., "Vision transformers
need registers", ICLR 2024 (arXiv:2309.16588).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from crosslook.extract.base import Geometry, resize_to_multiple
from crosslook.extract.checkpoint import from_pretrained
from crosslook.extract.spec import Option
from crosslook.extract.torch_base import LAYER, TokenExtractor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Dinov2(TokenExtractor):
    """Patch tokens after the final norm; the CLS token as ``vector``.

    With ``layer=k`` the final norm is applied to the tokens after block ``k``,
    and later blocks are neither loaded nor computed. The image is resized to
    whole patches (256 px to 252, so 18 x 18 cells), and the position
    embeddings are interpolated to that grid as the library does.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {
        "layer": LAYER,
        "side": Option(0, "longer side of the input in pixels, 0 for the image's own", low=0),
    }
    MEAN = IMAGENET_MEAN
    STD = IMAGENET_STD
    BYTES_PER_PIXEL: ClassVar[float] = 800.0

    def geometry(self, height: int, width: int) -> Geometry:
        """Whole patches: the nearest size at or below the image's own."""
        cell = int(self._config["patch_size"])
        return resize_to_multiple(height, width, cell, int(self.options["side"]))

    def _load(self) -> Any:
        import transformers

        # Names of backbone stages would not fit a model with fewer layers.
        stages = ("stage_names", "out_features", "out_indices")
        config = {k: v for k, v in self._config.items() if k not in stages}
        config["num_hidden_layers"] = self._layers
        registers = config.get("model_type") == "dinov2_with_registers"
        prefix = "Dinov2WithRegisters" if registers else "Dinov2"
        return from_pretrained(
            getattr(transformers, f"{prefix}Model"),
            self.source,
            getattr(transformers, f"{prefix}Config")(**config),
            self.runtime.torch_dtype,
        )

    def _forward(self, model: Any, images: Any) -> tuple[Any, Any]:
        tokens = model(images).last_hidden_state
        return self._laid_out(tokens, images), tokens[:, 0]

    def _forward_family(
        self, model: Any, images: Any, family: Sequence[Any]
    ) -> list[tuple[Any, Any]]:
        states = model(images, output_hidden_states=True).hidden_states
        read = [model.layernorm(states[member._layers]) for member in family]
        return [(self._laid_out(tokens, images), tokens[:, 0]) for tokens in read]
