"""Recall at 1 at other gallery sizes: exact for smaller ones, modelled for larger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crosslook.types import Array, Indices

SMALLER = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
LARGER = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class BetaBinomial:
    """How likely a random impostor beats a query's partner: Beta(a, b) over queries."""

    a: float
    b: float

    def survival(self, seen: int, more: int) -> float:
        """P(none of ``more`` impostors beats a partner that none of ``seen`` did)."""
        from scipy.special import betaln

        after = betaln(self.a, self.b + seen + more)
        return float(np.exp(after - betaln(self.a, self.b + seen)))


def gallery_curve(
    ranks: Indices, n_gallery: int, smaller: Sequence[int] = SMALLER, larger: Sequence[int] = LARGER
) -> Iterator[tuple[str, int, Array]]:
    """Probability that each query's partner is first, by the size of the gallery.

    Up to ``n_gallery`` items, ``recall@1/gallery`` is the expectation over all
    sub-galleries that hold the partner, hypergeometric and so exact. Beyond,
    ``recall@1/gallery-extrapolated`` continues it by a model: further items
    are impostors like those seen, and beat a partner with a chance that
    follows a beta distribution over the queries (beta-binomial, fitted to
    how many impostors beat each partner). Scenes of another kind are not
    covered by it.

    Parameters
    ----------
    ranks : int64 array, shape (Nq,)
        Rank of the partner among ``n_gallery``, 1 the best.
    n_gallery : int
    smaller, larger : sequence of int
        Sizes; those on the wrong side of ``n_gallery`` are left out.

    Yields
    ------
    tuple of str, int and float64 array (Nq,)
        Metric, size, and a probability for each query.
    """
    if n_gallery < 2:
        return
    beaten = np.asarray(ranks, np.int64) - 1
    for size in [*(size for size in smaller if 1 < size < n_gallery), n_gallery]:
        yield "recall@1/gallery", size, subsampled(beaten, n_gallery, size)
    model = fit_beta_binomial(beaten, n_gallery - 1)
    for size in (size for size in larger if size > n_gallery):
        stays = model.survival(n_gallery - 1, size - n_gallery)
        yield "recall@1/gallery-extrapolated", size, (beaten == 0) * stays


def subsampled(beaten: Indices, n_gallery: int, size: int) -> Array:
    """Probability that the partner is first among ``size`` items, per query.

    ``C(N - 1 - b, G - 1) / C(N - 1, G - 1)`` where ``b`` of the ``N - 1``
    impostors beat the partner.
    """
    from scipy.special import gammaln

    def log_choose(n: Array, k: int) -> Array:
        return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), np.float64)

    left = (n_gallery - 1 - beaten).astype(np.float64)
    possible = left >= size - 1
    filled = np.where(possible, left, float(size - 1))
    all_of = log_choose(np.array(n_gallery - 1.0), size - 1)
    return np.where(possible, np.exp(log_choose(filled, size - 1) - all_of), 0.0)


def fit_beta_binomial(beaten: Indices, impostors: int) -> BetaBinomial:
    """Fit by maximum likelihood (Skellam, J. R. Stat. Soc. B 10, 1948)."""
    from scipy.optimize import minimize
    from scipy.special import betaln

    counts, weights = np.unique(beaten, return_counts=True)

    def loss(logs: Array) -> float:
        a, b = np.exp(logs)
        terms = betaln(counts + a, impostors - counts + b) - betaln(a, b)
        return -float((weights * terms).sum())

    fraction = float(np.clip(beaten.mean() / impostors, 1e-6, 1 - 1e-6))
    start = np.log([0.3, 0.3 * (1 - fraction) / fraction])
    # Without a single beaten partner the likelihood has no maximum: bounds.
    bounds = [(np.log(1e-3), np.log(1e3)), (np.log(1e-3), np.log(1e9))]
    optimum = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    a, b = np.exp(optimum.x)
    return BetaBinomial(float(a), float(b))
