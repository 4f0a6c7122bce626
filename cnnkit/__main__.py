"""``python -m cnnkit`` and the ``cnnkit`` command."""

import contextlib
import sys
import traceback

from cnnkit.errors import ExitCode


def main() -> None:
    """Runs the command line and exits with its code."""
    from cnnkit.cli.app import run

    try:
        code = run()
    except Exception:
        # Python's own code for a traceback is 1, which here is an answer: `verify` says no with it.
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
        code = ExitCode.BUG
    sys.exit(int(code))


if __name__ == "__main__":
    main()
