"""Finding and fetching weights: what is said when they are not here."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crosslook.errors import SettingError, WeightsError
from crosslook.extract import fetch as fetching
from crosslook.extract.fetch import choose_files, fetch, weights_status, where
from crosslook.extract.registry import describe_rows, find_row, open_extractor
from crosslook.extract.rows import Variant
from crosslook.extract.weights import cache_folder, missing
from tests.helpers.checkpoints import images

FIVE = ["sd-vae", "sd-unet", "dinov2", "clip", "sam2"]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf" / "hub"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_all_missing_models_are_listed_at_once(empty_cache: Path) -> None:
    absent = missing([*FIVE, "raw", "untrained:dinov2"])
    assert [item.spec for item in absent] == FIVE
    text = str(absent[2])
    for part in (
        "facebook/dinov2-base", "config.json", "model.safetensors", str(empty_cache),
        "crosslook weights fetch dinov2:vitb14", "hf download", "--weights dinov2=FOLDER",
    ):  # fmt: skip
        assert part in text
    with pytest.raises(WeightsError, match="facebook/dinov2-base"):
        open_extractor("dinov2")


@pytest.mark.usefixtures("no_network")
def test_the_cache_of_the_hub_is_read_and_names_the_revision(
    models: Any, empty_cache: Path
) -> None:
    repository = empty_cache / "models--facebook--dinov2-base"
    shutil.copytree(models.folder("dinov2"), repository / "snapshots" / "c0ffee")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    assert not missing(["dinov2"])
    extractor = open_extractor("dinov2", device="cpu")
    assert extractor.revision == "c0ffee"
    stack = images(1, 32)
    expected = models.open("dinov2").extract(stack)
    np.testing.assert_array_equal(extractor.extract(stack).values, expected.values)
    row = next(info for info in describe_rows() if info.spec == "dinov2:vitb14")
    assert row.weights == "here"
    assert next(item for item in weights_status() if item.spec == "dinov2:vitb14").here


def test_a_folder_part_of_a_repository_is_found(models: Any, empty_cache: Path) -> None:
    snapshot = empty_cache / "models--black-forest-labs--FLUX.1-schnell" / "snapshots" / "main"
    shutil.copytree(models.folder("sd-vae", other=True), snapshot / "vae")
    extractor = open_extractor("sd-vae:flux", device="cpu")
    assert extractor.revision == "main"
    assert extractor.extract(images(1, 32)).values.shape == (1, 6, 4, 4)
    assert where("sd-vae:flux") == snapshot / "vae"


def test_the_revision_of_a_folder_is_its_content(models: Any, tmp_path: Path) -> None:
    first, second = models.open("clip").revision, models.open("clip", other=True).revision
    assert first.startswith("sha256-")
    assert first != second
    copy = tmp_path / "elsewhere"
    shutil.copytree(models.folder("clip"), copy)
    assert open_extractor("clip", weights={"clip": copy}, device="cpu").revision == first


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "/somewhere/cache")
    assert cache_folder() == Path("/somewhere/cache")
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/huggingface/hub")


def test_an_override_of_nothing_is_refused() -> None:
    with pytest.raises(SettingError, match="Did you mean 'dinov2'"):
        missing(["raw"], {"dinov3": Path("/x")})
    with pytest.raises(WeightsError, match="/not/there"):
        open_extractor("sam2", weights={"sam2": Path("/not/there")})


def test_another_models_checkpoint_is_refused(models: Any) -> None:
    folder = models.folder("sd-vae")
    with pytest.raises(WeightsError, match=r"lacks|another model"):
        open_extractor("dinov2", weights={"dinov2": folder}, device="cpu").extract(images(1, 32))


@pytest.mark.parametrize("name", ["dinov2", "sd-vae", "sam2"])
def test_a_truncated_checkpoint_is_refused(models: Any, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    shutil.copytree(models.folder(name), folder)
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="damaged"):
        open_extractor(name, weights={name: folder}, device="cpu").extract(images(1, 64))
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json is damaged"):
        open_extractor(name, weights={name: folder}, device="cpu")


@pytest.mark.parametrize("name", ["clip", "sd-vae"])
def test_pickled_weights_are_read_without_running_code(
    models: Any, tmp_path: Path, name: str
) -> None:
    import torch
    from safetensors.torch import load_file

    folder = models.folder(name)
    file = next(folder.glob("*.safetensors"))
    stem = "pytorch_model" if name == "clip" else "diffusion_pytorch_model"
    torch.save(load_file(file), tmp_path / f"{stem}.bin")
    shutil.copy(folder / "config.json", tmp_path)
    stack = images(1, 32)
    mine = open_extractor(name, weights={name: tmp_path}, device="cpu").extract(stack)
    np.testing.assert_array_equal(mine.values, models.open(name).extract(stack).values)

    class Harm:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"harm": Harm()}, tmp_path / f"{stem}.bin")
    with pytest.raises(WeightsError):
        open_extractor(name, weights={name: tmp_path}, device="cpu").extract(stack)
    assert not (tmp_path / "ran").exists()


class Hub:
    """Stands in for huggingface_hub: lists files, or raises."""

    def __init__(self, error: BaseException | None = None, source: Path | None = None) -> None:
        self.error, self.source = error, source
        self.request_seen: dict[str, Any] = {}

    def HfApi(self) -> Hub:
        return self

    def model_info(self, *_: Any, **__: Any) -> Any:
        if self.error:
            raise self.error
        names = ["config.json", "model.safetensors", "pytorch_model.bin", "README.md"]
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=n, size=5) for n in names])

    def snapshot_download(self, hub_id: str, **settings: Any) -> None:
        self.request_seen = settings
        target = settings["cache_dir"] / f"models--{hub_id.replace('/', '--')}/snapshots/main"
        assert self.source is not None
        shutil.copytree(self.source, target)


def use(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = pytest.importorskip("huggingface_hub").errors
    monkeypatch.setattr(fetching, "_hub", lambda: (hub, errors))


def test_fetch_takes_only_what_is_read(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(source=models.folder("dinov2"))
    said: list[str] = []
    use(hub, monkeypatch)
    folder = fetch("dinov2", said.append)
    assert hub.request_seen["allow_patterns"] == ["config.json", "model.safetensors"]
    assert (folder / "config.json").is_file()
    assert "Apache-2.0" in said[0]
    fetch("dinov2", said.append)
    assert "already here" in said[-1]


def test_a_restrictive_licence_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    use(Hub(OSError("no route")), monkeypatch)
    with pytest.raises(WeightsError, match="no route"):
        fetch("sd-unet", said.append)
    assert any("Open RAIL" in line and "restricted" in line for line in said)
    assert [s.spec for s in weights_status() if s.notice] == ["sd-unet:sd15", "sd-unet:sd21"]


def test_errors_of_the_hub_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = pytest.importorskip("huggingface_hub").errors

    def made(kind: type[BaseException]) -> BaseException:
        return kind.__new__(kind)

    for error, text in (
        (made(errors.GatedRepoError), "accept its terms"),
        (made(errors.RepositoryNotFoundError), "renamed"),
        (made(errors.RevisionNotFoundError), "revision main"),
        (errors.OfflineModeIsEnabled("offline"), "hf download facebook/sam2.1-hiera-tiny"),
        (errors.HTTPError("name not known"), "--weights sam2=FOLDER"),
    ):
        use(Hub(error), monkeypatch)
        with pytest.raises(WeightsError, match=text):
            fetch("sam2", lambda _: None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE"):
        fetch("sam2", lambda _: None)


def test_only_safe_files_are_chosen() -> None:
    variant = find_row("sd-vae").variants["flux"]
    listed = ["vae/config.json", "vae/diffusion_pytorch_model.safetensors", "flux.safetensors"]
    assert choose_files(variant, listed) == listed[:2]
    with pytest.raises(WeightsError, match="only these formats"):
        choose_files(variant, ["vae/config.json", "vae/model.ckpt"])
    sharded = Variant("a/b", "", 0, 0, 0, files=(("m.safetensors", "m.safetensors.index.json"),))
    names = ["m.safetensors.index.json", "m-00001-of-2.safetensors", "m-00002-of-2.safetensors"]
    assert choose_files(sharded, [*names, "x.bin"]) == names
