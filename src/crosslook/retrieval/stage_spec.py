"""What ``--two-stage`` and ``--fusion`` name, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crosslook.errors import SettingError, SpecError, did_you_mean
from crosslook.extract.spec import UNTRAINED, parse_spec

_PLAIN = ("flatten", "mean", "gem", "vector")


@dataclass(frozen=True)
class StageSpec:
    """An extractor and how its maps are pooled in one stage.

    ``pooling`` is ``flatten``, ``grid:N``, ``mean``, ``gem`` or ``vector``.
    """

    extractor: str
    pooling: str = "flatten"

    @property
    def grid(self) -> int:
        """Cells a side that the maps are brought to; 0 leaves them as they are."""
        return int(self.pooling.removeprefix("grid:")) if self.pooling.startswith("grid:") else 0

    def __str__(self) -> str:
        shown = "" if self.pooling == "flatten" else f"[{self.pooling}]"
        return f"{self.extractor}{shown}"


def parse_two_stage(text: str) -> tuple[StageSpec, StageSpec]:
    """Parse ``COARSE+FINE``.

    Each stage is an extractor spec in which ``grid=N`` or ``pool=NAME`` may
    stand among the options.

    >>> parse_two_stage("hog:grid=8+hog:cell=8")[0]
    StageSpec(extractor='hog', pooling='grid:8')

    Raises
    ------
    SpecError
        If there are not two stages, or a pooling is unknown.
    """
    parts = text.split("+")
    if len(parts) != 2 or not all(part.strip() for part in parts):
        raise SpecError(
            f"'{text}' is not COARSE+FINE: two extractor specs joined by one '+', "
            "for example hog:grid=8+hog:cell=8 or sam2+sd-vae."
        )
    return parse_stage(parts[0]), parse_stage(parts[1])


def parse_stage(text: str) -> StageSpec:
    """Parse one stage; ``grid`` and ``pool`` leave the extractor's own options."""
    spec = parse_spec(text)
    options = dict(spec.options)
    grid, pool = options.pop("grid", None), options.pop("pool", None)
    if grid is not None and pool is not None:
        raise SpecError(f"'{text}' names both grid and pool; give one of them.")
    head = f"{UNTRAINED}:{spec.name}" if spec.untrained else spec.name
    tail = [spec.variant] if spec.variant else []
    tail += [f"{key}={value}" for key, value in options.items()]
    extractor = f"{head}:{','.join(tail)}" if tail else head
    if grid is not None:
        if not grid.isdecimal() or int(grid) < 1:
            raise SpecError(f"grid={grid} in '{text}' is no number of cells; give 1 or more.")
        return StageSpec(extractor, f"grid:{int(grid)}")
    if pool is not None and pool not in _PLAIN:
        raise SpecError(f"pool={pool} in '{text}' is unknown; allowed: {', '.join(_PLAIN)}.")
    return StageSpec(extractor, pool or "flatten")


def stages_of(text: str) -> list[str]:
    """Extractors of ``COARSE+FINE``, each once."""
    return list(dict.fromkeys(stage.extractor for stage in parse_two_stage(text)))


def members_of(text: str) -> list[str]:
    """Extractors of a fusion ``A+B+C``, each once."""
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
        for name in members:
            if name not in specs:
                raise SettingError(
                    f"--fusion {text}: '{name}' is not among --extractors "
                    f"({', '.join(specs)})." + did_you_mean(name, list(specs))
                )
    return list(dict.fromkeys(name for text in two_stage for name in stages_of(text)))
