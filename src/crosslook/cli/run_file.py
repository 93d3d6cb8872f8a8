"""Run files: the options and arguments of a command as YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from crosslook.errors import InputError
from crosslook.options import cli_of

_NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(r"^[-+]?[0-9]+$"),
    "tag:yaml.org,2002:float": re.compile(
        r"^([-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
}


class _Loader(yaml.SafeLoader):
    """YAML without numbers of base 60: ``4:3:2`` is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as the base class has it
        first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in known]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_run_file(path: Path, fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Read a YAML file of settings, by the names of the fields or of their options.

    Paths in the file are relative to the folder the command runs in, as on
    the command line.

    Raises
    ------
    InputError
        If the file cannot be read or is not a mapping.
    """
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise InputError(f"cannot read the run file {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise InputError(f"the run file {path} is not YAML: {line}.") from error
    if not isinstance(loaded, dict):
        raise InputError(f"the run file {path} holds no 'key: value' lines.")
    names = {cli_of(field).name or name: name for name, field in fields.items()}
    keys = {key: str(key).replace("-", "_") for key in loaded}
    return {names.get(keys[key], keys[key]): value for key, value in loaded.items()}
