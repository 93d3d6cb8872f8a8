"""Hub models whose input or output has a form of its own, against a direct call of the library."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models extra is not installed")

from crosslook.errors import WeightsError  # noqa: E402
from crosslook.extract.registry import open_extractor  # noqa: E402
from tests.helpers.checkpoints import images, processor, shaken  # noqa: E402
from tests.helpers.models import Checkpoints  # noqa: E402


def written(model: Any, folder: Path, **processed: Any) -> Path:
    shaken(model).save_pretrained(folder)
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps({**half, **processed}))
    return folder


def close(mine: Any, theirs: Any) -> None:
    theirs = theirs.detach().numpy()
    assert theirs.std() > 1e-3, "a constant answer proves nothing"
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_dinov3_convnext_gives_its_cells_without_the_pooled_token(tmp_path: Path) -> None:
    from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel

    config = DINOv3ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], image_size=96)
    model = DINOv3ConvNextModel(config)
    folder = written(model, tmp_path)
    stack = images(2, 96)
    mine = open_extractor(f"hf:{folder}", device="cpu").extract(stack)
    answer = model.eval()(torch.from_numpy((stack - 0.5) / 0.5))
    cells = answer.last_hidden_state[:, 1:].transpose(1, 2).reshape(2, 20, 3, 3)
    assert mine.values.shape == (2, 20, 3, 3)
    assert mine.stride == 32
    close(mine.values, cells)
    close(mine.vector, answer.pooler_output)


@pytest.mark.parametrize("tower", [False, True])
@torch.inference_mode()
def test_siglip2_naflex_reads_patches(tmp_path: Path, tower: bool) -> None:
    from transformers import (
        CONFIG_MAPPING,
        Siglip2Config,
        Siglip2Model,
        Siglip2VisionConfig,
        Siglip2VisionModel,
    )

    if tower and "siglip2_vision_model" not in CONFIG_MAPPING:
        pytest.skip("this transformers opens the whole model alone")
    sizes: dict[str, Any] = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }  # fmt: skip
    seen = {**sizes, "num_patches": 36, "patch_size": 8}
    read = {**sizes, "vocab_size": 30, "projection_size": 16}
    whole = Siglip2Model(Siglip2Config(vision_config=seen, text_config=read))
    alone = Siglip2VisionModel(Siglip2VisionConfig(**seen))
    folder = written(alone if tower else whole, tmp_path, patch_size=8, max_num_patches=36)
    stack = images(2, 48)  # 6 x 6 patches of 8 px: what the model was made for
    mine = open_extractor(f"hf:{folder}", device="cpu").extract(stack)
    prepare = processor("Siglip2ImageProcessor").from_pretrained(folder)
    pictures = list(np.round(stack * 255).astype(np.uint8).transpose(0, 2, 3, 1))
    taken = prepare(pictures, return_tensors="pt")
    model = (alone if tower else whole.vision_model).eval()
    if "attention_mask" in inspect.signature(model.forward).parameters:  # transformers 4
        taken["attention_mask"] = taken.pop("pixel_attention_mask")
    answer = model(**taken)
    cells = answer.last_hidden_state.transpose(1, 2).reshape(2, 16, 6, 6)
    assert mine.stride == 8
    close(mine.values, cells)
    close(mine.vector, answer.pooler_output)


def test_sam2_is_sent_to_its_own_extractor(models: Checkpoints) -> None:
    folder = models.folder("sam2")
    extractor = open_extractor(f"hf:{folder},stats=imagenet", device="cpu")
    with pytest.raises(WeightsError, match="--weights sam2=FOLDER"):
        extractor.extract(images(1, 64))
