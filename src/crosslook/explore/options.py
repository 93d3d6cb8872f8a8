"""The options of a job as the page and the API offer them, from the settings models."""

from __future__ import annotations

from typing import Any, get_args

from crosslook.atlas.settings import LocateSettings
from crosslook.errors import NotFoundError, SettingError
from crosslook.match.settings import RegisterSettings
from crosslook.options import Settings, choices_of, cli_of, describe_range

MODELS: dict[str, type[Settings]] = {"locate": LocateSettings, "register": RegisterSettings}
_PATHS = ("dem", "weights")
"""Fields that name files of the server; they are not to be had from outside."""
_SPECS = ("coarse", "fine", "extractor")
_FIRST = ("gsd", "rotation", "scale", "bbox", "near", "radius_km", "sar", "optical", "bands")
"""What people change; the rest is folded away."""


def offered(kind: str) -> list[str]:
    """Names of the fields that a job of a kind takes."""
    if kind not in MODELS:
        raise NotFoundError(f"there are no options of '{kind[:32]}'; of: {', '.join(MODELS)}.")
    return [name for name in MODELS[kind].model_fields if name not in _PATHS]


def describe_options(kind: str) -> list[dict[str, Any]]:
    """Every option: name, kind of value, choices, bounds, default, help."""
    options = []
    for name in offered(kind):
        field = MODELS[kind].model_fields[name]
        default = field.get_default(call_default_factory=True)
        cli = cli_of(field)
        options.append(
            {
                "name": name,
                "type": _type_of(field.annotation),
                "choices": list(choices_of(field.annotation)),
                "range": describe_range(field),
                "default": default,
                "means": cli.default,
                "metavar": cli.metavar,
                "help": field.description,
                "first": name in _FIRST,
            }
        )
    order = {name: at for at, name in enumerate(_FIRST)}
    return sorted(options, key=lambda one: order.get(one["name"], len(order)))


def schema_of(kind: str) -> dict[str, Any]:
    """JSON schema of the options of a kind, for the OpenAPI page."""
    whole = MODELS[kind].model_json_schema()
    kept = {name: whole["properties"][name] for name in offered(kind)}
    return {"properties": kept, "additionalProperties": False}


def checked(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The options of a request, each checked as on the command line.

    Raises
    ------
    SettingError
        For anything that is unknown, not allowed, or names a file.
    """
    for name in _PATHS:
        if name in settings:
            raise SettingError(
                f"{name} names a file of the machine that the explorer runs on; it can be given "
                "on the command line alone."
            )
    for name in _SPECS:
        if "hf:" in str(settings.get(name, "")):
            raise SettingError(
                f"{name}: models of the hub can be named on the command line alone; here the "
                "built-in extractors are allowed."
            )
    model = MODELS[kind](**settings)
    return model.model_dump(mode="json", include=set(settings))


def _type_of(kind: Any) -> str:
    kinds = [one for one in get_args(kind) if one is not type(None)] or [kind]
    first = kinds[0] if type(None) in get_args(kind) else kind
    names: dict[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "text"}
    if choices_of(kind):
        return "choice"
    if getattr(first, "__origin__", None) is tuple:
        return f"numbers:{len(get_args(first))}"
    return names.get(first, "text")
