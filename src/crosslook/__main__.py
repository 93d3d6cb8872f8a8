"""``python -m crosslook`` is the command line, and so is ``crosslook``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from crosslook.console import run

if TYPE_CHECKING:
    from crosslook.cli.command import Commands


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    run(_app)


def _app() -> Commands:
    from crosslook.cli import app

    return app


if __name__ == "__main__":
    main()
