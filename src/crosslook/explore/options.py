"""The options of a job as the page and the API offer them, from the settings models.

What a request may set follows from the type of a field: numbers, choices, text of a
closed grammar, and extractors that come with the package. All else, a new field of
plain text too, may name a file or an address and is left to the command line.
"""

from __future__ import annotations

import re
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from crosslook.atlas.settings import LocateSettings
from crosslook.errors import NotFoundError, SettingError
from crosslook.extract.registry import ExtractorRow, extractor_class, find_row
from crosslook.extract.spec import parse_spec
from crosslook.geo.radiometry import OpticalRadiometry, Radiometry, SarRadiometry
from crosslook.match.matchers.rows import ROWS as MATCHERS
from crosslook.match.settings import RegisterSettings
from crosslook.options import (
    Extractors,
    Settings,
    choices_of,
    cli_of,
    describe_range,
    is_closed,
    without_none,
)

_PRESETS: dict[str, type[Radiometry]] = {"sar": SarRadiometry, "optical": OpticalRadiometry}
MODELS: dict[str, type[Settings]] = {"locate": LocateSettings, "register": RegisterSettings}
_SPEC = re.compile(r"[A-Za-z0-9._:=,+-]+")
_MOST_KEYS, _MOST_TEXT, _MOST_ITEMS = 64, 200, 16
_FIRST = ("gsd", "rotation", "scale", "bbox", "near", "radius_km", "sar", "optical", "bands")
"""What people change; the rest is folded away."""


def offered(kind: str) -> list[str]:
    """Names of the fields that a job of a kind takes."""
    if kind not in MODELS:
        raise NotFoundError(f"there are no options of '{kind[:32]}'; of: {', '.join(MODELS)}.")
    fields = MODELS[kind].model_fields
    return [name for name, field in fields.items() if is_closed(field) or _is_spec(field)]


def _is_spec(field: FieldInfo) -> bool:
    return any(isinstance(item, Extractors) for item in field.metadata)


def describe_options(kind: str) -> list[dict[str, Any]]:
    """Every option: name, kind of value, choices, bounds, default, help."""
    options = []
    for name in offered(kind):
        field = MODELS[kind].model_fields[name]
        cli = cli_of(field)
        options.append(
            {
                "name": name,
                "type": _type_of(field.annotation),
                "choices": list(choices_of(field.annotation)),
                "range": describe_range(field),
                "default": field.get_default(call_default_factory=True),
                "means": cli.default,
                "metavar": cli.metavar,
                "help": field.description,
                "first": name in _FIRST,
                "presets": list(_PRESETS[name].presets) if name in _PRESETS else [],
            }
        )
    return sorted(options, key=lambda one: (*_FIRST, one["name"]).index(one["name"]))


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
    fields, allowed = MODELS[kind].model_fields, offered(kind)
    for name in settings:
        if name in fields and name not in allowed:
            raise SettingError(
                f"{name} may name a file or an address of the machine that the explorer runs on; "
                "it can be given on the command line alone."
            )
    _check_size(settings)
    for name, value in settings.items():
        if name in fields and isinstance(value, str) and _is_spec(fields[name]):
            check_built_in(name, value)
    model = MODELS[kind](**settings)
    return model.model_dump(mode="json", include=set(settings))


def _check_size(settings: dict[str, Any]) -> None:
    """Texts and lists are short, whatever they are for: errors repeat them."""
    lists = [value for value in settings.values() if isinstance(value, list)]
    values = [*settings, *settings.values(), *(item for items in lists for item in items)]
    long = any(len(value) > _MOST_TEXT for value in values if isinstance(value, str))
    deep = any(isinstance(value, dict) for value in settings.values()) or any(
        isinstance(item, list | dict) for items in lists for item in items
    )
    if long or deep or len(settings) > _MOST_KEYS or any(len(x) > _MOST_ITEMS for x in lists):
        raise SettingError(
            f"the settings are too large: up to {_MOST_KEYS} options, each a number, a text of up "
            f"to {_MOST_TEXT} characters or a list of up to {_MOST_ITEMS} of them, are allowed."
        )


def check_built_in(name: str, spec: str) -> None:
    """Refuse what is read from a folder, from the hub or by another package."""
    if name == "matcher" and spec in MATCHERS:
        return
    if spec and _SPEC.fullmatch(spec):
        parsed = parse_spec(spec)
        row = find_row(parsed.name)
        built_in = not row.plugin and (bool(row.variants) or not row.needs)
        if built_in and not any(_is_free(row, key) for key in parsed.options):
            return
    raise SettingError(
        f"{name}: '{spec}' is no built-in extractor; other models, of the hub or a folder, can be "
        "named on the command line alone."
    )


def _is_free(row: ExtractorRow, key: str) -> bool:
    """Whether an option of an extractor takes any text."""
    option = extractor_class(row).OPTIONS.get(key)
    return option is not None and isinstance(option.default, str) and not option.choices


def _type_of(kind: Any) -> str:
    first = without_none(kind)
    names: dict[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "text"}
    if choices_of(kind):
        return "choice"
    if get_origin(first) is tuple:
        return f"numbers:{len(get_args(first))}"
    return names.get(first, "text")
