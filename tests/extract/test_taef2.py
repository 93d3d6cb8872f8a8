"""``sd-vae:taef2``: a bare file of weights, with branches that diffusers' class lacks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.errors import SpecError, WeightsError
from crosslook.extract.fetch import fetch
from crosslook.extract.registry import find_row, open_extractor
from tests.helpers.checkpoints import images

torch = pytest.importorskip("torch", reason="the models extra is not installed")
pytest.importorskip("diffusers", reason="the models extra is not installed")

_HALVES, _POOLED, _LAST = (2, 6, 10), (11, 12, 13), 14
_BESIDE_PROJECT = Path(__file__).resolve().parents[3] / "shared" / "models" / "taef2"


def write_weights(folder: Path) -> dict[str, Any]:
    """Write a file of the published layout: 15 layers, 64 channels, random values."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Any:
        return torch.randn(shape, generator=generator) * 0.06

    state = {"0.weight": random(64, 3, 3, 3), "0.bias": random(64)}
    for layer in range(1, _LAST):
        if layer in _HALVES:
            state[f"{layer}.weight"] = random(64, 64, 3, 3)
            continue
        for part in (0, 2, 4):
            state[f"{layer}.conv.{part}.weight"] = random(64, 64, 3, 3)
            state[f"{layer}.conv.{part}.bias"] = random(64)
        if layer in _POOLED:
            state[f"{layer}.pool.0.weight"] = random(256, 64, 1, 1)
            state[f"{layer}.pool.1.weight"] = random(256)
            state[f"{layer}.pool.1.bias"] = random(256)
            state[f"{layer}.pool.3.weight"] = random(64, 256, 1, 1)
    state |= {"14.weight": random(32, 64, 3, 3), "14.bias": random(32)}
    folder.mkdir()
    torch.save(state, folder / "taef2_encoder.pth")
    return state


def by_hand(state: dict[str, object], stack: np.ndarray, last: int | None = None) -> np.ndarray:
    """The encoder in plain functions, from the description of its layers, up to one of them."""
    from torch.nn.functional import conv2d, group_norm, relu

    def w(name: str) -> Any:
        return state[name]

    x = conv2d(torch.from_numpy(stack), w("0.weight"), w("0.bias"), padding=1)
    for layer in range(1, last or _LAST):
        if layer in _HALVES:
            x = conv2d(x, w(f"{layer}.weight"), stride=2, padding=1)
            continue
        if layer in _POOLED:
            y = conv2d(x, w(f"{layer}.pool.0.weight"))
            y = relu(group_norm(y, 4, w(f"{layer}.pool.1.weight"), w(f"{layer}.pool.1.bias")))
            x = x + conv2d(y, w(f"{layer}.pool.3.weight"))
        y = x
        for part in (0, 2, 4):
            y = conv2d(
                y, w(f"{layer}.conv.{part}.weight"), w(f"{layer}.conv.{part}.bias"), padding=1
            )
            y = relu(y) if part < 4 else y
        x = relu(y + x)
    if last is not None:
        return np.asarray(x.numpy())
    latents: np.ndarray = conv2d(x, w("14.weight"), w("14.bias"), padding=1).numpy()
    return latents


@pytest.mark.parametrize(("block", "last", "stride"), [(1, 2, 1), (3, 10, 4), (4, 14, 8)])
def test_a_resolution_is_read_before_it_is_halved(
    tmp_path: Path, block: int, last: int, stride: int
) -> None:
    state = write_weights(tmp_path / "taef2")
    stack = images(1, 64)
    weights = {"sd-vae:taef2": tmp_path / "taef2"}
    found = open_extractor(f"sd-vae:taef2,block={block}", device="cpu", weights=weights)
    features = found.extract(stack)
    expected = by_hand(state, stack, last)
    assert (features.stride, features.values.shape) == (stride, (1, 64, 64 // stride, 64 // stride))
    np.testing.assert_allclose(features.values, expected, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(SpecError, match=r"0\.\.4"):
        open_extractor("sd-vae:taef2,block=5", device="cpu", weights=weights)


def test_the_latents_are_those_of_the_layers_by_hand(tmp_path: Path) -> None:
    state = write_weights(tmp_path / "taef2")
    stack = images(2, 64)
    opened = open_extractor(
        "sd-vae:taef2", device="cpu", weights={"sd-vae:taef2": tmp_path / "taef2"}
    )
    features = opened.extract(stack)
    expected = by_hand(state, stack)
    assert features.values.shape == (2, 32, 8, 8)
    assert features.stride == 8
    np.testing.assert_allclose(features.values, expected, atol=1e-4 * np.abs(expected).max())
    assert opened.revision.startswith("sha256-")
    count = sum(tensor.numel() for tensor in state.values())
    assert count == find_row("sd-vae").variants["taef2"].parameters


def test_the_untrained_twin_needs_no_file() -> None:
    features = open_extractor("untrained:sd-vae:taef2", device="cpu").extract(images(1, 32))
    assert features.values.shape == (1, 32, 4, 4)


def test_missing_weights_say_where_they_are_downloaded(tmp_path: Path) -> None:
    for attempt in (
        lambda: open_extractor("sd-vae:taef2", weights={"sd-vae:taef2": tmp_path}),
        lambda: fetch("sd-vae:taef2"),
    ):
        with pytest.raises(WeightsError, match=r"taef2_encoder\.pth") as refused:
            attempt()
        assert "https://github.com/madebyollin/taesd" in str(refused.value)
        assert "--weights sd-vae:taef2=FOLDER" in str(refused.value)


def test_other_weights_under_its_name_are_refused(tmp_path: Path) -> None:
    state = write_weights(tmp_path / "taef2")
    del state["12.pool.3.weight"]
    torch.save(state, tmp_path / "taef2" / "taef2_encoder.pth")
    opened = open_extractor(
        "sd-vae:taef2", device="cpu", weights={"sd-vae:taef2": tmp_path / "taef2"}
    )
    with pytest.raises(WeightsError, match=r"12\.pool\.3\.weight"):
        opened.extract(images(1, 32))


def test_the_published_weights_fit() -> None:
    folder = Path(os.environ.get("CROSSLOOK_TAEF2", _BESIDE_PROJECT))
    if not (folder / "taef2_encoder.pth").is_file():
        pytest.skip(f"the TAEF2 weights are not at {folder}; set CROSSLOOK_TAEF2")
    opened = open_extractor("sd-vae:taef2", device="cpu", weights={"sd-vae:taef2": folder})
    values = opened.extract(images(1, 256)).values
    assert values.shape == (1, 32, 32, 32)
    assert 0.3 < values.std() < 3.0
