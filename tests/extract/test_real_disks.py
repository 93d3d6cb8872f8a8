"""Weights as they lie on real disks: each case written here, and none a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.errors import WeightsError
from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_extractor
from crosslook.extract.weights import missing
from tests.helpers.checkpoints import images, shaken

torch = pytest.importorskip("torch", reason="the models extra is not installed")
pytest.importorskip("diffusers", reason="the models extra is not installed")


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf" / "hub"


@pytest.fixture
def dinov2(models: Any, tmp_path: Path) -> Path:
    """A copy of the small DINOv2 that a test may spoil."""
    return Path(shutil.copytree(models.folder("dinov2"), tmp_path / "dinov2"))


def opened(name: str, folder: Path, **settings: Any) -> Extractor:
    return open_extractor(name, device="cpu", weights={name: folder}, **settings)


def same_features(one: Extractor, other: Extractor, tolerance: float = 0.0) -> None:
    stack = images(2, 32)
    features, expected = one.extract(stack).values, other.extract(stack).values
    np.testing.assert_allclose(features, expected, atol=tolerance * np.abs(expected).max())


def tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    file = next(folder.glob("*.safetensors"))
    state: dict[str, Any] = load_file(file)
    file.unlink()
    return state


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["dinov2", "sd-vae"])
def test_a_legacy_pickle_that_is_no_archive(
    models: Any, tmp_path: Path, name: str, dtype: str
) -> None:
    folder = Path(shutil.copytree(models.folder(name), tmp_path / name))
    stem = "diffusion_pytorch_model" if name == "sd-vae" else "pytorch_model"
    torch.save(tensors(folder), folder / f"{stem}.bin", _use_new_zipfile_serialization=False)
    same_features(opened(name, folder, dtype=dtype), models.open(name, dtype=dtype), 1e-6)


def test_a_cache_whose_snapshot_has_no_name_of_a_branch(dinov2: Path, hub: Path) -> None:
    snapshots = hub / "models--facebook--dinov2-base" / "snapshots"
    shutil.copytree(dinov2, snapshots / "c0ffee")
    assert open_extractor("dinov2", device="cpu").revision == "c0ffee"
    shutil.copytree(dinov2, snapshots / "decaf")  # which of the two is not known
    with pytest.raises(WeightsError, match="facebook/dinov2-base lacks"):
        open_extractor("dinov2", device="cpu")


@pytest.mark.parametrize("name", ["dinov2", "sd-vae", "hf"])
def test_half_precision_files_alone(models: Any, tmp_path: Path, name: str) -> None:
    from safetensors.torch import save_file

    folder = Path(shutil.copytree(models.folder(name), tmp_path / name))
    stem = "diffusion_pytorch_model" if name == "sd-vae" else "model"
    half = {key: tensor.half() for key, tensor in tensors(folder).items()}
    save_file(half, folder / f"{stem}.fp16.safetensors", metadata={"format": "pt"})
    spec = f"hf:{folder}" if name == "hf" else name
    weights = {} if name == "hf" else {name: folder}
    opened = open_extractor(spec, device="cpu", weights=weights)
    same_features(opened, models.open(name), 5e-3)


def vit(**more: Any) -> Any:
    from transformers import ViTConfig

    return ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8, **more,
    )  # fmt: skip


def processor(folder: Path, **more: Any) -> None:
    folder.mkdir(exist_ok=True)
    content = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **more}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))


def test_a_checkpoint_without_pooler_and_with_a_classifier(tmp_path: Path) -> None:
    from transformers import ViTForImageClassification

    processor(tmp_path)
    model = shaken(ViTForImageClassification(vit(num_labels=5)))
    model.save_pretrained(tmp_path)
    for dtype, tolerance in (("float32", 1e-5), ("bfloat16", 0.1)):
        features = open_extractor(f"hf:{tmp_path}", device="cpu", dtype=dtype).extract(
            images(2, 32)
        )
        assert features.vector is None, "random weights are no embedding"
        with torch.no_grad():
            pixels = torch.from_numpy((images(2, 32) - 0.5) / 0.5)
            expected = model.vit(pixels).last_hidden_state[:, 1:].numpy()
        laid_out = features.values.reshape(2, 16, 16).transpose(0, 2, 1)
        np.testing.assert_allclose(laid_out, expected, atol=tolerance * np.abs(expected).max())


def test_a_dinov2_saved_with_a_classifier(models: Any, tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2ForImageClassification, Dinov2Model

    folder = models.folder("dinov2")
    model = Dinov2ForImageClassification(Dinov2Config.from_pretrained(folder))
    model.dinov2 = Dinov2Model.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    same_features(opened("dinov2", tmp_path), models.open("dinov2"), 1e-6)


def test_a_repository_under_its_old_name(models: Any, hub: Path) -> None:
    old = hub / "models--runwayml--stable-diffusion-v1-5"
    shutil.copytree(models.folder("sd-unet"), old / "snapshots" / "abc")
    assert not missing(["sd-unet"])
    assert open_extractor("sd-unet", device="cpu").revision == "abc"


def hub_model(folder: Path, **processor_of: Any) -> Path:
    from transformers import ViTModel

    processor(folder, **processor_of)
    torch.manual_seed(0)
    shaken(ViTModel(vit())).save_pretrained(folder)
    return folder


def test_other_factors_of_the_pixels_are_applied_and_change_the_key(tmp_path: Path) -> None:
    plain = open_extractor(f"hf:{hub_model(tmp_path / 'a')}", device="cpu")
    double = hub_model(tmp_path / "b", rescale_factor=2 / 255)
    other = open_extractor(f"hf:{double}", device="cpu")
    assert plain.key["input"] != other.key["input"]
    # (2 x - 0.5) / 0.5 of x is (x - 0.5) / 0.5 of 2 x.
    stack = images(2, 32)
    halved = (stack / 2).astype(np.float32)
    np.testing.assert_allclose(other.extract(halved).values, plain.extract(stack).values, atol=1e-5)
    raw = open_extractor(f"hf:{hub_model(tmp_path / 'c', do_rescale=False)}", device="cpu")
    assert pytest.approx((0.5 / 255,) * 3) == raw.STD


@pytest.mark.parametrize("key", ["rescale_offset", "do_flip_channel_order"])
def test_what_is_not_done_to_pixels_is_refused(tmp_path: Path, key: str) -> None:
    folder = hub_model(tmp_path / "model", **{key: True})
    with pytest.raises(WeightsError, match=key):
        open_extractor(f"hf:{folder}", device="cpu")


def test_statistics_that_are_not_those_of_the_kind_are_refused(dinov2: Path) -> None:
    processor(dinov2)
    with pytest.raises(WeightsError, match=r"image_mean \[0\.5, 0\.5, 0\.5\].*hf:FOLDER"):
        opened("dinov2", dinov2)
    (dinov2 / "preprocessor_config.json").unlink()
    opened("dinov2", dinov2)


def in_shards(folder: Path) -> dict[str, str]:
    """Split the weights in two files with an index."""
    from safetensors.torch import save_file

    state = tensors(folder)
    names = sorted(state)
    where: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({n: state[n] for n in part}, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(part, file)
    write_index(folder, where)
    return where


def write_index(folder: Path, where: dict[str, str]) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards_are_read_and_a_missing_one_is_told(models: Any, dinov2: Path) -> None:
    in_shards(dinov2)
    same_features(opened("dinov2", dinov2), models.open("dinov2"))
    (dinov2 / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match="model-00002-of-00002"):
        opened("dinov2", dinov2)


def renamed(where: dict[str, str]) -> dict[str, str]:
    return dict.fromkeys(where, "model-00001-of-00009.safetensors")


def shortened(where: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in where.items() if "00001" in v}


@pytest.mark.parametrize("change", [renamed, shortened])
def test_a_stale_index_is_refused(
    dinov2: Path, change: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    write_index(dinov2, change(in_shards(dinov2)))
    with pytest.raises(WeightsError, match=r"lacks|damaged"):
        opened("dinov2", dinov2).extract(images(1, 32))


def test_a_masked_autoencoder_hides_nothing_and_shuffles_nothing(tmp_path: Path) -> None:
    from transformers import ViTMAEConfig, ViTMAEForPreTraining, ViTMAEModel

    config = ViTMAEConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8, decoder_hidden_size=8, decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2, decoder_intermediate_size=8,
    )  # fmt: skip
    shaken(ViTMAEForPreTraining(config)).save_pretrained(tmp_path)
    processor(tmp_path)
    extractor = open_extractor(f"hf:{tmp_path}", device="cpu")
    stack = images(2, 32)
    features = extractor.extract(stack)
    assert features.values.shape == (2, 16, 4, 4)
    np.testing.assert_array_equal(features.values, extractor.extract(stack).values)
    whole = ViTMAEModel.from_pretrained(tmp_path, mask_ratio=0.0).eval()
    with torch.no_grad():
        out = whole(torch.from_numpy((stack - 0.5) / 0.5))
    tokens = out.last_hidden_state[:, 1:]
    order = out.ids_restore[:, :, None].expand_as(tokens)
    expected = torch.gather(tokens, 1, order).transpose(1, 2).reshape(2, 16, 4, 4).numpy()
    np.testing.assert_allclose(features.values, expected, atol=1e-5)


def test_a_distilled_deit_has_two_tokens_before_its_patches(tmp_path: Path) -> None:
    from transformers import DeiTConfig, DeiTForImageClassificationWithTeacher, DeiTModel

    config = DeiTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8,
    )  # fmt: skip
    shaken(DeiTForImageClassificationWithTeacher(config)).save_pretrained(tmp_path)
    processor(tmp_path)
    stack = images(2, 32)
    features = open_extractor(f"hf:{tmp_path}", device="cpu").extract(stack)
    with torch.no_grad():
        model = DeiTModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
        tokens = model(torch.from_numpy((stack - 0.5) / 0.5)).last_hidden_state
    assert tokens.shape[1] == 18
    expected = tokens[:, 2:].transpose(1, 2).reshape(2, 16, 4, 4).numpy()
    np.testing.assert_allclose(features.values, expected, atol=1e-5)


def test_float32_is_not_ten_bits() -> None:
    """TF32 is off while a float32 model runs on a GPU, and the user's choice is back after."""
    from crosslook.extract.runtime import Runtime, exact_products

    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32
    try:
        cudnn.allow_tf32 = products.allow_tf32 = True
        with exact_products(Runtime("cuda:1", "float32")):
            assert (cudnn.allow_tf32, products.allow_tf32) == (False, False)
        assert (cudnn.allow_tf32, products.allow_tf32) == (True, True)
        with exact_products(Runtime("cuda", "bfloat16")):
            assert cudnn.allow_tf32
    finally:
        cudnn.allow_tf32, products.allow_tf32 = before


def test_auto_leaves_an_apple_gpu_with_a_word(
    models: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from crosslook.errors import CrosslookError
    from crosslook.extract.runtime import Runtime

    def without(by_itself: bool) -> Any:
        extractor = models.open("dinov2")
        real = type(extractor)._forward

        def forward(model: Any, tensor: Any) -> Any:
            if extractor.runtime.kind == "mps":
                raise NotImplementedError("The operator 'x' is not implemented for the MPS device.")
            return real(extractor, model, tensor)

        monkeypatch.setattr(extractor, "_forward", forward)
        model = extractor.model
        extractor.runtime = Runtime("mps", "float32", 2, by_itself)
        # What is on an Apple GPU is on the CPU here.
        monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
        monkeypatch.setattr(torch.Tensor, "to", _to_cpu(torch.Tensor.to))
        extractor._model = model
        return extractor

    expected = models.open("dinov2").extract(images(2, 32)).values
    with caplog.at_level("WARNING", "crosslook"):
        features = without(by_itself=True).extract(images(2, 32)).values
    np.testing.assert_allclose(features, expected, atol=1e-6)
    assert "going on with the CPU" in caplog.text
    with pytest.raises(CrosslookError, match="--device cpu"):
        without(by_itself=False).extract(images(2, 32))


def _to_cpu(real: Callable[..., Any]) -> Callable[..., Any]:
    def to(tensor: Any, *given: Any, **named: Any) -> Any:
        return real(tensor, *("cpu" if one == "mps" else one for one in given), **named)

    return to
