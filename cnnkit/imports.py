"""Imports without what the packages that are imported would bring along."""

import functools
import importlib
import importlib.abc
import sys
from collections.abc import Callable, Collection
from typing import Any


class _Absent(importlib.abc.MetaPathFinder):
    """Has packages be absent, whether they are there or not."""

    def __init__(self, names: Collection[str]):
        self._names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name in self._names:
            raise ModuleNotFoundError(f"{name} is left out here", name=name)


def leave_out(*names: str) -> Callable[[], None]:
    """Has packages be absent for those who import them where they are there.

    Args:
        names: of the packages.

    Returns:
        What lets them be imported again.
    """
    absent = _Absent(names)
    sys.meta_path.insert(0, absent)
    return functools.partial(sys.meta_path.remove, absent)


def import_openvino() -> None:
    """Imports OpenVINO without its converter of models.

    The converter takes a third of the time, is not needed, and reports each of its imports to its
    maker over the network. Call it before anything else imports OpenVINO.

    Raises:
        ImportError: it is not installed.
    """
    # None where somebody said that it cannot be imported.
    if sys.modules.get("openvino") is None:
        let_in = leave_out("openvino.tools.ovc", "openvino_telemetry")
        try:
            importlib.import_module("openvino")
        finally:
            let_in()
