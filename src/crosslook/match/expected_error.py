"""How far off a match is likely to be, from its evidence."""

from __future__ import annotations

import numpy as np

from crosslook.match.evidence import Evidence

_FLOOR = 1.0
_CAP = 50.0
_FLAT_PX = 3.0  # spread of tie points that noise alone gives
_DEVIATIONS = 2.56  # between the 10 % and the 90 % quantile of a normal law


def expected_error(evidence: Evidence) -> float:
    """Mean error over the image to expect, in optical pixels.

    Root of the sum of squares of four parts: half the distance between the
    estimates from gradients and from mutual information, the spread of the
    inliers over the root of their number of independent ones (a quarter, as
    templates overlap), the deviation that relief adds, and one pixel that no
    evidence shows, the error of good matches on real scenes.
    """
    independent = max(1.0, evidence.inliers / 4)
    scatter = evidence.residual / np.sqrt(independent)
    relief = max(0.0, evidence.relief - _FLAT_PX) / _DEVIATIONS
    total = np.sqrt((evidence.agreement / 2) ** 2 + (2 * scatter) ** 2 + relief**2 + _FLOOR**2)
    return float(min(total, _CAP))
