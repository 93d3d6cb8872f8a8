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
from crosslook.extract.torch_base import LAYER, TorchExtractor, check_layer, token_map
from crosslook.extract.weights import check_processor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Dinov2(TorchExtractor):
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
    VECTOR = True
    SWEPT = "layer"
    MEAN = IMAGENET_MEAN
    STD = IMAGENET_STD
    BYTES_PER_PIXEL: ClassVar[float] = 800.0

    def _validate(self) -> None:
        check_processor(self.source, self.MEAN, self.STD, "hf:FOLDER")
        self._layers = check_layer(self.spec, self.options["layer"], self.source.config)

    def geometry(self, height: int, width: int) -> Geometry:
        """Whole patches: the nearest size at or below the image's own."""
        cell = int(self.source.config["patch_size"])
        return resize_to_multiple(height, width, cell, int(self.options["side"]))

    def _load(self) -> Any:
        import transformers

        # Names of backbone stages would not fit a model with fewer layers.
        stages = ("stage_names", "out_features", "out_indices")
        config = {k: v for k, v in self.source.config.items() if k not in stages}
        config["num_hidden_layers"] = self._layers
        registers = config.get("model_type") == "dinov2_with_registers"
        prefix = "Dinov2WithRegisters" if registers else "Dinov2"
        return from_pretrained(
            getattr(transformers, f"{prefix}Model"),
            self.source,
            getattr(transformers, f"{prefix}Config")(**config),
            self.runtime.torch_dtype,
        )

    @property
    def depth(self) -> float:
        """Blocks that are run."""
        return float(self._layers)

    def _forward(self, model: Any, images: Any) -> tuple[Any, Any]:
        return self._laid_out(model(images).last_hidden_state, images)

    def _forward_family(
        self, model: Any, images: Any, family: Sequence[Any]
    ) -> list[tuple[Any, Any]]:
        states = model(images, output_hidden_states=True).hidden_states
        return [
            self._laid_out(model.layernorm(states[member._layers]), images) for member in family
        ]

    def _laid_out(self, tokens: Any, images: Any) -> tuple[Any, Any]:
        cell = int(self.source.config["patch_size"])
        grid = (images.shape[2] // cell, images.shape[3] // cell)
        return token_map(tokens, grid), tokens[:, 0]
