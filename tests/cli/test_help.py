"""Help that leads on: examples that work, options in groups, -o, the nearest command."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.cli.command import OWN
from crosslook.cli.examples import EXAMPLES
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import SettingError
from tests.cli.test_options import commands

NAMES = [name for name, _ in commands()]


def find(name: str) -> tuple[click.Command, click.Context]:
    context = click.Context(app, info_name="crosslook")
    command: click.Command = app
    for word in name.split():
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None
        command, context = found, click.Context(found, info_name=word, parent=context)
    return command, context


def test_every_command_has_examples() -> None:
    assert {"", *NAMES} - set(EXAMPLES) == set()


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_in_the_help_and_can_be_typed(name: str) -> None:
    said = CliRunner().invoke(app, [*name.split(), "--help"]).output
    assert "\nExamples:\n" in said
    command, context = find(name)
    for line, about in EXAMPLES.get(name, ()):
        assert f"$ {line}\n" in said
        assert about in said
        words = shlex.split(line.replace("*.tif", "a.tif b.tif"))
        assert words[: 1 + len(name.split())] == ["crosslook", *name.split()]
        command.parse_args(context, words[1 + len(name.split()) :])  # else a UsageError


def test_options_are_in_groups() -> None:
    said = CliRunner().invoke(app, ["register", "--help"]).output
    heads = [line for line in said.splitlines() if line.endswith(":") and line[:1].isupper()]
    assert heads == [
        "Arguments:", f"{OWN}:", "Masks and points:", "How far is searched:", "Hills:",
        "Reading images:", "Output:", "Running:", "Other options:", "Examples:",
    ]  # fmt: skip
    assert said.count("--rotation DEGREES") == 1
    assert said.index("-o, --out FOLDER") > said.index("Output:")


@pytest.mark.parametrize("name", NAMES)
def test_every_folder_of_results_has_a_short_option(name: str) -> None:
    command, _ = find(name)
    outs = [one for one in command.params if "--out" in one.opts]
    assert all("-o" in one.opts for one in outs)


@pytest.mark.parametrize(
    ("typed", "meant"), [(["regster"], "register"), (["atlas", "biuld"], "build")]
)
def test_the_nearest_command_is_named(typed: list[str], meant: str) -> None:
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 2
    assert f"Did you mean '{meant}'?" in done.output


def test_a_forgotten_second_image_is_named(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1, size=64, relief=0.0)
    sar = tmp_path / "sar" / "sim-0000.tif"
    done = CliRunner().invoke(app, ["register", str(sar), "-o", str(tmp_path / "out")])
    assert isinstance(done.exception, SettingError)
    assert "the optical one is missing" in str(done.exception)
    table = tmp_path / "pairs.csv"
    table.write_bytes(b"\x00\x01\x02")
    read = CliRunner().invoke(app, ["audit", str(table), "-o", str(tmp_path / "out")])
    assert "it holds pixels or other binary data, no text" in str(read.exception)
