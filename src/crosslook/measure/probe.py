"""A linear probe that guesses the sensor from a descriptor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crosslook.measure.bootstrap import bootstrap_mean
from crosslook.types import Estimate, FloatArray

_FOLDS = 5
_RIDGE = 1e-2


def probe_accuracy(
    sar: FloatArray, optical: FloatArray, scenes: NDArray[np.int64], seed: int
) -> Estimate:
    """Cross-validate a ridge classifier of the modality, by scene.

    All patches of a scene, of both sensors, are in the same fold, so the probe
    cannot know a place. 0.5: the sensors cannot be told apart linearly; 1.0:
    they always can (Alain and Bengio, ICLR workshop 2017). The ridge solution
    is computed from the Gram matrix, so the length of a descriptor hardly
    matters.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
    scenes : int64 array, shape (N,)
    seed : int
        Deals scenes to folds and draws the interval.
    """
    names, which = np.unique(scenes, return_inverse=True)
    if len(names) < 2:
        return Estimate(float("nan"), float("nan"), float("nan"))
    folds = np.random.default_rng(seed).permutation(len(names)) % min(_FOLDS, len(names))
    fold = np.tile(folds[which], 2)
    both = np.concatenate([sar, optical])
    label = np.repeat([1.0, -1.0], len(sar))
    gram = (both @ both.T).astype(np.float64) + 1.0  # the 1 is the intercept
    ridge = _RIDGE * float(np.mean(np.diagonal(gram)))
    right = np.empty(len(both))
    for number in range(int(folds.max()) + 1):
        test = fold == number
        train = ~test
        inner = gram[np.ix_(train, train)]
        inner[np.diag_indices_from(inner)] += ridge
        weights = np.linalg.solve(inner, label[train])
        right[test] = (gram[np.ix_(test, train)] @ weights > 0) == (label[test] > 0)
    return bootstrap_mean(right, np.tile(which, 2), seed)
