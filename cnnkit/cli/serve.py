"""``cnnkit serve`` and ``cnnkit studio``: the HTTP API, and the page that uses it."""

import importlib.util
import logging
import os
import socket
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnkit.cli._classifier import check_classifier
from cnnkit.cli._options import Quiet, Verbose
from cnnkit.console import Console
from cnnkit.errors import UsageError
from cnnkit.server.settings import ServerSettings, is_loopback

if TYPE_CHECKING:
    from fastapi import FastAPI

_DEFAULTS = ServerSettings()
_LIMIT_PANEL, _MODEL_PANEL = "Limits", "Models"
_TOKEN_VARIABLE = "CNNKIT_TOKEN"
# Seconds that requests in progress may go on after Ctrl-C.
_GRACE = 3

Host = Annotated[
    str, typer.Option(help="Address to listen on; others than this machine's own need --token.")
]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")]
Token = Annotated[
    str | None,
    typer.Option(
        help="What requests must carry as 'Authorization: Bearer ...', or '?token=...'.",
        envvar=_TOKEN_VARIABLE,
        show_default="none",
    ),
]
GalleryFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Recognise the people of this gallery, and let requests change it.",
        show_default="none",
    ),
]


def serve(
    host: Host = _DEFAULTS.host,
    port: Port = _DEFAULTS.port,
    token: Token = None,
    gallery: GalleryFile = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="The studio's page too, where it is installed.")
    ] = True,
    detector: Annotated[
        str, typer.Option(help="As detect --model.", rich_help_panel=_MODEL_PANEL)
    ] = _DEFAULTS.detector,
    segmenter: Annotated[
        str, typer.Option(help="As segment --model.", rich_help_panel=_MODEL_PANEL)
    ] = _DEFAULTS.segmenter,
    classifier: Annotated[
        str, typer.Option(help="As classify --model.", rich_help_panel=_MODEL_PANEL)
    ] = _DEFAULTS.classifier,
    captioner: Annotated[
        str, typer.Option(help="As caption --model.", rich_help_panel=_MODEL_PANEL)
    ] = _DEFAULTS.captioner,
    queue: Annotated[
        int,
        typer.Option(help="Requests that may wait for a network.", rich_help_panel=_LIMIT_PANEL),
    ] = _DEFAULTS.queue,
    paintings: Annotated[
        int,
        typer.Option(help="Pictures that may wait to be painted.", rich_help_panel=_LIMIT_PANEL),
    ] = _DEFAULTS.paintings,
    max_megabytes: Annotated[
        float, typer.Option(help="Of a request.", rich_help_panel=_LIMIT_PANEL)
    ] = _DEFAULTS.max_megabytes,
    max_megapixels: Annotated[
        float, typer.Option(help="Of a picture.", rich_help_panel=_LIMIT_PANEL)
    ] = _DEFAULTS.max_megapixels,
    upload_seconds: Annotated[
        float,
        typer.Option(help="In which a request must have come.", rich_help_panel=_LIMIT_PANEL),
    ] = _DEFAULTS.upload_seconds,
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
    settings = ServerSettings(
        host=host,
        port=port,
        token=token,
        gallery=gallery,
        queue=queue,
        paintings=paintings,
        max_megabytes=max_megabytes,
        max_megapixels=max_megapixels,
        upload_seconds=upload_seconds,
        detector=detector,
        segmenter=segmenter,
        classifier=classifier,
        captioner=captioner,
    )
    has_page = page and importlib.util.find_spec("gradio") is not None
    return _run(settings, has_page, False, quiet, verbose)


def studio(
    host: Host = _DEFAULTS.host,
    port: Port = _DEFAULTS.port,
    token: Token = None,
    gallery: GalleryFile = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
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
    settings = ServerSettings(host=host, port=port, token=token, gallery=gallery)
    return _run(settings, True, open_page, quiet, verbose)


def _run(
    settings: ServerSettings, has_page: bool, opens_page: bool, quiet: bool, verbose: bool
) -> int:
    missing = [
        name
        for name in (
            "fastapi",
            "uvicorn",
            "python_multipart",
            "prometheus_client",
            "fastapi_offline",
        )
        if importlib.util.find_spec(name) is None
    ]
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
    port = listening.getsockname()[1]
    name = "localhost" if is_loopback(settings.host) else settings.host
    address = f"http://{name}:{port}"
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


def _check_models(settings: ServerSettings) -> None:
    """Says before anything is loaded that a model is not there."""
    from cnnkit.pipelines._captioner_files import find_captioner_file
    from cnnkit.pipelines._detector_files import find_detector_file
    from cnnkit.pipelines._segmenter_files import find_segmenter_file

    find_detector_file(settings.detector)
    find_segmenter_file(settings.segmenter)
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
