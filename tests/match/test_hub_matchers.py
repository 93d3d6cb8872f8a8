"""Matchers of transformers from small checkpoints, and of vismatch from a fake of its interface."""

from __future__ import annotations

import os
import socket
import sys
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from crosslook.errors import MissingExtraError, SettingError, WeightsError
from crosslook.match.matchers import open_matcher, revision_of
from crosslook.match.matchers.hub import TransformersMatcher
from crosslook.match.matchers.offline import offline
from crosslook.match.matchers.tiled import ImageMatcher
from crosslook.match.settings import RegisterSettings
from tests.helpers.checkpoints import processor, shaken

transformers = pytest.importorskip("transformers")
SIDE = 96

SUPERPOINT = {
    "model_type": "superpoint",
    "encoder_hidden_sizes": [8, 8, 16, 16],
    "decoder_hidden_size": 16,
    "keypoint_decoder_dim": 65,
    "descriptor_decoder_dim": 16,
    "keypoint_threshold": 0.0,
    "max_keypoints": 60,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "superglue": (
        "SuperGlueForKeypointMatching",
        {
            "keypoint_detector_config": SUPERPOINT,
            "hidden_size": 16,
            "keypoint_encoder_sizes": [8, 16],
            "gnn_layers_types": ["self", "cross"],
            "num_attention_heads": 2,
            "sinkhorn_iterations": 20,
            "matching_threshold": 0.0,
        },
    ),
    "lightglue": (
        "LightGlueForKeypointMatching",
        {
            "keypoint_detector_config": SUPERPOINT,
            "descriptor_dim": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "filter_threshold": 0.0,
            "depth_confidence": -1.0,
            "width_confidence": -1.0,
        },
    ),
    "efficientloftr": (
        "EfficientLoFTRForKeypointMatching",
        {
            "stage_num_blocks": [1, 1, 1, 1],
            "out_features": [8, 8, 16, 16],
            "stage_stride": [2, 1, 2, 2],
            "hidden_size": 16,
            "num_attention_layers": 1,
            "num_attention_heads": 8,
            "coarse_matching_threshold": 0.0,
            "coarse_matching_border_removal": 0,
            "fine_matching_slice_dim": 2,
        },
    ),
}


def checkpoint(folder: Path, kind: str) -> Path:
    """A small checkpoint with seeded random weights, as the hub has them."""
    import torch

    name, fields = KINDS[kind]
    cls = getattr(transformers, name)
    torch.manual_seed(0)
    shaken(cls(transformers.CONFIG_MAPPING[kind](**fields))).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        f'{{"size": {{"height": 64, "width": {SIDE}}}}}'
    )
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_matches_itself_as_the_library_says(kind: str, tmp_path: Path) -> None:
    import torch

    folder = checkpoint(tmp_path / "weights", kind)
    matcher = open_matcher(RegisterSettings(matcher=f"hub:{folder}"))
    assert isinstance(matcher, TransformersMatcher)
    image = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32)
    found = matcher._match(image, image)
    np.testing.assert_allclose(found.sar, found.optical, atol=1e-3)
    inputs = torch.from_numpy(np.repeat(np.stack([image, image])[None, :, None], 3, axis=2))
    with torch.inference_mode():
        outputs = matcher._model(inputs)
    if outputs.matches.ndim == 2:  # the library's own step reads pairs with a dimension each
        outputs.matches, outputs.matching_scores = (
            one.reshape(1, 2, -1) for one in (outputs.matches, outputs.matching_scores)
        )
    reader = processor(KINDS[kind][0].replace("ForKeypointMatching", "ImageProcessor"))()
    expected = reader.post_process_keypoint_matching(outputs, [((SIDE, SIDE), (SIDE, SIDE))])[0]
    assert len(found.sar) == len(expected["keypoints0"]) >= 1
    # It cuts positions to whole numbers, and counts from the centre of the first pixel.
    np.testing.assert_allclose(found.sar[:, ::-1] - 0.5, expected["keypoints0"], atol=1.0)
    assert revision_of(f"hub:{folder}", matcher).startswith("sha256-")
    named = RegisterSettings(matcher="hub:matchanything", weights={"hub:matchanything": folder})
    again = open_matcher(named)
    assert isinstance(again, ImageMatcher)
    np.testing.assert_array_equal(again._match(image, image).sar, found.sar)


def test_weights_that_are_not_here_are_named_with_the_way_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="hf download zju-community/efficientloftr"):
        open_matcher(RegisterSettings(matcher="hub:efficientloftr"))
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "dinov2"}')
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="'dinov2' model"):
        open_matcher(RegisterSettings(matcher=f"hub:{folder}"))


class Shifted:
    """Matches as vismatch's do: keys of its results, columns before rows."""

    def __call__(self, first: Any, second: Any) -> dict[str, Any]:
        assert tuple(first.shape) == tuple(second.shape) == (3, SIDE, SIDE)
        here = np.array([[10.0, 20.0], [30.0, 5.0], [7.0, 60.0]])
        return {
            "matched_kpts0": here,
            "matched_kpts1": here + np.array([2.0, 0.0]),
            "matched_confidences": None,
        }


@pytest.fixture
def vismatch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package of the same interface."""
    module: Any = ModuleType("vismatch")
    module.__spec__ = ModuleSpec("vismatch", None)
    module.available_models, module.__version__ = ["roma", "minima"], "1.4.0"

    def get_matcher(name: str, device: str) -> Shifted:
        if name == "minima":  # whose weights it would download
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        return Shifted()

    module.get_matcher = get_matcher
    monkeypatch.setitem(sys.modules, "vismatch", module)
    return module


def test_matchers_of_vismatch_are_called_as_it_says(vismatch: Any) -> None:
    matcher = open_matcher(RegisterSettings(matcher="hub:roma"))
    assert isinstance(matcher, ImageMatcher)
    found = matcher._match(*(np.zeros((SIDE, SIDE), np.float32),) * 2)
    np.testing.assert_array_equal(found.sar[0], [20.5, 10.5])
    np.testing.assert_array_equal(found.optical - found.sar, [[0.0, 2.0]] * 3)
    assert revision_of("hub:roma", matcher) == "vismatch 1.4.0"
    with pytest.raises(SettingError, match="Did you mean 'roma'"):
        open_matcher(RegisterSettings(matcher="hub:romas"))


def test_nothing_is_downloaded(vismatch: Any) -> None:
    with pytest.raises(WeightsError, match="downloads nothing"):
        open_matcher(RegisterSettings(matcher="hub:minima"))


def test_nothing_is_downloaded_while_a_matcher_runs(vismatch: Any) -> None:
    class Late(Shifted):
        def __call__(self, first: Any, second: Any) -> dict[str, Any]:
            with pytest.raises(OSError, match="downloads nothing"):
                socket.create_connection(("127.0.0.1", 9), timeout=1)
            return super().__call__(first, second)

    vismatch.get_matcher = lambda name, device: Late()
    matcher = open_matcher(RegisterSettings(matcher="hub:roma"))
    assert isinstance(matcher, ImageMatcher)
    assert len(matcher._match(*(np.zeros((SIDE, SIDE), np.float32),) * 2).sar) == 3


def test_the_network_is_back_once_the_last_of_several_threads_leaves() -> None:
    before, named = socket.socket.connect, os.environ.get("HF_HUB_OFFLINE")
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        with offline():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(10)
    with offline():
        leave.set()
        thread.join()
        with pytest.raises(OSError, match="downloads nothing"):
            socket.create_connection(("127.0.0.1", 9), timeout=1)
    assert socket.socket.connect is before
    assert os.environ.get("HF_HUB_OFFLINE") == named


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crosslook.match.matchers.hub.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install vismatch"):
        open_matcher(RegisterSettings(matcher="hub:roma"))
