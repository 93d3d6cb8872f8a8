"""Fits of verdicts: logistics whose weights have known signs, and linear quantiles of errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.types import Array

Flags = NDArray[np.bool_]

_MOST_LOGIT = 40.0


@dataclass(frozen=True, eq=False)
class Logistic:
    """Weights (n,) and intercept."""

    weight: Array
    intercept: float

    def __call__(self, forms: Array) -> Array:
        """Probabilities of rows (m, n)."""
        logit = forms @ self.weight + self.intercept
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -_MOST_LOGIT, _MOST_LOGIT))))


def fit_logistic(
    forms: Array, right: Flags, weight: Array, signs: Array, ridge: tuple[float, Array | None]
) -> Logistic:
    """A weighted ridge logistic whose weights have the given signs, or are 0.

    Parameters
    ----------
    forms : float64 array, shape (m, n)
    right : bool array, shape (m,)
    weight : float64 array, shape (m,)
    signs : float64 array, shape (n,)
        1 for no weight below 0, -1 for none above.
    ridge : (float, array or None)
        How strongly the weights are pulled, and towards which ones (None: 0).
    """
    from scipy.optimize import minimize

    mean, std = forms.mean(axis=0), forms.std(axis=0) + 1e-3
    scaled = (forms - mean) / std
    sign = np.where(right, 1.0, -1.0)
    pull, towards = ridge
    aim = np.zeros(len(signs)) if towards is None else towards * std

    def loss(values: Array) -> tuple[float, Array]:
        margin = sign * (scaled @ values[:-1] + values[-1])
        slope = -weight * sign / (1.0 + np.exp(np.clip(margin, -_MOST_LOGIT, _MOST_LOGIT)))
        off = values[:-1] - aim
        gradient = np.append(scaled.T @ slope + pull * off, slope.sum())
        return float(weight @ np.logaddexp(0.0, -margin) + 0.5 * pull * (off**2).sum()), gradient

    bounds = [(0.0, None) if s > 0 else (None, 0.0) for s in signs] + [(None, None)]
    best = minimize(loss, np.append(aim, 0.0), jac=True, bounds=bounds, method="L-BFGS-B").x
    found = best[:-1] / std
    return Logistic(found, float(best[-1] - found @ mean))


def fit_quantile(forms: Array, log_error: Array, weight: Array, level: float) -> Logistic:
    """Weights, none below 0, and intercept of a linear quantile (Koenker and Bassett 1978)."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, hstack

    count, terms = forms.shape
    weight = weight / weight.mean()
    cost = np.concatenate(
        [np.full(terms, 1e-3 * count), [0.0], level * weight, (1 - level) * weight]
    )
    one = eye_array(count, format="csr")
    system = hstack([np.hstack([forms, np.ones((count, 1))]), one, -one], format="csr")
    bounds = [(0, None)] * terms + [(None, None)] + [(0, None)] * (2 * count)
    solution = linprog(cost, A_eq=system, b_eq=log_error, bounds=bounds, method="highs").x
    return Logistic(solution[:terms], float(solution[terms]))
