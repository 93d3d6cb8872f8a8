"""Folders on this machine and in a real S3 server on it."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from crosslook.errors import InputError, MissingExtraError, OutputError, StoreError
from crosslook.extract.store import open_set
from crosslook.storage import Folder, open_folder, path_to_keep
from crosslook.types import FeatureMap


def check_folder(folder: Folder) -> None:
    assert not folder.has("a.bin")
    folder.write("a.bin", b"one")
    folder.write("a.bin", b"two")
    assert folder.has("a.bin")
    assert folder.read("a.bin") == b"two"
    folder.child("inner").write("b.bin", b"three")
    assert folder.child("inner").read("b.bin") == b"three"
    assert not folder.has("inner")
    with pytest.raises(InputError):
        folder.read("missing.bin")


def test_a_local_folder(tmp_path: Path) -> None:
    check_folder(Folder(tmp_path))


def test_an_s3_folder(s3: str) -> None:
    check_folder(open_folder(s3))
    again = pickle.loads(pickle.dumps(open_folder(s3)))
    assert again.read("a.bin") == b"two"


def test_a_feature_set_in_s3_gives_the_same_bytes(s3: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 2, 4, 4), dtype=np.float32)
    key = {"name": "hog", "patches": "x"}
    for store in (open_folder(s3), open_folder(tmp_path)):
        features = open_set(store, key)
        assert not features.has(0)
        features.write(0, FeatureMap(values, 8.0, values[:, :, 0, 0]))
        assert np.array_equal(features.read(0).values, values)
    remote, local = (
        open_set(place, key).folder for place in (open_folder(s3), open_folder(tmp_path))
    )
    assert remote.read("000000.npz") == local.read("000000.npz")
    remote.write("000000.npz", local.read("000000.npz")[:50])
    with pytest.raises(StoreError, match="000000"):
        open_set(open_folder(s3), key).read(0)


def test_a_bucket_that_is_not_there(s3: str) -> None:
    with pytest.raises(OutputError, match="no-such-bucket"):
        open_folder("s3://no-such-bucket/x").write("a", b"1")


def test_a_store_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingExtraError, match="gcsfs"):
        open_folder("gs://bucket/store")


def test_an_unknown_scheme() -> None:
    with pytest.raises(MissingExtraError, match="nowhere"):
        open_folder("nowhere://x/y")


def test_a_place_is_kept_without_what_may_be_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_to_keep("a/b.tif") == str(tmp_path / "a" / "b.tif")
    assert path_to_keep("s3://bucket/b.tif") == "s3://bucket/b.tif"
    assert path_to_keep("https://me:secret@host/b.tif?sig=1") == "https://host/b.tif"
    assert path_to_keep("/vsicurl/https://host/b.tif?sig=1") == "/vsicurl/https://host/b.tif"
    assert path_to_keep("https://host/item.json?sig=1#band") == "https://host/item.json"
