"""``crosslook register``, ``crosslook audit`` and ``crosslook apply``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
from pydantic import Field

from crosslook.cli.outcome import (
    check_places,
    finish_batch,
    finish_one,
    say_notes,
    say_skipped,
)
from crosslook.cli.stages import shown_stages
from crosslook.errors import CrosslookError, SettingError
from crosslook.match.settings import ApplyCall, AuditCall, RegisterCall
from crosslook.options import Cli, Settings
from crosslook.storage import name_of

if TYPE_CHECKING:
    from crosslook.data.pairs import Pairs, ScenePair
    from crosslook.match.scene.plan import ScenePlan


class PairsOptions(Settings):
    """How a set of pairs lies on disk, and what of it is taken."""

    layout: Annotated[str, Cli(metavar="NAME")] = Field(
        default="auto", description="Layout of a public set."
    )
    skip_incomplete: bool = Field(
        default=False,
        description="Leave out images without a partner and pairs that are too small.",
    )


class RegisterInputs(PairsOptions):
    """Which images: two or more, or pairs of them."""

    images: Annotated[
        tuple[str, ...], Cli(positional=True, metavar="SAR OPTICAL... | PAIRS", needed=True)
    ] = Field(
        default=(),
        description="SAR image and optical image of roughly the same place; several optical "
        "files, a folder of them, STAC items or an atlas are one basemap. Or pairs as for study: "
        "folder, table or public set.",
    )
    stack: bool = Field(
        default=False,
        description="All images but the last are SAR images, as of several dates; each is brought "
        "onto the last.",
    )
    dry_run: bool = Field(
        default=False,
        description="Say how a scene would be cut, and what memory and time that takes; no more.",
    )


class AuditInputs(PairsOptions):
    """Which pairs: a set of them, or the two images of one."""

    images: Annotated[
        tuple[str, ...], Cli(positional=True, metavar="SAR OPTICAL | PAIRS", needed=True)
    ] = Field(
        default=(),
        description="SAR image and optical image of one place, or a folder of optical files. "
        "Or pairs as for study: folder, table or public set.",
    )


def register(inputs: RegisterInputs, settings: RegisterCall) -> None:
    """Bring a SAR image onto an optical one; exit code 3 where they do not match.

    The files of several pairs go into a folder each, named by the pairs, and
    the results of all into matches.csv. A pair that cannot be read or matched
    does not stop the others: all such are listed at the end, and the exit code
    is 1. Started again after it was stopped, a set goes on with the pairs that
    are left, and with those that failed; with --overwrite it begins anew.
    """
    from crosslook.match import register as registering

    out = Path(settings.out or "")
    if inputs.stack:
        _register_stack(inputs, settings, out)
        return
    if len(inputs.images) >= 2:
        if inputs.layout != "auto" or inputs.skip_incomplete:
            name = "--layout" if inputs.layout != "auto" else "--skip-incomplete"
            raise SettingError(
                f"{name} is of a set of pairs; {len(inputs.images)} images were given."
            )
        sar, *optical = inputs.images
        basemap = optical[0] if len(optical) == 1 else optical
        if inputs.dry_run:
            click.echo(_plan_words(*registering.plan_register(sar, basemap, settings), settings))
            return
        with shown_stages():
            result = registering.register(sar, basemap, settings)
        finish_one(result, out)
        return
    if not inputs.images:
        raise SettingError("no image was given; give SAR and OPTICAL, or one set of PAIRS.")
    if inputs.dry_run:
        raise SettingError("--dry-run is of one scene; give SAR and OPTICAL.")
    from crosslook.data.pairs import open_pairs

    _see_that_it_is_no_image(inputs.images[0])
    # What has no partner is a failed row of the table, unless it is to be left out.
    pairs = open_pairs(inputs.images[0], inputs.layout, skip_incomplete=True)
    skip, incomplete = inputs.skip_incomplete, pairs.incomplete
    say_notes(note for note in pairs.notes if skip or not note.startswith("left out"))
    _register_pairs(pairs, settings, out, skip_small=skip, incomplete=() if skip else incomplete)


def _register_pairs(
    pairs: Sequence[ScenePair],
    settings: RegisterCall,
    out: Path,
    *,
    skip_small: bool = False,
    incomplete: Sequence[tuple[str, str]] = (),
) -> None:
    """Register pairs, but those that a run which was stopped has done."""
    from crosslook.match.batch import key_of, register_opened
    from crosslook.match.batch_so_far import Item, MatchesSoFar
    from crosslook.match.matchers import Tools

    items = [Item(pair.id, out / pair.id, (pair.sar, pair.optical)) for pair in pairs]
    check_places(items, out, settings)
    tools = Tools(settings)
    so_far = MatchesSoFar(out, items, key_of(settings, tools), overwrite=settings.overwrite)
    waiting = [pair for pair in pairs if pair.id not in so_far.done]
    finish_batch(
        register_opened(waiting, settings, tools), items, out, settings, skip_small=skip_small,
        incomplete=incomplete, so_far=so_far,
    )  # fmt: skip


def _register_stack(inputs: RegisterInputs, settings: RegisterCall, out: Path) -> None:
    """Bring SAR images onto one optical image, as pairs that share it."""
    from crosslook.data.layouts import stem_of
    from crosslook.data.pairs import ScenePair

    if inputs.layout != "auto" or inputs.skip_incomplete or inputs.dry_run:
        raise SettingError("--stack goes with no --layout, --skip-incomplete or --dry-run.")
    if len(inputs.images) < 2:
        raise SettingError("--stack needs one SAR image or more, and the optical image last.")
    *dates, optical = inputs.images
    names = [stem_of(name_of(sar)) for sar in dates]
    if len(set(names)) < len(names):
        raise SettingError("two SAR images of the stack have one name; rename one of them.")
    pairs = [ScenePair(name, name, sar, optical) for name, sar in zip(names, dates, strict=True)]
    _register_pairs(pairs, settings, out)


def _plan_words(plan: ScenePlan, is_tiled: bool, settings: RegisterCall) -> str:
    """What a scene would take; or that it is matched without tiles."""
    if not is_tiled:
        return "no tiles: the pair is matched on one working grid; seconds"
    return plan.words(settings.workers or (2 if settings.engine == "ray" else 1))


def _see_that_it_is_no_image(place: str, command: str = "register") -> None:
    """Refuse one image where a set of pairs is needed: the second one was forgotten."""
    from crosslook.geo.raster import RasterFile
    from crosslook.storage import as_place

    path = Path(place)
    if not path.is_file() or path.suffix.lower() in (".csv", ".parquet", ".pq"):
        return
    try:
        header = RasterFile(as_place(place)).header
    except CrosslookError:  # a table under another name
        return
    raise SettingError(
        f"'{header.name}' is one image; the optical one is missing. Give two, as in "
        f"'crosslook {command} {path.name} optical.tif --out FOLDER', or one set of pairs: a "
        "folder or a table."
    )


def audit(inputs: AuditInputs, settings: AuditCall) -> None:
    """Measure whether pairs are really aligned, and of large scenes where they are not."""
    from crosslook.match.audit import audit as run

    pairs = _pairs_to_audit(inputs)
    say_notes(pairs.notes)
    result = run(pairs, settings)
    for name, value in result.summary().items():
        click.echo(f"{name.replace('_', ' ')}: {value:g}")
    click.echo(f"see {settings.out}")
    skipped = result.too_small if inputs.skip_incomplete else ()
    say_skipped(skipped, len(pairs))
    _exit([(scene, why) for scene, why in result.failed.items() if scene not in skipped])


def _pairs_to_audit(inputs: AuditInputs) -> Pairs:
    """A set of pairs, or one pair, named by its SAR image."""
    from crosslook.data.layouts import stem_of
    from crosslook.data.pairs import Pairs, ScenePair, open_pairs

    given = inputs.images
    if len(given) == 1:
        _see_that_it_is_no_image(given[0], "audit")
        return open_pairs(given[0], inputs.layout, skip_incomplete=inputs.skip_incomplete)
    if len(given) != 2:
        raise SettingError(
            f"{len(given)} images were given; give SAR and OPTICAL, where several optical files "
            "lie in one folder, or one set of PAIRS."
        )
    if inputs.layout != "auto" or inputs.skip_incomplete:
        name = "--layout" if inputs.layout != "auto" else "--skip-incomplete"
        raise SettingError(f"{name} is of a set of pairs; 2 images were given.")
    name = stem_of(name_of(given[0]))
    return Pairs([ScenePair(name, name, *given)])


def _exit(failed: Sequence[tuple[str, object]]) -> None:
    """List what failed and why; exit with 1 where something did."""
    for name, why in failed:
        click.echo(f"failed: {name}: {why}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


class ApplyInputs(Settings):
    """Which match, and which files."""

    match: Annotated[str, Cli(positional=True, metavar="MATCH.JSON")] = Field(
        description="match.json that register or locate wrote, or its folder."
    )
    files: Annotated[tuple[str, ...], Cli(positional=True, metavar="FILE...", needed=True)] = Field(
        default=(), description="Other bands, polarisations, masks or resolutions of the SAR image."
    )


def apply(inputs: ApplyInputs, settings: ApplyCall) -> None:
    """Bring other files of the same acquisition where a match puts the SAR image.

    A file that cannot be brought along does not stop the others: all such are
    listed at the end, and the exit code is 1.
    """
    from crosslook.match.apply import apply_match
    from crosslook.match.result import Failure

    done = apply_match(inputs.match, inputs.files, settings)
    for one in done:
        if not isinstance(one, Failure):
            click.echo(str(one))
    _exit([(one.name, one.error) for one in done if isinstance(one, Failure)])
