"""Sweeps: how they are written, and one forward pass for all depths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.errors import SpecError
from crosslook.extract.base import Extractor
from crosslook.extract.run import extract_family
from crosslook.extract.spec import expand_sweep, split_specs
from crosslook.extract.torch_base import TorchExtractor
from crosslook.storage import Folder
from crosslook.types import Patch, Window
from tests.helpers.checkpoints import images


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("dinov2:layer=1..3", ["dinov2:layer=1", "dinov2:layer=2", "dinov2:layer=3"]),
        ("sam2:level=4,8,16", ["sam2:level=4", "sam2:level=8", "sam2:level=16"]),
        ("sam2:hiera-small,level=4,8", ["sam2:hiera-small,level=4", "sam2:hiera-small,level=8"]),
        (
            "sd-unet:t=0,50;block=0..1",
            ["sd-unet:t=0,block=0", "sd-unet:t=0,block=1", "sd-unet:t=50,block=0",
             "sd-unet:t=50,block=1"],
        ),
        ("untrained:dinov2:layer=1..2", ["untrained:dinov2:layer=1", "untrained:dinov2:layer=2"]),
        ("hog:cell=8,bins=9", ["hog:cell=8,bins=9"]),
        ("hf:some/model,layer=1..2", ["hf:some/model,layer=1", "hf:some/model,layer=2"]),
        ("raw", ["raw"]),
        ("hog:blur=0.5,1.5", ["hog:blur=0.5", "hog:blur=1.5"]),
    ],
)  # fmt: skip
def test_a_sweep_stands_for_one_spec_each(text: str, specs: list[str]) -> None:
    assert split_specs(f"raw,{text},hog") == ["raw", text, "hog"]
    assert expand_sweep(text) == specs


@pytest.mark.parametrize("text", ["dinov2:layer=3..1", "dinov2:layer=1..x", "raw:cell=1..1000"])
def test_a_range_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"1\.\.12"):
        expand_sweep(text)


FAMILIES = [
    ("dinov2", [{"layer": 1}, {"layer": 3}, {"layer": 2}, {"layer": -1}]),
    ("clip", [{"layer": 1}, {"layer": 2}]),
    ("sam2", [{"level": 4}, {"level": 8}, {"level": 16}]),
    ("sd-unet", [{"t": 50, "block": 1}, {"t": 50, "block": 0}]),
    ("sd-unet", [{"t": 0, "block": 0}, {"t": 0, "block": 1}]),
    ("hf", [{"layer": 1}, {"layer": 2}, {"layer": -1}]),
]


def passes(extractor: Extractor) -> list[int]:
    """Count the calls of the model of an extractor, loaded already."""
    calls: list[int] = []
    assert isinstance(extractor, TorchExtractor)
    model = extractor.model
    inner = model["unet"] if extractor.spec.startswith("sd-unet") else model
    inner.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), FAMILIES)
def test_one_pass_gives_what_each_would_give_alone(
    models: Any, name: str, options: list[dict[str, int]]
) -> None:
    family = [models.open(name, **one) for one in options]
    stack = images(3, 64)
    alone = [one.extract(stack) for one in family]
    fresh = [models.open(name, **one) for one in options]
    deepest = max(fresh, key=lambda one: one.depth)
    assert deepest.SWEPT in options[0]
    deepest.extract(stack)
    calls = passes(deepest)
    together = deepest.extract_family(stack, fresh)
    draws = int(deepest.options.get("noises", 1)) if deepest.options.get("t") else 1
    assert len(calls) == draws
    for one, expected in zip(together, alone, strict=True):
        scale = np.abs(expected.values).max()
        np.testing.assert_allclose(one.values, expected.values, atol=1e-5 * scale)
        assert one.stride == pytest.approx(expected.stride)
        if name != "hf" and expected.vector is not None:
            assert one.vector is not None
            np.testing.assert_allclose(one.vector, expected.vector, atol=1e-4)
    assert not any(np.allclose(together[0].values, b.values) for b in together[1:]
                   if b.values.shape == together[0].values.shape)  # fmt: skip


class Grey:
    """Five smooth patches."""

    patches = tuple(Patch(f"p{i}", "s", "s", Window(0, 0, 32, 32)) for i in range(5))

    def fingerprint(self, modality: str) -> str:
        return modality

    def read(self, modality: str, indices: Any) -> np.ndarray:
        return images(5, 32, seed=int(modality == "sar"))[list(indices)]


def test_a_family_fills_the_store_of_each_and_loads_one_model(models: Any, tmp_path: Path) -> None:
    family = [models.open("dinov2", layer=k) for k in (1, 2, 3)]
    store = Folder(tmp_path)
    sets = extract_family(family, Grey(), "sar", store)
    assert [one._model is not None for one in family] == [False, False, True]
    alone = models.open("dinov2", layer=2).extract(Grey().read("sar", range(5)))
    np.testing.assert_allclose(sets[1].read(0).values, alone.values, atol=1e-5)
    assert len({str(one.folder) for one in sets}) == 3


def test_a_layer_that_a_hub_model_lacks_is_refused(models: Any) -> None:
    with pytest.raises(SpecError, match=r"must lie in 1\.\."):
        models.open("hf", layer=40).extract(images(1, 32))
