"""What a location may be told: one checked value, typed for callers and for its use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from crosslook.atlas.register import DEFAULT_EXTRACTOR, check_model
from crosslook.match.transform import Model


class LocateOptions(TypedDict, total=False):
    """Keyword options of :func:`crosslook.atlas.locate.locate`."""

    gsd: float | None
    near: tuple[float, float] | None
    radius_km: float | None
    bbox: tuple[float, float, float, float] | None
    rotation: float
    scale: float
    coarse: str | None
    fine: str | None
    model: Model
    device: str
    seed: int


@dataclass(frozen=True)
class LocateSettings:
    """The same options with their defaults.

    Attributes
    ----------
    gsd : float, optional
        Metres on the ground per pixel of a query without georeference.
    near, radius_km, bbox
        Where it may lie: (longitude, latitude) and kilometres, or (west,
        south, east, north); positions of the middle of the query.
    rotation, scale : float
        Ranges tried beyond what the query tells: degrees to either side, and
        relative (0.1 is 10 per cent). Turns within 2 degrees and 2 per cent are
        found without.
    coarse, fine : str, optional
        Extractors of the search and of the verification: a level of the atlas,
        by default as :func:`crosslook.atlas.search_poses.finest_level` says,
        and any extractor, by default the last level.
    model, seed
        As for :func:`crosslook.atlas.register.register`.
    device : str
        Of the search: ``cpu``, ``cuda``, or ``auto``, a GPU where there is one.

    Raises
    ------
    SettingError
        If the model is unknown; the other options are checked where they are used.
    """

    gsd: float | None = None
    near: tuple[float, float] | None = None
    radius_km: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    rotation: float = 0.0
    scale: float = 0.0
    coarse: str | None = None
    fine: str | None = None
    model: Model = "similarity"
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_model(self.model)

    def told(self, atlas: str, coarse: str, fine: str) -> dict[str, Any]:
        """What ``match.json`` says of them, with the specs that were used."""
        own = {name: value for name, value in asdict(self).items() if name != "device"}
        used = {"coarse": coarse, "fine": fine, "extractor": DEFAULT_EXTRACTOR}
        return {"atlas": atlas, **own, **used}
