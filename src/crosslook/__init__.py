"""Match radar and optical satellite images with pretrained vision models.

The public calls, each imported when it is first used:

``study(pairs, out, **settings)``
    Measure extractors on paired data; see ``retrieval.settings.StudySettings``.
``build_atlas(basemaps, out, ...)``, ``open_atlas(place)``
    A basemap made searchable; one opened atlas serves many queries.
``locate(query, atlas, ...)``, ``locate_all(queries, atlas, ...)``
    Find where on an atlas a SAR image lies; many images in few passes.
``register(sar, optical, ...)``, ``register_all(pairs, ...)``
    Bring a SAR image onto an optical one; the same for many pairs.
``apply_match(match, files, ...)``
    Bring other bands, masks and resolutions along where a match puts the image.
``audit(pairs, ...)``
    Tell whether the pairs of a data set are really aligned.
``open_extractor(spec, ...)``
    An extractor, whose ``extract(images)`` gives a ``FeatureMap``.
``open_pairs(source)``, ``PatchSet.open(pairs, ...)``
    Paired scenes, and the patches cut from them.
``make_pair(...)``, ``write_pairs(out, count, ...)``
    Synthetic pairs with exact truth.

What they return and take are attributes too: ``MatchResult``, ``Transform``, ``Atlas``,
``Extractor``, ``Matcher`` and others, all of them in ``dir(crosslook)``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crosslook._version import __version__ as __version__

if TYPE_CHECKING:
    from crosslook.atlas.build import build_atlas
    from crosslook.atlas.locate import locate, locate_all
    from crosslook.atlas.store import Atlas, open_atlas
    from crosslook.data.pairs import ScenePair, open_pairs
    from crosslook.data.patches import PatchSet
    from crosslook.data.simulate.scene import SimulatedPair, make_pair
    from crosslook.data.simulate.write import write_pairs
    from crosslook.extract.base import Extractor, Geometry
    from crosslook.extract.registry import open_extractor
    from crosslook.match.apply import apply_match
    from crosslook.match.audit import Audit, audit
    from crosslook.match.batch import register_all
    from crosslook.match.evidence import Evidence, Explanation
    from crosslook.match.matchers import Matcher
    from crosslook.match.pair import ImagePair
    from crosslook.match.register import register
    from crosslook.match.result import Failure, MatchResult
    from crosslook.match.starts import Start
    from crosslook.match.tie_points import TiePoints
    from crosslook.match.transform import (
        Affine,
        Homography,
        Projection,
        ReliefField,
        ThinPlate,
        Transform,
    )
    from crosslook.report.study import Run, study
    from crosslook.types import FeatureMap, Metric, Row, Window

__all__ = [
    "Affine",
    "Atlas",
    "Audit",
    "Evidence",
    "Explanation",
    "Extractor",
    "Failure",
    "FeatureMap",
    "Geometry",
    "Homography",
    "ImagePair",
    "MatchResult",
    "Matcher",
    "Metric",
    "PatchSet",
    "Projection",
    "ReliefField",
    "Row",
    "Run",
    "ScenePair",
    "SimulatedPair",
    "Start",
    "ThinPlate",
    "TiePoints",
    "Transform",
    "Window",
    "apply_match",
    "audit",
    "build_atlas",
    "locate",
    "locate_all",
    "make_pair",
    "open_atlas",
    "open_extractor",
    "open_pairs",
    "register",
    "register_all",
    "study",
    "write_pairs",
]

_HOME = {
    "Affine": "crosslook.match.transform",
    "Atlas": "crosslook.atlas.store",
    "Audit": "crosslook.match.audit",
    "Evidence": "crosslook.match.evidence",
    "Explanation": "crosslook.match.evidence",
    "Extractor": "crosslook.extract.base",
    "Failure": "crosslook.match.result",
    "FeatureMap": "crosslook.types",
    "Geometry": "crosslook.extract.base",
    "Homography": "crosslook.match.transform",
    "ImagePair": "crosslook.match.pair",
    "MatchResult": "crosslook.match.result",
    "Matcher": "crosslook.match.matchers",
    "Metric": "crosslook.types",
    "PatchSet": "crosslook.data.patches",
    "Projection": "crosslook.match.transform",
    "ReliefField": "crosslook.match.transform",
    "Row": "crosslook.types",
    "Run": "crosslook.report.study",
    "ScenePair": "crosslook.data.pairs",
    "SimulatedPair": "crosslook.data.simulate.scene",
    "Start": "crosslook.match.starts",
    "ThinPlate": "crosslook.match.transform",
    "TiePoints": "crosslook.match.tie_points",
    "Transform": "crosslook.match.transform",
    "Window": "crosslook.types",
    "apply_match": "crosslook.match.apply",
    "audit": "crosslook.match.audit",
    "build_atlas": "crosslook.atlas.build",
    "locate": "crosslook.atlas.locate",
    "locate_all": "crosslook.atlas.locate",
    "make_pair": "crosslook.data.simulate.scene",
    "open_atlas": "crosslook.atlas.store",
    "open_extractor": "crosslook.extract.registry",
    "open_pairs": "crosslook.data.pairs",
    "register": "crosslook.match.register",
    "register_all": "crosslook.match.batch",
    "study": "crosslook.report.study",
    "write_pairs": "crosslook.data.simulate.write",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'crosslook' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
