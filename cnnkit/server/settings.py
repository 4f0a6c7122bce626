"""What a server is told when it starts."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cnnkit.engine.settings import Option, Settings
from cnnkit.errors import UsageError
from cnnkit.options import DEFAULT_CLASSIFIER
from cnnkit.tasks.caption.settings import DEFAULT_CAPTIONER
from cnnkit.tasks.detect.settings import DEFAULT_DETECTOR
from cnnkit.tasks.segment.settings import DEFAULT_SEGMENTER

# The detector keeps objects from this score on; requests ask for higher ones.
LEAST_CONFIDENCE = 0.05
TOKEN_VARIABLE = "CNNKIT_TOKEN"
# Letters of a token: a short one could be guessed.
_SHORTEST_TOKEN = 16
_LIMIT_PANEL, _MODEL_PANEL = "Limits", "Models"


@dataclass(frozen=True)
class ListenSettings(Settings):
    """Where a server listens, and to whom."""

    host: Annotated[
        str, Option("Address to listen on; others than this machine's own need --token.")
    ] = "127.0.0.1"
    port: Annotated[int, Option("Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8765
    token: Annotated[
        str | None,
        Option(
            "What requests must carry as 'Authorization: Bearer ...', or '?token=...'.",
            show_default=f"{TOKEN_VARIABLE}, else none",
        ),
    ] = None
    gallery: Annotated[
        Path | None,
        Option(
            "Recognise the people of this gallery, and let requests change it.",
            metavar="FILE",
            show_default="none",
        ),
    ] = None

    def check(self) -> None:
        """Takes the token from the environment where none is given; refuses short ones, and
        addresses that others reach without one.
        """
        if self.token is None:
            object.__setattr__(self, "token", os.environ.get(TOKEN_VARIABLE) or None)
        if self.token is not None and len(self.token) < _SHORTEST_TOKEN:
            raise UsageError(f"a token has {_SHORTEST_TOKEN} letters at least")
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached by other machines: give --token, which they must send"
            )


@dataclass(frozen=True)
class ServerSettings(ListenSettings):
    """Where a server listens, what it takes on, and which models it has."""

    queue: Annotated[int, Option("Requests that may wait for a network.", _LIMIT_PANEL, min=1)] = 32
    paintings: Annotated[
        int, Option("Pictures that may wait to be painted.", _LIMIT_PANEL, min=1)
    ] = 8
    max_megabytes: Annotated[float, Option("Of a request.", _LIMIT_PANEL, above=0)] = 50.0
    max_megapixels: Annotated[float, Option("Of a picture.", _LIMIT_PANEL, above=0)] = 50.0
    max_video_seconds: Annotated[
        float, Option("Of a video on the studio's page.", _LIMIT_PANEL, above=0)
    ] = 20.0
    upload_seconds: Annotated[
        float, Option("In which a request must have come.", _LIMIT_PANEL, above=0)
    ] = 60.0
    detector: Annotated[str, Option("As detect --model.", _MODEL_PANEL)] = DEFAULT_DETECTOR
    segmenter: Annotated[str, Option("As segment --model.", _MODEL_PANEL)] = DEFAULT_SEGMENTER
    classifier: Annotated[str, Option("As classify --model.", _MODEL_PANEL)] = DEFAULT_CLASSIFIER
    captioner: Annotated[str, Option("As caption --model.", _MODEL_PANEL)] = DEFAULT_CAPTIONER


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
