"""What the cells say after a request: every response once, under the right words."""

import asyncio
import contextlib
from typing import Any

import pytest

from penstock.shm.histogram import WORD_COUNT
from penstock.worker.spec import AppAction, MatchSpec, RespondAction

# As conftest.py lays them out.
CONNECTIONS, RECEIVED, SENT, ACTIVE, IDLE = range(5)
ROUTE, UNMATCHED, ROUTE_DURATION = 8, 12, 16
UNMATCHED_DURATION = ROUTE_DURATION + WORD_COUNT

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def classes(server: Any, first: int) -> list[int]:
    """Read the four words of responses."""
    return list(server.cells[first : first + 4])


def durations(server: Any, first: int) -> int:
    """Add up the buckets of a histogram."""
    return sum(server.cells[first + 1 : first + WORD_COUNT])


async def by_path(scope: Any, receive: Any, send: Any) -> None:
    """Answer /404 with 404 and so on."""
    if scope["path"] == "/raise":
        raise RuntimeError
    await send({"type": "http.response.start", "status": int(scope["path"][1:])})
    await send({"type": "http.response.body", "body": b"four"})


async def test_responses_are_counted_by_class(serve: Any) -> None:
    """
    Each exactly once, with its time.
    """
    async with serve(by_path) as server:
        for path in (b"200", b"201", b"204", b"302", b"404", b"404", b"503", b"raise"):
            await server.ask(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
        assert classes(server, ROUTE) == [3, 1, 2, 2]
        assert durations(server, ROUTE_DURATION) == 8
        assert server.cells[ROUTE_DURATION] > 0
        assert classes(server, UNMATCHED) == [0, 0, 0, 0]


async def test_a_response_is_counted_before_it_is_seen(serve: Any) -> None:
    """
    Whoever has the answer and asks for the numbers finds it there.
    """
    async with serve(by_path) as server:
        client = await server.client()
        for number in range(1, 20):
            await client.send(b"GET /200 HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.response()
            assert classes(server, ROUTE)[0] == number


async def test_bytes_and_connections_are_counted(serve: Any) -> None:
    """
    All that was read and written, with the heads; written to the cells by the tick.
    """
    async with serve(by_path) as server:
        client = await server.client()
        idle = await server.client()
        request = b"GET /200 HTTP/1.1\r\nHost: a\r\n\r\n"
        await client.send(request)
        head = await client.until(b"\r\n\r\n")
        await client.until(b"four")
        await server.until(lambda: server.site.connection_count == 2)
        server.site.tick(server.site.now_s)
        assert server.cells[CONNECTIONS] == 2
        assert server.cells[RECEIVED] == len(request)
        assert server.cells[SENT] == len(head) + 4
        assert (server.cells[ACTIVE], server.cells[IDLE]) == (0, 2)
        idle.sock.close()
        await server.until(lambda: server.site.connection_count == 1)
        server.site.tick(server.site.now_s)
        assert (server.cells[ACTIVE], server.cells[IDLE]) == (0, 1)
        assert server.cells[CONNECTIONS] == 2


async def test_active_connections_are_told_from_idle_ones(serve: Any) -> None:
    """
    Active is one whose request is being read or answered.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(server.site.in_flight)
        server.site.tick(server.site.now_s)
        assert (server.cells[ACTIVE], server.cells[IDLE]) == (1, 0)
        assert server.site.in_flight()[0].startswith("GET /x (")
        go.set()
        await client.response()


async def test_counting_goes_on_from_what_is_there(serve: Any) -> None:
    """
    A row outlives the process that wrote it.
    """
    async with serve(by_path) as server:
        server.cells[ROUTE] = 1_000_000_000_000
        await server.ask(b"GET /200 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.cells[ROUTE] == 1_000_000_000_001


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET /" + b"a" * 20000, 414),
    ],
)
async def test_refused_requests_count_as_unmatched(serve: Any, data: bytes, status: int) -> None:
    """
    They never came to a route.
    """
    async with serve(by_path) as server:
        client = await server.client()
        await client.send(data)
        (response,) = await client.responses()
        assert response.status == status
        assert sum(classes(server, UNMATCHED)) == classes(server, UNMATCHED)[status // 100 - 2] == 1
        assert durations(server, UNMATCHED_DURATION) == 1
        assert sum(classes(server, ROUTE)) == 0


async def test_refused_body_counts_for_its_route(serve: Any) -> None:
    """
    The route was found; that its client sends too much is its affair.
    """
    async with serve(by_path, body_bytes=1) as server:
        await server.ask(b"POST /200 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
        assert classes(server, ROUTE) == [0, 0, 1, 0]


async def test_continue_is_not_a_response(serve: Any) -> None:
    """
    1xx are not counted.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        client = await server.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        await client.until(b"100 Continue\r\n\r\n")
        await client.send(b"x")
        await client.response()
        assert classes(server, ROUTE) == [1, 0, 0, 0]


async def test_stream_that_breaks_off_counts_once(serve: Any) -> None:
    """
    By the status that the client saw.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        with contextlib.suppress(OSError):
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                await asyncio.sleep(0)

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        await client.until(b"x")
        client.sock.close()
        await server.until(lambda: server.site.active_count == 0)
        assert classes(server, ROUTE) == [1, 0, 0, 0]


# Routes.


async def test_fixed_answers_misses_and_the_app_side_by_side(serve: Any) -> None:
    """
    First match wins; 404 and 405 are answered without an app and keep the connection.
    """
    routes = (
        (MatchSpec(path="/teapot"), RespondAction(status=418, headers=(("X-Tea", "yes"),), body=b"short")),
        (MatchSpec(path="/gone", methods=frozenset({"GET", "PUT"})), RespondAction(status=204)),
        (MatchSpec(host="app.example"), AppAction(target="test:app")),
    )
    async with serve(by_path, routes=routes) as server:
        client = await server.client()

        async def ask(line: bytes, host: bytes = b"a", **kwargs: Any) -> Any:
            await client.send(line + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            return await client.response(**kwargs)

        teapot = await ask(b"GET /teapot")
        assert (teapot.status, teapot.body, teapot.headers["x-tea"]) == (418, b"short", "yes")
        head = await ask(b"HEAD /teapot", to_head=True)
        assert (head.status, head.headers["content-length"]) == (418, "5")
        assert (await ask(b"PUT /gone")).status == 204
        refused = await ask(b"DELETE /gone")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, PUT")
        assert (await ask(b"GET /nowhere")).status == 404
        assert (await ask(b"GET /203", b"App.Example:80")).status == 203
        assert classes(server, UNMATCHED) == [0, 0, 2, 0]
        assert classes(server, ROUTE) == [2, 0, 2, 0]


async def test_fixed_answer_to_a_request_with_a_body(serve: Any) -> None:
    """
    Nobody wants the body, and the next request is found behind it.
    """
    async with serve(routes=((MatchSpec(), RespondAction(body=b"fixed")),)) as server:
        client = await server.client()
        for piece in (None, 1):
            await client.send(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" + GET, piece=piece
            )
            for _ in range(2):
                assert (await client.response()).body == b"fixed"


@pytest.mark.parametrize(
    "action",
    [
        RespondAction(status=101),
        RespondAction(headers=(("a b", "c"),)),
        RespondAction(headers=(("a", "b\nc"),)),
        RespondAction(headers=(("content-length", "3"),), body=b"four"),
    ],
)
async def test_fixed_answer_that_is_wrong_is_found_at_the_start(serve: Any, action: RespondAction) -> None:
    """
    Not with the first client.
    """
    with pytest.raises((ValueError, RuntimeError)):
        async with serve(routes=((MatchSpec(), action),)):
            pass
