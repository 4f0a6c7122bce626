"""Weights of networks: one table, where the files lie, and how they get there verified."""

from cnnkit.weights._cache import (
    Status,
    cache_dir,
    embedded_dir,
    fingerprint,
    is_available,
    keras_cache_dir,
    locate,
    read_card,
    remedy,
    status,
)
from cnnkit.weights._registry import Entry, entries, entry

__all__ = [
    "Entry",
    "Status",
    "cache_dir",
    "embedded_dir",
    "entries",
    "entry",
    "fingerprint",
    "is_available",
    "keras_cache_dir",
    "locate",
    "read_card",
    "remedy",
    "status",
]
