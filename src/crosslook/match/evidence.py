"""What a match is judged by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """Plain numbers about a match; every one is finite.

    Attributes
    ----------
    inliers : float
        Number of tie points that the robust fit kept.
    inlier_share : float
        Of the tie points tried, 0..1.
    spread : float
        Area of the hull of the inliers over the area of the image, 0..1.
    score : float
        Median normalised correlation of the inliers, -1..1.
    peak_ratio : float
        Median of peak over second peak of all tie points, >= 1.
    residual : float
        Root mean square distance of the inliers from the fit, optical pixels.
    agreement : float
        Mean distance between the estimate from gradients and the one from
        mutual information, optical pixels; capped at 50.
    information : float
        Mutual information at the match in units of its deviation over wrong
        positions nearby, above their mean (a z-score).
    relief : float
        Pixels of the grid matched on by which tie points spread along one
        line, as relief makes them do, at most about 20; 0 where they show none,
        or too few of them tell (:mod:`crosslook.match.relief`).
    search_score : float
        Sum of the scores of the search over an atlas and of its verification;
        0 where nothing was searched.
    search_margin : float
        That sum over the second-best place's, less one; 0 where nothing was searched.
    """

    inliers: float
    inlier_share: float
    spread: float
    score: float
    peak_ratio: float
    residual: float
    agreement: float
    information: float
    relief: float = 0.0
    search_score: float = 0.0
    search_margin: float = 0.0
