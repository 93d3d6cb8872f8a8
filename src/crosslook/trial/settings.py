"""The settings of a trial: one validated value, from the command line, YAML or Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from crosslook.errors import SettingError
from crosslook.extract.spec import split_specs
from crosslook.match.settings import RegisterModel
from crosslook.match.tiling import Tiling
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
from crosslook.retrieval.settings import Place
from crosslook.spec import split_list
from crosslook.trial.protocol import read_sweep
from crosslook.trial.reach import REACHES

PRESETS: dict[str, dict[str, Any]] = {
    "spacenet9": {
        "reaches": ("as-is",),
        "wrong": False,
        "tiling": "spacenet9",
        "model": "affine",
        "gate": 3.0,
        "refine": False,
        "layout": "spacenet9",
    }
}
"""The settings of each preset; one that is given wins. ``spacenet9`` has those of
arXiv:2604.10217: pairs as they are, tiles of 512 px that share 256, images of 1,024 px at most,
an affine map within 3 px, nothing after it."""


def _as_matchers(value: Any) -> Any:
    return tuple(split_specs(value)) if isinstance(value, str) else value


class TrialSettings(OverwriteOption, SeedOption, ReadingOptions, ModelOptions, RayOptions):
    """Everything that a trial may be given; unknown keys are refused."""

    if TYPE_CHECKING:

        def __init__(self, **values: Any) -> None: ...  # text is taken for what it stands for

    pairs: Annotated[Place, Cli(positional=True)] = Field(
        description="Pairs with truth: an aligned set, or one with tie points; as for study."
    )
    out: Annotated[Path, Cli(metavar="RUN")] = Field(
        description="Folder for answers, rows, figures and the report."
    )
    matchers: Annotated[tuple[str, ...], BeforeValidator(_as_matchers), Cli(metavar="NAME,...")] = (
        Field(
            default=("template", "sift", "phase-correlation", "efolki"),
            description="Matchers, as template,sift,efficientnet-lite0:block=3.",
        )
    )
    against: Annotated[str | None, Cli(metavar="NAME", default="the first matcher")] = Field(
        default=None, description="Matcher that the others are compared with, case by case."
    )
    layout: Annotated[str, Cli(metavar="NAME")] = Field(
        default="auto", description="Layout of a public set."
    )
    skip_incomplete: bool = Field(default=False, description="Leave out images without a partner.")
    reaches: Annotated[
        tuple[Annotated[str, OneOf(tuple(REACHES))], ...], BeforeValidator(split_list)
    ] = Field(
        default=("near",),
        description="Seeded warps: as-is, near (2 degrees, 2 %, 4.5 % of the side), wide (90 "
        "degrees, factors of 0.7 to 1.4, a tenth of the side).",
    )
    wrong: bool = Field(default=True, description="Register each SAR image on a wrong partner too.")
    window: Annotated[int | None, Cli(metavar="PIXELS", default="whole images")] = Field(
        default=None, ge=128, le=4096, description="Side of the windows that are registered."
    )
    windows: int = Field(default=1, ge=1, le=1000, description="Windows of each pair at most.")
    draws: int = Field(default=1, ge=1, le=1000, description="Warps of each window and reach.")
    limit: Annotated[int | None, Cli(metavar="N", default="all")] = Field(
        default=None, ge=2, description="Pairs at most, drawn by the seed, evenly over groups."
    )
    alignment: Annotated[Place | None, Cli(metavar="FILE")] = Field(
        default=None,
        description="CSV of shifts (scene, row, col); scenes that it does not name are left out.",
    )
    tie_points: Annotated[Place | None, Cli(metavar="FOLDER")] = Field(
        default=None,
        description="Folder of tables of tie points, named as the pairs; instead of those of the "
        "set.",
    )
    model: RegisterModel = Field(default="auto", description="Transform that is fitted.")
    tiling: Annotated[Tiling, Cli(metavar="KEY=VALUE,...")] = Field(
        default=Tiling(), description="Tiles, as for register."
    )
    gate: Annotated[float | None, Cli(metavar="PIXELS", default="as the matcher")] = Field(
        default=None, gt=0.0, le=64.0, description="Largest distance of an inlier in the fit."
    )
    refine: Annotated[bool | None, Cli(default="as the matcher")] = Field(
        default=None, description="Refine the fit by mutual information."
    )
    sweep: Annotated[str, Cli(metavar="KEY=A:B,...", default="none")] = Field(
        default="",
        description="Protocols in all combinations, as model=similarity:affine,tile=256:512,"
        "gate=1.5:3; chosen on the calibration part, reported on the test part.",
    )
    calibration_fraction: Annotated[float, Cli(metavar="FRACTION")] = Field(
        default=0.3,
        gt=0.0,
        lt=1.0,
        description="Part of the clusters that protocols are chosen on.",
    )
    bootstrap: int = Field(default=1000, ge=100, le=100_000, description="Draws of the bootstrap.")
    processes: Annotated[int | None, Cli(default="the cores; 1 on a GPU")] = Field(
        default=None, ge=1, description="Processes that register; no result depends on it."
    )
    estimate: bool = Field(
        default=False, description="Say how long it would take, from three cases of each matcher."
    )
    preset: Annotated[Literal["", "spacenet9"], Cli(metavar="NAME", default="none")] = Field(
        default="",
        description="Settings of a known study, each of which may be given otherwise: spacenet9.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        return with_preset(values, PRESETS)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        read_sweep(self.sweep)
        if len(set(self.matchers)) != len(self.matchers) or not self.matchers:
            raise SettingError("name each matcher once, and at least one.")
        if self.against is not None and self.against not in self.matchers:
            raise SettingError(
                f"--against {self.against} is not among --matchers ({', '.join(self.matchers)})."
            )
        if self.windows > 1 and self.window is None:
            raise SettingError("--windows says nothing without --window; give its side too.")
        if self.draws > 1 and set(self.reaches) == {"as-is"}:
            raise SettingError("--draws says nothing where pairs stay as they are.")
        return self

    @property
    def reference(self) -> str:
        """The matcher that others are compared with."""
        return self.against or self.matchers[0]
