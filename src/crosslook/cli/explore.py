"""``crosslook explore``."""

from __future__ import annotations

from crosslook.errors import MissingExtraError
from crosslook.explore.settings import ExploreSettings


def explore(settings: ExploreSettings) -> None:
    """A local web page: atlas maps, dropped images located, runs and audits to click through.

    Nothing leaves this machine. Give what atlas build, study, locate, register
    or audit wrote, or sets of pairs; or --demo for a simulated place to try.
    """
    try:
        from crosslook.explore.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn", "starlette"):
            raise
        raise MissingExtraError(
            f"{error.name} is not installed; install the explorer's extra: "
            "pip install 'crosslook[web]'."
        ) from error
    serve(settings)
