"""The one table of weights: which there are, where they come from, how to know them."""

import difflib
from dataclasses import dataclass
from typing import Literal

from cnnkit.errors import UsageError


@dataclass(frozen=True)
class Entry:
    """One file of weights.

    Attributes:
        name: what the user types.
        file_name: name of the file, in the cache and in the package.
        kind: "embedded" comes with cnnkit, "fetchable" is downloaded when the user asks.
        size: in bytes; 0 while an embedded file is not pinned yet.
        algorithm: "sha256", or "md5" where the publisher gives nothing better.
        digest: hexadecimal; empty while an embedded file is not pinned yet.
        architecture: what the weights are for, in a few words.
        licence: of the weights.
        source: who made them, from what.
        card: Markdown file below `cnnkit/weights/` that tells the rest.
        url: where a fetchable file is downloaded from.
    """

    name: str
    file_name: str
    kind: Literal["embedded", "fetchable"]
    size: int
    algorithm: Literal["sha256", "md5"]
    digest: str
    architecture: str
    licence: str
    source: str
    card: str
    url: str = ""


# Names, addresses and MD5 hashes of Keras' files are those of keras.applications.vgg16 and .vgg19
# (WEIGHTS_PATH_NO_TOP, file_hash); Keras publishes no SHA-256 of them.
_KERAS_APPLICATIONS = "https://storage.googleapis.com/tensorflow/keras-applications"

ENTRIES = (
    Entry(
        name="compact",
        file_name="compact.npz",
        kind="embedded",
        # Pin both from `sha256sum` and `wc -c` whenever embedded/compact.npz changes.
        size=1_575_689,
        algorithm="sha256",
        digest="32edb35795513b80439bd82ec9bf811c1fc5fc187157eaea67d858dd171701ff",
        architecture="VGG-19 at a quarter of its width, to block5_conv1",
        licence="MIT",
        source="distilled with `cnnkit train backbone`",
        card="embedded/compact.md",
    ),
    Entry(
        name="vgg16",
        file_name="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        kind="fetchable",
        size=58_889_256,
        algorithm="md5",
        digest="6d6bbae143d832006294945121d1f1fc",
        architecture="VGG-16 without its classifier",
        licence="CC BY 4.0",
        source="Keras Applications, ported from the Visual Geometry Group, Oxford",
        card="cards/vgg16.md",
        url=f"{_KERAS_APPLICATIONS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    Entry(
        name="vgg19",
        file_name="vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        kind="fetchable",
        size=80_134_624,
        algorithm="md5",
        digest="253f8cb515780f3b799900260a226db6",
        architecture="VGG-19 without its classifier",
        licence="CC BY 4.0",
        source="Keras Applications, ported from the Visual Geometry Group, Oxford",
        card="cards/vgg19.md",
        url=f"{_KERAS_APPLICATIONS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
)


def entries() -> tuple[Entry, ...]:
    """All weights that cnnkit knows.

    >>> [entry.name for entry in entries()]
    ['compact', 'vgg16', 'vgg19']
    """
    return ENTRIES


def entry(name: str) -> Entry:
    """The weights of that name.

    Raises:
        UsageError: there are none; the message suggests the nearest name.

    >>> entry("vgg19").size
    80134624
    """
    names = [entry.name for entry in entries()]
    if name in names:
        return entries()[names.index(name)]
    nearest = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"use one of: {', '.join(names)}"
    raise UsageError(f"there are no weights named '{name}'; {hint}")
