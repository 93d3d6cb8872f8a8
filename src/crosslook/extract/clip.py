"""CLIP: the image tower of a language-image model.

Radford et al., "Learning transferable visual models from natural language
supervision", ICML 2021 (arXiv:2103.00020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from crosslook.extract.base import Geometry, resize_to_multiple
from crosslook.extract.checkpoint import from_pretrained
from crosslook.extract.spec import Option
from crosslook.extract.torch_base import LAYER, TorchExtractor, check_layer, token_map

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class Clip(TorchExtractor):
    """Patch tokens of the last block; the projected embedding as ``vector``.

    With ``layer=k`` the tokens are those after block ``k``, and the vector is
    the class token of that block through the final norm and the projection;
    later blocks are neither loaded nor computed. The input has the side the
    model was trained at; another ``side`` interpolates the position embeddings.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {
        "layer": LAYER,
        "side": Option(0, "longer side of the input in pixels, 0 for the trained one", low=0),
    }
    VECTOR = True
    MEAN = CLIP_MEAN
    STD = CLIP_STD
    BYTES_PER_PIXEL: ClassVar[float] = 1200.0

    def _validate(self) -> None:
        self._config = vision_config(self.source.config)
        self._layers = check_layer(self.spec, self.options["layer"], self._config)

    def geometry(self, height: int, width: int) -> Geometry:
        """The trained side (224 px), or the asked one in whole patches."""
        config = self._config
        side = int(self.options["side"]) or int(config["image_size"])
        return resize_to_multiple(height, width, int(config["patch_size"]), side)

    def _load(self) -> Any:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        return from_pretrained(
            CLIPVisionModelWithProjection,
            self.source,
            CLIPVisionConfig(**dict(self._config, num_hidden_layers=self._layers)),
            self.runtime.torch_dtype,
        )

    def _forward(self, model: Any, images: Any) -> tuple[Any, Any]:
        height, width = images.shape[2], images.shape[3]
        trained = model.config.image_size
        output = model(images, interpolate_pos_encoding=(height, width) != (trained, trained))
        cell = model.config.patch_size
        tokens = output.last_hidden_state
        return token_map(tokens, (height // cell, width // cell)), output.image_embeds


def vision_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the image tower within that of a whole CLIP model."""
    if "vision_config" not in config:
        return dict(config)
    inner = {"num_hidden_layers": 12, "image_size": 224, "patch_size": 32}
    inner |= config["vision_config"]
    # The width of the projection is kept with the whole model.
    inner["projection_dim"] = config.get("projection_dim", 512)
    return inner
