"""Headers that every response has by default, and those that the app sets itself."""

from collections.abc import Iterator
from typing import Any

import pytest

from penstock.worker.http import fields
from penstock.worker.http.responses import WITHOUT_DATE, WITHOUT_SERVER, HeadStarts
from penstock.worker.spec import WebSocketSpec

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Have each test know no default headers: a process knows its own for good."""
    tables = (fields._MEANINGS, fields.meanings)
    kept = [dict(each) for each in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)


def starts(**options: Any) -> HeadStarts:
    return HeadStarts(b"penstock", **options)


def fields_of(head: bytes) -> list[bytes]:
    return [line for line in head.split(b"\r\n")[1:] if line and not line.startswith(b"date: ")]


HEADERS = (("X-Frame-Options", "DENY"), ("X-Other", "1"))
OTHERS = [(b"x-frame-options", b"DENY"), (b"link", b"<a>"), (b"link", b"<b>")]


def test_they_are_part_of_every_head() -> None:
    """
    Also where there is no body, and of one that is repeated each.
    """
    made = starts(others=OTHERS)

    for head in (made.every[200], made.plain[500], made.every[204], made.every[304]):
        assert fields_of(head) == [b"server: penstock", b"x-frame-options: DENY", b"link: <a>", b"link: <b>"]


def test_a_response_that_brings_one_itself_is_spared_ours() -> None:
    """
    All of that name, and no other.
    """
    made = starts(others=OTHERS)

    assert fields_of(made.without(200, 0, (b"link",))) == [b"server: penstock", b"x-frame-options: DENY"]
    assert fields_of(made.without(200, WITHOUT_SERVER | WITHOUT_DATE, (b"x-frame-options",))) == [
        b"link: <a>",
        b"link: <b>",
    ]


def test_server_and_date_can_be_left_out() -> None:
    """
    Server can also be another one.
    """
    made = HeadStarts(None, has_date=False)
    assert made.every[200] == made.without(200, 0) == b"HTTP/1.1 200 OK\r\n"
    made.refresh()
    assert made.every[200] == b"HTTP/1.1 200 OK\r\n"
    assert fields_of(starts(others=[(b"server", b"mine")]).every[200]) == [b"server: mine"]


def setting(*headers: tuple[bytes, bytes], pieces: int = 1) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        for _ in range(pieces - 1):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b"x"})

    return app


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("name", [b"x-frame-options", b"X-Frame-Options", b"X-FRAME-OPTIONS"])
async def test_the_apps_own_header_counts(serve: Any, pieces: int, name: bytes) -> None:
    """
    In whatever case it is written, known by now or not, whole or in pieces.
    """
    fields.meanings[b"X-Frame-Options"] = fields.ORDINARY  # Another site had no such default.
    async with serve(setting((name, b"SAMEORIGIN"), pieces=pieces), headers=HEADERS) as server:
        (response,) = await server.ask(GET)
    given = {key.lower(): value for key, value in response.headers.items()}

    assert given["x-frame-options"] == "SAMEORIGIN"
    assert given["x-other"] == "1"


async def test_they_are_on_what_the_server_answers_itself(serve: Any) -> None:
    """
    A security header is wanted on error pages too.
    """
    async with serve(setting(), headers=HEADERS) as server:
        (plain,) = await server.ask(GET)
        (refused,) = await server.ask(b"GET /x HTTP/1.1\r\n\r\n")
    assert plain.headers["x-frame-options"] == refused.headers["x-frame-options"] == "DENY"
    assert refused.status == 400


async def test_they_are_on_the_answer_to_a_handshake(serve: Any) -> None:
    """
    A WebSocket begins with a response too; and its app may set one itself.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"X-Other", b"own"), (b"Server", b"mine")]})

    upgrade = (
        b"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with serve(app, websocket=WebSocketSpec(), headers=HEADERS) as server:
        client = await server.client()
        await client.send(upgrade)
        head = await client.until(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert b"x-frame-options: DENY" in lines
    assert [line for line in lines if line.lower().startswith((b"x-other", b"server"))] == [
        b"X-Other: own",
        b"Server: mine",
    ]
    assert sum(line.startswith(b"date: ") for line in lines) == 1
