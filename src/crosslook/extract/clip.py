"""CLIP: the image tower of a language-image model.

Radford et al., "Learning transferable visual models from natural language
supervision", ICML 2021 (arXiv:2103.00020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from crosslook.extract.base import Geometry, resize_to_multiple
from crosslook.extract.checkpoint import from_pretrained
from crosslook.extract.spec import Option
from crosslook.extract.torch_base import LAYER, TokenExtractor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class Clip(TokenExtractor):
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
    MEAN = CLIP_MEAN
    STD = CLIP_STD
    BYTES_PER_PIXEL: ClassVar[float] = 1200.0

    def _read_config(self) -> dict[str, Any]:
        return vision_config(self.source.config)

    def geometry(self, height: int, width: int) -> Geometry:
        """The trained side (224 px), or the requested one in whole patches."""
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
        output = self._call(model, images)
        return self._laid_out(output.last_hidden_state, images), output.image_embeds

    def _forward_family(
        self, model: Any, images: Any, family: Sequence[Any]
    ) -> list[tuple[Any, Any]]:
        states = self._call(model, images, output_hidden_states=True).hidden_states
        norm = model.vision_model.post_layernorm
        read = [states[member._layers] for member in family]
        return [
            (self._laid_out(tokens, images), model.visual_projection(norm(tokens[:, 0])))
            for tokens in read
        ]

    def _call(self, model: Any, images: Any, **more: Any) -> Any:
        trained = model.config.image_size
        apart = tuple(images.shape[2:]) != (trained, trained)
        return model(images, interpolate_pos_encoding=apart, **more)


def vision_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the image tower within that of a whole CLIP model."""
    if "vision_config" not in config:
        return dict(config)
    inner = {"num_hidden_layers": 12, "image_size": 224, "patch_size": 32}
    inner |= config["vision_config"]
    # The width of the projection is kept with the whole model.
    inner["projection_dim"] = config.get("projection_dim", 512)
    return inner
