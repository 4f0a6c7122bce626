"""What a request must be to be listened to: from here, not too large, not too slow.

A page of the web that a user has open can send requests to this machine too. So the host that a
request names must be one that the server goes by, and the page that sent it must be the server's.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cnnkit.errors import CnnkitError
from cnnkit.server.settings import ServerSettings, is_loopback

_Scope = dict[str, Any]
_Message = dict[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

COOKIE = "cnnkit_token"
# Answered without a token: they tell nothing of anybody.
_OPEN_PATHS = ("/healthz",)


class RefusedError(CnnkitError):
    """A request that is not listened to.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: HTTPStatus, message: str):
        super().__init__(message)
        self.status = status


class Guard:
    """ASGI middleware that refuses what `RefusedError` is for.

    Args:
        app: what listens to the other requests.
        settings: the limits.
        refuse: makes an answer of an error: error -> ASGI application.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        settings: ServerSettings,
        refuse: Callable[[RefusedError], Callable[..., Awaitable[None]]],
    ):
        self._app, self._settings, self._refuse = app, settings, refuse
        self._most = int(settings.max_megabytes * 1e6)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Listens to a request, or refuses it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        is_answered = False

        async def sending(message: _Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in scope["headers"]
            }
            self._check_origin(headers)
            given = self._check_token(scope, headers)
            if scope["type"] == "websocket":
                await self._app(scope, receive, send)
                return
            limited = self._limited(headers, receive)
            await self._app(scope, limited, self._with_cookie(sending) if given else sending)
        except RefusedError as error:
            if is_answered or scope["type"] == "websocket":
                raise
            await self._refuse(error)(scope, receive, send)

    def _check_origin(self, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "") if _is_plain(host) else ""
        # A server that others reach has names that it cannot know; it has a token instead.
        if is_loopback(self._settings.host) and not is_loopback(name):
            raise RefusedError(HTTPStatus.FORBIDDEN, "this server goes by localhost alone")
        origin = headers.get("origin")
        if origin is not None and (not _is_plain(origin) or urlsplit(origin).netloc != host):
            raise RefusedError(HTTPStatus.FORBIDDEN, "pages of other servers may not ask this one")

    def _check_token(self, scope: _Scope, headers: dict[str, str]) -> bool:
        """Whether the token came in the address, so that a browser should keep it."""
        token = self._settings.token
        if token is None or scope["path"] in _OPEN_PATHS:
            return False
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        in_address = query.get("token", [""])[0]
        scheme, _, in_header = headers.get("authorization", "").partition(" ")
        for given in (
            in_address,
            in_header if scheme.lower() == "bearer" else "",
            _cookie(headers.get("cookie", "")),
        ):
            if hmac.compare_digest(given.encode(), token.encode()):
                return bool(in_address)
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "send the header Authorization: Bearer TOKEN")

    def _with_cookie(self, send: _Send) -> _Send:
        async def sending(message: _Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={self._settings.token}; HttpOnly; SameSite=Strict; Path=/"
                message = {
                    **message,
                    "headers": [*message["headers"], (b"set-cookie", cookie.encode())],
                }
            await send(message)

        return sending

    def _limited(self, headers: dict[str, str], receive: _Receive) -> _Receive:
        """Takes the body in, as long as it is neither too large nor too slow."""
        large = RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"more than {self._settings.max_megabytes:g} MB; see --max-megabytes",
        )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most:
            raise large
        count, is_whole = 0, False
        deadline = time.monotonic() + self._settings.upload_seconds

        async def limited() -> _Message:
            nonlocal count, is_whole
            if is_whole:
                # What comes then is that the client went away.
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), deadline - time.monotonic())
            except asyncio.TimeoutError:
                raise RefusedError(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"the request took more than {self._settings.upload_seconds:g} s to come",
                ) from None
            count += len(message.get("body", b""))
            if count > self._most:
                raise large
            is_whole = not message.get("more_body", False)
            return message

        return limited


def _is_plain(address: str) -> bool:
    """Whether an address can be taken apart."""
    try:
        urlsplit(address if "//" in address else f"//{address}").hostname  # noqa: B018
    except ValueError:
        return False
    return True


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value
