"""One declaration of an option reaches the command line, run files and Python, checked alike."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from inspect import getdoc, signature
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import crosslook
from crosslook.atlas.settings import LocateSettings
from crosslook.cli import TABLE, Commands, app
from crosslook.errors import SettingError
from crosslook.match.settings import RegisterSettings

SOURCE = Path(__file__).resolve().parents[2] / "src" / "crosslook"
FIELD = """    tilt: float = Field(default=0.5, ge=0.0, le=10.0, description="Tilt of the query.")
"""
USE = """        print("tilt is", settings.tilt)
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(app)
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        assert command is not None
        if isinstance(command, Commands):
            for inner in command.list_commands(context):
                one = command.get_command(context, inner)
                assert one is not None
                yield f"{name} {inner}", one
        else:
            yield name, command


def options(name: str) -> dict[str, click.Parameter]:
    return {str(one.name): one for one in dict(commands())[name].params}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package in which locate has one option more: one line, and one use."""
    root = tmp_path_factory.mktemp("grown")
    shutil.copytree(SOURCE, root / "crosslook", ignore=shutil.ignore_patterns("__pycache__"))
    for name, after, added in (
        ("settings", r'class LocateSettings\(.*?\):\n    """.*?"""\n', FIELD),
        ("locate", r"class LocateJob:.*?def __init__\(.*?\) -> None:\n", USE),
    ):
        path = root / "crosslook" / "atlas" / f"{name}.py"
        text = path.read_text(encoding="utf-8")
        places = [found.end() for found in re.finditer(after, text, re.DOTALL)]
        assert len(places) == 1, f"{path.name} has {len(places)} places for the option"
        text = text[: places[0]] + added + text[places[0] :]
        path.write_text(text, encoding="utf-8")
    return root


def run(root: Path, *call: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *call],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_new_option_of_locate_is_one_line_and_one_use(grown: Path, tmp_path: Path) -> None:
    locate = ("-m", "crosslook", "locate")
    _, shown = run(grown, *locate, "--help")
    line = " ".join(shown[shown.index("--tilt NUMBER") :].split())
    assert line.startswith("--tilt NUMBER Tilt of the query. [0 to 10; default: 0.5]")
    query = (*locate, "q.tif", "--atlas", str(tmp_path), "--out", str(tmp_path / "out"))
    code, said = run(grown, *query, "--tilt", "11")
    assert (code, said.strip()) == (2, "error: tilt is 11; 0 to 10 is allowed. Tilt of the query.")
    config = tmp_path / "run.yaml"
    config.write_text("tilt: 4.5\n")
    for given, wanted in (
        (["--tilt", "3"], 3.0),
        (["--config", str(config)], 4.5),
        (["--config", str(config), "--tilt", "2"], 2.0),
        ([], 0.5),
    ):
        code, said = run(grown, *query, *given)
        assert said.startswith(f"tilt is {wanted}\n"), said
        assert code == 1  # there is no atlas
    config.write_text("tilt: steep\n")
    assert "tilt: " in run(grown, *query, "--config", str(config))[1]
    python = (
        "import crosslook, inspect\n"
        "print(inspect.signature(crosslook.locate).parameters['tilt'])\n"
        "list(crosslook.locate_all([], '.', tilt={}))"
    )
    _, said = run(grown, "-c", python.format("1.25"))
    assert said.startswith("tilt: float = 0.5\ntilt is 1.25\n"), said
    assert "SettingError: tilt is 11" in run(grown, "-c", python.format("11"))[1]


def test_every_option_says_what_it_is_and_what_its_default_is() -> None:
    for name, command in commands():
        for one in command.params:
            text = one.description if hasattr(one, "description") else getattr(one, "help", "")
            assert text, f"{name} {one.name}"
            assert "Undefined" not in text
    assert "[0 to 180; default: 0]" in str(getattr(options("locate")["rotation"], "help", ""))
    assert "[default: on]" in str(getattr(options("study")["structure"], "help", ""))


def test_a_scale_takes_the_same_forms_in_every_command() -> None:
    forms = {options(name)["scale"].metavar for name in ("register", "locate")}
    assert forms == {"FRACTION|LOW:HIGH"}
    assert LocateSettings(scale=(0.9, 1.2)).scale == RegisterSettings(scale="0.9:1.2").scale
    for settings in (LocateSettings, RegisterSettings):
        with pytest.raises(SettingError, match="two factors"):
            settings(scale="1.2:0.9")


def test_options_of_one_name_are_the_same_in_every_command() -> None:
    shared = ("sar", "optical", "bands", "height", "dem", "weights", "device", "dtype", "seed")
    declared: dict[str, set[tuple[Any, ...]]] = {name: set() for name in shared}
    for _, command in commands():
        for one in command.params:
            if one.name in shared:
                declared[one.name].add((tuple(one.opts), one.metavar, getattr(one, "help", "")))
    assert {name: len(kinds) for name, kinds in declared.items()} == dict.fromkeys(shared, 1)


@pytest.mark.parametrize("name", ["study", "register", "audit", "locate", "atlas build", "plan"])
def test_what_runs_models_says_where_and_takes_weights(name: str) -> None:
    assert {"weights", "device", "dtype", "batch_size", "config"} <= options(name).keys()


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("study", {"sar", "optical", "bands"}),
        ("register", {"sar", "optical", "bands"}),
        ("audit", {"sar", "optical", "bands"}),
        ("locate", {"sar"}),
        ("atlas build", {"optical", "bands"}),
    ],
)
def test_what_reads_images_says_how(name: str, reads: set[str]) -> None:
    assert reads | {"height", "dem"} <= options(name).keys()


def test_the_table_says_what_each_command_says_of_itself() -> None:
    for name, command in commands():
        *group, last = name.split()
        table: Any = TABLE[group[0]][1] if group else TABLE
        said = [about for key, about in table.items() if key.endswith(f".{last}")]
        assert (command.help or "").splitlines()[:1] == said, name


def test_python_calls_show_their_keywords_and_check_them() -> None:
    for call in (crosslook.register, crosslook.locate, crosslook.build_atlas, crosslook.audit):
        text = getdoc(call) or ""
        for name, one in signature(call).parameters.items():
            if one.kind is one.KEYWORD_ONLY:
                assert f"\n{name} : " in text
    misspelt: dict[str, Any] = {"modl": "tps"}
    with pytest.raises(SettingError, match=r"unknown key 'modl'.*Did you mean 'model'"):
        crosslook.register("a.tif", "b.tif", **misspelt)
    with pytest.raises(SettingError, match=r"batch_size is 0; at least 1 is allowed"):
        crosslook.locate("a.tif", "atlas", batch_size=0)
    with pytest.raises(SettingError, match="--height and --dem"):
        crosslook.audit([], height=3.0, dem=Path("dem.tif"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["register", "--out", "x"], "SAR OPTICAL... | PAIRS is missing; see 'crosslook register"),
        (["register", "a.tif", "b.tif"], "--out is missing"),
        (["atlas", "build", "--out", "x"], "BASEMAP... is missing"),
        (["locate", "q.tif", "--out", "x"], "--atlas is missing"),
        (["register", "a", "b", "--out", "x", "--bands", "0"], "--bands 0 is not allowed"),
        (["register", "a", "b", "--out", "x", "--bands", "1", "--optical", "bands=2"], "give one"),
        (["study", "p", "--out", "x", "--weights", "dinov2"], "NAME=FOLDER"),
        (["locate", "q", "--atlas", "a", "--out", "x", "--near", "1", "2"], "needs --radius"),
        (["simulate", "--out", "x", "--shift", "4", "x"], "shift: "),
        (["compare"], "RUN... is missing"),
    ],
)
def test_what_is_missing_or_wrong_is_one_clear_line(call: list[str], words: str) -> None:
    done = CliRunner().invoke(app, call)
    assert isinstance(done.exception, SettingError), done.output
    assert words in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_run_file_holds_arguments_and_options_by_the_names_of_the_command_line(
    tmp_path: Path,
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        "queries: [q.tif, r.tif]\natlas: nowhere\nout: x\nnear: [10.5, 49]\nradius: 3\n"
    )
    done = CliRunner().invoke(app, ["locate", "--config", str(config)])
    assert "'nowhere' holds no atlas" in str(done.exception)
    config.write_text("radius: 0\n")
    call = ["locate", "q.tif", "--atlas", "a", "--out", "x", "--config", str(config)]
    assert "radius_km is 0; above 0" in str(CliRunner().invoke(app, call).exception)
    config.write_text("bands: 4:3:2\npairs: nowhere\nout: x\n")  # YAML 1.1 reads a number here
    done = CliRunner().invoke(app, ["study", "--config", str(config)])
    assert "nowhere" in str(done.exception)
    config.write_text("rotatoin: 3\n")
    done = CliRunner().invoke(app, [*call[:-1], str(config)])
    assert "Did you mean 'rotation'" in str(done.exception)
    config.write_text("- rotation\n")
    done = CliRunner().invoke(app, [*call[:-1], str(config)])
    assert "key: value" in str(done.exception)
