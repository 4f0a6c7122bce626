"""Settings of the process that must stand before Keras is imported."""

import logging
import os
import sys
import warnings

from cnnkit.errors import UsageError


def configure(threads: int | None = None, verbose: bool = False) -> None:
    """Quiets the backend's chatter and bounds its threads; call before Keras is imported.

    Args:
        threads: compute threads; all cores by default.
        verbose: let the backend's own messages through.

    Raises:
        UsageError: fewer than one thread.
    """
    if threads is not None:
        if threads < 1:
            raise UsageError(f"--threads must be at least 1, not {threads}")
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ[name] = str(threads)
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        logging.getLogger("absl").setLevel(logging.ERROR)
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
