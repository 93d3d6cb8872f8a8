"""Every error that crosslook raises on purpose.

One family: each message says what was seen, what is allowed and the next
step, so that the command line can print it alone and exit non-zero.
"""

from __future__ import annotations


class CrosslookError(Exception):
    """Base of the family; ``exit_code`` is what the command line returns."""

    exit_code = 1


class InputError(CrosslookError):
    """Data from outside is missing, damaged or not what it should be."""


class LayoutError(InputError):
    """The files do not form a known layout of pairs."""


class RasterError(InputError):
    """A raster cannot be opened or read, or holds no usable pixel."""


class GridError(InputError):
    """The grids of two rasters cannot be brought together."""


class NotFoundError(InputError):
    """Something was requested by a name that nothing has."""


class TooLargeError(InputError):
    """Data from outside is larger than the limit that was set."""


class SettingError(CrosslookError):
    """An option, key or name is not one of the allowed ones."""

    exit_code = 2


class SpecError(SettingError):
    """An extractor spec cannot be parsed or names something unknown."""


class CalibrationError(CrosslookError):
    """Too few scenes, or features of no use, to fit a calibration."""


class WeightsError(CrosslookError):
    """Model weights are missing, damaged or not allowed."""


class MissingExtraError(CrosslookError):
    """An optional dependency is not installed."""


class OutputError(CrosslookError):
    """An output folder cannot be written or already holds something else."""


class FeatureError(CrosslookError):
    """An extractor gave NaN or infinite features.

    ``index`` is the first image of the stack that has them.
    """

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index

    def __reduce__(self) -> tuple[type[FeatureError], tuple[str, int]]:
        """Travel between processes with both values."""
        return type(self), (str(self), self.index)


class StoreError(CrosslookError):
    """A feature store or atlas on disk is damaged or of another version."""


class MatchError(CrosslookError):
    """A location or registration cannot even be attempted."""


class TooSmallError(InputError, MatchError):
    """An image is smaller than what is asked of it."""


def did_you_mean(word: str, allowed: list[str] | tuple[str, ...]) -> str:
    """Return ``" Did you mean 'x'?"`` for a near miss, else an empty string."""
    import difflib

    near = difflib.get_close_matches(word, list(allowed), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
