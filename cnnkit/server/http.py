"""The HTTP API: one address for each task, described at /docs.

A picture comes as the body, or as a file of a form; what is answered is JSON as the commands print
it, or a picture, as the header Accept asks for.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException as StarletteError
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import cnnkit
from cnnkit.data.samples import style_names
from cnnkit.errors import (
    CnnkitError,
    GalleryError,
    ResourceError,
    UsageError,
    WeightsError,
)
from cnnkit.images import Picture
from cnnkit.schemas import read_record_schema
from cnnkit.server import answers
from cnnkit.server.answers import Answer, decode, find_style
from cnnkit.server.guard import Guard, RefusedError
from cnnkit.server.models import BusyError, ModelQueue, Models
from cnnkit.server.painting import Job, Painter
from cnnkit.server.settings import LEAST_CONFIDENCE, ServerSettings
from cnnkit.tasks.stylize.settings import COLORS, StylizeSettings

_JSON, _PNG, _JPEG = "application/json", "image/png", "image/jpeg"
_SUFFIXES = {_PNG: ".png", _JPEG: ".jpg"}
# Bodies that are no picture, whatever they say: curl calls every --data-binary a form.
_FORM = "multipart/form-data"
# Of a job: how often it is looked at, and how long nothing is told at most, so that the connection
# is not taken for dead.
_LOOK_SECONDS, _SILENCE_SECONDS = 0.1, 15.0
_ONE_PICTURE = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            _FORM: {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            },
        },
    }
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }
    },
}
_ERRORS = {
    HTTPStatus.BAD_REQUEST: "a setting that makes no sense",
    HTTPStatus.UNAUTHORIZED: "the token is missing or wrong",
    HTTPStatus.FORBIDDEN: "not from here, or turned off",
    HTTPStatus.NOT_FOUND: "there is no such thing",
    HTTPStatus.REQUEST_TIMEOUT: "the request took too long to come",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "no picture, or nothing of what was asked for in it",
    HTTPStatus.TOO_MANY_REQUESTS: "too many are waiting; see Retry-After",
    HTTPStatus.SERVICE_UNAVAILABLE: "weights, memory or the gallery are not there",
}


def _described(
    schema: str | None = None, *, picture: bool = False, is_json: bool = True
) -> dict[int | str, dict[str, Any]]:
    """What may be answered, with the schema of a command whose JSON it is."""
    answer = read_record_schema(schema) if schema else {"type": "object"}
    content: dict[str, Any] = {_JSON: {"schema": answer}} if is_json else {}
    if picture:
        content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _SUFFIXES}
    described: dict[int | str, dict[str, Any]] = {
        200: {"description": "what was found", "content": content}
    }
    for status, description in _ERRORS.items():
        described[int(status)] = {
            "description": description,
            "content": {_JSON: {"schema": _ERROR}},
        }
    return described


class Server:
    """What all requests share.

    Attributes:
        settings: of the server.
        queue: of what a network computes.
        models: the networks.
        painter: of optimised pictures.
        at_close: called when the server ends.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: ServerSettings):
        self.settings = settings
        self.queue, self.models = ModelQueue(settings.queue), Models(settings)
        self.painter = Painter(settings.paintings)
        self.at_close: list[Callable[[], None]] = []
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "cnnkit_requests",
            "Requests by path and status",
            ["path", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "cnnkit_request_seconds", "Time until the answer", ["path"], registry=self.registry
        )
        waiting = Gauge("cnnkit_waiting", "Jobs that wait", ["for"], registry=self.registry)
        waiting.labels("network").set_function(lambda: self.queue.waiting)
        waiting.labels("painting").set_function(lambda: self.painter.waiting)

    def decode(self, content: bytes, name: str, keep_alpha: bool = False) -> Picture:
        """See `answers.decode`."""
        return decode(content, name, self.settings.max_megapixels, keep_alpha)

    @contextlib.contextmanager
    def gallery(self, reads_only: bool = True) -> Any:
        """The gallery, opened by the thread that uses it.

        Raises:
            RefusedError: there is none.
        """
        path = self.settings.gallery
        if path is None:
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "nobody is recognised here: start the server with --gallery"
            )
        from cnnkit.data.gallery import Gallery

        # Where it lies is nothing that clients need to know.
        try:
            if not path.exists():
                Gallery(path).close()
            opened = Gallery(path, create=False, read_only=reads_only)
        except GalleryError as error:
            reason = str(error).replace(str(path), "the gallery")
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, reason) from None
        with opened:
            try:
                yield opened
            except GalleryError as error:
                raise GalleryError(str(error).replace(str(path), "the gallery")) from None

    def close(self) -> None:
        """Stops what is going on."""
        self.queue.close()
        self.painter.close()
        for clean in self.at_close:
            clean()


def build_app(settings: ServerSettings | None = None) -> FastAPI:
    """The application, for any ASGI server.

    Args:
        settings: limits, token, gallery and models.

    Returns:
        A `FastAPI` whose `state.server` is its `Server`.
    """
    settings = settings or ServerSettings()
    server = Server(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(server.close)

    # Its page of documentation needs nothing from elsewhere.
    app = FastAPIOffline(
        redoc_url=None,
        title="cnnkit",
        version=cnnkit.__version__,
        description=__doc__,
        lifespan=lifespan,
    )
    app.state.server = server
    _add_errors(app)
    _add_finding(app, server)
    _add_faces(app, server)
    _add_painting(app, server)
    _add_watching(app, server)
    app.add_middleware(Guard, settings=settings, refuse=_answer_error)
    app.add_middleware(_Counted, server=server)
    return app


def _add_errors(app: FastAPI) -> None:
    async def tell(_: Request, error: Exception) -> Response:
        return _answer_error(error)

    for kind in (CnnkitError, MultiPartException, RequestValidationError, StarletteError):
        app.add_exception_handler(kind, tell)


def _answer_error(error: Exception) -> Response:
    headers: Mapping[str, str] | None = None
    code, message = type(error).__name__, str(error)
    if isinstance(error, RefusedError):
        status = error.status
        if status == HTTPStatus.UNAUTHORIZED:
            headers = {"WWW-Authenticate": "Bearer"}
    elif isinstance(error, BusyError):
        status = HTTPStatus.TOO_MANY_REQUESTS
        headers = {"Retry-After": str(error.seconds)}
    elif isinstance(error, UsageError):
        status = HTTPStatus.BAD_REQUEST
    elif isinstance(error, (ResourceError, WeightsError)):
        status = HTTPStatus.SERVICE_UNAVAILABLE
    elif isinstance(error, CnnkitError):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    elif isinstance(error, RequestValidationError):
        status, code = HTTPStatus.BAD_REQUEST, "UsageError"
        message = "; ".join(
            f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()
        )
    elif isinstance(error, StarletteError):
        status, code = HTTPStatus(error.status_code), HTTPStatus(error.status_code).phrase
        message, headers = str(error.detail), error.headers
    else:
        status, code, message = HTTPStatus.BAD_REQUEST, "UsageError", f"no form: {message}"
    body = {"error": {"code": code, "message": message}}
    return JSONResponse(body, int(status), headers=headers)


async def _read_files(request: Request, *names: str, optional: str = "") -> dict[str, bytes]:
    """The files of a form by their fields, or the body as the first of them."""
    if not request.headers.get("content-type", "").startswith(_FORM):
        body = await request.body()
        if not body:
            raise UsageError("the request has no body: send the picture")
        found = {names[0]: body}
    else:
        found = {}
        async with request.form(max_files=len(names) + bool(optional), max_fields=0) as form:
            for name, value in form.multi_items():
                if not isinstance(value, str):
                    found[name] = await value.read()
    missing = [name for name in names if name not in found]
    if missing:
        raise UsageError(f"the form has no file {missing[0]}")
    return found


def _wants_picture(request: Request, default: str) -> str | None:
    """The kind of picture that the header Accept asks for; None for JSON."""
    best, best_weight = default, 0.0
    for part in request.headers.get("accept", "*/*").split(","):
        kind, *parameters = (one.strip().lower() for one in part.split(";"))
        weight = 1.0
        for one in parameters:
            if one.startswith("q="):
                with contextlib.suppress(ValueError):
                    weight = float(one[2:])
        found = {"*/*": default, "image/*": _PNG, "application/*": _JSON}.get(kind, kind)
        if found in (_JSON, *_SUFFIXES) and weight > best_weight:
            best, best_weight = found, weight
    return None if best == _JSON else best


async def _answer(
    request: Request, queue: ModelQueue, job: Callable[[], Answer], default: str = _JSON
) -> Response:
    """Runs a job, and answers with its record or, drawn and encoded in the queue too, its picture.

    Args:
        request: says what it accepts.
        queue: runs the job.
        job: computes the answer.
        default: what is answered where all is accepted.
    """
    kind = _wants_picture(request, default)

    def whole() -> tuple[Answer, bytes | None]:
        answer = job()
        return answer, None if kind is None else answer.encode(_SUFFIXES[kind])

    answer, content = await queue.run(whole)
    if content is None:
        return JSONResponse(answer.record.to_json())
    return Response(content, media_type=kind)


def _add_finding(app: FastAPI, server: Server) -> None:
    """What is in a picture."""
    queue, models = server.queue, server.models

    async def run(
        request: Request,
        task: Callable[..., Answer],
        *rest: Any,
        default: str = _JSON,
        keep_alpha: bool = False,
    ) -> Response:
        content = (await _read_files(request, "file"))["file"]

        def job() -> Answer:
            return task(models, server.decode(content, "the picture", keep_alpha), *rest)

        return await _answer(request, queue, job, default)

    @app.post(
        "/v1/detect", responses=_described("detect", picture=True), openapi_extra=_ONE_PICTURE
    )
    async def detect(
        request: Request,
        conf: Annotated[float, Query(ge=LEAST_CONFIDENCE, le=1, description="least score")] = 0.25,
        max_det: Annotated[int, Query(ge=1, le=1000, description="objects, at most")] = 300,
        classes: Annotated[
            str | None, Query(max_length=2000, description="only these, with commas between")
        ] = None,
    ) -> Response:
        """The objects in a picture, or the picture with their boxes."""
        names = None if classes is None else [name.strip() for name in classes.split(",")]
        return await run(request, answers.detect, conf, max_det, names)

    @app.post(
        "/v1/segment", responses=_described("segment", picture=True), openapi_extra=_ONE_PICTURE
    )
    async def segment(request: Request) -> Response:
        """What every pixel shows, or the picture with that laid over it."""
        return await run(request, answers.segment)

    @app.post(
        "/v1/cutout", responses=_described("cutout", picture=True), openapi_extra=_ONE_PICTURE
    )
    async def cutout(
        request: Request,
        subject: Annotated[
            str | None, Query(max_length=100, description="people, else the largest thing")
        ] = None,
        background: Annotated[
            str | None, Query(max_length=20, description="white, blur or #rrggbb; none by default")
        ] = None,
    ) -> Response:
        """The picture's subject alone, the rest transparent."""
        return await run(
            request, answers.cut_out, subject, background, default=_PNG, keep_alpha=True
        )

    @app.post("/v1/classify", responses=_described("classify"), openapi_extra=_ONE_PICTURE)
    async def classify(
        request: Request,
        top: Annotated[int, Query(ge=1, le=1000, description="classes")] = 5,
        group: Annotated[bool, Query(description="everyday groups of classes too")] = False,
    ) -> Response:
        """What a picture shows."""
        return await run(request, answers.classify, top, group)

    @app.post("/v1/caption", responses=_described("caption"), openapi_extra=_ONE_PICTURE)
    async def caption(
        request: Request,
        candidates: Annotated[int, Query(ge=1, le=16, description="sentences")] = 1,
    ) -> Response:
        """A sentence about a picture."""
        return await run(request, answers.caption, candidates)


def _add_faces(app: FastAPI, server: Server) -> None:
    """Who is in a picture."""
    queue, models = server.queue, server.models
    pair = _form_of("first", "second")

    @app.post("/v1/embed", responses=_described("embed"), openapi_extra=_ONE_PICTURE)
    async def embed(request: Request) -> Response:
        """Each face of a picture as a vector: near for one person, far for two."""
        content = (await _read_files(request, "file"))["file"]

        def job() -> Answer:
            return answers.embed(models, server.decode(content, "the picture"))

        return await _answer(request, queue, job)

    @app.post("/v1/verify", responses=_described("verify", picture=True), openapi_extra=pair)
    async def verify(request: Request) -> Response:
        """Whether two pictures show one person."""
        files = await _read_files(request, "first", "second")

        def job() -> Answer:
            first, second = (server.decode(files[name], name) for name in ("first", "second"))
            return answers.verify(models, first, second)

        return await _answer(request, queue, job)

    @app.post(
        "/v1/identify",
        responses=_described("faces-identify", picture=True),
        openapi_extra=_ONE_PICTURE,
    )
    async def identify(
        request: Request,
        matches: Annotated[int, Query(ge=1, le=100, description="people, nearest first")] = 2,
    ) -> Response:
        """Who of the gallery is in a picture, or the picture with their names."""
        content = (await _read_files(request, "file"))["file"]

        def job() -> Answer:
            with server.gallery() as gallery:
                picture = server.decode(content, "the picture")
                return answers.identify(models, gallery, picture, matches)

        return await _answer(request, queue, job)

    @app.get("/v1/people", responses=_described())
    async def people() -> Response:
        """Who is in the gallery."""

        def job() -> list[dict[str, Any]]:
            with server.gallery() as gallery:
                return [{"name": one.name, "faces": one.faces} for one in gallery.people()]

        return JSONResponse({"items": await queue.run(job)})

    name_of_person = Annotated[str, Path(min_length=1, max_length=200)]

    @app.post("/v1/people/{name}", responses=_described(), openapi_extra=_ONE_PICTURE)
    async def enroll(request: Request, name: name_of_person) -> Response:
        """Put the picture's main face into the gallery, under a name."""
        content = (await _read_files(request, "file"))["file"]

        def job() -> Answer:
            with server.gallery(reads_only=False) as gallery:
                return answers.enroll(models, gallery, name, server.decode(content, "the picture"))

        return await _answer(request, queue, job)

    @app.delete("/v1/people/{name}", responses=_described())
    async def remove(name: name_of_person) -> Response:
        """Remove a person, and what is remembered of the person's pictures."""

        def job() -> int:
            with server.gallery(reads_only=False) as gallery:
                if name not in [one.name for one in gallery.people()]:
                    raise RefusedError(HTTPStatus.NOT_FOUND, f"nobody is called {name}")
                return gallery.remove(name).faces

        return JSONResponse({"name": name, "faces": await queue.run(job)})


def _add_painting(app: FastAPI, server: Server) -> None:
    """Pictures in the style of others."""
    queue, painter = server.queue, server.painter
    form = _form_of("content", optional="style")
    found_job = {**_described(), 202: {"description": "it is being painted; see Location"}}

    @app.get("/v1/styles")
    async def styles() -> dict[str, list[str]]:
        """The painted styles that go by a name."""
        return {"items": list(style_names())}

    @app.post(
        "/v1/stylize",
        responses={**found_job, **_described(picture=True)},
        openapi_extra=form,
    )
    async def stylize(
        request: Request,
        style: Annotated[
            str, Query(max_length=100, description="a painted style; or the file style of a form")
        ] = "waves",
        quality: Annotated[
            Literal["draft", "standard", "fine"],
            Query(description="a draft is the answer; another is a job"),
        ] = "draft",
        strength: Annotated[float, Query(ge=0, le=1)] = 1.0,
        size: Annotated[int, Query(ge=64, le=2048, description="long side, in pixels")] = 512,
        preserve_color: Annotated[Literal[COLORS], Query()] = "none",  # type: ignore[valid-type]
        seed: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    ) -> Response:
        """A picture in the style of another: a draft at once, or a job that is to be asked for."""
        files = await _read_files(request, "content", optional="style")

        def read() -> tuple[Picture, Picture]:
            content = server.decode(files["content"], "the picture", keep_alpha=True)
            if "style" in files:
                return content, server.decode(files["style"], "the style")
            return content, find_style(style)

        options = StylizeSettings(
            quality=quality,
            strength=strength,
            size=size,
            preserve_color=preserve_color,
            seed=seed,
        )
        if quality == "draft":
            return await _answer(request, queue, lambda: answers.draft(*read(), options), _PNG)
        content, painted = await asyncio.to_thread(read)
        job = await asyncio.to_thread(painter.begin, content, painted, options)
        place = {"Location": f"/v1/jobs/{job.name}"}
        return JSONResponse(job.to_dict(), int(HTTPStatus.ACCEPTED), headers=place)

    def find(name: str) -> Job:
        job = painter.find(name)
        if job is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such job, or it was long ago")
        return job

    @app.get("/v1/jobs/{name}", responses=_described())
    async def look(name: str) -> Response:
        """How far a job is."""
        return JSONResponse(find(name).to_dict())

    @app.delete("/v1/jobs/{name}", responses=_described())
    async def cancel(name: str) -> Response:
        """Stop a job."""
        job = find(name)
        await asyncio.to_thread(painter.cancel, job)
        return JSONResponse(job.to_dict())

    @app.get("/v1/jobs/{name}/picture", responses=_described(picture=True, is_json=False))
    async def picture(name: str) -> Response:
        """The picture, or while it is being painted the picture so far."""
        job = find(name)
        done = job.result()
        if done is not None:
            return Response(done, media_type=_PNG)
        so_far = job.preview()
        if so_far is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no picture yet")
        return Response(so_far, media_type=_JPEG)

    @app.get("/v1/jobs/{name}/events", responses=_described(is_json=False))
    async def events(name: str) -> Response:
        """How far a job is, as server-sent events until it is over."""
        job = find(name)

        async def told() -> AsyncIterator[str]:
            version = -1
            while True:
                # Read before what is told: what changes in between is told the next time.
                version, is_over = job.version, job.is_over
                yield f"data: {json.dumps(job.to_dict())}\n\n"
                if is_over:
                    return
                until = time.monotonic() + _SILENCE_SECONDS
                while job.version == version and time.monotonic() < until:
                    await asyncio.sleep(_LOOK_SECONDS)

        return StreamingResponse(told(), media_type="text/event-stream")


def _add_watching(app: FastAPI, server: Server) -> None:
    """How the server is."""

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Whether the server answers, and what is loaded."""
        return {"status": "ok", "version": cnnkit.__version__, "loaded": server.models.loaded}

    @app.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(generate_latest(server.registry), media_type="text/plain; version=0.0.4")


class _Counted:
    """ASGI middleware that counts requests for Prometheus.

    Args:
        app: what answers them.
        server: has the counters.
    """

    def __init__(self, app: ASGIApp, server: Server):
        self._app, self._server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.monotonic(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            # What was asked for of a page, and what was not found, would be too many names.
            path = getattr(scope.get("route"), "path", "") or "other"
            self._server.requests.labels(path, str(status)).inc()
            self._server.seconds.labels(path).observe(time.monotonic() - begin)


def _form_of(*names: str, optional: str = "") -> dict[str, Any]:
    files = {name: {"type": "string", "format": "binary"} for name in (*names, optional) if name}
    schema = {"type": "object", "properties": files, "required": list(names)}
    content: dict[str, Any] = {_FORM: {"schema": schema}}
    if len(names) == 1:
        content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": content}}
