"""The slot for matchers: from a pair and a start to tie points.

Ours is ``template``. Other packages add theirs by an entry point
``name = "package.module:Class"`` in the group ``crosslook.matchers``; then
``register(..., matcher="name")`` and ``--matcher name`` take it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from importlib.metadata import entry_points
from typing import ClassVar

import numpy as np

from crosslook.errors import MatchError, SettingError, did_you_mean
from crosslook.match.pair import ImagePair
from crosslook.match.settings import DEFAULT_MATCHER, RegisterSettings
from crosslook.match.starts import Start
from crosslook.match.tie_points import TiePoints
from crosslook.progress import stage, timer

PLUGINS = "crosslook.matchers"
"""Entry point group by which other packages add matchers."""

ROWS = {DEFAULT_MATCHER: "crosslook.match.matchers.template:TemplateMatcher"}
"""Our matchers: name, and where the class lies."""


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
        Of the call: model, seed, device.

    Attributes
    ----------
    IS_FITTED : bool
        Whether the verdict was fitted on its evidence (``verdict.json``).
    """

    IS_FITTED: ClassVar[bool] = False

    def __init__(self, settings: RegisterSettings) -> None:
        self.settings = settings

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


def open_matcher(settings: RegisterSettings) -> Matcher:
    """Open the matcher that the settings name.

    Raises
    ------
    SettingError
        If there is none of this name, or its package cannot serve.
    """
    name = settings.matcher
    places = ROWS if name in ROWS else matcher_places()  # packages are looked through in vain
    if name not in places:
        raise SettingError(
            f"unknown matcher '{name}'; known are: {', '.join(places)}."
            + did_you_mean(name, list(places))
        )
    module, _, attribute = places[name].partition(":")
    try:
        cls = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingError(
            f"the matcher '{name}' ({places[name]}) cannot be loaded: {error}. "
            "Repair or remove the package that adds it."
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Matcher)):
        raise SettingError(f"'{places[name]}' is no subclass of crosslook.match.matchers.Matcher.")
    return cls(settings)


def matcher_places() -> dict[str, str]:
    """Names of our matchers and of those of installed packages, and where the class of each lies.

    Raises
    ------
    SettingError
        If a package takes a name that is taken.
    """
    places = dict(ROWS)
    for point in entry_points(group=PLUGINS):
        if point.name in places:
            raise SettingError(
                f"'{point.value}' is a matcher called '{point.name}', a name that is taken; "
                "rename its entry point, or remove the package."
            )
        places[point.name] = point.value
    return places
