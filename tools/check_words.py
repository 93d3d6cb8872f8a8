"""Check the prose: sentences that are short, and the field's words, one meaning each.

``python tools/check_words.py`` reads README.md, CHANGELOG.md, CONTRIBUTING.md, the pages of
``docs`` and those of ``benchmarks/history``. No sentence has more than 40 words; the mean of a
page is below 20; words of ``WORDS`` are not used. ``--source`` also looks for those words in the
docstrings, comments and messages of ``src/crosslook``. Prints ``file:line: what to change``.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 40
MEAN = 20.0
FEW = 5  # a page of fewer sentences has no mean

# A pattern, and what to write in its place. Only what is wrong wherever it occurs is in the
# list: "found" as a verb is fine, so it is not here.
WORDS = {
    r"told": "reported, given, stated",
    r"held(?!-out| out)": "kept, stored, checked, contained",
    r"(?:stands?|stood)(?! for| out)": "is, lies; of a claim: holds",
    r"rivals?": "candidate model, next-best candidate",
    r"(?<!at a )glances?": "coarse score",
    r"widen(?:s|ed|ing)?": "expand",
    r"wanted": "requested, expected, needed",
    r"pictures?": "image, figure",
    r"compet(?:e|es|ed|ing)": "are compared",
    r"bent|bends?": "warped, follows the relief",
    r"sharpen(?:s|ed|ing)?": "refine",
    r"(?<!in the )middles?": "centre",
    r"tie points (?:that are )?left out": "held-out tie points",
    r"(?:the|a|what|which) share (?:of|that)": "fraction",
    r"turns of": "rotations of",
    r"as asked|(?:is|are|was) asked for": "requested",
    r"kept warm": "kept loaded",
    r"level ground": "flat ground",
    r"residual shifts?": "misregistration",
    r"(?:over|calibration|measured|resampled) units?|units? (?:set aside|resampled)": "cluster",
}
_WORDS = {re.compile(rf"\b(?:{one})\b", re.IGNORECASE): instead for one, instead in WORDS.items()}

_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|al|approx|ca|Fig|Eq|No|Nos|Dr|resp|incl|max|min)|\b[A-Z])\.$"
)
_END = re.compile(r"(?<=\w|[)\]\"'%*`])[.!?][)\]\"'*_]*(?=\s+[\"'(*_]*[A-Z0-9`]|\s*$)")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+|^:\s+")
_ASIDE = re.compile(r"^\s*:::|^:[\w-]+:(?:\s|$)|^\s*\|?[\s:|-]+\|[\s:|-]*$|^-{3,}\s*$")
_INLINE = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"``.+?``|`[^`]+`"), "`code`"),
    (re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),
    (re.compile(r"<?\bhttps?://[^\s>)]+>?"), "`address`"),
    (re.compile(r"\$[^$]+\$"), "`formula`"),
    (re.compile(r"\{[\w:-]+\}(?=`)"), ""),
)


class Block(NamedTuple):
    """Text that a sentence does not leave: a paragraph, an item of a list, a cell of a table."""

    line: int
    text: str
    kind: str  # 'prose', 'heading' or 'cell'


class Problem(NamedTuple):
    """One thing to change."""

    path: Path
    line: int
    what: str

    def __str__(self) -> str:
        path = self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path
        return f"{path}:{self.line}: {self.what}"


def blocks_of(page: str) -> list[Block]:
    """Split a Markdown page into blocks of text; code, front matter and comments are left out.

    Parameters
    ----------
    page : str
        Markdown, as MyST reads it.

    Returns
    -------
    list of Block
        In order, inline code and addresses as one word each, links as their text.
    """
    blocks: list[Block] = []
    paragraph: list[str] = []
    start = 0
    for number, line in enumerate([*_lines_of_text(page), ""], 1):
        alone = line.startswith("#") or line.lstrip().startswith("|")
        if paragraph and (not line or alone or _ITEM.match(line)):
            blocks.append(Block(start, _plain(" ".join(paragraph)), "prose"))
            paragraph.clear()
        if line.startswith("#"):
            blocks.append(Block(number, _plain(line.lstrip("# ")), "heading"))
        elif alone:
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            blocks += [Block(number, _plain(cell.strip()), "cell") for cell in cells]
        elif line:
            start = start if paragraph else number
            paragraph.append(_ITEM.sub("", line).strip())
    return [block for block in blocks if block.text]


def _lines_of_text(page: str) -> Iterator[str]:
    """Lines of a page; what is no text (code, rules, directives) is an empty one."""
    fence = ""
    for line in _without_asides(page).splitlines():
        opened = _FENCE.match(line)
        if opened and not fence:
            fence = opened[1]
        elif opened and line.strip() == opened[1] and opened[1].startswith(fence):
            fence = ""
        elif not fence and line.strip() and not _ASIDE.match(line):
            yield line
            continue
        yield ""


def _without_asides(page: str) -> str:
    """Front matter and HTML comments as empty lines, so that numbers of lines stay."""
    page = re.sub(r"\A---\n.*?\n---\n", _emptied, page, flags=re.DOTALL)
    return re.sub(r"<!--.*?-->", _emptied, page, flags=re.DOTALL)


def _emptied(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _plain(text: str) -> str:
    for pattern, instead in _INLINE:
        text = pattern.sub(instead, text)
    return text.strip()


def sentences_of(text: str) -> list[str]:
    """Split plain text into sentences.

    A full stop ends one where a capital, a digit or code follows; one within a number, behind an
    abbreviation or behind an initial does not.
    """
    sentences, start = [], 0
    for end in _END.finditer(text):
        abbreviated = _ABBREVIATION.search(text[start : end.start() + 1])
        if abbreviated and end.end() < len(text):
            continue
        sentences.append(text[start : end.end()].strip())
        start = end.end()
    rest = text[start:].strip()
    return [*sentences, rest] if rest else sentences


def words_in(sentence: str) -> int:
    """Count words; a number is one, a dash is none."""
    return sum(any(sign.isalnum() for sign in word) for word in sentence.split())


def private_words(path: Path, line: int, text: str) -> Iterator[Problem]:
    """Words of ``WORDS`` in one piece of text."""
    for pattern, instead in _WORDS.items():
        for found in pattern.finditer(text):
            yield Problem(path, line, f"{found[0]!r}: write {instead}")


def check_page(path: Path) -> list[Problem]:
    """Check one page of Markdown.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of Problem
        Sentences that are too long, private words, and a mean that is too high.
    """
    problems: list[Problem] = []
    counts: list[int] = []
    for block in blocks_of(path.read_text(encoding="utf-8")):
        problems += private_words(path, block.line, block.text)
        for sentence in sentences_of(block.text):
            count = words_in(sentence)
            if count > LONGEST:
                begin = " ".join(sentence.split()[:8])
                what = f"a sentence of {count} words ({LONGEST} at most), split it: {begin} ..."
                problems.append(Problem(path, block.line, what))
            if block.kind == "prose" and count:
                counts.append(count)
    mean = sum(counts) / max(len(counts), 1)
    if len(counts) >= FEW and mean >= MEAN:
        what = f"a mean of {mean:.1f} words a sentence (below {MEAN:.0f}): shorten the longest"
        problems.append(Problem(path, 1, what))
    return problems


def check_source(path: Path) -> list[Problem]:
    """Look for private words in the docstrings, comments and messages of a module.

    A string counts as a message where it has a space; names, keys and choices have none.
    """
    code = path.read_text(encoding="utf-8")
    texts = [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    ]
    texts += [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT
    ]
    return sorted(
        problem
        for line, text in texts
        for offset, part in enumerate(text.splitlines())
        for problem in private_words(path, line + offset, _plain(part))
    )


def pages() -> list[Path]:
    """Pages of prose that the project has."""
    found = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    found += sorted((ROOT / "benchmarks" / "history").glob("*.md"))
    skipped = {"_build", "generated"}
    return found + sorted(
        path for path in (ROOT / "docs").rglob("*.md") if not skipped & set(path.parts)
    )


def main(arguments: list[str] | None = None) -> int:
    """Print what there is to change; the exit code is 1 where there is anything."""
    parser = argparse.ArgumentParser(description="Check words and length of sentences.")
    parser.add_argument("paths", nargs="*", type=Path, help="pages; all of the project by default")
    parser.add_argument("--source", action="store_true", help="src/crosslook too, its words alone")
    options = parser.parse_args(arguments)
    problems = [problem for path in options.paths or pages() for problem in check_page(path)]
    if options.source:
        for path in sorted((ROOT / "src" / "crosslook").rglob("*.py")):
            problems += check_source(path)
    for problem in problems:
        print(problem)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
