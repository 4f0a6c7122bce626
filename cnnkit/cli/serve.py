"""``cnnkit serve`` and ``cnnkit studio``: the HTTP API, and the page that uses it."""

import importlib.util
import logging
import os
import socket
import threading
import webbrowser
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cnnkit.cli._options import Quiet, Verbose
from cnnkit.console import Console
from cnnkit.engine.command import command
from cnnkit.engine.settings import Option
from cnnkit.errors import UsageError
from cnnkit.server.settings import ListenSettings, ServerSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

# Seconds that requests in progress may go on after Ctrl-C.
_GRACE = 3
_NEEDED = ("fastapi", "fastapi_offline", "prometheus_client", "python_multipart", "uvicorn")


@command
def serve(
    *,
    settings: ServerSettings,
    page: Annotated[bool, Option("The studio's page too, where it is installed.")] = True,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Answer HTTP requests: detect, segment, cutout, classify, caption, verify, stylize and more.

    The addresses and what they take are described at /docs. Ctrl-C ends it.

    Examples:

      cnnkit serve

      curl --data-binary @a.jpg localhost:8765/v1/detect

      CNNKIT_TOKEN=... cnnkit serve --host 0.0.0.0
    """
    has_page = page and importlib.util.find_spec("gradio") is not None
    if page and not has_page and not quiet:
        Console().note('without the page, which needs more: pip install ".[studio]"')
    return _run(settings, has_page, False, quiet, verbose)


@command
def studio(
    *,
    settings: ListenSettings,
    open_page: Annotated[bool, Option("Open the page in the browser.", names=("--open",))] = True,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Open a page to play on: paint, find, cut out, compare faces, caption, see inside.

    Everything stays on this machine. Ctrl-C ends it.

    Examples:

      cnnkit studio

      cnnkit studio --gallery people.db --no-open
    """
    if importlib.util.find_spec("gradio") is None:
        raise UsageError('the page needs more: pip install ".[studio]"')
    return _run(ServerSettings(**asdict(settings)), True, open_page, quiet, verbose)


def _run(
    settings: ServerSettings, has_page: bool, opens_page: bool, quiet: bool, verbose: bool
) -> int:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f'{missing[0]} is missing: pip install ".[serve]"')
    _check_models(settings)
    console = Console(quiet=quiet, verbose=verbose)
    listening = _listen(settings)
    console.working("loading the server")
    import uvicorn

    from cnnkit.engine.choice import configure_inference
    from cnnkit.server.http import build_app

    configure_inference(verbose=verbose, note=console.note)
    app: FastAPI = build_app(settings)
    if has_page:
        from cnnkit.server.studio import add_studio

        app = add_studio(app)
    address = _address(settings.host, listening.getsockname()[1])
    told = f"{address}/" if has_page else f"{address}/docs"
    console.result(told)
    console.note("Ctrl-C ends it")
    if opens_page:
        query = f"?token={settings.token}" if settings.token else ""
        # As soon as the server answers; a browser without a window blocks for a while.
        threading.Timer(0.5, webbrowser.open, [told + query]).start()
    # It complains of each broken form, which the client is told of.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        log_level="info" if verbose else "warning",
        access_log=verbose,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=30,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _address(host: str, port: int) -> str:
    """What a browser on this machine opens.

    >>> _address("127.0.0.1", 8765), _address("::1", 80)
    ('http://localhost:8765', 'http://[::1]:80')
    """
    if host == ServerSettings.host:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _check_models(settings: ServerSettings) -> None:
    """Says before anything is loaded that a model is not there."""
    from cnnkit.tasks.caption.files import find_captioner_file
    from cnnkit.tasks.detect.files import find_detector_file
    from cnnkit.tasks.segment.files import find_segmenter_file

    find_detector_file(settings.detector)
    find_segmenter_file(settings.segmenter)
    from cnnkit.tasks.classify.files import check_classifier

    check_classifier(settings.classifier)
    find_captioner_file(settings.captioner)


def _listen(settings: ServerSettings) -> socket.socket:
    """The socket, before anything is loaded: whether the port is free is known at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen()
    except OSError as error:
        listening.close()
        place, reason = f"{settings.host}:{settings.port}", error.strerror or str(error)
        raise UsageError(
            f"{place} cannot be listened on: {reason}; choose another --port"
        ) from None
    return listening
