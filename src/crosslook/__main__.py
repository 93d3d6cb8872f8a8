"""``python -m crosslook`` is the command line."""

from crosslook.cli import main

main()
