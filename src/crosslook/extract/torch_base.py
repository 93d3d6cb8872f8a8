"""The base of every extractor that is a torch model."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from crosslook import threads
from crosslook.errors import CrosslookError, SpecError
from crosslook.extract.base import Extractor, Features, Geometry, pad
from crosslook.extract.runtime import (
    Runtime,
    computes_in,
    exact_products,
    is_out_of_memory,
    release_memory,
)
from crosslook.extract.spec import Option
from crosslook.extract.weights import WeightsSource, check_processor
from crosslook.types import FloatArray

LAYER = Option(-1, "read after this block, counted from 1; -1 for the last", low=-1)


def token_map(tokens: Any, grid: tuple[int, int]) -> Any:
    """Lay the last ``h * w`` tokens out as a map: (n, T, C) to (n, C, h, w).

    Class and register tokens come before the patch tokens.
    """
    height, width = grid
    patches = tokens[:, tokens.shape[1] - height * width :]
    return patches.transpose(1, 2).reshape(len(tokens), tokens.shape[2], height, width)


_LOG = logging.getLogger("crosslook")


class TorchExtractor(Extractor):
    """Runs a torch model without gradients, in batches that fit the memory.

    A subclass writes :meth:`_load` and :meth:`_forward`. The weights are found
    when the extractor is opened; they are read at the first image and given
    back by :meth:`close`.

    Attributes
    ----------
    RESAMPLE : str
        How images are resized; always antialiased when they shrink, as the
        models' own processors do.
    BYTES_PER_PIXEL : float
        Peak memory of activations per pixel of the model's input at float32,
        rounded up from measurements; decides the batch size.
    CPU_STEP_BYTES : float
        Activations of a step on a CPU at most.
    READY_ON_GPU : bool
        Whether a GPU brings images to the size of the model itself; not where a
        class overrides :meth:`_prepare`.
    """

    PRETRAINED: ClassVar[bool] = True
    RESAMPLE: Literal["bicubic", "bilinear"] = "bicubic"
    BYTES_PER_PIXEL: ClassVar[float] = 4000.0
    CPU_STEP_BYTES: ClassVar[float] = 256e6
    READY_ON_GPU: ClassVar[bool] = True

    def __init__(
        self, spec: str, options: dict[str, Any], source: WeightsSource, runtime: Runtime
    ) -> None:
        super().__init__(spec, options)
        self.source = source
        self.runtime = runtime
        self.revision = source.revision
        self.dtype = runtime.dtype
        self._model: Any = None
        self._fitting: int | None = None
        self._validate()

    @property
    def model(self) -> Any:
        """The model on its device, read on first use."""
        import torch

        if self._model is None:
            if not computes_in(self.runtime):
                _LOG.warning(
                    "'%s' runs at %s, in which this processor does not compute: it saves memory "
                    "and takes several times as long as --dtype float32.",
                    self.spec,
                    self.runtime.dtype,
                )
            model = self._load().to(self.runtime.device)
            if self._channels_last:
                model = model.to(memory_format=torch.channels_last)
            self._model = model.eval().requires_grad_(False)
        return self._model

    def close(self) -> None:
        """Release the model and the device memory it used."""
        self._model = None
        release_memory(self.runtime.device)

    @property
    def _channels_last(self) -> bool:
        # Convolutions in 16 bits are fast in this layout alone: twice on CPU, more on tensor
        # cores. At float32 it gains nothing, and the default layout gives the library's bits.
        return self.runtime.dtype != "float32"

    @property
    def ahead(self) -> bool:
        """On a GPU the next images are prepared meanwhile."""
        return self.runtime.kind != "cpu"

    def _validate(self) -> None:
        """Check the options against the configuration that was found."""
        return

    @abstractmethod
    def _load(self) -> Any:
        """Build the module with its weights, in the dtype of ``runtime``."""

    @abstractmethod
    def _forward(self, model: Any, images: Any) -> tuple[Any, Any | None]:
        """Normalised tensor (n, 3, H, W) to map (n, C, h, w) and vector (n, D)."""

    def _batch(self, geometry: Geometry) -> int:
        if self._fitting is None:
            height, width = geometry.padded
            item = np.dtype(np.float32).itemsize / self.runtime.torch_dtype.itemsize
            self._fitting = self.runtime.batch_for(
                self.BYTES_PER_PIXEL * height * width / item, self.CPU_STEP_BYTES
            )
        return self._fitting

    def _prepare(self, images: FloatArray, geometry: Geometry) -> FloatArray:
        import torch

        whole = torch.from_numpy(np.ascontiguousarray(images))
        return pad(self._resized(whole, geometry).numpy(), geometry)

    def _normalised(self, images: FloatArray, geometry: Geometry) -> FloatArray:
        # A GPU resizes faster than large images come to it.
        return images if self._by_gpu else super()._normalised(images, geometry)

    @property
    def _by_gpu(self) -> bool:
        usual = type(self)._prepare is TorchExtractor._prepare
        return usual and self.READY_ON_GPU and self.runtime.kind == "cuda"

    def _resized(self, images: Any, geometry: Geometry) -> Any:
        """A tensor (n, C, H, W) of images brought to the size of the model."""
        import torch

        if geometry.resized == tuple(images.shape[2:]):
            return images
        resized = torch.nn.functional.interpolate(
            images, size=geometry.resized, mode=self.RESAMPLE, antialias=True, align_corners=False
        )
        # Bicubic overshoots; a model's input range is 0..1 like that of the patch.
        return resized if self.BANDS else resized.clamp_(0.0, 1.0)

    def _made_ready(self, images: Any) -> Any:
        """What :meth:`_normalised` gives on a processor, by a tensor's own device."""
        import torch

        geometry = self.geometry(*images.shape[2:])
        resized = self._resized(images, geometry)
        bottom, right = (a - b for a, b in zip(geometry.padded, geometry.resized, strict=True))
        padded = torch.nn.functional.pad(resized, (0, right, 0, bottom), mode="replicate")
        if not self.normalises:
            return padded
        mean, std = (torch.tensor(v, device=padded.device) for v in (self.MEAN, self.STD))
        return (padded - mean[:, None, None]) / std[:, None, None]

    def _features(self, images: FloatArray) -> Features:
        return self._many(images, [self])[0]

    def _swept(self, images: FloatArray, family: Sequence[Extractor]) -> list[Features]:
        return self._many(images, family)

    def _forward_family(
        self, model: Any, images: Any, family: Sequence[Any]
    ) -> list[tuple[Any, Any | None]]:
        """As :meth:`_forward`, for members of which each reads at its own place."""
        raise NotImplementedError(f"{type(self).__name__} sweeps no option")

    def _many(self, images: FloatArray, family: Sequence[Extractor]) -> list[Features]:
        import torch

        try:
            with threads.limited(), torch.inference_mode(), exact_products(self.runtime):
                whole = torch.from_numpy(np.ascontiguousarray(images)).to(self.runtime.device)
                if self._by_gpu:
                    whole = self._made_ready(whole)
                tensor = whole.to(self.runtime.torch_dtype)
                if self._channels_last:
                    tensor = tensor.contiguous(memory_format=torch.channels_last)
                if len(family) == 1 and family[0] is self:
                    features = [self._forward(self.model, tensor)]
                else:
                    features = self._forward_family(self.model, tensor, family)
                return [(_to_numpy(v), None if w is None else _to_numpy(w)) for v, w in features]
        except NotImplementedError as error:
            if self.runtime.kind != "mps":
                raise
            reason, again = str(error).splitlines()[0], self._without_mps
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason, again = str(error).splitlines()[0], self._in_halves
        return again(images, reason, family)

    def _without_mps(
        self, images: FloatArray, reason: str, family: Sequence[Extractor]
    ) -> list[Features]:
        """Go on with the CPU where ``auto`` took an Apple GPU that lacks an operation."""
        if not self.runtime.by_itself:
            raise CrosslookError(f"'{self.spec}' cannot run on 'mps' ({reason}). Use --device cpu.")
        _LOG.warning("%s: 'mps' cannot run it (%s); going on with the CPU.", self.spec, reason)
        self.close()
        self.runtime, self._fitting = replace(self.runtime, device="cpu"), None
        return self._many(images, family)

    def _in_halves(
        self, images: FloatArray, reason: str, family: Sequence[Extractor]
    ) -> list[Features]:
        # Outside the except block, so that the failed attempt's tensors are free.
        release_memory(self.runtime.device)
        if len(images) == 1:
            raise CrosslookError(
                f"'{self.spec}' does not fit the memory of '{self.runtime.device}' even with one "
                f"image ({reason}). Use a smaller variant or side, --dtype bfloat16, or "
                "--device cpu."
            )
        half = (len(images) + 1) // 2
        self._fitting = min(half, self._fitting or half)
        _LOG.warning(
            "%s: a batch of %d does not fit the memory; going on with %d.",
            self.spec, len(images), half,
        )  # fmt: skip
        parts = self._many(images[:half], family), self._many(images[half:], family)
        features: list[Features] = []
        for (first, vector), (second, other) in zip(*parts, strict=True):
            both = None if vector is None or other is None else np.concatenate([vector, other])
            features.append((np.concatenate([first, second]), both))
        return features


class TokenExtractor(TorchExtractor):
    """A transformer whose patch tokens are read after the block that the option ``layer`` names.

    Later blocks are neither loaded nor computed.
    """

    VECTOR = True
    SWEPT = "layer"

    def _validate(self) -> None:
        check_processor(self.source, self.MEAN, self.STD, "hf:FOLDER")
        self._config = self._read_config()
        depth, layer = int(self._config["num_hidden_layers"]), int(self.options["layer"])
        if layer != -1 and not 1 <= layer <= depth:
            raise SpecError(
                f"'{self.spec}': layer={layer} must lie in 1..{depth}, or be -1 for the last."
            )
        self._layers = depth if layer == -1 else layer

    def _read_config(self) -> dict[str, Any]:
        """The configuration of the transformer."""
        return dict(self.source.config)

    @property
    def depth(self) -> float:
        """Blocks that are run."""
        return float(self._layers)

    def _laid_out(self, tokens: Any, images: Any) -> Any:
        cell = int(self._config["patch_size"])
        return token_map(tokens, (images.shape[2] // cell, images.shape[3] // cell))


def _to_numpy(tensor: Any) -> FloatArray:
    import torch

    whole = tensor.float().contiguous()
    if whole.is_cuda:  # memory that may be paged out is filled at a tenth of the speed
        there = torch.empty(whole.shape, dtype=whole.dtype, pin_memory=True)
        return np.array(there.copy_(whole).numpy())  # which is locked, and used again
    array: FloatArray = whole.cpu().numpy()
    return array
