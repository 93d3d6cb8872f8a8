"""What ``register`` and ``locate`` write and print, and their exit code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crosslook.atomic import write_csv
from crosslook.cli.stages import shown_stages
from crosslook.errors import CrosslookError, MatchError, TooSmallError
from crosslook.written import is_marked, refuse_foreign

if TYPE_CHECKING:
    from crosslook.match.batch_page import Thumbnails
    from crosslook.match.batch_so_far import Done, Item, MatchesSoFar
    from crosslook.match.result import Failure, MatchResult
    from crosslook.options import WritingOptions

NO_MATCH = 3
"""Exit code of a run that worked and gave no match, or none that is sure."""

_REASONS = 2
"""Sentences for and against that are printed; match.json has all."""

TABLE, PAGE = "matches.csv", "index.html"


def check_places(items: Sequence[Item], out: Path, settings: WritingOptions) -> None:
    """See, before any work, that nothing else lies where the files of a batch will be written.

    Raises
    ------
    OutputError
        If a file of other origin does, or the map of an audit.
    """
    from crosslook.match.files import check_folder

    refuse_foreign(out, {TABLE: _is_table, PAGE: is_marked}, overwrite=settings.overwrite)
    for item in items:
        check_folder(item.folder, overwrite=settings.overwrite)


def finish_one(result: MatchResult, out: Path) -> None:
    """Print the result of a single image; exit with 3 unless it is a match."""
    if not say(result, out):
        raise click.exceptions.Exit(NO_MATCH)


def finish_batch(
    results: Iterable[MatchResult | Failure],
    items: Sequence[Item],
    out: Path,
    settings: WritingOptions,
    *,
    skip_small: bool = False,
    incomplete: Sequence[tuple[str, str]] = (),
    so_far: MatchesSoFar,
) -> None:
    """Write and print results as they come, and all in a table and a page at the end.

    What is ``incomplete`` (its name, and what it lacks) has failed. The table and the page
    are written too where the run is stopped. The exit code is 1 where an image failed,
    else 3 where one is no match or not surely one. Images that are too small are no
    failures with ``skip_small``. What is in ``so_far`` has no result: it was written before.
    """
    from crosslook.match.batch_page import COLUMNS, counted, write_batch_page

    rows: list[dict[str, object]] = [{"name": name, "error": why} for name, why in incomplete]
    drawn: dict[str, Thumbnails] = {}
    small: dict[str, CrosslookError] = {}
    waiting, total = iter(results), len(items)
    try:
        with shown_stages() as line:
            for number, item in enumerate(items, 1):
                line.item = f"{number} of {total}, {item.name}"
                position = f"[{number}/{total}] "
                if item.name in so_far.done:
                    rows.append(_finish_again(item, so_far.done[item.name], drawn, position))
                    continue
                result = next(waiting)
                line.clear()
                error = getattr(result, "error", None)  # of a failure
                if skip_small and isinstance(error, TooSmallError):
                    small[item.name] = error
                    continue
                rows.append(_finish_item(item, result, settings, position))
                _draw(item, result, drawn)
                _save(item, result, rows[-1], drawn, so_far)
    finally:
        if rows:
            write_csv(out / TABLE, COLUMNS, ([row.get(n, "") for n in COLUMNS] for row in rows))
            write_batch_page(out / PAGE, f"{out.name or 'Batch'}: {counted(rows)}", rows, drawn)
    if small and not rows:
        raise next(iter(small.values()))
    say_skipped(tuple(small), len(items))
    if not any(row["error"] for row in rows):
        so_far.finish()
    _exit_with(rows, out)


def _exit_with(rows: Sequence[Mapping[str, object]], out: Path) -> None:
    """Say what a batch gave; exit with 1 where an image failed, else with 3 unless all match."""
    from crosslook.match.batch_page import counted

    failed = [row for row in rows if row["error"]]
    click.echo(f"{counted(rows)} of {len(rows)}; see {out / TABLE} and {out / PAGE}")
    if failed:
        click.echo(f"{len(failed)} of {len(rows)} images failed:", err=True)
        for row in failed:
            click.echo(f"  {row['name']}: {row['error']}", err=True)
        raise click.exceptions.Exit(1)
    if any(row["verdict"] != "match" for row in rows):
        raise click.exceptions.Exit(NO_MATCH)


def _save(
    item: Item,
    result: MatchResult | Failure,
    row: dict[str, object],
    drawn: Mapping[str, Thumbnails],
    so_far: MatchesSoFar,
) -> None:
    """Save what is known of a result that is written; what failed is tried again."""
    from crosslook.match.batch_so_far import Done
    from crosslook.match.result import Failure

    if not isinstance(result, Failure) and not row["error"]:
        words = tuple(_words(result, brief=True))
        so_far.add(item, Done(row, words, drawn.get(item.name)))


def _is_table(path: Path) -> bool:
    """Whether crosslook wrote a table of matches, of this version or a former one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.readline().startswith("name,verdict,confidence,")
    except (OSError, ValueError):
        return False


def _draw(item: Item, result: MatchResult | Failure, drawn: dict[str, Thumbnails]) -> None:
    """Add small images of a result to those of the page; it does without where they fail."""
    from crosslook.match.batch_page import thumbnails
    from crosslook.match.result import Failure

    if not isinstance(result, Failure) and result.transform is not None:
        with suppress(CrosslookError):
            drawn[item.name] = thumbnails(result.drawn(result.transform))


def say_notes(notes: Iterable[str]) -> None:
    """Print notes, one a line."""
    for note in notes:
        click.echo(f"note: {note}")


def say_skipped(names: Sequence[str], count: int) -> None:
    """Print what of so many images was left out because it is too small."""
    from crosslook.data.pairs import some_of

    if names:
        say_notes([f"left out {len(names)} of {count} that are too small: {some_of(names)}"])


def _finish_item(
    item: Item, result: MatchResult | Failure, settings: WritingOptions, number: str
) -> dict[str, object]:
    """Write and print one result of a batch; its row of the table."""
    from crosslook.match.batch_page import row_of
    from crosslook.match.result import Failure

    if isinstance(result, Failure):
        click.echo(f"{number}{item.name}: failed: {result.error}")
        return {"name": item.name, "error": str(result.error)}
    try:
        result.write(item.folder, force=settings.force, overwrite=settings.overwrite)
    except MatchError as error:  # there is nothing to force
        return {"name": item.name, "error": str(error)}
    say(result, item.folder, name=f"{number}{item.name}")
    return row_of(item.name, result, item.folder)


def _finish_again(
    item: Item, done: Done, drawn: dict[str, Thumbnails], number: str
) -> dict[str, object]:
    """Print what an earlier run wrote; its row of the table."""
    _print(done.words, item.folder, f"{number}{item.name}: ")
    if done.thumbnails is not None:
        drawn[item.name] = done.thumbnails
    return done.row


def say(result: MatchResult, out: Path, *, name: str = "") -> bool:
    """Print verdict, confidence, place and error, with the image's name in a batch.

    Returns
    -------
    bool
        Whether it is a match.
    """
    _print(_words(result, brief=bool(name)), out, f"{name}: " if name else "")
    return result.verdict == "match"


def _print(words: Sequence[str], out: Path, name: str) -> None:
    """Print the lines on a result: the first with its name and its folder."""
    click.echo(f"{name}{words[0]}; see {out}")
    for line in words[1:]:
        click.echo(line)


def _words(result: MatchResult, *, brief: bool) -> list[str]:
    """What is said of a result, a line each; ``brief`` in a batch."""
    parts = [f"{result.verdict}: confidence {result.confidence_text}"]
    centre = result.centre
    if centre is not None and "lonlat" in centre:
        longitude, latitude = centre["lonlat"]
        parts.append(f"centre {longitude:.6f} {latitude:.6f}")
    if result.error_text:
        parts.append(result.error_text)
    lines = [", ".join(parts)]
    if not brief:
        lines += _why(result)
        if result.timings:
            lines.append(_took(result.timings))
        if len(result.tie_points):
            lines.append(f"tie points: {result.tie_point_text}")
    offered = () if brief else tuple(_next_lines(result))
    notes = (f"note: {note}" for note in result.notes)
    lines += [line for line in (_how_far(result), result.reason, *offered) if line]
    return [*lines, *notes, *([result.hint] if result.hint else [])]


def _took(timings: Mapping[str, float]) -> str:
    """Seconds in all, and of the stages that took a tenth of a second or more."""
    stages = {name: value for name, value in timings.items() if name != "total" and value >= 0.1}
    parts = ", ".join(f"{name} {value:.1f}" for name, value in stages.items())
    total = f"took {timings.get('total', sum(timings.values())):.1f} s"
    return f"{total}: {parts}" if parts else total


def _how_far(result: MatchResult) -> str:
    """What is said of a search over the whole overlap that nobody requested."""
    if result.search != "expanded":
        return ""
    if isnan(result.confidence):  # then no place is sure, and every area is tried
        return "no place is sure with this matcher, so the whole overlap was searched too"
    return "near its start the image fits nowhere, so the whole overlap was searched"


def _next_lines(result: MatchResult) -> list[str]:
    """What to type next after a no match, a line each."""
    return [f"next: {one.options} searches {one.words}" for one in result.next_searches]


def _why(result: MatchResult) -> Iterator[str]:
    """What adds most to the confidence, and what takes most from it."""
    for sign in ("for", "against"):
        for term in [t for t in result.explanation.terms if t.sign == sign][:_REASONS]:
            yield f"{sign}: {term.sentence}"
