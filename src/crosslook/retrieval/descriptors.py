"""Features of a study: extracted through the store by the chosen engine, and pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crosslook.data.bands import NamedBands
from crosslook.data.patches import PatchSet
from crosslook.extract.base import Extractor, family_of
from crosslook.extract.registry import extractor_class, find_row, open_model
from crosslook.extract.run import StoredForm, extract_family, iterate, read_maps
from crosslook.extract.spec import parse_spec
from crosslook.extract.store import FeatureSet
from crosslook.retrieval.compare.pooling import Pooling, Shifts, dense_shifts, pool, resolve_pooling
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.setup import Setup
from crosslook.scratch import scratch
from crosslook.storage import is_remote, open_folder
from crosslook.types import MODALITIES, FeatureMap, FloatArray, Modality

DEFAULT_WORKERS = 2


@dataclass(frozen=True)
class Descriptors:
    """Pooled features of all patches of a set, both modalities, in order.

    ``setup`` names the extractor, its revision and the pooling.
    ``sar`` and ``optical`` are float32 (N, D); row i of both is one pair.
    ``shifts`` says that they are maps, compared over small shifts (``dense:R``).
    """

    setup: Setup
    sar: FloatArray
    optical: FloatArray
    shifts: Shifts | None = None

    def of(self, modality: Modality) -> FloatArray:
        """The matrix of one modality."""
        return self.sar if modality == "sar" else self.optical


class Features:
    """The features of one patch set, made when they are first asked for.

    Parameters
    ----------
    patches : PatchSet
    settings : StudySettings
        Where models, store and engine are, and what is kept.
    specs : sequence of str
        Extractors of the study: one pass serves all that differ in a swept option.

    Attributes
    ----------
    sets : dict of str to dict of modality to FeatureSet
        What has been extracted, by extractor.
    revisions : dict of str to str
        Of the weights of every extractor that was opened.
    """

    def __init__(
        self, patches: PatchSet, settings: StudySettings, specs: Sequence[str] = ()
    ) -> None:
        self.patches, self.settings, self.specs = patches, settings, specs
        self.sets: dict[str, dict[Modality, FeatureSet]] = {}
        self.revisions: dict[str, str] = {}

    def extract(self, spec: str) -> dict[Modality, FeatureSet]:
        """Make sure that the features of both modalities are in the store."""
        if spec not in self.sets:
            by = self._with_ray if self.settings.engine == "ray" else self._here
            self.sets[spec] = by(spec, str(self.settings.store or self.settings.out / "features"))
        return self.sets[spec]

    def describe(self, spec: str, pooling: Pooling | None = None) -> Descriptors:
        """Pool both modalities, as the settings say where no pooling is given."""
        sets = self.extract(spec)
        shape = sets["sar"].read(0).values.shape
        how = resolve_pooling(pooling or self.settings.pooling, shape)
        stored = how if self.settings.keep == "maps" else Pooling(name="flatten")
        sar, optical = (self._pooled(sets[modality], stored) for modality in MODALITIES)
        setup = Setup(spec, str(how), revision=self.revisions[spec])
        return Descriptors(setup, sar, optical, dense_shifts(how, shape))

    def maps(self, spec: str, modality: Modality, at: Sequence[int]) -> FeatureMap:
        """Maps of chosen patches: from the store, or made again where it has none."""
        if self.settings.keep == "maps":
            return read_maps(self.extract(spec)[modality], self.patches, at)
        extractor = open_model(spec, self.settings)
        try:
            return extractor.extract(
                patches_for(extractor, self.patches).read(modality, at), modality
            )
        finally:
            extractor.close()

    def _pooled(self, features: FeatureSet, pooling: Pooling) -> FloatArray:
        """Pool every shard into one matrix (N, D), on disk where it is large."""
        out: FloatArray | None = None
        start = 0
        for part in iterate(features, self.patches):
            pooled = pool(part, pooling)
            if out is None:
                out = scratch((len(self.patches.patches), pooled.shape[1]), self.settings.out)
            out[start : start + len(pooled)] = pooled
            start += len(pooled)
        assert out is not None, "a patch set is never empty"
        return out

    def _here(self, spec: str, place: str) -> dict[Modality, FeatureSet]:
        store, kept = open_folder(place), kept_of(self.settings)
        swept = extractor_class(find_row(parse_spec(spec).name)).SWEPT
        # One pass serves all that differ in this option alone; the others then find their shards.
        same = [s for s in self.specs if swept and family_of(s, swept) == family_of(spec, swept)]
        family = [open_model(one, self.settings) for one in dict.fromkeys([spec, *same])]
        seen = patches_for(family[0], self.patches)
        try:
            sets = {m: extract_family(family, seen, m, store, kept)[0] for m in MODALITIES}
        finally:
            for one in family:
                one.close()
        self.revisions |= {one.spec: one.revision for one in family}
        return sets

    def _with_ray(self, spec: str, place: str) -> dict[Modality, FeatureSet]:
        from crosslook.extract.ray_engine import RayJob, extract_with_ray

        settings = self.settings
        # Workers may run in another folder.
        store = place if is_remote(place) else str(Path(place).resolve())
        bands = extractor_class(find_row(parse_spec(spec).name)).BANDS
        seen = NamedBands(self.patches, bands) if bands else self.patches
        sets = {
            modality: extract_with_ray(
                RayJob(spec, seen, modality, store, settings, settings.stored),
                settings.workers or DEFAULT_WORKERS,
                settings.ray_address,
            )
            for modality in MODALITIES
        }
        self.revisions[spec] = str(sets["sar"].key["revision"])
        return sets


def patches_for(extractor: Extractor, patches: PatchSet) -> PatchSet | NamedBands:
    """The patches as an extractor asks for them: three channels, or bands by name."""
    return NamedBands(patches, extractor.BANDS) if extractor.BANDS else patches


def kept_of(settings: StudySettings) -> StoredForm:
    """What of the features the store keeps, as the settings say."""
    if settings.keep == "maps":
        return StoredForm(settings.stored)

    def shrink(features: FeatureMap) -> FeatureMap:
        pooled = pool(features, settings.pooling)
        return FeatureMap(pooled[:, :, None, None], features.stride, None)

    return StoredForm(settings.stored, str(settings.pooling), shrink)
