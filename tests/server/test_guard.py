import asyncio

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from cnnkit.server.guard import COOKIE, Guard
from cnnkit.server.settings import ServerSettings

TOKEN = "a-token-that-nobody-guesses"


async def echo(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await PlainTextResponse(f"{size} bytes")(scope, receive, send)


def refuse(error):
    return PlainTextResponse(str(error), int(error.status))


def client(base="http://localhost", **settings):
    return TestClient(Guard(echo, ServerSettings(**settings), refuse), base_url=base)


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:1", "[::1]:8765"])
def test_a_local_server_answers_to_its_own_names(host):
    assert client().post("/", content=b"abc", headers={"host": host}).text == "3 bytes"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "[", ""])
def test_a_local_server_does_not_answer_to_other_names(host):
    # A name of the web that leads to this machine: DNS rebinding.
    answer = client().get("/", headers={"host": host})
    assert (answer.status_code, answer.text) == (403, "this server goes by localhost alone")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:9999", "http://["]
)
def test_pages_of_others_are_refused(origin):
    answer = client().post("/", content=b"a", headers={"origin": origin})
    assert (answer.status_code, "may not ask" in answer.text) == (403, True)


def test_the_own_page_is_not_refused():
    headers = {"host": "localhost:8765", "origin": "http://localhost:8765"}
    assert client().post("/", content=b"a", headers=headers).status_code == 200


def test_a_token_comes_in_a_header_in_the_address_or_in_a_cookie():
    one = client("http://example.org", host="0.0.0.0", token=TOKEN)
    assert one.get("/").status_code == 401
    assert one.get("/", headers={"authorization": "Bearer no"}).status_code == 401
    assert one.get("/", headers={"authorization": f"Basic {TOKEN}"}).status_code == 401
    assert one.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert COOKIE not in one.cookies
    answer = one.get("/", params={"token": TOKEN})
    assert answer.status_code == 200
    assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
    assert one.get("/").status_code == 200


def test_whether_the_server_is_well_is_no_secret():
    one = client("http://example.org", host="0.0.0.0", token=TOKEN)
    assert one.get("/healthz").status_code == 200


def test_large_requests_are_refused_by_their_header_and_by_what_comes():
    one = client(max_megabytes=0.001)
    assert one.post("/", content=b"a" * 1000).text == "1000 bytes"
    assert one.post("/", content=b"a" * 1001).status_code == 413

    def parts():
        for _ in range(11):
            yield b"a" * 100

    answer = one.post("/", content=parts())
    assert (answer.status_code, answer.text) == (413, "more than 0.001 MB; see --max-megabytes")


def test_slow_requests_are_refused():
    async def never():
        await asyncio.sleep(60)

    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"host", b"localhost")],
        "query_string": b"",
    }
    guard = Guard(echo, ServerSettings(upload_seconds=0.05), refuse)
    asyncio.run(guard(scope, never, send))
    assert sent[0]["status"] == 408
    assert b"took more than 0.05 s to come" in sent[1]["body"]
