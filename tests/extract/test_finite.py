"""Features that are no numbers are refused where they are made."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.errors import FeatureError
from crosslook.extract.classical import Raw
from crosslook.extract.registry import open_extractor
from crosslook.storage import open_folder
from crosslook.types import FloatArray, Modality, Patch, Window
from tests.helpers.checkpoints import images
from tests.helpers.extracted import extract_one

COUNT, BAD = 70, 66


class Overflowing(Raw):
    """Gives NaN for white images, as a network at float16 may."""

    def _features(self, stack: FloatArray) -> tuple[FloatArray, None]:
        values, _ = super()._features(stack)
        values[stack.min(axis=(1, 2, 3)) == 1.0] = np.nan
        return values, None


class Grey:
    """Patches in memory; one of them is white."""

    patches = tuple(Patch(f"s/{i}", "s", "s", Window(0, 0, 32, 32)) for i in range(COUNT))

    def fingerprint(self, modality: Modality) -> str:
        return modality

    def read(self, modality: Modality, indices: Sequence[int]) -> FloatArray:
        stack = np.full((len(indices), 3, 32, 32), 0.5, np.float32)
        stack[np.asarray(indices) == BAD] = 1.0
        return stack


def test_a_nan_is_an_error_that_names_model_and_patch(tmp_path: Path) -> None:
    extractor = Overflowing("raw", {"cell": 16})
    with pytest.raises(FeatureError, match=r"'raw' gives NaN .* 1 of 3 images") as raised:
        extractor.extract(np.concatenate([images(2, 32), np.ones((1, 3, 32, 32), np.float32)]))
    assert raised.value.index == 2
    store = open_folder(str(tmp_path))
    with pytest.raises(FeatureError, match=rf"optical patch 's/{BAD}'.*'raw'"):
        extract_one(extractor, Grey(), "optical", store)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.index) == (str(raised.value), 2)


def test_the_advice_fits_the_dtype() -> None:
    extractor = Overflowing("raw", {"cell": 16})
    extractor.dtype = "float16"
    with pytest.raises(FeatureError, match="bfloat16"):
        extractor.extract(np.ones((1, 3, 32, 32), np.float32))


@pytest.mark.parametrize(("forced", "dtype"), [(True, "float32"), (False, "float16")])
def test_an_encoder_that_float16_overflows_runs_at_float32(
    models: Any, tmp_path: Path, forced: bool, dtype: str
) -> None:
    """As SDXL's: its ``force_upcast`` decides, and the key names what the features are."""
    folder = models.folder("sd-vae")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text()) | {"force_upcast": forced}
    (tmp_path / "config.json").write_text(json.dumps(config))
    stack = images(1, 32)
    half = open_extractor("sd-vae", weights={"sd-vae": tmp_path}, device="cpu", dtype="float16")
    assert half.key["dtype"] == dtype
    full = open_extractor("sd-vae", weights={"sd-vae": tmp_path}, device="cpu")
    same = np.array_equal(half.extract(stack).values, full.extract(stack).values)
    assert same is forced
