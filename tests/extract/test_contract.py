"""What holds for every row of the registry, opened as a user opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.errors import InputError, SettingError, SpecError, WeightsError
from crosslook.extract.registry import ROWS, check_spec, describe_rows, open_extractor
from crosslook.extract.torch_base import TorchExtractor
from tests.helpers.checkpoints import images, shaken

EVERY = pytest.mark.parametrize("name", [row.name for row in ROWS])


@EVERY
def test_maps_have_the_agreed_form(models: Any, name: str) -> None:
    extractor = models.open(name)
    features = extractor.extract(images(3, 64))
    assert features.values.dtype == np.float32
    assert features.values.ndim == 4
    assert features.values.flags.c_contiguous
    assert len(features) == 3
    assert np.isfinite(features.values).all()
    assert features.values.shape[2] * features.stride == pytest.approx(64)
    if features.vector is not None:
        assert features.vector.shape[0] == 3
        assert features.vector.dtype == np.float32
    assert not np.allclose(features.values[0], features.values[1], atol=1e-4)


@EVERY
def test_images_need_not_be_square(models: Any, name: str) -> None:
    extractor = models.open(name)
    stack = images(1, 64)[:, :, :40]
    values = extractor.extract(np.ascontiguousarray(stack)).values
    height, width = values.shape[2:]
    stride = extractor.geometry(40, 64).stride
    assert width * stride >= 64 - 1e-6
    assert height * stride >= 40 - 1


@EVERY
@pytest.mark.filterwarnings("error:.*not writable")
def test_one_grey_plane_seen_thrice_is_three_equal_planes(models: Any, name: str) -> None:
    grey = np.broadcast_to(images(2, 64)[:, :1], (2, 3, 64, 64))
    extractor = models.open(name)
    seen, held = extractor.extract(grey), extractor.extract(np.ascontiguousarray(grey))
    np.testing.assert_array_equal(seen.values, held.values)
    with pytest.raises(InputError):
        extractor.extract(np.broadcast_to(grey[:, :1] * 2, grey.shape))


@EVERY
def test_a_gpu_makes_images_ready_as_a_processor_does(
    models: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = models.open(name)
    if not isinstance(extractor, TorchExtractor):
        return
    stack = np.ascontiguousarray(images(2, 64)[:, :, :40])
    by_processor = extractor.extract(stack)
    # The path of a GPU, on the tensors of a processor.
    monkeypatch.setattr(TorchExtractor, "_by_gpu", property(lambda self: self.READY_ON_GPU))
    np.testing.assert_array_equal(extractor.extract(stack).values, by_processor.values)


@EVERY
def test_what_is_no_image_is_refused(models: Any, name: str) -> None:
    extractor = models.open(name)
    good = images(1, 32)
    for bad in (good[0], good[:, :1], good * 2, good.astype(np.float64), good * np.nan):
        with pytest.raises(InputError):
            extractor.extract(bad)


@EVERY
def test_unknown_options_and_devices_are_refused(models: Any, name: str) -> None:
    with pytest.raises(SpecError, match="has no option 'colour'"):
        models.open(name, colour="red")
    if name in ("raw", "hog"):
        return
    for settings in ({"dtype": "float8"}, {"batch_size": 0}):
        with pytest.raises(SettingError):
            models.open(name, **settings)


def test_every_row_and_variant_is_described() -> None:
    described = describe_rows()
    specs = [info.spec for info in described]
    assert len(set(specs)) == len(specs) == sum(max(1, len(row.variants)) for row in ROWS)
    for info in described:
        for field in ("what", "parameters", "channels", "stride", "input", "licence", "weights"):
            assert getattr(info, field), f"{info.spec} says nothing of its {field}"
        if not info.spec.startswith("hf"):
            check_spec(info.spec)


def test_a_model_without_a_map_is_refused_with_the_reason(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        vocab_size=30,
    )  # fmt: skip
    BertModel(config).save_pretrained(tmp_path)
    extractor = open_extractor(f"hf:{tmp_path},stats=imagenet", device="cpu")
    with pytest.raises(WeightsError, match="input_ids, not images"):
        extractor.extract(images(1, 32))


def test_a_model_that_wants_to_run_its_own_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoModel": "harm.Model"}}'
    )
    (tmp_path / "harm.py").write_text("raise SystemExit('code of the repository ran')")
    (tmp_path / "model.safetensors").write_bytes(b"")
    extractor = open_extractor(f"hf:{tmp_path},stats=imagenet", device="cpu")
    with pytest.raises(WeightsError, match="never runs such code"):
        extractor.extract(images(1, 32))


def test_a_hub_model_needs_its_statistics(models: Any, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "vit"
    shutil.copytree(models.folder("hf"), folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="stats=imagenet"):
        open_extractor(f"hf:{folder}", device="cpu")
    open_extractor(f"hf:{folder},stats=half", device="cpu").extract(images(1, 32))


def test_convolutional_and_untrained_hub_models(tmp_path: Path) -> None:
    from transformers import ConvNextConfig, ConvNextModel

    config = ConvNextConfig(
        hidden_sizes=[8, 12], depths=[1, 1], num_stages=2, patch_size=4, image_size=64
    )
    shaken(ConvNextModel(config)).save_pretrained(tmp_path)
    stack = images(2, 64)
    trained = open_extractor(f"hf:{tmp_path},stats=imagenet", device="cpu").extract(stack)
    assert trained.values.shape == (2, 12, 8, 8)
    assert trained.stride == 8
    untrained = open_extractor(f"untrained:hf:{tmp_path}", device="cpu").extract(stack)
    assert untrained.values.shape == trained.values.shape
    assert not np.allclose(untrained.values, trained.values)


def test_a_device_that_is_not_there_is_refused(models: Any) -> None:
    import torch

    from crosslook.extract.runtime import resolve_runtime

    with pytest.raises(SettingError, match="Did you mean 'cuda'"):
        resolve_runtime("cudda:1", "float32", None)
    for wrong in ("cuda:", "cuda:x", "cpu:1"):
        with pytest.raises(SettingError, match="cuda:N"):
            resolve_runtime(wrong, "float32", None)
    if not torch.cuda.is_available():
        with pytest.raises(SettingError, match="device 'cuda:1' is not available"):
            resolve_runtime("cuda:1", "float32", None)
    if not torch.backends.mps.is_available():
        with pytest.raises(SettingError, match="--device cpu"):
            resolve_runtime("mps", "float32", None)


def test_the_batch_fits_half_of_the_memory() -> None:
    from crosslook.extract.runtime import Runtime

    runtime = Runtime("cpu")
    assert runtime.batch_for(1.0) == 8
    assert runtime.batch_for(1e15) == 1
    assert Runtime("cpu", batch_size=3).batch_for(1e15) == 3
