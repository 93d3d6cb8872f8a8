"""From settings models to commands: options, arguments, help and run files.

A command is a function whose parameters are settings models. What is typed,
and what a run file says, is given to the models by the names of their fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import get_annotations
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click

from crosslook.cli.examples import EXAMPLES
from crosslook.cli.run_file import read_run_file
from crosslook.errors import SettingError
from crosslook.memory_limit import check_memory
from crosslook.options import choices_of, cli_of, describe_range, unknown_key, without_none

OWN = "Options"
_COMMON = "Other options"
_LAST = ("Output", "Running")
"""Groups that every command has; they come after its own."""


def make_command(name: str, function: Callable[..., None]) -> click.Command:
    """Build the command of a function whose parameters are settings models."""
    models = [kind for key, kind in get_type_hints(function).items() if key != "return"]
    placed = [(n, f, group) for model in models for n, f, group in _in_order(model)]
    fields = [(n, f) for n, f, _ in placed]
    params = [_parameter(*one) for one in placed]
    if any(isinstance(one, click.Option) for one in params):
        params.append(
            click.Option(
                ["--config"],
                metavar="FILE",
                help="YAML file of these options and arguments; what is typed here wins.",
            )
        )

    def run(config: str | None = None, **typed: Any) -> None:
        known = [n for n, _ in fields]
        values = read_run_file(Path(config), dict(fields)) if config else {}
        values |= {n: v for n, v in typed.items() if v is not None and v != ()}
        for key in values:
            if key not in known:
                raise unknown_key(key, known)
        for n, field in fields:
            _require(name, n, field, values)
        check_memory()
        own = [{n: v for n, v in values.items() if n in model.model_fields} for model in models]
        function(*(model(**of_model) for model, of_model in zip(models, own, strict=True)))

    return _Command(name, params=params, callback=run, help=function.__doc__)


class _Command(click.Command):
    """A command whose help explains its arguments, groups its options and ends with examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List arguments, then options by group, those of the command itself first."""
        given = [one for one in self.params if isinstance(one, _Argument)]
        if given:
            with formatter.section("Arguments"):
                formatter.write_dl([(one.make_metavar(ctx), one.description) for one in given])
        groups: dict[str, list[tuple[str, str]]] = {OWN: []}
        for one in self.get_params(ctx):
            if isinstance(one, click.Option) and (line := one.get_help_record(ctx)):
                group = one.group if isinstance(one, _Option) else _COMMON
                groups.setdefault(group, []).append(line)
        for name in sorted(groups, key=lambda group: (group == _COMMON, group in _LAST)):
            if groups[name]:
                with formatter.section(name):
                    formatter.write_dl(groups[name])
        write_examples(ctx, formatter)


def write_examples(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """End a help with lines to copy."""
    names: list[str] = []
    at = ctx
    while at.parent is not None:  # the root is called by whatever started it
        names.insert(0, str(at.info_name))
        at = at.parent
    if examples := EXAMPLES.get(" ".join(names)):
        with formatter.section("Examples"):
            for line, about in examples:
                formatter.write(f"{'':{formatter.current_indent}}# {about}\n")
                formatter.write(f"{'':{formatter.current_indent}}$ {line}\n")


class _Option(click.Option):
    """An option that belongs to a group of the help."""

    def __init__(self, flags: list[str], group: str, **more: Any) -> None:
        super().__init__(flags, **more)
        self.group = group


class _Argument(click.Argument):
    """An argument with a help text."""

    def __init__(self, name: str, description: str, **more: Any) -> None:
        super().__init__([name], required=False, **more)
        self.description = description


def _in_order(model: Any) -> Iterator[tuple[str, Any, str]]:
    """Fields of a model with their groups: its own before those of its bases, as in the file."""
    given: set[str] = set()
    for base in model.__mro__:
        for name in get_annotations(base):
            if name in model.model_fields and name not in given:
                given.add(name)
                yield name, model.model_fields[name], base.__dict__.get("GROUP", OWN)


def _parameter(name: str, field: Any, group: str) -> click.Parameter:
    cli, kind = cli_of(field), without_none(field.annotation)
    many = get_origin(kind) is tuple
    if cli.positional:
        metavar = cli.metavar or name.upper()
        return _Argument(name, field.description, metavar=metavar, nargs=-1 if many else 1)
    flag = option_name(name, field)
    if kind is bool:
        both = f"{flag}/--no-{flag[2:]}"
        return _Option([both, name], group, default=None, help=_help(field))
    fixed = len(get_args(kind)) if _is_several(kind) else 1
    short = ["-o"] if flag == "--out" else []
    return _Option(
        [*short, flag, name],
        "Output" if short else group,
        nargs=fixed,
        multiple=get_origin(kind) is dict,
        metavar=cli.metavar or _metavar(kind),
        help=_help(field),
    )


def option_name(name: str, field: Any) -> str:
    """The option of a field, as ``--max-invalid``."""
    return f"--{cli_of(field).name or name.replace('_', '-')}"


def _help(field: Any) -> str:
    """Description, choices or bounds, and default of an option."""
    cli, kind = cli_of(field), without_none(field.annotation)
    notes = []
    if get_origin(kind) is tuple and choices_of(kind):
        notes.append(f"of {', '.join(choices_of(kind))}")
    elif bounds := describe_range(field):
        notes.append(bounds)
    if field.is_required() or cli.needed:
        notes.append("required")
    elif default := cli.default or _shown(
        field.get_default(call_default_factory=True), " " if _is_several(kind) else ","
    ):
        notes.append(f"default: {default}")
    return f"{field.description}" + (f"  [{'; '.join(notes)}]" if notes else "")


def _is_several(kind: Any) -> bool:
    """Whether so many words follow the option as the type has parts."""
    return get_origin(kind) is tuple and Ellipsis not in get_args(kind)


def _shown(default: Any, between: str = ",") -> str:
    if default is None or default is False:
        return ""
    if default is True:
        return "on"
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple | dict):
        return between.join(map(_shown, default))
    return str(default)


def _metavar(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "A,B,..."
    if choices := choices_of(kind):
        return f"[{'|'.join(choices)}]"
    names: dict[Any, str] = {int: "INTEGER", float: "NUMBER", Path: "PATH"}
    return names.get(kind, "TEXT")


def _require(command: str, name: str, field: Any, values: dict[str, Any]) -> None:
    cli = cli_of(field)
    if name in values or not (field.is_required() or cli.needed):
        return
    what = (cli.metavar or name.upper()) if cli.positional else option_name(name, field)
    raise SettingError(f"{what} is missing; see 'crosslook {command} --help'.")
