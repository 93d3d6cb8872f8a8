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


_DATE = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """YAML without numbers of base 60 and without dates: ``4:3:2`` and ``2020-01-01`` are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as the base class has it
        first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in known if tag != _DATE]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is given twice, of which YAML would take the last."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"'{key}' is given twice; keep one")
        return super().construct_mapping(node, deep)


_MOST_BYTES = 1 << 20
_MOST_VALUES = 10_000
_DEEPEST = 8


def _check_size(loaded: Any) -> None:
    """Refuse values that aliases make large: they are small in the file and in memory alone."""
    waiting, count = [(loaded, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > _MOST_VALUES or depth > _DEEPEST:
            raise ValueError(f"over {_MOST_VALUES} values, or nested over {_DEEPEST} levels deep")
        if isinstance(value, dict):
            waiting += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += [(one, depth + 1) for one in value]


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
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise InputError(f"{path} is over {_MOST_BYTES >> 20} MiB: no run file.")
        loaded = yaml.load(text.decode("utf-8-sig"), _Loader)
        _check_size(loaded)
    except OSError as error:
        raise InputError(f"cannot read the run file {path}: {error.strerror}.") from error
    except RecursionError as error:
        raise InputError(f"the run file {path} is nested too deeply.") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        # The last three are what constructors raise of values that are not of their tag.
        line = str(error).splitlines()[0]
        raise InputError(f"the run file {path} is not YAML: {line}.") from error
    if not isinstance(loaded, dict):
        raise InputError(f"the run file {path} holds no 'key: value' lines.")
    names = {cli_of(field).name or name: name for name, field in fields.items()}
    keys = {key: str(key).replace("-", "_") for key in loaded}
    return {names.get(keys[key], keys[key]): value for key, value in loaded.items()}
