"""Weights of a fusion, fitted by the likelihood of the partners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crosslook.types import FloatArray

_RIDGE = 1e-3


def fit_weights(scores: Sequence[FloatArray]) -> NDArray[np.float64]:
    """Find the non-negative weights under which partners are most likely.

    Maximises ``mean_i log softmax_j (sum_m a_m S_m)[i, i]``, rows and columns
    averaged, over ``a_m >= 0``; a concave problem (McFadden's conditional
    logit, 1974) with a small quadratic penalty, solved by L-BFGS-B. The scale
    of ``a`` sharpens the softmax and is no weight: the result sums to 1.

    Parameters
    ----------
    scores : sequence of float arrays, shape (n, n)
        One per member, in comparable units; partners on the diagonal.

    Returns
    -------
    float64 array, shape (members,)
        Equal weights where no member tells partners from strangers.
    """
    from scipy.optimize import minimize

    stack = np.stack(scores).astype(np.float64)
    count = len(stack)
    found = minimize(
        _loss,
        np.full(count, 1.0 / count),
        args=(stack,),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * count,
    )
    total = float(found.x.sum())
    if total < 1e-6:
        return np.full(count, 1.0 / count)
    return np.asarray(found.x / total, np.float64)


def _loss(
    weights: NDArray[np.float64], stack: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    fused = np.tensordot(weights, stack, axes=1)
    partners = np.diagonal(stack, axis1=1, axis2=2).mean(axis=1)
    value = _RIDGE * float(weights @ weights)
    slope = 2 * _RIDGE * weights
    for axis in (1, 0):
        top = fused.max(axis=axis, keepdims=True)
        likely = np.exp(fused - top)
        total = likely.sum(axis=axis, keepdims=True)
        likely /= total
        logs = float((top + np.log(total)).mean())
        value += 0.5 * (logs - float(weights @ partners))
        slope = slope + 0.5 * (np.tensordot(stack, likely, axes=2) / len(fused) - partners)
    return value, slope
