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
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crosslook._version import __version__ as __version__

if TYPE_CHECKING:
    from crosslook.atlas.build import build_atlas
    from crosslook.atlas.locate import locate, locate_all
    from crosslook.atlas.store import open_atlas
    from crosslook.data.pairs import open_pairs
    from crosslook.data.patches import PatchSet
    from crosslook.data.simulate.scene import make_pair
    from crosslook.data.simulate.write import write_pairs
    from crosslook.extract.registry import open_extractor
    from crosslook.match.apply import apply_match
    from crosslook.match.audit import audit
    from crosslook.match.register import register, register_all
    from crosslook.report.study import study
    from crosslook.types import FeatureMap

__all__ = [
    "FeatureMap",
    "PatchSet",
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
    "FeatureMap": "crosslook.types",
    "PatchSet": "crosslook.data.patches",
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
    "register_all": "crosslook.match.register",
    "study": "crosslook.report.study",
    "write_pairs": "crosslook.data.simulate.write",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'crosslook' has no attribute '{name}'")
