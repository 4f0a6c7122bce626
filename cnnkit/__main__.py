"""``python -m cnnkit`` and the ``cnnkit`` command."""

import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    from cnnkit.cli.app import run

    sys.exit(run())


if __name__ == "__main__":
    main()
