"""Settings of ``register`` and ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crosslook.errors import SettingError
from crosslook.match.tiling import Tiling
from crosslook.options import (
    Cli,
    Closed,
    Extractors,
    GroundOptions,
    ModelOptions,
    OverwriteOption,
    ReadingOptions,
    SeedOption,
    Settings,
    WritingOptions,
)

Model = Literal["shift", "similarity", "affine", "homography", "tps"]
TransformModel = Literal[Model, "relief", "field"]
RegisterModel = Literal["auto", Model, "relief", "field"]
SCENE_MODELS: tuple[RegisterModel, ...] = ("auto", "affine", "relief", "field")
"""What the tiles of a scene are followed by; any other model stays the one map that it is."""

Search = Literal["initial", "requested", "expanded", "atlas"]
"""How far a match was searched for."""

DEFAULT_EXTRACTOR = "hog:cell=3,blur=1"
DEFAULT_MATCHER = "template"


class FitOptions(SeedOption):
    """What is fitted between two images."""

    model: Model = Field(default="similarity", description="Transform that is fitted.")


_MOST_SCALE = 8.0
Factors = str | float | tuple[float, float]
"""``0.1``, ``0.7:1.4`` or (0.7, 1.4); settings hold it as text."""


def _as_range(value: Any) -> Any:
    """A pair of factors as ``LOW:HIGH``, a number as its text."""
    if isinstance(value, list | tuple):
        return ":".join(map(str, value))
    return str(value) if isinstance(value, int | float) else value


def factors(given: Factors) -> tuple[float, float]:
    """Lowest and highest factor that ``0.1`` or ``0.7:1.4`` means; (1, 1) for an empty text.

    Raises
    ------
    SettingError
        If it is neither, or beyond an eighth to eight times.
    """
    text = str(_as_range(given))
    if not text:
        return 1.0, 1.0
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and 0.0 <= numbers[0] < 1.0:
        low, high = 1.0 / (1.0 + numbers[0]), 1.0 + numbers[0]
    elif len(numbers) == 2:
        low, high = numbers
    else:
        low, high = 1.0, 0.0
    if not 1.0 / _MOST_SCALE <= low <= high <= _MOST_SCALE:
        raise SettingError(
            f"scale or aspect is '{text}'; a fraction from 0 to below 1, as 0.1, or two factors "
            f"from {1 / _MOST_SCALE:g} to {_MOST_SCALE:g}, the lower one first, as 0.7:1.4, "
            "is allowed."
        )
    return low, high


def _checked(value: Factors) -> Factors:
    factors(value)
    return value


FactorOption = Annotated[
    Factors,
    BeforeValidator(_as_range),
    AfterValidator(_checked),
    Closed(),
    Cli(metavar="FRACTION|LOW:HIGH"),
]
"""An option that takes a fraction or two factors; the same in every command."""


class ReachOptions(Settings):
    """How far a SAR image may lie from where it is said to lie."""

    GROUP: ClassVar[str] = "How far is searched"

    shift: Annotated[float | None, Cli(metavar="DISTANCE")] = Field(
        default=None,
        gt=0.0,
        description="Largest shift: metres, or pixels where no image has a place.",
    )
    rotation: Annotated[float, Cli(metavar="DEGREES")] = Field(
        default=0.0, ge=0.0, le=180.0, description="Largest rotation to either side."
    )
    scale: FactorOption = Field(
        default="", description="Largest change of scale, as 0.1 (10 %), or factors, as 0.7:1.4."
    )
    aspect: FactorOption = Field(
        default="",
        description="Largest change of height over width, for oblong pixels; as --scale.",
    )
    flip: bool = Field(default=False, description="Try the mirror image too.")
    near_only: bool = Field(
        default=False, description="Do not search further where the start leads to no match."
    )

    @property
    def is_wide(self) -> bool:
        """Whether a search beyond the start is requested."""
        return bool(self.shift or self.rotation or self.scale or self.aspect or self.flip)


class ReliefOptions(ReadingOptions):
    """What is known of the ground and of how the sensor looked, for hills."""

    GROUP: ClassVar[str] = "Hills"

    heading: Annotated[float | None, Cli(metavar="DEGREES", default="as hills are displaced")] = (
        Field(
            default=None,
            ge=-360.0,
            le=360.0,
            description="Flight direction of a right-looking sensor, clockwise from north; "
            "by default as the product says.",
        )
    )
    incidence: Annotated[float | None, Cli(metavar="DEGREES", default="fitted")] = Field(
        default=None,
        ge=10.0,
        le=80.0,
        description="Incidence angle, with --dem; one for all of the image, in place of what the "
        "product says over its swath.",
    )

    @model_validator(mode="after")
    def _incidence_needs_heights(self) -> Self:
        if self.incidence is not None and self.dem is None:
            raise SettingError("--incidence says nothing without heights; give --dem too.")
        return self


class HintOptions(Settings):
    """What a user knows of two images beyond their files."""

    GROUP: ClassVar[str] = "Masks and points"

    mask: Annotated[Path | None, Cli(metavar="FILE")] = Field(
        default=None, description="Raster that is 0 where the SAR image is not to be matched."
    )
    optical_mask: Annotated[Path | None, Cli(metavar="FILE")] = Field(
        default=None, description="The same of the optical image, as of its clouds."
    )
    points: Annotated[Path | None, Cli(metavar="FILE")] = Field(
        default=None, description="Points to start from: CSV as tie_points.csv, or .points of QGIS."
    )


class SceneOptions(Settings):
    """How a pair larger than the working grid is matched in tiles."""

    spacing: Annotated[float | None, Cli(metavar="PIXELS", default="what the data support")] = (
        Field(
            default=None,
            ge=6.0,
            le=4096.0,
            description="Match in tiles, with a tie point every so many optical pixels.",
        )
    )


class EngineOptions(Settings):
    """Where the images of a batch, or the tiles of a scene, are matched.

    No result depends on it.
    """

    engine: Literal["local", "ray"] = Field(
        default="local", description="On this machine, or on a Ray cluster."
    )
    workers: Annotated[int | None, Cli(default="1, or 2 with ray")] = Field(
        default=None,
        ge=1,
        le=1024,
        description="Processes, or actors, that match images of a batch, or tiles of a scene.",
    )
    ray_address: Annotated[str | None, Cli(metavar="ADDRESS", default="one on this machine")] = (
        Field(default=None, description="Running cluster, as ray://host:10001.")
    )

    @model_validator(mode="after")
    def _address_needs_ray(self) -> Self:
        if self.engine != "ray" and self.ray_address is not None:
            raise SettingError("ray_address does nothing without --engine ray.")
        return self


class MatcherOptions(Settings):
    """What finds tie points, and what is done with them."""

    matcher: Annotated[str, Extractors(), Cli(metavar="NAME")] = Field(
        default=DEFAULT_MATCHER,
        description="What finds tie points: template, which is ours; an extractor, for template "
        "over its features; sift, efolki, aliked-lightglue and others of 'crosslook matchers'.",
    )
    tiling: Annotated[Tiling, Cli(metavar="KEY=VALUE,...")] = Field(
        default=Tiling(),
        description="Tiles for matchers of whole images: whole, spacenet9, or keys, as "
        "side=512,overlap=256,maximum=1024.",
    )
    gate: Annotated[float | None, Cli(metavar="PIXELS", default="3.5, or as the template")] = Field(
        default=None, gt=0.0, le=64.0, description="Largest distance of an inlier in the fit."
    )
    refine: Annotated[bool | None, Cli(default="as the matcher: on for template")] = Field(
        default=None,
        description="Refine the fit by mutual information, and follow what it cannot by templates.",
    )


class VerdictOption(Settings):
    """What says how sure a matcher is."""

    verdict: Annotated[Path | None, Cli(metavar="FILE", default="none but of template")] = Field(
        default=None, description="Verdict of the matcher, by 'crosslook verdict fit'."
    )


class RegisterSettings(
    SceneOptions,
    HintOptions,
    SeedOption,
    ReachOptions,
    VerdictOption,
    MatcherOptions,
    ReliefOptions,
    ModelOptions,
):
    """How one image is brought onto another."""

    model: RegisterModel = Field(
        default="auto",
        description="Transform that is fitted; auto takes the simplest that predicts best.",
    )
    extractor: Annotated[str, Extractors(), Cli(metavar="SPEC")] = Field(
        default=DEFAULT_EXTRACTOR, description="Features that are correlated."
    )

    @property
    def in_tiles(self) -> bool:
        """Whether the model may be followed in tiles; any other model is kept as requested."""
        return self.model in SCENE_MODELS

    @model_validator(mode="after")
    def _spacing_needs_a_model_of_scenes(self) -> Self:
        if self.spacing is not None and not self.in_tiles:
            raise SettingError(
                f"--spacing matches in tiles, which --model {self.model} does not follow. Leave "
                f"one out, or give --model {', '.join(SCENE_MODELS[:-1])} or {SCENE_MODELS[-1]}."
            )
        return self


def shared_settings(others: FitOptions) -> RegisterSettings:
    """Settings of ``register`` as far as those of another command are the same."""
    names = set(RegisterSettings.model_fields) & set(
        MatcherOptions.model_fields | FitOptions.model_fields | ModelOptions.model_fields
    )
    return RegisterSettings(**{name: getattr(others, name) for name in names})


class BatchSettings(EngineOptions, RegisterSettings):
    """The same, and by how many processes."""


class RegisterCall(WritingOptions, BatchSettings):
    """The same, and where the files go."""


class ApplySettings(GroundOptions):
    """What is made of other files of the same acquisition."""

    grid: Literal["native", "optical"] = Field(
        default="native",
        description="Pixels of their own size on the optical grid, or those of the optical image.",
    )
    kind: Annotated[Literal["tif", "vrt"], Cli(name="as")] = Field(
        default="tif", description="Pixels, or the file as it is with control points that place it."
    )
    resampling: Literal["auto", "nearest", "bilinear", "average"] = Field(
        default="auto",
        description="nearest keeps classes; average takes means where pixels grow; auto decides.",
    )
    force: bool = Field(default=False, description="Use a match that is not sure too.")


class ApplyCall(OverwriteOption, ApplySettings):
    """The same, and where the files go."""

    out: Annotated[Path | str | None, Cli(metavar="FOLDER", needed=True)] = Field(
        default=None, description="Folder for the files, each under its own name."
    )


class AuditSettings(SceneOptions, SeedOption, ReadingOptions, ModelOptions):
    """How the alignment of pairs is measured."""

    radius: Annotated[float, Cli(metavar="PIXELS")] = Field(
        default=24.0, gt=0.0, le=1024.0, description="Largest shift looked for."
    )
    shift_features: Annotated[str, Extractors(), Cli(metavar="SPEC")] = Field(
        default="hog:cell=2,blur=1.5", description="Features that give the shift of a scene."
    )
    part_features: Annotated[str, Extractors(), Cli(metavar="SPEC")] = Field(
        default="hog:cell=4,blur=1", description="Features that give its rotation and relief."
    )
    has_map: Annotated[bool, Cli(name="map")] = Field(
        default=True,
        description="Map the shift all over scenes that are larger than 2,048 pixels, in tiles.",
    )

    @model_validator(mode="after")
    def _spacing_needs_a_map(self) -> Self:
        if self.spacing is not None and not self.has_map:
            raise SettingError("--spacing is of the map, which --no-map leaves out; drop one.")
        return self


class AuditCall(OverwriteOption, EngineOptions, AuditSettings):
    """The same, and where the files go."""

    out: Annotated[Path | str | None, Cli(metavar="FOLDER", needed=True)] = Field(
        default=None, description="Folder for the table, the images, the alignment file."
    )
