"""The slot for matchers: from a pair and a start to tie points.

Ours are rows of a table (:mod:`crosslook.match.matchers.rows`). ``template``
correlates the features of any extractor, and the name of an extractor is short
for it. ``hub:NAME`` reads a matcher of another package from local weights.
Other packages add theirs by an entry point ``name = "package.module:Class"`` in
the group ``crosslook.matchers``; then ``register(..., matcher="name")`` and
``--matcher name`` take it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from crosslook._version import __version__
from crosslook.errors import MissingExtraError, SettingError, SpecError, did_you_mean
from crosslook.extract.base import Extractor
from crosslook.extract.joined import JoinedFeatures
from crosslook.extract.registry import open_model
from crosslook.extract.rows import all_rows as all_extractors
from crosslook.extract.spec import parse_spec
from crosslook.match.matchers.base import Matcher
from crosslook.match.matchers.rows import ROWS, MatcherRow, all_rows
from crosslook.match.settings import DEFAULT_MATCHER, RegisterSettings
from crosslook.options import ModelOptions
from crosslook.spec import split_terms

__all__ = ["Matcher", "Tools", "features_of", "open_matcher", "open_tools", "revision_of"]


HUB = "hub:"
"""Begins the names of matchers that other packages bring: :mod:`crosslook.match.matchers.hub`."""


def open_tools(settings: RegisterSettings) -> tuple[Extractor, Matcher]:
    """Open the extractor and the matcher that the settings name.

    Raises
    ------
    SettingError
        As :func:`open_matcher`.
    """
    matcher = open_matcher(settings)
    return open_features(features_of(settings.matcher) or settings.extractor, settings), matcher


class Tools:
    """Extractor and matcher of many images, opened once, when they are first needed.

    Parameters
    ----------
    settings : RegisterSettings
    """

    def __init__(self, settings: RegisterSettings) -> None:
        self.settings = settings
        self._opened: tuple[Extractor, Matcher] | None = None

    @property
    def opened(self) -> tuple[Extractor, Matcher]:
        """As :func:`open_tools` gives them."""
        if self._opened is None:
            self._opened = open_tools(self.settings)
        return self._opened

    @property
    def key(self) -> list[str]:
        """What tells their weights and options from others'."""
        extractor, matcher = self.opened
        revision = revision_of(self.settings.matcher, matcher, extractor.revision)
        return [revision, str(extractor.key)]

    def close(self) -> None:
        """Give back their memory: others do the work."""
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None


def open_features(spec: str, options: ModelOptions) -> Extractor:
    """Open the extractor that a spec names, or several at once: ``A+B``.

    Raises
    ------
    SpecError
        If one is unknown or malformed.
    """
    members = [open_model(one, options) for one in split_terms(spec)]
    return members[0] if len(members) == 1 else JoinedFeatures(members)


def open_matcher(settings: RegisterSettings) -> Matcher:
    """Open the matcher that the settings name.

    Raises
    ------
    SettingError
        If there is none of this name, or its package cannot serve; or if tiles are requested that
        nothing is going to match.
    MissingExtraError
        If the extra that it needs is not installed.
    """
    matcher = _opened(settings)
    if settings.spacing is not None and not matcher.is_refined:
        raise SettingError(
            f"--spacing follows the fit of '{settings.matcher}' in tiles; give --refine."
        )
    return matcher


def _opened(settings: RegisterSettings) -> Matcher:
    if settings.matcher.startswith(HUB):
        from crosslook.match.matchers.hub import open_hub_matcher

        return open_hub_matcher(settings)
    row = find_matcher(settings.matcher)
    absent = [name for name in row.needs if find_spec(name) is None]
    if absent:
        raise MissingExtraError(
            f"the matcher '{row.name}' needs {', '.join(absent)}, which is not installed: "
            f"pip install 'crosslook[{row.extra}]'."
        )
    module, _, attribute = row.path.partition(":")
    try:
        cls = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingError(
            f"the matcher '{row.name}' ({row.path}) cannot be loaded: {error}. "
            "Repair or remove the package that adds it."
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Matcher)):
        raise SettingError(f"'{row.path}' is no subclass of crosslook.match.matchers.Matcher.")
    return cls(settings)


def find_matcher(name: str) -> MatcherRow:
    """The row of a matcher: of our table, of a package, or ``template`` for an extractor.

    Raises
    ------
    SettingError
        If there is none of this name.
    """
    if name in ROWS:  # packages are looked through in vain
        return ROWS[name]
    rows = all_rows()
    if name in rows:
        return rows[name]
    if features_of(name):
        return ROWS[DEFAULT_MATCHER]
    extractors = [row.name for row in all_extractors()]
    raise SettingError(
        f"unknown matcher '{name}'; known are: {', '.join(rows)}, and the extractors "
        f"({', '.join(extractors)}), whose features template then correlates."
        + did_you_mean(name, [*rows, *extractors])
    )


def features_of(matcher: str) -> str:
    """The extractors whose names stand for ``template`` over them; empty for any other matcher."""
    name = matcher.removeprefix(f"{DEFAULT_MATCHER}:")
    try:
        named = {parse_spec(one).name for one in split_terms(name)}
    except SpecError:
        return ""
    return name if named <= {row.name for row in all_extractors()} else ""


def revision_of(name: str, matcher: Matcher | None = None, features: str = "") -> str:
    """What tells one version of a matcher from another: of its weights, or of the code.

    Parameters
    ----------
    name : str
        As the settings name it.
    matcher : Matcher, optional
        Opened, for those that know the revision of their weights themselves.
    features : str
        Revision of the features that ``template`` correlates; empty for others.
    """
    if known := getattr(matcher, "revision", ""):
        return str(known)
    row = find_matcher(name)
    if row.plugin:
        return row.plugin
    if row.package:
        try:
            return f"{row.package} {version(row.package)}"
        except PackageNotFoundError:
            return row.package
    learned = features not in ("", "builtin") and row.name == DEFAULT_MATCHER
    return features if learned else f"crosslook {__version__}"
