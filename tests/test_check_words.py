"""The checker of prose: how it splits sentences, what it counts, and what it refuses."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[1] / "tools" / "check_words.py"


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_words", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("The error is 1.25 px at 0.5 m. It was .8 to 1.25 before.", 2),
        ("Masked NCC (Padfield et al. 2012), e.g. by FFT, cf. Fig. 2. It is fast.", 2),
        ("Version 0.1.0 of J. Smith is here.", 1),
        ("It is so (see there.) Then `code` follows. `code` starts a sentence.", 3),
        ("No stop at the end", 1),
        ("Tools etc. It goes on, etc.", 1),
        ("An address such as example.org/a.b is one word.", 1),
    ],
)
def test_sentences_end_where_they_end(checker: ModuleType, text: str, count: int) -> None:
    found = checker.sentences_of(text)
    assert len(found) == count, found
    assert " ".join(found) == text


def test_numbers_are_words_and_dashes_are_none(checker: ModuleType) -> None:
    assert checker.words_in("It took 1.5 s - 3 times less.") == 7


def test_blocks_leave_out_what_is_no_prose(checker: ModuleType) -> None:
    text = (
        "---\ntitle: held\n---\n# Title\n\nA [link](https://told.example) and `held`\n"
        "over two lines.\n- first item\n- second\n  item\n\n1. numbered\n\n"
        "```text\ntold\n~~~\n```\n<!-- told\nheld -->\n::::{grid} 1 2\n:gutter: 3\n::::\n"
        "| name | value |\n|---|---|\n| cell | 1.5 |\n"
    )
    blocks = checker.blocks_of(text)
    assert [(b.line, b.text, b.kind) for b in blocks] == [
        (4, "Title", "heading"),
        (6, "A link and `code` over two lines.", "prose"),
        (8, "first item", "prose"),
        (9, "second item", "prose"),
        (12, "numbered", "prose"),
        (23, "name", "cell"),
        (23, "value", "cell"),
        (25, "cell", "cell"),
        (25, "1.5", "cell"),
    ]


def test_a_long_sentence_is_named_with_its_line(checker: ModuleType, tmp_path: Path) -> None:
    longest = " ".join(["word"] * checker.LONGEST)
    assert checker.check_page(page(tmp_path, f"# T\n\nA start.\n\n{longest}.\n")) == []
    (problem,) = checker.check_page(page(tmp_path, f"# T\n\nA start.\n\n{longest} more.\n"))
    assert problem.line == 5
    assert "41 words" in str(problem)


def test_a_list_is_not_one_long_sentence(checker: ModuleType, tmp_path: Path) -> None:
    items = "".join(f"- one item of six words {n}\n" for n in range(20))
    assert checker.check_page(page(tmp_path, items)) == []


def test_the_mean_of_a_page_has_a_limit(checker: ModuleType, tmp_path: Path) -> None:
    sentence = "A " + "word " * 20 + "end. "
    (problem,) = checker.check_page(page(tmp_path, sentence * 6))
    assert "mean of 22.0 words" in str(problem)
    assert checker.check_page(page(tmp_path, sentence * 3 + "Short one. " * 6)) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The value is told by the file.", "told"),
        ("The limit is HELD in memory.", "HELD"),
        ("The rule stands here.", "stands"),
        ("A rival model wins.", "rival"),
        ("Tie points left out are predicted.", "Tie points left out"),
        ("Intervals over units.", "over units"),
        ("| a | as asked |", "as asked"),
    ],
)
def test_private_words_are_named(checker: ModuleType, tmp_path: Path, text: str, word: str) -> None:
    (problem,) = checker.check_page(page(tmp_path, text + "\n"))
    assert repr(word) in problem.what
    assert "write" in problem.what


@pytest.mark.parametrize(
    "text",
    [
        "It is found where it lies, and stands for the mean.",
        "Held-out tie points are held out of the fit. Results at a glance.",
        "It ended in the middle of a run. The key `told` and ``held`` are code.",
        "Threshold, withheld, arrival and unwanted are other words.",
    ],
)
def test_ordinary_words_pass(checker: ModuleType, tmp_path: Path, text: str) -> None:
    assert checker.check_page(page(tmp_path, text)) == []


def test_source_is_read_in_docstrings_comments_and_messages(
    checker: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""A module.\n\nWhat is told.\n"""\n\n'
        'told = "held"  # a rival here\n'
        'MESSAGE = f"the range is {told} and held"\n',
        encoding="utf-8",
    )
    found = [(p.line, p.what.split(":")[0]) for p in checker.check_source(path)]
    assert found == [(3, "'told'"), (6, "'rival'"), (7, "'held'")]


def test_the_command_fails_on_a_bad_page(
    checker: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = page(tmp_path, "It is told.\n")
    assert checker.main([str(bad)]) == 1
    assert f"{bad}:1: 'told': write" in capsys.readouterr().out
    assert checker.main([str(page(tmp_path, "It is said.\n"))]) == 0


def test_pages_of_the_project_are_found(checker: ModuleType) -> None:
    names = {path.relative_to(TOOL.parents[1]).as_posix() for path in checker.pages()}
    assert {"README.md", "CHANGELOG.md", "docs/evidence.md", "docs/ideas/relief.md"} <= names
