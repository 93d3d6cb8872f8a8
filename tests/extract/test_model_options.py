"""What must change features (every option), and what must not (batches, order)."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crosslook.errors import SpecError, WeightsError
from crosslook.extract import torch_base
from crosslook.extract.registry import ROWS, extractor_class, open_extractor
from crosslook.extract.runtime import Runtime, computes_in
from crosslook.types import FeatureMap
from tests.helpers.checkpoints import images

OTHER_VALUE: dict[str, dict[str, Any]] = {
    "raw": {"cell": 8},
    "hog": {"cell": 8, "bins": 6, "blur": 0.5, "clip": 0.1, "soft": "no"},
    "efficientnet-lite0": {"block": 4},
    "sd-vae": {"block": 2, "side": 48},
    "sd-unet": {"t": 101, "block": 0, "noises": 3, "prompt": "a field", "side": 96},
    "dinov2": {"layer": 2, "side": 48},
    "clip": {"layer": 2, "side": 48},
    "sam2": {"level": 8, "side": 128},
    "hf": {"layer": 1, "side": 48, "stats": "clip"},
}
MODELS = sorted(set(OTHER_VALUE) - {"raw", "hog"})


def same(a: FeatureMap, b: FeatureMap, tolerance: float = 0.0) -> bool:
    if a.values.shape != b.values.shape or a.stride != b.stride:
        return False
    scale = float(np.abs(a.values).max())
    return bool(np.abs(a.values - b.values).max() <= tolerance * scale)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_option_changes_the_features(models: Any, row: Any) -> None:
    options = extractor_class(row).OPTIONS
    assert set(OTHER_VALUE[row.name]) == set(options), "an option without a test"
    stack = images(1, 64)
    default = models.open(row.name).extract(stack)
    for key, value in OTHER_VALUE[row.name].items():
        assert str(options[key].default) != str(value)
        changed = models.open(row.name, **{key: value}).extract(stack)
        assert not same(default, changed, 1e-4), f"{row.name}: {key}={value} changed nothing"


@pytest.mark.parametrize("name", MODELS)
def test_batches_and_order_do_not_change_the_features(models: Any, name: str) -> None:
    """To 1e-5 of the largest value: kernels are chosen by batch size."""
    stack = images(5, 64)
    whole = models.open(name, batch_size=5).extract(stack)
    for size in (1, 2):
        assert same(whole, models.open(name, batch_size=size).extract(stack), 1e-5)
    backwards = models.open(name, batch_size=2).extract(stack[::-1].copy())
    reversed_back = FeatureMap(backwards.values[::-1], backwards.stride)
    assert same(whole, reversed_back, 1e-5)
    again = models.open(name, batch_size=5).extract(stack)
    assert same(whole, again), "the same call on one machine gives the same bits"


def test_noise_belongs_to_the_image_not_to_its_place(models: Any) -> None:
    extractor = models.open("sd-unet")
    stack = images(2, 64)
    twice = extractor.extract(stack[[0, 1, 0]])
    np.testing.assert_allclose(twice.values[0], twice.values[2], rtol=1e-5, atol=1e-5)
    assert not np.allclose(twice.values[0], twice.values[1], atol=1e-3)


def dot_responses(
    extractor: Any, side: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Change one cell at nine places: true cells, strongest cells and centroids of the change."""
    scene = images(1, side, seed)
    before = extractor.extract(scene)
    cells, stride = before.values.shape[2], before.stride
    assert cells * stride == pytest.approx(side)
    places = [cells // 4, cells // 2, 3 * cells // 4]
    true, strongest, centroids = [], [], []
    for row, col in itertools.product(places, places):
        dotted, size = scene.copy(), max(2, round(stride))
        top, left = round(stride * row), round(stride * col)
        patch = dotted[:, :, top : top + size, left : left + size]
        patch[:] = (patch + 0.5) % 1
        change = np.square(extractor.extract(dotted).values - before.values).sum(axis=1)[0]
        weight = np.where(change > 0.05 * change.max(), change, 0)
        weight /= weight.sum()
        true.append((row, col))
        strongest.append(np.unravel_index(change.argmax(), change.shape))
        centroids.append([(axis * weight).sum() for axis in np.indices(change.shape)])
    return np.array(true), np.array(strongest), np.array(centroids)


@pytest.mark.parametrize("name", ["dinov2", "clip", "hf"])
def test_a_dot_is_found_in_the_matching_cell(models: Any, name: str) -> None:
    true, strongest, _ = dot_responses(models.open(name), 128)
    np.testing.assert_array_equal(strongest, true)


@pytest.mark.parametrize(
    ("name", "reach", "stretch", "settings"),
    [
        ("efficientnet-lite0", 0.6, 0.1, {}),
        ("sd-vae", 1.0, 0.1, {}),
        ("sd-vae:taesd", 1.0, 0.1, {}),
        ("sd-unet", 2.0, 0.2, {"t": 0}),
        ("sam2", 0.6, 0.1, {"side": 128}),
    ],
)
def test_a_dot_moves_the_response_of_convolutions_with_it(
    models: Any, name: str, reach: float, stretch: float, settings: dict[str, Any]
) -> None:
    """Random kernels lean to a side, by up to the reach of their coarsest map in cells.

    A wrong stride or origin would show as a slope or a shift. Of ``sd-unet`` one scene
    says little: its slopes are 0.77 to 1.0 over five.
    """
    extractor = models.open(name, **settings)
    scenes = 5 if name == "sd-unet" else 1
    responses = [dot_responses(extractor, 128, seed) for seed in range(scenes)]
    true, _, centroids = (np.concatenate(parts) for parts in zip(*responses, strict=True))
    for axis in (0, 1):
        slope, _ = np.polyfit(true[:, axis], centroids[:, axis], 1)
        assert slope == pytest.approx(1, abs=stretch)
        assert abs(np.mean(centroids[:, axis] - true[:, axis])) < reach


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", MODELS)
def test_half_precision_is_near_and_is_another_key(models: Any, name: str, dtype: str) -> None:
    stack = images(1, 64)
    full, half = models.open(name), models.open(name, dtype=dtype)
    assert full.key != half.key
    a, b = full.extract(stack).values.ravel(), half.extract(stack).values.ravel()
    cosine = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    # For sd-unet too: its noise once followed the rounded pixels, another one for each dtype.
    assert cosine > 0.98
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("there", [True, False])
def test_a_processor_without_units_for_16_bits_is_named(
    models: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """``sd-vae`` took six times as long at bfloat16 as at float32, and nothing said why."""
    monkeypatch.setattr(torch_base, "computes_in", lambda runtime: there)
    models.open("dinov2", dtype="bfloat16").extract(images(1, 32))
    said = "several times as long as --dtype float32" in caplog.text
    assert said == (not there)


def test_what_torch_does_not_tell_is_taken_to_be_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    half = Runtime("cpu", "bfloat16")
    for ops, expected in (
        (SimpleNamespace(), True),
        (SimpleNamespace(_is_mkldnn_bf16_supported=lambda: False), False),
    ):
        monkeypatch.setattr(torch.ops, "mkldnn", ops)
        assert computes_in(half) is expected
        assert computes_in(Runtime("cpu", "float32"))
        assert computes_in(Runtime("cuda", "bfloat16"))


def test_out_of_memory_halves_the_batch_and_says_so(models: Any, caplog: Any) -> None:
    import torch

    stack = images(5, 32)
    extractor = models.open("dinov2", batch_size=4)
    expected = models.open("dinov2", batch_size=1).extract(stack)
    forward = extractor._forward

    def small_only(model: Any, tensor: Any) -> Any:
        if len(tensor) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return forward(model, tensor)

    extractor._forward = small_only
    assert same(expected, extractor.extract(stack), 1e-5)
    assert "does not fit the memory; going on with 2" in caplog.text


def test_options_without_meaning_are_refused(models: Any) -> None:
    from crosslook.extract.registry import check_spec

    with pytest.raises(SpecError, match="noises"):
        check_spec("sd-unet:t=0,noises=4")
    with pytest.raises(SpecError, match="prompt"):
        check_spec("untrained:sd-unet:prompt=city")
    with pytest.raises(SpecError, match=r"1\.\.3"):
        models.open("dinov2", layer=9)
    with pytest.raises(SpecError, match=r"0\.\.2"):
        models.open("sd-unet", block=3)
    with pytest.raises(SpecError, match="Did you mean 'vitb14'"):
        check_spec("dinov2:vitb41")
    with pytest.raises(SpecError, match="needs a model"):
        check_spec("hf")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["dinov2", "clip", "sam2"])
def test_weights_converted_here_are_those_that_the_library_converts(
    models: Any, name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from crosslook.extract import checkpoint

    handed: list[bool] = []
    weights = checkpoint._weights

    def watched(*given: Any) -> dict[str, Any]:
        given_weights = weights(*given)
        handed.append("state_dict" in given_weights)
        return given_weights

    monkeypatch.setattr(checkpoint, "_weights", watched)
    here = models.open(name, dtype=dtype).model.state_dict()
    monkeypatch.setattr(checkpoint, "_converts", lambda folder, dtype: False)
    there = models.open(name, dtype=dtype).model.state_dict()
    assert handed == [True, False]
    assert here.keys() == there.keys()
    for key, value in here.items():
        assert value.dtype == there[key].dtype == getattr(torch, dtype)
        assert torch.equal(value, there[key]), key


def test_a_cut_checkpoint_is_one_clear_error_at_16_bits(models: Any, tmp_path: Path) -> None:
    shutil.copytree(models.folder("dinov2"), tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    cut = open_extractor(
        "dinov2", device="cpu", dtype="bfloat16", weights={"dinov2": tmp_path / "cut"}
    )
    with pytest.raises(WeightsError, match="cannot be read"):
        cut.extract(images(1, 64))


def test_a_resolution_of_an_autoencoder_is_that_of_its_own_layers(models: Any) -> None:
    """``AutoencoderKL``: by hooks on the whole encoder."""
    import torch

    stack = images(1, 64)
    whole = models.open("sd-vae")
    whole.extract(stack)
    seen: dict[int, Any] = {}
    encoder = whole._model.encoder
    blocks = encoder.down_blocks
    for at, block in enumerate(blocks):
        block.resnets[-1].register_forward_hook(lambda m, g, out, at=at: seen.update({at: out}))
    with torch.no_grad():
        encoder(torch.from_numpy(stack * 2 - 1))
    for at in range(len(blocks)):
        read = models.open("sd-vae", block=at + 1).extract(stack)
        assert read.stride == 2**at
        np.testing.assert_allclose(read.values, seen[at].numpy(), atol=1e-5)
