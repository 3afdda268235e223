"""Headers that are made here for each request reach the server, one with each."""

import re
from typing import Any

import pytest

from penstock.worker.gateway.own_headers import let_own_headers
from penstock.worker.http.request_ids import RequestIds
from penstock.worker.spec import RequestIdSpec
from tests.worker.gateway.conftest import Backend, Passing
from tests.worker.gateway.test_passage import hello

HEAD = b"GET / HTTP/1.1\r\nHost: shop\r\nX-One: 1\r\n"


def name_requests(gateway: Passing, *, trust: bool = True) -> None:
    ids = RequestIds(RequestIdSpec(header="X-Request-ID", trust=trust))
    gateway.site.watch_requests(opening=ids.open)
    let_own_headers(gateway.site.routes, ids.header)


def ids_in(requests: list[bytes]) -> list[bytes]:
    found = [re.findall(rb"\r\nx-request-id: (.*)\r\n", request) for request in requests]
    assert all(len(each) == 1 for each in found), requests
    return [each[0] for each in found]


async def test_each_request_has_its_own_id(passing: Any) -> None:
    """
    Also when its head is one that has come before, of which all else is remembered.
    """
    backend = Backend(hello)
    async with passing(backend) as gateway:
        name_requests(gateway)
        client = await gateway.client()
        told = []
        for _ in range(6):
            await client.send(HEAD + b"\r\n")
            told.append((await client.response()).headers["x-request-id"].encode())
    found = ids_in(backend.requests)
    assert found == told
    assert len(set(found)) == 6
    assert {re.sub(rb"x-request-id: .*\r\n", b"", request) for request in backend.requests} == {
        b"GET / HTTP/1.1\r\nx-one: 1\r\nhost: shop\r\nx-forwarded-for: 127.0.0.1\r\n"
        b"x-forwarded-proto: http\r\nx-forwarded-host: shop\r\nvia: 1.1 penstock\r\n\r\n"
    }


@pytest.mark.parametrize(("trust", "kept"), [(True, 3), (False, 0)])
async def test_an_id_that_came_is_kept_or_replaced(passing: Any, trust: bool, kept: int) -> None:
    """
    As for an app, and the same head may come with and without.
    """
    backend = Backend(hello)
    async with passing(backend) as gateway:
        name_requests(gateway, trust=trust)
        client = await gateway.client()
        for own in (b"X-Request-ID: mine\r\n", b"", b"X-Request-ID: mine\r\n", b"X-Request-ID: mine\r\n"):
            await client.send(HEAD + own + b"\r\n")
            await client.response()
    found = ids_in(backend.requests)
    assert found.count(b"mine") == kept
    assert len(set(found)) == (2 if trust else 4)


async def test_nobody_can_have_it_taken_off(passing: Any) -> None:
    """
    What Connection names goes before ours come.
    """
    backend = Backend(hello)
    async with passing(backend) as gateway:
        name_requests(gateway)
        for _ in range(3):
            await gateway.ask(HEAD + b"Connection: X-Request-ID, X-One\r\n\r\n")
    assert len(set(ids_in(backend.requests))) == 3
    assert not any(b"x-one" in request for request in backend.requests)


async def test_what_clients_send_of_a_trace_passes_untouched(passing: Any) -> None:
    """
    Without tracing the gateway is no part of it.
    """
    backend = Backend(hello)
    async with passing(backend) as gateway:
        client = await gateway.client()
        for _ in range(4):
            await client.send(HEAD + b"Traceparent: 00-1-2-3\r\nTracestate: a=1\r\nTracestate: b=2\r\n\r\n")
            await client.response()
    for request in backend.requests:
        assert b"traceparent: 00-1-2-3\r\ntracestate: a=1\r\ntracestate: b=2\r\n" in request
