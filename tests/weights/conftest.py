"""A made-up entry of the table, a cache in a temporary folder, and a server on this machine."""

import dataclasses
import hashlib
import http.server
import threading

import pytest

from cnnkit.weights import _registry

CONTENT = bytes(range(256)) * 40
TINY = _registry.Entry(
    name="tiny",
    file_name="tiny.h5",
    kind="fetchable",
    size=len(CONTENT),
    algorithm="sha256",
    digest=hashlib.sha256(CONTENT).hexdigest(),
    architecture="bytes in a row",
    licence="MIT",
    source="these tests",
    card="cards/vgg19.md",
    url="https://nowhere.invalid/tiny.h5",
)


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` under every path, well or badly."""

    content = CONTENT
    ranges = True
    status = 200
    cut_after: int | None = None
    announces_length = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str | None]] = []
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted_range = self.server, self.headers.get("Range")
        server.requests.append((self.path, wanted_range))
        if server.status != 200:
            self.send_error(server.status)
            return
        body, start = server.content, 0
        if wanted_range and server.ranges:
            start = int(wanted_range.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.announces_length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : server.cut_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server whose address is the mirror."""
    server = Server()
    # A short poll: shutting down waits for the end of one.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("CNNKIT_MIRROR", server.address)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of the test, not there yet; the table has one more entry, "tiny"."""
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("CNNKIT_MIRROR", raising=False)
    monkeypatch.setattr(_registry, "ENTRIES", (*_registry.ENTRIES, TINY))
    return tmp_path / "home" / "weights"


@pytest.fixture
def table(monkeypatch):
    """Changes fields of "tiny" in the table."""

    def change(**fields):
        changed = dataclasses.replace(TINY, **fields)
        monkeypatch.setattr(_registry, "ENTRIES", (*_registry.ENTRIES[:-1], changed))

    return change
