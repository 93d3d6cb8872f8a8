"""The features of one extractor on a patch set."""

from __future__ import annotations

from crosslook.extract.base import Extractor
from crosslook.extract.run import Patches, extract_family
from crosslook.extract.store import FeatureSet
from crosslook.storage import Folder
from crosslook.types import Modality


def extract_one(
    extractor: Extractor, patches: Patches, modality: Modality, store: Folder
) -> FeatureSet:
    (features,) = extract_family([extractor], patches, modality, store)
    return features
