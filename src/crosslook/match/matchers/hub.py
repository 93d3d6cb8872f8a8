"""``hub:NAME``: matchers of transformers and of vismatch, read from local weights.

``hub:superglue``, ``hub:lightglue``, ``hub:efficientloftr``, ``hub:matchanything``, a
repository of the Hugging Face hub or a folder name a checkpoint that transformers'
``AutoModelForKeypointMatching`` opens. Any other name is one of vismatch
(``image-matching-models``), as ``hub:roma``. Nothing is downloaded, and code from a
repository is never run.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crosslook.errors import MissingExtraError, SettingError, WeightsError, did_you_mean
from crosslook.extract.checkpoint import from_pretrained
from crosslook.extract.rows import ANY_CHECKPOINT, Variant
from crosslook.extract.runtime import resolve_runtime
from crosslook.extract.weights import WeightsSource, find_checkpoint, read_processor
from crosslook.match.matchers.base import Matcher
from crosslook.match.matchers.offline import offline
from crosslook.match.matchers.tiled import Correspondences, ImageMatcher
from crosslook.match.settings import RegisterSettings
from crosslook.types import Array, FloatArray

PREFIX = "hub:"

REPOSITORIES = {
    "superglue": "magic-leap-community/superglue_outdoor",
    "superglue-indoor": "magic-leap-community/superglue_indoor",
    "lightglue": "ETH-CVG/lightglue_superpoint",
    "lightglue-disk": "ETH-CVG/lightglue_disk",
    "efficientloftr": "zju-community/efficientloftr",
    "matchanything": "zju-community/matchanything_eloftr",
}
"""Checkpoints of transformers by a short name. SuperPoint's and SuperGlue's weights are
licensed for research alone."""

_KINDS = {
    "superglue": "SuperGlueForKeypointMatching",
    "lightglue": "LightGlueForKeypointMatching",
    "efficientloftr": "EfficientLoFTRForKeypointMatching",
}
_PACKAGES = ("vismatch", "imm", "matching")
"""Names under which image-matching-models can be imported, newest first."""

_STEP = 32  # sides of the input are whole multiples of it
_USUAL_SIDE = 640


def open_hub_matcher(settings: RegisterSettings) -> Matcher:
    """Open the matcher that ``hub:NAME`` names; its weights are looked for at once.

    Raises
    ------
    WeightsError
        If its weights are not here.
    MissingExtraError
        If its package is not installed.
    """
    name = settings.matcher.removeprefix(PREFIX)
    if name in REPOSITORIES or "/" in name or Path(name).is_dir():
        return TransformersMatcher(settings)
    return PackageMatcher(settings)


class TransformersMatcher(ImageMatcher):
    """A matcher of transformers: SuperGlue, LightGlue, EfficientLoFTR, MatchAnything.

    A tile is brought to the size that the checkpoint's preprocessor names, by its
    longer side, and to whole multiples of 32 pixels.
    """

    def __init__(self, settings: RegisterSettings) -> None:
        super().__init__(settings)
        if find_spec("transformers") is None:
            raise MissingExtraError(
                f"'{settings.matcher}' needs transformers: pip install 'crosslook[models]'."
            )
        self.source = _source_of(settings)
        kind = str(self.source.config.get("model_type"))
        if kind not in _KINDS:
            raise WeightsError(
                f"{self.source.model} is a '{kind}' model; matchers that are read are: "
                f"{', '.join(_KINDS)}."
            )

    @property
    def revision(self) -> str:
        """Commit or digest of the weights."""
        return self.source.revision

    @cached_property
    def _side(self) -> int:
        size = read_processor(self.source.folder).get("size") or {}
        return int(max((v for v in size.values() if v), default=_USUAL_SIDE))

    @cached_property
    def _model(self) -> Any:
        import torch
        import transformers

        config = dict(self.source.config)
        kind = config.pop("model_type")
        config.pop("auto_map", None)
        cls = getattr(transformers, _KINDS[kind])
        expected = transformers.CONFIG_MAPPING[kind](**config)
        model = from_pretrained(cls, self.source, expected, torch.float32)
        device = resolve_runtime(self.settings.device, "float32", None).device
        return model.eval().to(torch.device(device))

    def _match(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        import torch

        height, width = sar.shape
        factor = self._side / max(height, width)
        shape = [max(_STEP, round(n * factor / _STEP) * _STEP) for n in (height, width)]
        pair = np.stack([cv2.resize(one, shape[::-1], interpolation=cv2.INTER_AREA)
                         for one in (sar, optical)])  # fmt: skip
        pixels = torch.from_numpy(np.repeat(pair[None, :, None], 3, axis=2))
        with torch.inference_mode():
            found = self._model(pixels.to(self._model.device))
        here, there, score = _matched(found)
        size = np.array([width, height], np.float64)  # positions are fractions of x and y
        half = 0.5 * size[::-1] / shape
        sides = [(one * size)[:, ::-1] + half for one in (here, there)]
        return Correspondences(sides[0], sides[1], score)


def _matched(found: Any) -> tuple[Array, Array, Array]:
    """Fractions (n, 2) of width and height in both images, and scores (n,), of an output."""
    points = found.keypoints[0].float().cpu().numpy().astype(np.float64)
    matches, scores = (  # one model gives both images of a pair a dimension of their own, one not
        one.float().cpu().numpy().astype(np.float64).reshape(-1, 2, one.shape[-1])[0]
        for one in (found.matches, found.matching_scores)
    )
    if getattr(found, "mask", None) is None:  # EfficientLoFTR: place by place
        kept = (matches > -1).all(axis=0) & (scores > 0).all(axis=0)
        return points[0][kept], points[1][kept], scores[0][kept]
    known = found.mask[0].cpu().numpy() > 0
    partner = matches[0].astype(np.int64)
    kept = known[0] & (partner > -1) & (partner < known[1].sum()) & (scores[0] > 0)
    return points[0][kept], points[1][partner[kept]], scores[0][kept]


def _source_of(settings: RegisterSettings) -> WeightsSource:
    """The checkpoint: a folder, the one that ``--weights`` names, or the hub's cache."""
    name = settings.matcher.removeprefix(PREFIX)
    repository = REPOSITORIES.get(name, name)
    variant = Variant(repository, "of the checkpoint", 0, 0, 0.0, files=ANY_CHECKPOINT)
    folder = settings.weights.get(settings.matcher)
    if folder is None and Path(name).is_dir():
        folder = Path(name)
    return find_checkpoint(settings.matcher, variant, folder)


class PackageMatcher(ImageMatcher):
    """A matcher of vismatch (``image-matching-models``), as RoMa, MINIMA, XoFTR, LoFTR, MASt3R."""

    def __init__(self, settings: RegisterSettings) -> None:
        super().__init__(settings)
        self.name = settings.matcher.removeprefix(PREFIX)
        package = next((one for one in _PACKAGES if find_spec(one) is not None), None)
        if package is None:
            raise MissingExtraError(
                f"'{settings.matcher}' is none of transformers' matchers "
                f"({', '.join(REPOSITORIES)}, a hub id, a folder) and needs vismatch for any "
                "other: pip install vismatch." + did_you_mean(self.name, list(REPOSITORIES))
            )
        self.package = import_module(package)
        known = list(getattr(self.package, "available_models", ()))
        if known and self.name not in known:
            raise SettingError(
                f"{package} has no matcher '{self.name}'; it has: {', '.join(known)}."
                + did_you_mean(self.name, [*known, *REPOSITORIES])
            )
        self._model = self._opened()

    @property
    def revision(self) -> str:
        """The package and its version."""
        name = self.package.__name__
        return f"{name} {getattr(self.package, '__version__', '')}".strip()

    def _opened(self) -> Any:
        device = resolve_runtime(self.settings.device, "float32", None).device
        try:
            with offline():
                return self.package.get_matcher(self.name, device=device)
        except (OSError, RuntimeError, ValueError) as error:
            raise WeightsError(
                f"'{self.settings.matcher}': {self.package.__name__} cannot open its weights here "
                f"({' '.join(str(error).split())[:200]}). Where the network is in reach, run: "
                "python "
                f"-c \"import {self.package.__name__} as v; v.get_matcher('{self.name}')\", and "
                "carry its cache folder over."
            ) from error

    def _match(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        images = [np.ascontiguousarray(np.repeat(one[None], 3, axis=0)) for one in (sar, optical)]
        import torch

        with offline():  # some load parts of themselves when they first match
            found = self._model(*(torch.from_numpy(one) for one in images))
        here, there = (np.asarray(found[f"matched_kpts{i}"], np.float64) for i in (0, 1))
        score = found.get("matched_confidences")
        return Correspondences.from_xy(here, there, None if score is None else np.asarray(score))
