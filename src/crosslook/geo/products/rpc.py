"""Rational polynomials (RPC) fitted to a sensor's own geometry, so that GDAL can follow it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def fitted(lonlat: Array, heights: Array, pixels: Array) -> tuple[dict[str, str], float]:
    """Fit rational polynomials of third order from ground to pixels.

    Parameters
    ----------
    lonlat : float array (n, 2)
        Degrees; longitudes run on over 180.
    heights : float array (n,)
        Metres above the ellipsoid.
    pixels : float array (n, 2)
        Row and column, whole numbers at the centres of pixels.

    Returns
    -------
    rpc : dict of str to str
        As GDAL's metadata has them.
    residual : float
        The largest one, in pixels.
    """
    ground = np.column_stack([lonlat, heights])
    low, high = ground.min(axis=0), ground.max(axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-9)
    terms = _terms((ground - middle) / half)
    seen = pixels.min(axis=0), pixels.max(axis=0)
    centre, reach = (seen[0] + seen[1]) / 2, np.maximum((seen[1] - seen[0]) / 2, 1e-9)
    rpc = {
        "LINE_OFF": centre[0], "SAMP_OFF": centre[1], "LONG_OFF": middle[0], "LAT_OFF": middle[1],
        "HEIGHT_OFF": middle[2], "LINE_SCALE": reach[0], "SAMP_SCALE": reach[1],
        "LONG_SCALE": half[0], "LAT_SCALE": half[1], "HEIGHT_SCALE": half[2],
    }  # fmt: skip
    written = {key: repr(float(value)) for key, value in rpc.items()}
    worst = 0.0
    for axis, name in enumerate(("LINE", "SAMP")):
        wanted = (pixels[:, axis] - centre[axis]) / reach[axis]
        above, below = _quotient(terms, wanted)
        worst = max(
            worst, float(np.abs((terms @ above) / (terms @ below) - wanted).max() * reach[axis])
        )
        for part, numbers in (("NUM", above), ("DEN", below)):
            written[f"{name}_{part}_COEFF"] = " ".join(repr(float(n)) for n in numbers)
    return written, worst


def _quotient(terms: Array, wanted: Array) -> tuple[Array, Array]:
    """Numerator and denominator (the latter begins with 1) by least squares of least norm."""
    both = np.column_stack([terms, -wanted[:, None] * terms[:, 1:]])
    numbers = np.asarray(np.linalg.lstsq(both, wanted, rcond=1e-10)[0], np.float64)
    above, below = numbers[:20], np.concatenate([[1.0], numbers[20:]])
    if (terms @ below).min() > 0.5:
        return above, below
    # A pole lies near: do without a denominator.
    plain = np.asarray(np.linalg.lstsq(terms, wanted, rcond=1e-10)[0], np.float64)
    return plain, np.concatenate([[1.0], np.zeros(19)])


def _terms(at: Array) -> Array:
    """The twenty terms of RPC00B, in its order; longitude L, latitude P, height H."""
    x, y, z = at.T
    one = np.ones_like(x)
    return np.column_stack([
        one, x, y, z, x * y, x * z, y * z, x * x, y * y, z * z, x * y * z, x**3, x * y * y,
        x * z * z, x * x * y, y**3, y * z * z, x * x * z, y * y * z, z**3,
    ])  # fmt: skip
