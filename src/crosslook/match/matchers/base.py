"""What every matcher is: one class with one method, from a pair and a start to tie points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from crosslook.errors import MatchError
from crosslook.match.pair import ImagePair
from crosslook.match.settings import RegisterSettings
from crosslook.match.starts import Start
from crosslook.match.tie_points import TiePoints
from crosslook.progress import stage, timer


class Matcher(ABC):
    """Finds tie points between the two images of a pair.

    A subclass writes :meth:`_tie_points`. What follows is the same for all:
    robust fit, refinement by mutual information, evidence, choice of the model.

    A confidence is fitted to the evidence of one matcher and holds for no
    other. A matcher without such a fit reports its evidence; its verdict is
    ``uncertain`` wherever tie points agree on a place, its confidence NaN
    (``null`` in ``match.json``), and no error is expected of it. So it is tried
    from every start, and the place that the tie points agree on most surely
    against chance is taken.

    Parameters
    ----------
    settings : RegisterSettings
        Of the call: model, seed, device, tiling, weights.

    Attributes
    ----------
    IS_FITTED : bool
        Whether the verdict was fitted on its evidence (``verdict.json``).
    IS_REFINED : bool
        Whether its fit is refined by mutual information, and shear, perspective and
        hills followed by templates, unless ``--refine`` or ``--no-refine`` says otherwise.
    """

    IS_FITTED: ClassVar[bool] = False
    IS_REFINED: ClassVar[bool] = True

    def __init__(self, settings: RegisterSettings) -> None:
        self.settings = settings

    @property
    def is_fitted(self) -> bool:
        """Whether the verdict holds for what it finds with these settings."""
        return self.IS_FITTED

    @property
    def is_refined(self) -> bool:
        """Whether what it finds is refined, with these settings."""
        return self.IS_REFINED if self.settings.refine is None else self.settings.refine

    def tie_points(self, pair: ImagePair, start: Start) -> TiePoints:
        """Find tie points between the two images of a pair.

        Parameters
        ----------
        pair : ImagePair
            ``pair.sar.values`` and ``pair.optical.values`` are float32 images of
            values 0..1, each of its own shape (H, W), ``.valid`` says which pixels count.
        start : Start
            ``start.transform`` maps SAR to optical pixels, good to 60 pixels, or to
            20 where ``start.is_posed``. A matcher that needs no start may ignore it.

        Returns
        -------
        TiePoints
            In pixels of the two images, (row, column), centres at +0.5. Those that
            are not marked as inliers are reported and not fitted.

        Raises
        ------
        MatchError
            If the matcher gives what are no tie points.
        """
        stage("tie points")
        with timer("tie points"):
            points = self._tie_points(pair, start)
        fields = (points.sar, points.optical, points.score, points.ratio, points.inlier)
        shapes = [np.shape(one) for one in fields]
        count = len(points.sar)
        finite = all(np.isfinite(one).all() for one in fields)
        if shapes != [(count, 2), (count, 2), (count,), (count,), (count,)] or not finite:
            raise MatchError(
                f"the matcher {type(self).__name__} gave tie points of shapes {shapes}; finite "
                "arrays of (n, 2) for both positions and (n,) for the others are needed."
            )
        return points

    @abstractmethod
    def _tie_points(self, pair: ImagePair, start: Start) -> TiePoints:
        """See :meth:`tie_points`."""
