"""What ``register`` and ``locate`` write and print, and their exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
    from crosslook.match.result import Failure, MatchResult
    from crosslook.options import WritingOptions

NO_MATCH = 3
"""Exit code of a run that worked and gave no match, or none that is sure."""

_REASONS = 2
"""Sentences for and against that are printed; match.json has all."""

TABLE, PAGE = "matches.csv", "index.html"


@dataclass(frozen=True)
class Item:
    """One image of a batch: what it is called, and where its files go."""

    name: str
    folder: Path


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
) -> None:
    """Write and print results as they come, and all in a table and a page at the end.

    What is ``incomplete`` (its name, and what it lacks) has failed. The table and the page
    are written too where the run is stopped. The exit code is 1 where an image failed,
    else 3 where one is no match or not surely one. Images that are too small are no
    failures with ``skip_small``.

    Raises
    ------
    OutputError
        Before any work, if a file of other origin is where one will be written.
    """
    from crosslook.match.batch_page import COLUMNS, counted, write_batch_page
    from crosslook.match.files import WRITTEN

    overwrite = settings.overwrite
    refuse_foreign(out, {TABLE: _is_table, PAGE: is_marked}, overwrite=overwrite)
    for item in items:
        refuse_foreign(item.folder, WRITTEN, overwrite=overwrite)
    rows: list[dict[str, object]] = [{"name": name, "error": why} for name, why in incomplete]
    drawn: dict[str, Thumbnails] = {}
    small: dict[str, CrosslookError] = {}
    waiting, total = iter(results), len(items)
    try:
        with shown_stages() as line:
            for number, item in enumerate(items, 1):
                line.item = f"{number} of {total}, {item.name}"
                result = next(waiting)
                line.clear()
                error = getattr(result, "error", None)  # of a failure
                if skip_small and isinstance(error, TooSmallError):
                    small[item.name] = error
                    continue
                rows.append(_finish_item(item, result, settings, f"[{number}/{total}] "))
                _draw(item, result, drawn)
    finally:
        if rows:
            write_csv(out / TABLE, COLUMNS, ([row.get(n, "") for n in COLUMNS] for row in rows))
            write_batch_page(out / PAGE, f"{out.name or 'Batch'}: {counted(rows)}", rows, drawn)
    if small and not rows:
        raise next(iter(small.values()))
    say_skipped(tuple(small), len(items))
    failed = [row for row in rows if row["error"]]
    click.echo(f"{counted(rows)} of {len(rows)}; see {out / TABLE} and {out / PAGE}")
    if failed:
        click.echo(f"{len(failed)} of {len(rows)} images failed:", err=True)
        for row in failed:
            click.echo(f"  {row['name']}: {row['error']}", err=True)
        raise click.exceptions.Exit(1)
    if any(row["verdict"] != "match" for row in rows):
        raise click.exceptions.Exit(NO_MATCH)


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


def say(result: MatchResult, out: Path, *, name: str = "") -> bool:
    """Print verdict, confidence, place and error, with the image's name in a batch.

    Returns
    -------
    bool
        Whether it is a match.
    """
    parts = [f"{result.verdict}: confidence {result.confidence_text}"]
    if name:
        parts[0] = f"{name}: {parts[0]}"
    centre = result.centre
    if centre is not None and "lonlat" in centre:
        longitude, latitude = centre["lonlat"]
        parts.append(f"centre {longitude:.6f} {latitude:.6f}")
    if result.error_text:
        parts.append(result.error_text)
    click.echo(f"{', '.join(parts)}; see {out}")
    if not name:
        _say_why(result)
        if result.timings:
            click.echo(_took(result.timings))
        if len(result.tie_points):
            click.echo(f"tie points: {result.tie_point_text}")
    offered = () if name else tuple(_next_lines(result))
    for line in (_how_far(result), result.reason, *offered):
        if line:
            click.echo(line)
    say_notes(result.notes)
    if result.hint:
        click.echo(result.hint)
    return result.verdict == "match"


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


def _say_why(result: MatchResult) -> None:
    """Print what adds most to the confidence, and what takes most from it."""
    for sign in ("for", "against"):
        for term in [t for t in result.explanation.terms if t.sign == sign][:_REASONS]:
            click.echo(f"{sign}: {term.sentence}")
