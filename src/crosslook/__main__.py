"""``python -m crosslook`` is the command line, and so is ``crosslook``."""

from __future__ import annotations

from typing import Any, NoReturn

from crosslook.console import run


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    run(_app)


def _app() -> Any:
    from crosslook.cli import app

    return app


if __name__ == "__main__":
    main()
