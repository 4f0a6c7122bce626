"""What a server is told when it starts."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cnnkit.errors import UsageError
from cnnkit.options import (
    DEFAULT_CAPTIONER,
    DEFAULT_CLASSIFIER,
    DEFAULT_DETECTOR,
    DEFAULT_SEGMENTER,
)

# The detector keeps objects from this score on; requests ask for higher ones.
LEAST_CONFIDENCE = 0.05
# Letters of a token: a short one could be guessed.
_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class ServerSettings:
    """What a server is told when it starts.

    Attributes:
        host: address that it listens on; others than this machine's own need a token.
        port: of it.
        token: that requests must carry; None for none.
        gallery: file of the people whose faces are recognised; None recognises nobody.
        queue: requests that may wait for a network.
        paintings: pictures that may wait for the optimizer.
        max_megabytes: of a request's body.
        max_megapixels: of a picture.
        upload_seconds: in which a request's body must have come.
        detector: as `cnnkit detect --model`.
        segmenter: as `cnnkit segment --model`.
        classifier: as `cnnkit classify --model`.
        captioner: as `cnnkit caption --model`.

    Raises:
        UsageError: another address than this machine's own without a token, or numbers that make
            no sense.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    gallery: Path | None = None
    queue: int = 32
    paintings: int = 8
    max_megabytes: float = 50.0
    max_megapixels: float = 50.0
    upload_seconds: float = 60.0
    detector: str = DEFAULT_DETECTOR
    segmenter: str = DEFAULT_SEGMENTER
    classifier: str = DEFAULT_CLASSIFIER
    captioner: str = DEFAULT_CAPTIONER

    def __post_init__(self) -> None:
        for name in ("queue", "paintings", "max_megabytes", "max_megapixels", "upload_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be more than 0, not {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port must be from 0 to 65535, not {self.port}")
        if self.token is not None and len(self.token) < _SHORTEST_TOKEN:
            raise UsageError(f"a token has {_SHORTEST_TOKEN} letters at least")
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached by other machines: give --token, which they must send"
            )


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, which no other machine reaches.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
