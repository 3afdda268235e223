"""Requests through the gateway whose route rewrites, changes or shares them."""

from typing import Any

import pytest

from penstock.worker.spec import EditsSpec, MatchSpec, RewriteSpec, RouteSpec, SplitAction
from tests.worker.gateway.conftest import ROUTE_TO_BACKEND, TO_BACKEND, Backend, Visit
from tests.worker.http.conftest import ROUTE

HELLO = b"HTTP/1.1 200 OK\r\nX-Powered-By: me\r\nContent-Length: 5\r\n\r\nhello"


async def hello(visit: Visit) -> None:
    """Answer every request in the same words."""
    while True:
        await visit.head()
        await visit.say(HELLO)


def route(edits: EditsSpec | None = None, **match: Any) -> RouteSpec:
    return RouteSpec(name="route", match=MatchSpec(**match), action=TO_BACKEND, cells=ROUTE, edits=edits)


EDITS = EditsSpec(
    rewrite=RewriteSpec(strip_prefix="/api", add_prefix="/v2"),
    request=(
        ("set", "host", "inner.example"),
        ("set", "x-client", "{client} {path}"),
        ("remove", "x-secret", ""),
    ),
    response=(("remove", "x-powered-by", ""), ("set", "x-route", "{route}")),
)


async def test_a_server_is_asked_for_what_the_route_makes_of_a_request(passing: Any) -> None:
    """
    Again and again: nothing of another request is remembered for it.
    """
    backend = Backend(hello)
    async with passing(backend, routes=[route(EDITS)], root_path="/s") as gateway:
        client = await gateway.client()
        for path in (b"/api/a%2Fb?x=%20", b"/api/c", b"/other", b"http://outer.example/api/d?y"):
            await client.send(
                b"GET "
                + path
                + b" HTTP/1.1\r\nHost: outer.example\r\nX-Secret: 1\r\nConnection: X-Client, X-Gone\r\n"
                b"X-Gone: 1\r\n\r\n"
            )
            response = await client.response()
            assert (response.body, response.headers["x-route"]) == (b"hello", "route")
            assert "X-Powered-By" not in response.headers
    targets = [request.split(b" ")[1] for request in backend.requests]
    assert targets == [b"/v2/a%2Fb?x=%20", b"/v2/c", b"/v2/other", b"/v2/d?y"]
    first = backend.requests[0].split(b"\r\n")
    assert first[1:] == [
        b"x-client: 127.0.0.1 /s/api/a%2Fb",
        b"host: inner.example",
        b"x-forwarded-for: 127.0.0.1",
        b"x-forwarded-proto: http",
        b"x-forwarded-host: outer.example",
        b"via: 1.1 penstock",
        b"",
        b"",
    ]


async def test_changed_headers_alone_leave_the_target_as_it_was_sent(passing: Any) -> None:
    """
    Also with a body, and under a root path.
    """
    backend = Backend(hello)
    edits = EditsSpec(request=(("add", "x-a", "1"),))

    async def hears(visit: Visit) -> None:
        head = await visit.head()
        assert await visit.reader.readexactly(3) == b"abc"
        await visit.say(HELLO)
        assert b"\r\nx-a: 1\r\n" in head

    backend = Backend(hears)
    async with passing(backend, routes=[route(edits)], root_path="/s") as gateway:
        await gateway.ask(b"POST /a%2Fb?c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
    assert [request.split(b" ")[1] for request in backend.requests] == [b"/a%2Fb?c"]


@pytest.mark.parametrize("path", [b"/api/../admin", b"/api/%2e%2e/admin"])
async def test_a_path_that_could_lead_out_of_the_prefix_does_not_reach_a_server(
    passing: Any, path: bytes
) -> None:
    """
    Servers resolve it after we have put it together.
    """
    backend = Backend(hello)
    async with passing(backend, routes=[route(EDITS)]) as gateway:
        response = await gateway.ask(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    assert response.status == 400
    assert not backend.requests


async def test_variants_may_pass_requests_on(passing: Any) -> None:
    """
    Each in its own way; and a site that dispatches does not go by C.
    """
    backend = Backend(hello)
    canary = RouteSpec(
        name="canary",
        match=MatchSpec(),
        action=TO_BACKEND,
        cells=ROUTE,
        edits=EditsSpec(rewrite=RewriteSpec(add_prefix="/canary")),
    )
    split = SplitAction(key="header:x-user", variants=((1, ROUTE_TO_BACKEND), (1, canary)))
    routes = [RouteSpec(name="split", match=MatchSpec(), action=split, cells=ROUTE)]
    async with passing(backend, routes=routes) as gateway:
        client = await gateway.client()
        for number in range(60):
            await client.send(b"GET /x HTTP/1.1\r\nHost: h\r\nX-User: %d\r\n\r\n" % (number % 30))
            assert (await client.response()).body == b"hello"
    targets = [request.split(b" ")[1] for request in backend.requests]
    assert set(targets) == {b"/x", b"/canary/x"}
    assert targets[:30] == targets[30:]
