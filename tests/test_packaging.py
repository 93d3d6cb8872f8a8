"""What is packed and promised: versions in one place, README's lines, files of the wheel."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import crosslook
from crosslook.cli import Commands, app

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from readme import commands
    finally:
        sys.path.remove(str(ROOT / "tools"))
    return [line for line in commands(README) if line.startswith("crosslook ")]


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert (
        PROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"]
        == "crosslook._version.__version__"
    )
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == crosslook.__version__
    assert cited["license"] == PROJECT["project"]["license"]
    assert f"## {crosslook.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_python_that_is_promised_is_tested() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == promised


def test_every_bound_has_a_lowest_version_that_is_tested() -> None:
    """``constraints-min.txt`` pins each dependency at its bound, or higher where others ask."""
    text = (ROOT / "constraints-min.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    extras = PROJECT["project"]["optional-dependencies"]
    required = [*PROJECT["project"]["dependencies"]]
    for extra in ("models", "faiss", "remote", "sicd", "ray", "web", "test"):
        required += extras[extra]
    for one in required:
        parts = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[.*\])?[>=]=(.+)", one)
        assert parts is not None, one
        name, bound = parts.groups()
        have = pinned[name.lower().replace("_", "-")]
        assert _numbers(have)[: len(_numbers(bound))] >= _numbers(bound), (one, have)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def test_the_makefile_installs_extras_that_exist_and_little_for_the_demo() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    sets = dict(re.findall(r"^([a-z]+)_EXTRAS :=(.*)$", text, re.MULTILINE))
    named = {
        extra
        for words in sets.values()
        for extra in words.replace("$(test_EXTRAS)", sets["test"]).strip().split(",")
    } - {""}
    assert named <= PROJECT["project"]["optional-dependencies"].keys()
    assert sets["demo"].strip() == "demo"
    demo = PROJECT["project"]["optional-dependencies"]["demo"]
    assert len(demo) == 3  # torch and one network
    assert set(demo) <= set(PROJECT["project"]["optional-dependencies"]["models"])
    assert sets["explore"].strip() == "web"
    assert set(re.findall(r"\.has-([a-z]+)", text)) == sets.keys()


def test_the_container_copies_what_is_there() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
    files = [name for group in copied for name in group if not name.startswith(("--", "/"))]
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    assert files
    for name in files:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_commands_of_the_readme_are_known(lines: list[str]) -> None:
    names = {line.split()[1] for line in lines}
    assert {"demo", "register", "study"} <= names <= app.table.keys()


def options() -> Iterator[str]:
    import click

    context = click.Context(app)
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        assert command is not None
        inner = [command]
        if isinstance(command, Commands):
            inner = [
                c for n in command.list_commands(context) if (c := command.get_command(context, n))
            ]
        for one in inner:
            for parameter in one.params:
                yield from (*parameter.opts, *parameter.secondary_opts)


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_options_that_pages_name_exist(page: Path) -> None:
    """Every ``--option`` behind ``crosslook COMMAND`` is one of some command."""
    known = set(options())
    text = page.read_text(encoding="utf-8")
    said = [
        option
        for line in re.findall(r"(?:^|[`!$] ?)(crosslook [a-z]+[^`\n]*)", text, re.MULTILINE)
        for option in re.findall(r"(?<=\s)(--[a-z][a-z-]*)", line)
    ]
    assert set(said) <= known | {"--help", "--version"}, page


def test_completion_of_the_shell(tmp_path: Path) -> None:
    script = "import sys; sys.argv = ['crosslook']; from crosslook.__main__ import main; main()"
    environment = os.environ | {
        "_CROSSLOOK_COMPLETE": "bash_complete", "COMP_WORDS": "crosslook reg", "COMP_CWORD": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["plain,register"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stranger_follows_the_readme(lines: list[str], tmp_path: Path) -> None:
    """The lines as they stand, in an empty folder, one after the other."""
    program = tmp_path / "bin" / "crosslook"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m crosslook "$@"\n')
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    source = str(ROOT / "src")
    for line in lines:
        done = subprocess.run(
            shlex.split(line), cwd=work, env=os.environ | {"PATH": path, "PYTHONPATH": source},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert (work / "aligned" / "aligned.tif").exists()
    assert (work / "run" / "report.html").exists()
