"""A verdict in words: what spoke for a place, and what against it."""

from __future__ import annotations

from typing import Any

from crosslook.match.evidence import with_new_names

_MANY = 12
_GOOD_FRACTION, _POOR_FRACTION = 0.5, 0.25
_WIDE, _NARROW = 0.4, 0.15
_CLOSE_PX, _FAR_PX = 3.0, 8.0
_CLEAR_Z = 3.0
_CLEAR_MARGIN = 0.15


def explain(match: dict[str, Any]) -> list[dict[str, str]]:
    """Say why a verdict is what it is.

    Parameters
    ----------
    match : dict
        The content of ``match.json``.

    Returns
    -------
    list of dict
        ``sign`` is ``for``, ``against`` or ``note``; ``text`` one sentence.
    """
    evidence = with_new_names(match.get("evidence", {}))
    if not evidence.get("inliers"):
        lines = [_line("against", "Too few tie points agree on any one place.")]
    else:
        lines = [
            _tie_points(match, evidence),
            _hull_area(evidence),
            _agreement(evidence),
            _information(evidence),
        ]
    if evidence.get("search_score"):
        lines.append(_margin(evidence))
    if evidence.get("relief", 0.0) > 6.0:
        lines.append(
            _line(
                "note",
                "Relief seems to move parts of it along one line; the model tps may "
                "follow the ground better.",
            )
        )
    lines += [_line("note", f"{str(note)[:1].upper()}{str(note)[1:]}.") for note in match["notes"]]
    return lines


def _line(sign: str, text: str) -> dict[str, str]:
    return {"sign": sign, "text": text}


def _tie_points(match: dict[str, Any], evidence: dict[str, Any]) -> dict[str, str]:
    fraction, count = evidence["inlier_fraction"], int(evidence["inliers"])
    text = (
        f"{count} of {match['tie_points']['count']} tie points agree ({fraction:.0%}), "
        f"to {evidence['residual']:.1f} px."
    )
    good = fraction >= _GOOD_FRACTION and count >= _MANY
    return _line("for" if good else "against" if fraction < _POOR_FRACTION else "note", text)


def _hull_area(evidence: dict[str, Any]) -> dict[str, str]:
    hull_area = evidence["hull_area"]
    text = f"They cover {hull_area:.0%} of the area that was compared."
    return _line(
        "for" if hull_area >= _WIDE else "against" if hull_area < _NARROW else "note", text
    )


def _agreement(evidence: dict[str, Any]) -> dict[str, str]:
    apart = evidence["gradient_mi_distance"]
    text = (
        f"Two estimates that see different things, edges and mutual information, lie "
        f"{apart:.1f} px apart."
    )
    return _line("for" if apart <= _CLOSE_PX else "against" if apart > _FAR_PX else "note", text)


def _information(evidence: dict[str, Any]) -> dict[str, str]:
    score = evidence["mi_z_score"]
    text = (
        f"The mutual information there is {score:.1f} standard deviations above that of wrong "
        "places nearby."
    )
    return _line("for" if score >= _CLEAR_Z else "against" if score < 1.0 else "note", text)


def _margin(evidence: dict[str, Any]) -> dict[str, str]:
    margin = evidence["search_margin"]
    text = f"The search scored it {margin:.0%} above the next best place."
    if margin < 0:
        text = f"The search scored another place {-margin:.0%} higher, but that matched worse."
    return _line("for" if margin >= _CLEAR_MARGIN else "against" if margin <= 0 else "note", text)
