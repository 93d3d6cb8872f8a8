"""The feature store: features on disk, shard by shard, keyed by content.

A store folder holds one folder per feature set, named by the SHA-256 of what
changes the features: the content of the patches, the extractor with all its
options and weights revision, the radiometry and the dtype. Device, batch size
and worker count are not in the key. A shard is one ``.npz`` file, written
whole or not at all, so a killed run loses at most the shard under way.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.arrays import load_arrays
from crosslook.errors import FeatureError, InputError, StoreError
from crosslook.storage import Folder
from crosslook.types import FeatureMap, FloatArray

FORMAT = 2
"""Raise it whenever the bytes of a feature or the layout of a shard change."""


@dataclass(frozen=True)
class FeatureSet:
    """The shards of one key.

    Attributes
    ----------
    folder : Folder
        Where the shards lie, on this machine or in an object store.
    key : dict
        What the folder's name is the hash of; kept beside the shards in
        ``key.json`` for people.
    """

    folder: Folder
    key: dict[str, object]

    def has(self, shard: int) -> bool:
        """Tell whether a whole shard is there."""
        return self.folder.has(_name(shard))

    def size(self, shard: int) -> int:
        """Bytes of a shard that is there."""
        return len(self.folder.read(_name(shard)))

    def write(self, shard: int, features: FeatureMap) -> None:
        """Write one shard atomically, in the numbers that the key names.

        Raises
        ------
        FeatureError
            If a feature is too large for half precision.
        """
        buffer = io.BytesIO()
        values = self._stored(features.values)
        vector = {} if features.vector is None else {"vector": self._stored(features.vector)}
        np.savez(
            buffer, allow_pickle=False, values=values, stride=np.float64(features.stride), **vector
        )
        self.folder.write(_name(shard), buffer.getvalue())

    def read(self, shard: int) -> FeatureMap:
        """Read one shard.

        Raises
        ------
        StoreError
            If the file is damaged; says which one to remove.
        """
        try:
            data = io.BytesIO(self.folder.read(_name(shard)))
            arrays = load_arrays(data)
            vector = arrays["vector"].astype(np.float32) if "vector" in arrays else None
            values = arrays["values"].astype(np.float32, copy=False)
            return FeatureMap(values, float(arrays["stride"]), vector)
        except (InputError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise StoreError(
                f"feature shard {self.folder}/{_name(shard)} is damaged ({error}). "
                "Remove it and run again."
            ) from error

    def _stored(self, values: FloatArray) -> NDArray[np.floating[Any]]:
        kind = str(self.key.get("stored", "float32"))
        if kind == "float32":
            return values
        with np.errstate(over="ignore"):
            small = values.astype(kind)
        bad = ~np.isfinite(small).reshape(len(small), -1).all(axis=1)
        if bad.any():
            raise FeatureError(
                f"features of {self.key.get('name', 'the extractor')} reach "
                f"{float(np.abs(values).max()):.3g}, which half precision cannot hold; "
                "use --stored float32.",
                int(np.flatnonzero(bad)[0]),
            )
        return small


def open_set(store: Folder, key: Mapping[str, object]) -> FeatureSet:
    """Open (or start) the feature set of ``key`` in the folder ``store``."""
    full = {"format": FORMAT, **key}
    text = json.dumps(full, sort_keys=True, indent=1)
    folder = store.child(hashlib.sha256(text.encode()).hexdigest()[:32])
    if not folder.has("key.json"):
        folder.write("key.json", text.encode())
    return FeatureSet(folder, full)


def _name(shard: int) -> str:
    return f"{shard:06d}.npz"
