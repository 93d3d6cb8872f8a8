"""The settings of a study: one validated value, from the command line or YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)

from crosslook.errors import InputError, SettingError, did_you_mean
from crosslook.extract.spec import split_specs
from crosslook.storage import as_path

CALIBRATION_NAMES = ("none", "center", "standardize", "whiten")
SCORING_NAMES = ("cosine", "csls", "inverted-softmax")


Place = Annotated[Path, PlainValidator(as_path), PlainSerializer(str)]
"""A local path, or one of an object store."""


class StudySettings(BaseModel):
    """Everything that a study may be told; unknown keys are refused.

    The same names are the options of ``crosslook study`` (with hyphens) and
    the keys of a run file (``--config``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: Place
    out: Path
    extractors: tuple[str, ...] = ("raw", "hog")
    layout: str = "auto"
    patch: int = Field(256, ge=16, le=8192)
    stride: int | None = Field(None, ge=1)
    sar: str = ""
    optical: str = ""
    max_invalid: float = Field(0.05, ge=0.0, lt=1.0)
    alignment: Place | None = None
    pooling: str = "auto"
    calibrations: tuple[Literal["none", "center", "standardize", "whiten"], ...] = CALIBRATION_NAMES  # type: ignore[assignment]
    scorings: tuple[Literal["cosine", "csls", "inverted-softmax"], ...] = ("cosine", "csls")
    calibration_share: float = Field(0.2, gt=0.0, lt=1.0)
    index: Literal["exact", "hnsw", "ivf-pq"] = "exact"
    split: Literal["held-out", "transductive", "both"] = "held-out"
    split_by: Literal["scene", "group"] = "scene"
    tolerance: float | None = Field(None, ge=0.0)
    draws: int = Field(1000, ge=100, le=100_000)
    seed: int = Field(0, ge=0)
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    batch_size: int | None = Field(None, ge=1)
    weights: dict[str, Path] = Field(default_factory=dict)
    skip_missing: bool = False
    store: str | None = None
    engine: Literal["local", "ray"] = "local"
    workers: int | None = Field(None, ge=1)
    ray_address: str | None = None
    structure: bool = True
    two_stage: tuple[str, ...] = ()
    fusion: tuple[str, ...] = ()
    robustness: bool = False

    @model_validator(mode="after")
    def _ray_options_need_ray(self) -> Self:
        if self.engine != "ray" and (self.workers is not None or self.ray_address is not None):
            raise ValueError("workers and ray_address do nothing without --engine ray")
        return self

    @field_validator("extractors", mode="before")
    @classmethod
    def _split_extractors(cls, value: Any) -> Any:
        return tuple(split_specs(value)) if isinstance(value, str) else value

    @field_validator("two_stage", "fusion", mode="before")
    @classmethod
    def _split_joined(cls, value: Any) -> Any:
        return tuple(split_specs(value)) if isinstance(value, str) else value

    @field_validator("calibrations", "scorings", mode="before")
    @classmethod
    def _split_words(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @property
    def step(self) -> int:
        """Pixels between neighbouring patches."""
        return self.stride or self.patch

    @property
    def tolerance_px(self) -> float:
        """Distance within which a neighbour counts as found; half a patch by default."""
        return self.patch / 2 if self.tolerance is None else self.tolerance


def make_settings(values: dict[str, Any]) -> StudySettings:
    """Validate settings.

    Raises
    ------
    SettingError
        For an unknown key (with a suggestion) or a value that is not allowed;
        the first problem found, in one line.
    """
    known = list(StudySettings.model_fields)
    for key in values:
        if key not in known:
            raise SettingError(
                f"unknown key '{key}'; allowed are: {', '.join(known)}." + did_you_mean(key, known)
            )
    try:
        return StudySettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        seen = f" (seen: {first['input']!r})" if first["type"] != "missing" else ""
        raise SettingError(f"{where}: {first['msg']}{seen}.") from None


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML run file into a dictionary of settings.

    Paths in the file are relative to the folder the command runs in, as on
    the command line.

    Raises
    ------
    InputError
        If the file cannot be read or is not a mapping.
    """
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the run file {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise InputError(f"the run file {path} is not YAML: {line}.") from error
    if not isinstance(loaded, dict):
        raise InputError(f"the run file {path} holds no 'key: value' lines.")
    return {str(key).replace("-", "_"): value for key, value in loaded.items()}
