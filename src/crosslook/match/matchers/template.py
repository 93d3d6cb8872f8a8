"""Our matcher: templates of dense features, correlated coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from crosslook.match.matchers.base import Matcher
from crosslook.match.pair import ImagePair
from crosslook.match.robust_fit import Fit, fit_tie_points
from crosslook.match.settings import (
    DEFAULT_EXTRACTOR,
    DEFAULT_MATCHER,
    Model,
    RegisterSettings,
)
from crosslook.match.starts import Start
from crosslook.match.tie_points import Stage, TiePoints, find_tie_points, hough_vote, score_maps
from crosslook.match.transform import Transform, grid_points, mean_distance

_ALONG = 22.0
"""Templates along a side that are enough for the stages before the last."""

_SAME_CELLS = 0.75
"""Two places as near as this, in cells, are one: a vote is good to a cell."""


@dataclass(frozen=True)
class Stages:
    """The rounds of a search by templates.

    Attributes
    ----------
    wide : Stage
        Reaches as far as a start may be off; left out where the pose is known.
    second, last : Stage
    """

    wide: Stage
    second: Stage
    last: Stage


USUAL = Stages(
    wide=Stage(template=128.0, radius=60.0, step=48.0, threshold=10.0),
    second=Stage(template=112.0, radius=20.0, step=48.0, threshold=8.0),
    last=Stage(template=128.0, radius=12.0, step=32.0, threshold=3.5),
)


def stages_of(side: float) -> Stages:
    """:data:`USUAL` stages for an image of so many pixels along its shorter side.

    A small image needs smaller templates, so that several of them lie side by
    side and can contradict each other; of a large one a few hundred of them find
    the way, and only the last stage takes all.
    """
    apart = side / _ALONG
    second, last = (
        max(64.0, min(most, fraction * side)) for most, fraction in ((112.0, 0.45), (128.0, 0.4))
    )
    return Stages(
        replace(USUAL.wide, step=max(USUAL.wide.step, apart)),
        replace(USUAL.second, template=second, step=max(min(48.0, second / 2), apart)),
        replace(USUAL.last, template=last, step=last / 4),
    )


class TemplateMatcher(Matcher):
    """Templates over the features of any extractor; their peaks are the tie points.

    The first stage looks 60 pixels far and is read in two ways: by a Hough
    vote over all score maps, and by a robust fit to the best peaks. The second
    stage starts from both and decides between them. The third one gives the
    tie points.

    Parameters
    ----------
    settings : RegisterSettings, optional
    stages : Stages, optional
        By default :func:`stages_of` the smaller image.
    """

    IS_FITTED: ClassVar[bool] = True

    def __init__(
        self, settings: RegisterSettings | None = None, stages: Stages | None = None
    ) -> None:
        super().__init__(settings or RegisterSettings())
        self.stages = stages

    @property
    def is_fitted(self) -> bool:
        """The verdict was fitted on the evidence of one kind of features, unrestricted."""
        given = self.settings
        usual = given.extractor == DEFAULT_EXTRACTOR and given.matcher == DEFAULT_MATCHER
        return self.IS_FITTED and usual and given.gate is None and given.refine is not False

    def _tie_points(self, pair: ImagePair, start: Start) -> TiePoints:
        stages = self.stages or _fitting(pair, start.transform)
        placed = [start.transform]
        if not start.is_posed:
            placed = self._placed_by(pair, start.transform, stages.wide)
        points = [points_at(pair, one, stages.second) for one in placed]
        fits = [self._fit(one, start.transform, stages.second) for one in points]
        best, fit = max(enumerate(fits), key=lambda one: one[1].consensus if one[1] else 0.0)
        if fit is None:
            return points[best].marked(np.zeros(len(points[best]), np.bool_))
        return points_at(pair, fit.transform, stages.last)

    def _placed_by(self, pair: ImagePair, start: Transform, stage: Stage) -> list[Transform]:
        """Where the first stage puts the image: by vote, and by the best peaks.

        Where both say the same, by the peaks alone.
        """
        maps = score_maps(*pair.channels(start), stage, pair.device)
        fit = self._fit(find_tie_points(maps, start), start, stage)
        voted = hough_vote(maps, pair.optical.shape, shift_only=self._model == "shift") @ start
        if fit is None:
            return [voted]
        apart = mean_distance(voted, fit.transform, grid_points(*pair.sar.shape))
        return [fit.transform] if apart < _SAME_CELLS * maps.stride else [voted, fit.transform]

    def _fit(self, points: TiePoints, start: Transform, stage: Stage) -> Fit | None:
        return fit_tie_points(points, start, self._model, stage.threshold, self.settings.seed)

    @property
    def _model(self) -> Model:
        """What the stages before the last fit."""
        return "shift" if self.settings.model == "shift" else "similarity"


def points_at(pair: ImagePair, current: Transform, stage: Stage) -> TiePoints:
    """Tie points around where a transform puts the SAR image."""
    points = find_tie_points(score_maps(*pair.channels(current), stage, pair.device), current)
    return replace(points, stage=stage)


def _fitting(pair: ImagePair, start: Transform) -> Stages:
    """The stages for the smaller image."""
    extent = np.ptp(start(grid_points(*pair.sar.shape)), axis=0) * 9 / 8
    return stages_of(float(min(*extent, *pair.optical.shape)))
