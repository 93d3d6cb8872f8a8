"""What ``--two-stage`` and ``--fusion`` name, checked before any work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from crosslook.errors import SettingError, SpecError, did_you_mean
from crosslook.extract.spec import UNTRAINED, parse_spec

_PLAIN = ("flatten", "mean", "gem", "vector")


@dataclass(frozen=True)
class StageSpec:
    """An extractor and how its maps are pooled in one stage.

    ``pooling`` is ``flatten``, ``grid:N``, ``mean``, ``gem``, ``vector``, or
    ``auto``: as fine a grid as keeps a coarse descriptor short.
    """

    extractor: str
    pooling: str = "flatten"

    @property
    def grid(self) -> int:
        """Cells a side that the maps are brought to; 0 leaves them as they are."""
        return int(self.pooling.removeprefix("grid:")) if self.pooling.startswith("grid:") else 0

    def __str__(self) -> str:
        shown = "" if self.pooling in ("", "flatten", "auto") else f"[{self.pooling}]"
        return f"{self.extractor}{shown}"


@dataclass(frozen=True)
class TwoStageSpec:
    """Two stages and how they are run; None where nothing was typed.

    ``ks`` are lengths of the shortlist, ``radius`` the search radius of the fine
    stage in pixels; ``reverse`` measures the swapped order too.
    """

    coarse: StageSpec
    fine: StageSpec
    ks: tuple[int, ...] | None = None
    radius: float | None = None
    reverse: bool = True


def parse_two_stage(text: str) -> TwoStageSpec:
    """Parse ``COARSE+FINE[,ks=5:20:50][,radius=PX][,reverse=no]``.

    Each stage is an extractor spec in which ``grid=N`` or ``pool=NAME`` may
    stand among the options. A coarse stage without either is pooled, since its
    whole map would cost more to search than verifying everything.

    >>> parse_two_stage("hog:grid=8+hog:cell=8,ks=5:20").ks
    (5, 20)

    Raises
    ------
    SpecError
        If there are not two stages, or an option is not allowed.
    """
    parts = text.split("+")
    if len(parts) != 2 or not all(part.strip() for part in parts):
        raise SpecError(
            f"'{text}' is not COARSE+FINE: two extractor specs joined by one '+', "
            "for example hog:grid=8+hog:cell=8 or sam2+sd-vae."
        )
    last, typed = _without(parts[1], ("ks", "radius", "reverse"))
    ks, radius = _lengths(text, typed.get("ks")), _pixels(text, typed.get("radius"))
    if (reverse := typed.get("reverse", "yes")) not in ("yes", "no"):
        raise SpecError(f"reverse={reverse} in '{text}' is unknown; write yes or no.")
    coarse = parse_stage(parts[0], "auto")
    return TwoStageSpec(coarse, parse_stage(last, "flatten"), ks, radius, reverse == "yes")


def _lengths(text: str, typed: str | None) -> tuple[int, ...] | None:
    if typed is None:
        return None
    parts = typed.split(":")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise SpecError(f"ks={typed} in '{text}': write whole numbers from 1, as ks=5:20:50.")
    return tuple(sorted({int(part) for part in parts}))


def _pixels(text: str, typed: str | None) -> float | None:
    try:
        radius = None if typed is None else float(typed)
    except ValueError:
        radius = -1.0
    if radius is not None and not 0 <= radius < math.inf:
        raise SpecError(f"radius={typed} in '{text}' is no distance; write pixels from 0.")
    return radius


def _without(text: str, keys: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Take options that are not the extractor's out of a spec."""
    spec = parse_spec(text)
    options = dict(spec.options)
    taken = {key: options.pop(key) for key in keys if key in options}
    head = f"{UNTRAINED}:{spec.name}" if spec.untrained else spec.name
    tail = [spec.variant] if spec.variant else []
    tail += [f"{key}={value}" for key, value in options.items()]
    return (f"{head}:{','.join(tail)}" if tail else head), taken


def parse_member(text: str) -> StageSpec:
    """Parse a member of a fusion: as a stage, and ``pool=dense:R`` too.

    A member that names no pooling has that of the study: its ``pooling`` is empty.

    >>> parse_member("hog:cell=8,pool=dense:1").pooling
    'dense:1'
    """
    return parse_stage(text, "", (*_PLAIN, "dense:R"))


def _is_dense(pool: str, allowed: Sequence[str]) -> bool:
    name, _, radius = pool.partition(":")
    return "dense:R" in allowed and name == "dense" and radius.isdecimal() and int(radius) > 0


def parse_stage(text: str, pooling: str = "flatten", allowed: Sequence[str] = _PLAIN) -> StageSpec:
    """Parse one stage; ``grid`` and ``pool`` leave the extractor's own options.

    ``pooling`` is that of a stage which names none.
    """
    extractor, options = _without(text, ("grid", "pool"))
    grid, pool = options.pop("grid", None), options.pop("pool", None)
    if grid is not None and pool is not None:
        raise SpecError(f"'{text}' names both grid and pool; give one of them.")
    if grid is not None:
        if not grid.isdecimal() or int(grid) < 1:
            raise SpecError(f"grid={grid} in '{text}' is no number of cells; give 1 or more.")
        return StageSpec(extractor, f"grid:{int(grid)}")
    if pool is not None and pool not in allowed and not _is_dense(pool, allowed):
        raise SpecError(f"pool={pool} in '{text}' is unknown; allowed: {', '.join(allowed)}.")
    return StageSpec(extractor, pool or pooling)


def stages_of(text: str) -> list[str]:
    """Extractors of ``COARSE+FINE``, each once."""
    spec = parse_two_stage(text)
    return list(dict.fromkeys(stage.extractor for stage in (spec.coarse, spec.fine)))


def members_of(text: str) -> list[str]:
    """Members of a fusion ``A+B+C``, each once, as they are typed (:func:`parse_member`)."""
    return list(dict.fromkeys(part.strip() for part in text.split("+") if part.strip()))


def check_stages(
    two_stage: Sequence[str], fusion: Sequence[str], specs: Sequence[str]
) -> list[str]:
    """Check both kinds of text; return the extractors that two stages name.

    Raises
    ------
    SpecError
        If a text is not ``COARSE+FINE``.
    SettingError
        If a fusion has fewer than two members, or one that the study does not
        run.
    """
    for text in fusion:
        members = members_of(text)
        if len(members) < 2:
            raise SettingError(f"--fusion {text}: join at least two extractors by '+', as hog+raw.")
        for name in (parse_member(member).extractor for member in members):
            if name not in specs:
                raise SettingError(
                    f"--fusion {text}: '{name}' is not among --extractors "
                    f"({', '.join(specs)})." + did_you_mean(name, list(specs))
                )
    return list(dict.fromkeys(name for text in two_stage for name in stages_of(text)))
