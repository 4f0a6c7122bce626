"""Weights of networks: one table, where the files lie, and how they get there verified."""

from cnnkit.weights._cache import (
    Status,
    cache_dir,
    embedded_dir,
    fingerprint,
    is_available,
    keras_cache_dir,
    locate,
    package_dir,
    read_card,
    remedy,
    status,
)
from cnnkit.weights._registry import Entry, entries, entry
from cnnkit.weights._transfer import fetch, import_file

__all__ = [
    "Entry",
    "Status",
    "cache_dir",
    "embedded_dir",
    "entries",
    "entry",
    "fetch",
    "fingerprint",
    "import_file",
    "is_available",
    "keras_cache_dir",
    "locate",
    "package_dir",
    "read_card",
    "remedy",
    "status",
]
