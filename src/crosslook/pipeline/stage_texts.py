"""What ``--two-stage`` and ``--fusion`` name, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence

from crosslook.errors import SettingError, did_you_mean
from crosslook.match.stage_spec import parse_two_stage


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
