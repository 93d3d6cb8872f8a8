"""Options declared once: the command line, run files and Python calls read one typed model.

A command's settings are a frozen pydantic model. The name of a field is the
keyword of the Python call and the key of a run file, with hyphens it is the
option of the command line; type, default, choices, bounds and help lie in
the field and nowhere else. :func:`after_one` and :func:`after_two` make the
Python call, :mod:`crosslook.cli.command` the command.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from crosslook.errors import SettingError, did_you_mean

Device = str
"""``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
DEVICES = ("auto", "cpu", "cuda", "mps")
Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Cli:
    """What the command line needs to know of a field beyond the field itself.

    Attributes
    ----------
    name : str
        Of the option, where it is not that of the field.
    metavar : str
        The word for the value in the help.
    default : str
        What a default of None means.
    positional : bool
        An argument, not an option.
    needed : bool
        Must be given on the command line, though not in Python.
    """

    name: str = ""
    metavar: str = ""
    default: str = ""
    positional: bool = False
    needed: bool = False


class Closed:
    """Marks text of a closed grammar: whatever it is, it names no file and no address."""


class Extractors:
    """Marks text that names an extractor, which may be a checkpoint in a folder or on the hub."""


@dataclass(frozen=True)
class OneOf:
    """Marks a word that must be a key of a table: what is added there may be chosen."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.literal_schema(list(self.names))


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key or a wrong value is one clear error.

    ``GROUP`` is the heading under which the help lists the fields of a class itself.

    Raises
    ------
    SettingError
        For an unknown key, with the nearest known one, or a value that is
        not allowed; the first problem found, in one line.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,  # help needs no validator
    )

    def __init__(self, **values: Any) -> None:
        known = list(type(self).model_fields)
        for key in values:
            if key not in known:
                raise unknown_key(key, known)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingError(_explain(type(self), error)) from None


def unknown_key(key: str, known: list[str]) -> SettingError:
    """The error for a key that no setting has."""
    return SettingError(
        f"unknown key '{key}'; allowed are: {', '.join(known)}." + did_you_mean(key, known)
    )


@dataclass(frozen=True)
class ReadingText:
    """How image files become pixels, beyond what they say themselves.

    Attributes
    ----------
    sar, optical : str
        Radiometry, as the options of these names take it; empty for the default.
    bands : str
        Bands of the optical image, as ``4:3:2``; empty for the default.
    height : float or None
        Metres above the ellipsoid, for images with rational polynomials.
    dem : str or None
        Elevation model for the same.
    crs : str or None
        CRS of images that have a map but none, as world files give.
    """

    sar: str = ""
    optical: str = ""
    bands: str = ""
    height: float | None = None
    dem: str | None = None
    crs: str | None = None


def _join_bands(value: Any) -> Any:
    return ":".join(map(str, value)) if isinstance(value, list | tuple) else value


class GroundOptions(Settings):
    """What places an image that does not say it all itself: its CRS, or the ground under it."""

    GROUP: ClassVar[str] = "Reading images"

    crs: Annotated[str | None, Cli(metavar="CRS")] = Field(
        default=None,
        description="CRS of images that have a map but no CRS, as world files give: EPSG:32611.",
    )

    height: Annotated[float | None, Cli(metavar="METRES")] = Field(
        default=None,
        ge=-1000.0,
        le=10_000.0,
        description="Height of the ground above the ellipsoid, for images with RPCs.",
    )
    dem: Annotated[Path | None, Cli(metavar="FILE")] = Field(
        default=None,
        description="Elevation model: for images with RPCs, instead of --height, and for what "
        "hills displace, where register follows it.",
    )

    @model_validator(mode="after")
    def _one_ground(self) -> Self:
        if self.height is not None and self.dem is not None:
            raise SettingError("both --height and --dem were given; give one.")
        return self

    def reading(self) -> ReadingText:
        """The part of the settings that travels to where files are opened."""
        known = type(self).model_fields
        values = {f.name: getattr(self, f.name) for f in fields(ReadingText) if f.name in known}
        return ReadingText(**values | {"dem": None if self.dem is None else str(self.dem)})


class SarOptions(GroundOptions):
    """How SAR images are read; the same in every command that reads any."""

    GROUP: ClassVar[str] = "Reading images"

    sar: Annotated[str, Closed(), Cli(metavar="KEY=VALUE,...")] = Field(
        default="",
        description="SAR radiometry: a preset (root, log, vv, vh) or keys, as clip=-25:0.",
    )


class OpticalOptions(GroundOptions):
    """How optical images are read; the same in every command that reads any."""

    GROUP: ClassVar[str] = "Reading images"

    optical: Annotated[str, Closed(), Cli(metavar="KEY=VALUE,...")] = Field(
        default="",
        description="Optical radiometry: a preset (reflectance) or keys, as range=0:3000.",
    )
    bands: Annotated[str, BeforeValidator(_join_bands), Closed(), Cli(metavar="R:G:B")] = Field(
        default="",
        description="Bands of optical images by number or name, as 4:3:2 or B08:B04:B03.",
    )

    @model_validator(mode="after")
    def _bands_once(self) -> Self:
        if self.bands and "bands=" in self.optical:
            raise SettingError(
                f"both --bands {self.bands} and --optical {self.optical} name bands; give one."
            )
        return self


class ReadingOptions(SarOptions, OpticalOptions):
    """How SAR and optical images are read."""


def folders(value: Any) -> Any:
    """``NAME=FOLDER`` texts as a mapping; anything else stays as it is."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    folders = {}
    for text in value:
        name, equals, folder = str(text).partition("=")
        if not (equals and name and folder):
            raise SettingError(f"--weights {text}: write NAME=FOLDER, as dinov2=/data/dinov2-base.")
        folders[name] = folder
    return folders


def _known_device(value: Any) -> Any:
    check_device(value) if isinstance(value, str) else None
    return value


def check_device(device: str) -> tuple[str, int | None]:
    """Kind and number of a device; whether it is there only torch knows.

    Raises
    ------
    SettingError
        If there is no such name.
    """
    kind, colon, number = device.partition(":")
    if kind not in DEVICES or (colon and (kind != "cuda" or not number.isdecimal())):
        raise SettingError(
            f"unknown device '{device}'; allowed: {', '.join(DEVICES)}, cuda:N."
            + did_you_mean(kind, DEVICES)
        )
    return kind, int(number) if number else None


class ThreadsOption(Settings):
    """How many threads the work takes; the same in every command that does any."""

    GROUP: ClassVar[str] = "Running"

    threads: Annotated[int | None, Cli(default="the cores, or OMP_NUM_THREADS")] = Field(
        default=None, ge=1, description="Threads at most; no result depends on them."
    )


class ModelOptions(ThreadsOption):
    """Where models come from and how they run; the same in every command that runs any."""

    GROUP: ClassVar[str] = "Running"

    weights: Annotated[dict[str, Path], BeforeValidator(folders), Cli(metavar="NAME=FOLDER")] = (
        Field(default_factory=dict, description="A local checkpoint of a model; repeatable.")
    )
    device: Annotated[
        Device, BeforeValidator(_known_device), Closed(), Cli(metavar="[auto|cpu|cuda|cuda:N|mps]")
    ] = Field(default="auto", description="Where models and searches run.")
    dtype: Dtype = Field(default="float32", description="Numbers that models compute in.")
    batch_size: Annotated[int | None, Cli(default="fitted to the memory")] = Field(
        default=None, ge=1, description="Images per step of a model."
    )


class SeedOption(Settings):
    """The seed; the same one gives the same bytes."""

    GROUP: ClassVar[str] = "Running"

    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="Seed of everything drawn.")


class RayOptions(Settings):
    """Where work that falls into independent pieces is done."""

    GROUP: ClassVar[str] = "Running"

    engine: Literal["local", "ray"] = Field(
        default="local", description="This machine, or a Ray cluster."
    )
    workers: Annotated[int | None, Cli(default="2")] = Field(
        default=None, ge=1, description="Actors of the ray engine."
    )
    ray_address: Annotated[str | None, Cli(metavar="ADDRESS", default="one on this machine")] = (
        Field(default=None, description="Running cluster, as ray://host:10001.")
    )

    @model_validator(mode="after")
    def _only_for_ray(self) -> Self:
        if self.engine != "ray" and (self.workers is not None or self.ray_address is not None):
            raise SettingError("workers and ray_address do nothing without --engine ray.")
        return self


class OverwriteOption(Settings):
    """What becomes of files that are in the way; the same in every command that writes any."""

    GROUP: ClassVar[str] = "Output"

    overwrite: bool = Field(
        default=False, description="Replace files that crosslook did not write too."
    )


class WritingOptions(OverwriteOption):
    """Where the files of a match go."""

    GROUP: ClassVar[str] = "Output"

    out: Annotated[Path | str | None, Cli(metavar="FOLDER", needed=True)] = Field(
        default=None, description="Folder for transform, aligned image, tie points."
    )
    force: bool = Field(
        default=False, description="Write the aligned image and the images without a match too."
    )


def with_preset(values: Any, presets: Mapping[str, Mapping[str, Any]]) -> Any:
    """The values of settings, filled up by the preset that they name; one that is given wins."""
    name = values.get("preset") if isinstance(values, dict) else None
    return {**presets.get(name, {}), **values} if isinstance(name, str) else values


def record(settings: Settings, kind: type[Settings]) -> dict[str, Any]:
    """What a result says of its settings: the fields of ``kind`` that change it, for JSON.

    Where a model runs, in what steps and with how many threads, changes nothing.
    """
    return settings.model_dump(
        mode="json", include=set(kind.model_fields) - {"device", "batch_size", "threads"}
    )


_A = TypeVar("_A", contravariant=True)
_B = TypeVar("_B", contravariant=True)
_S = TypeVar("_S", contravariant=True)
_R = TypeVar("_R", covariant=True)
_P = ParamSpec("_P")


class AfterOne(Protocol[_A, _S, _P, _R]):
    """A call with one input and then settings: a model, or its fields as keywords."""

    @overload
    def __call__(self, one: _A, settings: _S, /) -> _R: ...
    @overload
    def __call__(self, one: _A, /, *args: _P.args, **options: _P.kwargs) -> _R: ...


class AfterTwo(Protocol[_A, _B, _S, _P, _R]):
    """A call with two inputs and then settings: a model, or its fields as keywords."""

    @overload
    def __call__(self, one: _A, two: _B, settings: _S, /) -> _R: ...
    @overload
    def __call__(self, one: _A, two: _B, /, *args: _P.args, **options: _P.kwargs) -> _R: ...


def after_one(
    model: Callable[_P, _S],
) -> Callable[[Callable[[_A, _S], _R]], AfterOne[_A, _S, _P, _R]]:
    """Let a function of one input and settings take the fields of ``model`` as keywords too."""
    return cast(
        "Callable[[Callable[[_A, _S], _R]], AfterOne[_A, _S, _P, _R]]", _takes_keywords(model)
    )


def after_two(
    model: Callable[_P, _S],
) -> Callable[[Callable[[_A, _B, _S], _R]], AfterTwo[_A, _B, _S, _P, _R]]:
    """Let a function of two inputs and settings take the fields of ``model`` as keywords too."""
    return cast(
        "Callable[[Callable[[_A, _B, _S], _R]], AfterTwo[_A, _B, _S, _P, _R]]",
        _takes_keywords(model),
    )


def _takes_keywords(model: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(function)
        *inputs, _ = own.parameters.values()

        @wraps(function)
        def call(*given: Any, **options: Any) -> Any:
            if len(given) > len(inputs):  # the last one is a model
                return function(*given, **options)
            return function(*given, model(**options))

        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                *(one.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for one in inputs),
                *(_parameter(name, field) for name, field in model.model_fields.items()),
            ],
            return_annotation=own.return_annotation,
        )
        call.__doc__ = inspect.cleandoc(function.__doc__ or "") + _other_parameters(model)
        return call

    return decorate


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    default = field.get_default(call_default_factory=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=field.annotation)


def _other_parameters(model: type[Settings]) -> str:
    """The fields of a model as a section of a numpydoc docstring."""
    lines = ["", "", "Other Parameters", "----------------"]
    for name, field in model.model_fields.items():
        tail = describe_range(field)
        lines += [f"{name} : {_type_name(field.annotation)}", f"    {field.description}"]
        lines[-1] += f" {tail[0].upper()}{tail[1:]}." if tail else ""
    return "\n".join(lines)


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"``{choice}``" for choice in get_args(kind))
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def cli_of(field: FieldInfo) -> Cli:
    """What the command line needs of a field beyond itself."""
    return next((item for item in field.metadata if isinstance(item, Cli)), Cli())


def is_closed(field: FieldInfo) -> bool:
    """Whether no value of a field can name a file, an address or a model.

    Numbers, choices and yes or no cannot; text only where it is marked as :class:`Closed`.
    """
    text = any(isinstance(item, Closed) for item in field.metadata)
    plain = (int, float, bool, type(None), *((str,) if text else ()))
    return all(kind in plain for kind in _plain_kinds(field.annotation))


def without_none(kind: Any) -> Any:
    """The type of a field that may be None; of several the first."""
    kinds = [one for one in get_args(kind) if one is not type(None)]
    return kinds[0] if type(None) in get_args(kind) else kind


def _plain_kinds(kind: Any) -> tuple[Any, ...]:
    """The types that the values of an annotation are made of; choices left out."""
    if get_origin(kind) is Literal:
        return ()
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        return () if any(isinstance(mark, OneOf) for mark in marks) else _plain_kinds(inner)
    parts = [part for part in get_args(kind) if part is not Ellipsis]
    return tuple(one for part in parts for one in _plain_kinds(part)) if parts else (kind,)


def describe_range(field: FieldInfo) -> str:
    """The bounds of a number in words, as ``16 to 8192``; empty where there are none."""
    bounds = {
        name: str(value) if isinstance(value, int) else f"{value:g}"
        for item in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(item, name, None)) is not None
    }
    low = bounds.get("ge") or (f"above {bounds['gt']}" if "gt" in bounds else "")
    high = bounds.get("le") or (f"below {bounds['lt']}" if "lt" in bounds else "")
    if low and high:
        return f"{low} to {high}"
    alone = "at least " if "ge" in bounds else "at most " if "le" in bounds else ""
    return alone + low + high


def choices_of(kind: Any) -> tuple[str, ...]:
    """Words that a field may hold, also where it holds several of them or none."""
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    if get_origin(kind) is Annotated:
        kind, *marks = get_args(kind)
        return next((mark.names for mark in marks if isinstance(mark, OneOf)), choices_of(kind))
    return tuple(dict.fromkeys(word for part in get_args(kind) for word in choices_of(part)))


def _explain(model: type[Settings], error: ValidationError) -> str:
    """The first problem of a validation in one line: what was seen, what is allowed."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return f"{name} is missing."
    if "error" in first.get("ctx", {}):  # what a validator of a model said
        said = str(first["ctx"]["error"]).rstrip(".")
        return f"{name}: {said}." if name else f"{said}."
    field, seen = model.model_fields[name], first["input"]
    if first["type"] == "literal_error":
        allowed = choices_of(field.annotation)
        return (
            f"unknown {name.replace('_', ' ')} '{seen}'; allowed: {', '.join(allowed)}."
            + did_you_mean(str(seen), allowed)
        )
    bounds = describe_range(field)
    if bounds and first["type"] in _OUTSIDE:
        return f"{name} is {seen}; {bounds} is allowed. {field.description}"
    return f"{name}: {first['msg']} (seen: {seen!r}). {field.description or ''}".rstrip()


_OUTSIDE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")
