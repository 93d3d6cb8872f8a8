"""The settings of a study: one validated value, from the command line, YAML or Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, model_validator

from crosslook.errors import SettingError
from crosslook.extract.rows import SETS
from crosslook.extract.spec import ExtractorSpec, expand_sweep, split_specs
from crosslook.options import (
    Cli,
    ModelOptions,
    OneOf,
    OverwriteOption,
    RayOptions,
    ReadingOptions,
    SeedOption,
    with_preset,
)
from crosslook.retrieval.compare.calibration import CALIBRATIONS
from crosslook.retrieval.compare.pooling import Pooling
from crosslook.retrieval.compare.similarity import SCORINGS
from crosslook.retrieval.stage_spec import Fusion, TwoStage
from crosslook.spec import read_whole, split_list
from crosslook.storage import as_path


def _as_text(place: Path) -> str:
    return str(place)  # not str itself: pydantic 2.6 looks for its signature


def _as_path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError(f"'{value}' is no path: give text")
    return as_path(value)


Place = Annotated[Path, PlainValidator(_as_path), PlainSerializer(_as_text)]
"""A local path, or one of an object store."""


def _as_seeds(value: Any) -> Any:
    seeds = value
    if isinstance(value, str):
        try:
            seeds = [seed for part in split_list(value) for seed in read_whole(part)]
        except ValueError as error:
            raise ValueError(f"'{value}' are no seeds, as 0..9 or 0,1,2: {error}") from None
    seeds = (seeds,) if isinstance(seeds, int) else seeds
    if not isinstance(seeds, list | tuple) or len(set(seeds)) != len(seeds):
        raise ValueError(f"'{value}' are no different whole numbers from 0, as 0..9 or 0,1,2")
    return tuple(seeds)


def _as_specs(value: Any) -> Any:
    return tuple(split_specs(value)) if isinstance(value, str) else value


def _as_extractors(value: Any) -> Any:
    texts = _as_specs(value)
    if not isinstance(texts, list | tuple) or not all(
        isinstance(one, str | ExtractorSpec) for one in texts
    ):
        raise ValueError("specs of extractors must be text, as raw,hog:cell=8")
    return tuple(
        spec for one in texts for spec in (expand_sweep(one) if isinstance(one, str) else [one])
    )


PRESETS: dict[str, dict[str, Any]] = {
    "article": {
        "extractors": SETS["article"],
        "two_stage": ("sam2+sd-vae",),
    }
}
"""The settings of each preset; one that is given wins."""


class StudySettings(OverwriteOption, SeedOption, ReadingOptions, ModelOptions, RayOptions):
    """Everything that a study may be given; unknown keys are refused."""

    if TYPE_CHECKING:

        def __init__(self, **values: Any) -> None: ...  # text is taken for what it stands for

    pairs: Annotated[Place, Cli(positional=True)] = Field(
        description="Folder, CSV or Parquet table, or public set."
    )
    out: Annotated[Path, Cli(metavar="RUN")] = Field(
        description="Folder for rows, figures and the report."
    )
    extractors: Annotated[
        tuple[ExtractorSpec, ...], BeforeValidator(_as_extractors), Cli(metavar="SPEC,...")
    ] = Field(
        default=(ExtractorSpec(name="raw"), ExtractorSpec(name="hog")),
        description="Extractors, as raw,hog:cell=8, or sweeps, as dinov2:layer=1..12.",
    )
    layout: Annotated[str, Cli(metavar="NAME")] = Field(
        default="auto", description="Layout of a public set."
    )
    skip_incomplete: bool = Field(
        default=False,
        description="Leave out images without a partner and scenes smaller than a patch.",
    )
    patch: int = Field(default=256, ge=16, le=8192, description="Side of a patch in pixels.")
    stride: Annotated[int | None, Cli(default="the patch")] = Field(
        default=None, ge=1, description="Pixels between patches."
    )
    max_invalid: Annotated[float, Cli(metavar="FRACTION")] = Field(
        default=0.05, ge=0.0, lt=1.0, description="Patches with more invalid pixels are dropped."
    )
    limit: Annotated[int | None, Cli(metavar="N", default="all")] = Field(
        default=None,
        ge=4,
        description="Patches at most, not scenes, drawn by the seed, evenly over clusters.",
    )
    limit_scenes: Annotated[int | None, Cli(metavar="N", default="all")] = Field(
        default=None, ge=3, description="Scenes at most, drawn by the seed, evenly over groups."
    )
    alignment: Annotated[Place | None, Cli(metavar="FILE")] = Field(
        default=None, description="CSV of shifts: scene, row, col."
    )
    pooling: Annotated[Pooling, Cli(metavar="NAME")] = Field(
        default=Pooling(name="auto"),
        description="auto, flatten, grid:N, mean, gem, vector, or dense:R: maps compared over "
        "shifts of up to R cells.",
    )
    pca: Annotated[int | None, Cli(metavar="D", default="all dimensions")] = Field(
        default=None,
        ge=2,
        description="Project descriptors on D principal directions of the calibration set.",
    )
    calibrations: Annotated[
        tuple[Annotated[str, OneOf(tuple(CALIBRATIONS))], ...], BeforeValidator(split_list)
    ] = Field(
        default=("none", "center", "standardize", "whiten"),
        description="Transforms that bring the modalities together.",
    )
    scorings: Annotated[
        tuple[Annotated[str, OneOf(tuple(SCORINGS))], ...], BeforeValidator(split_list)
    ] = Field(default=("cosine", "csls"), description="Scores by which partners are ranked.")
    calibration_fraction: Annotated[float, Cli(metavar="FRACTION")] = Field(
        default=0.2,
        gt=0.0,
        lt=1.0,
        description="Part of the scenes that calibrations are fitted on.",
    )
    index: Literal["exact", "hnsw", "ivf-pq"] = Field(
        default="exact", description="Search of the gallery."
    )
    split: Literal["held-out", "transductive", "both"] = Field(
        default="held-out", description="Which scenes calibrations are fitted on."
    )
    split_by: Literal["auto", "scene", "group"] = Field(
        default="auto",
        description="Clusters of split and intervals; auto takes three or more known groups.",
    )
    tolerance: Annotated[float | None, Cli(metavar="PIXELS", default="half a patch")] = Field(
        default=None, ge=0.0, description="A neighbour this near counts as the partner."
    )
    draws: int = Field(default=1000, ge=100, le=100_000, description="Draws of the bootstrap.")
    skip_missing: bool = Field(default=False, description="Leave out models without weights.")
    store: Annotated[str | None, Cli(metavar="FOLDER", default="OUT/features")] = Field(
        default=None, description="Folder or address of the feature store."
    )
    stored: Literal["float32", "float16"] = Field(
        default="float32", description="Numbers that features are stored in."
    )
    keep: Literal["maps", "pooled"] = Field(
        default="maps",
        description="What is stored: whole feature maps, or pooled descriptors alone.",
    )
    structure: bool = Field(default=True, description="Measure the feature space.")
    two_stage: Annotated[
        tuple[TwoStage, ...], BeforeValidator(_as_specs), Cli(metavar="COARSE+FINE,...")
    ] = Field(default=(), description="A shortlist, then verification by dense correlation.")
    fusion: Annotated[
        tuple[Fusion, ...], BeforeValidator(_as_specs), Cli(metavar="A+B[+C],...")
    ] = Field(
        default=(),
        description="Several extractors as one; a member may name its own pooling, as "
        "hog:pool=dense:1.",
    )
    robustness: bool = Field(
        default=False, description="Curves over offset, rotation, scale, speckle, sizes."
    )
    preset: Annotated[Literal["", "article"], Cli(metavar="NAME", default="none")] = Field(
        default="",
        description="Settings of a known study, each of which may be given otherwise: article, "
        "the five models of the published one and its advice.",
    )
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        BeforeValidator(_as_seeds),
        Cli(metavar="0..9", default="the seed"),
    ] = Field(
        default=(),
        description="Repeat split and measures with these seeds; rows hold means with their total "
        "variance.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        return with_preset(values, PRESETS)

    @model_validator(mode="after")
    def _can_be_pooled(self) -> Self:
        if self.keep == "pooled" and self.pooling.name in ("auto", "flatten", "dense"):
            raise SettingError(
                f"--keep pooled stores what --pooling makes, and '{self.pooling}' keeps every "
                "cell; name a pooling that is smaller: grid:N, mean, gem or vector."
            )
        named = {member.pooling for one in self.fusion for member in one.members}
        if self.keep == "pooled" and named - {None, self.pooling}:
            raise SettingError(
                "--keep pooled leaves no maps for a member of --fusion that names another pooling; "
                "use --keep maps."
            )
        if self.keep == "pooled" and (self.two_stage or self.robustness or self.engine == "ray"):
            raise SettingError(
                "--keep pooled leaves no maps for --two-stage, and serves neither --robustness "
                "nor --engine ray; use --keep maps."
            )
        if self.pca is not None and (self.robustness or self.pooling.name == "dense"):
            raise SettingError(
                "--pca leaves no maps to compare over shifts, and --robustness describes new "
                "patches by whole descriptors; leave --pca out."
            )
        return self

    @property
    def split_seeds(self) -> tuple[int, ...]:
        """Seeds of the splits, the first of which the figures show."""
        return self.seeds or (self.seed,)

    @property
    def step(self) -> int:
        """Pixels between neighbouring patches."""
        return self.stride or self.patch

    @property
    def tolerance_px(self) -> float:
        """Distance within which a neighbour counts as the partner; half a patch by default."""
        return self.patch / 2 if self.tolerance is None else self.tolerance


class DemoSettings(OverwriteOption, SeedOption):
    """What the demonstration simulates, and where."""

    out: Annotated[Path, Cli(metavar="FOLDER")] = Field(
        default=Path("demo-run"),
        description="Folder for the synthetic pairs, the run and one registration.",
    )
    preset: Annotated[Literal["", "article"], Cli(metavar="NAME", default="none")] = Field(
        default="",
        description="article takes the five models of the published study, where their weights "
        "are, in the place of the small ones.",
    )
