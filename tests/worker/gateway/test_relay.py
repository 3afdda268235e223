"""The usual request in C: what comes out is what Python makes of it, and Python takes over at any point."""

import asyncio
import gc
import os
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.shm.counting import PURE
from penstock.worker.gateway import link as links
from penstock.worker.gateway import native, relay, request_head, response_head
from penstock.worker.gateway.errand import Errand, tail_of
from penstock.worker.gateway.origin import Origin
from penstock.worker.gateway.passage import Passage
from penstock.worker.gateway.response_reader import ResponseReader, UpstreamError
from penstock.worker.gateway.terms import TermsSpec, terms_for
from penstock.worker.http.head import HeadParser
from tests.worker.gateway.conftest import Backend, Visit
from tests.worker.gateway.test_passage import GET, HELLO, hello

TERMS = terms_for(TermsSpec(), "10.0.0.1:9000")
VIA_LINE = b"via: 1.1 penstock\r\n"

# Where counting is in Python, all requests go through Python, and there is no C to compare it with.
IS_PURE = os.environ.get(PURE, "0") not in {"", "0"}
in_c = pytest.mark.skipif(IS_PURE, reason="PENSTOCK_PURE=1: nothing goes through C")

NAMES = st.sampled_from(
    b"Server|X-A|date|Date|Content-Length|Connection|Keep-Alive|Via|TE|Set-Cookie|Transfer-Encoding|Upgrade|"
    b"Proxy-Authenticate|Proxy-Authentication-Info|X_b|X b||\xe4|Content-Lengt".split(b"|")
)
VALUES = st.sampled_from(
    b"5|0|05|+5|5, 5|close|keep-alive|Keep-Alive|x|| |\t x \t|a\rb|a\nb|a\0b|\xe4|chunked|"
    b"11111111111111111111|\x7f|a: b".split(b"|")
)
LINES = st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b" :", b""]), VALUES), max_size=6)
STARTS = st.sampled_from(
    b"HTTP/1.1 200 OK|HTTP/1.1 200|HTTP/1.1 200 |HTTP/1.0 200 OK|HTTP/1.1 204 No|HTTP/1.1 304 N|"
    b"HTTP/1.1 101 S|HTTP/1.1 99 S|HTTP/1.1 503 Very \xe4|HTTP/1.1 2000 OK|HTTP/2.0 200 OK|x|"
    b"HTTP/1.1  200 OK|HTTP/1.1 200\tOK|HTTP/1.1 200 O\x01K|HTTP/1.1 404 Not Found".split(b"|")
)


def reference(head: bytes) -> tuple[int, int, bytes]:
    """Make what the client gets of a whole head, in Python; raises UpstreamError."""
    reader = ResponseReader()
    reader.feed(head)
    assert reader.is_head_complete
    assert reader.keep_alive
    assert reader.content_length is not None
    output, _, must_close = response_head.compose(
        reader.status,
        response_head.passed_headers(reader.headers, b"1.1 penstock"),
        method="GET",
        is_http10=False,
        content_length=reader.content_length,
        must_close=False,
        date=b"date: ours\r\n",
    )
    assert not must_close
    return reader.status, reader.content_length, output


@in_c
@given(STARTS, LINES)
def test_a_head_is_composed_as_in_python_or_left_to_it(
    start: bytes, lines: list[tuple[bytes, bytes, bytes]]
) -> None:
    """
    Whatever a server sends: C makes the same bytes, or nothing.
    """
    head = b"".join([start, b"\r\n", *(b"".join(line) + b"\r\n" for line in lines), b"\r\n"])
    found = native.compose(head, VIA_LINE)
    if found is not None:
        assert found == reference(head)


@in_c
def test_a_usual_head_is_not_left_to_python() -> None:
    """
    Or the test above would say nothing.
    """
    head = HELLO.removesuffix(b"hello")
    assert native.compose(head, VIA_LINE) == reference(head)
    lines = b"HTTP/1.1 404 Nope|date: x|connection: Keep-Alive|KEEP-ALIVE: 5|content-length:7|Set-Cookie: a||"
    head = lines.replace(b"|", b"\r\n")
    assert native.compose(head, VIA_LINE) == reference(head)


REQUEST_LINES = st.sampled_from(
    b"GET / HTTP/1.1|GET /a?b=%20 HTTP/1.1|POST /a HTTP/1.1|DELETE /a?b HTTP/1.1|HEAD / HTTP/1.1|"
    b"GET / HTTP/1.0|GET  / HTTP/1.1|GET /a#b HTTP/1.1|GET /\xe4 HTTP/1.1|GET /a\tb HTTP/1.1|get / HTTP/1.1|"
    b"GET * HTTP/1.1|GET http://a/ HTTP/1.1|OPTIONS * HTTP/1.1|G / HTTP/1.1| / HTTP/1.1|GET / HTTP/1.1 |"
    b"GET /a HTTP/1.1x".split(b"|")
)
REQUEST_NAMES = st.sampled_from(
    b"Host|HOST|host|X-A|x_b|Accept|Cookie|Connection|Content-Length|Transfer-Encoding|TE|Upgrade|Expect|Via|"
    b"X-Forwarded-For|x-forwarded-proto|X-Forwarded-Port|X-Real-IP|True-Client-Ip|Forwarded|Proxy-Authorization|Proxy-X|Keep-Alive|Trailer|Max-Forwards|"
    b"HTTP2-Settings|X b|\xe4||:".split(b"|")
)
REQUEST_VALUES = st.one_of(
    VALUES,
    st.sampled_from(
        b"shop|shop:80|shop:|shop:99999|[::1]|a,b|a b|127.0.0.1:8000|SHOP|a_b|%41|a@b|100-continue".split(
            b"|"
        )
    ),
)
REQUESTS = st.lists(
    st.tuples(REQUEST_NAMES, st.sampled_from([b":", b": ", b" :", b""]), REQUEST_VALUES), max_size=6
)


@in_c
@given(REQUEST_LINES, st.booleans(), REQUESTS)
def test_a_request_is_composed_as_in_python_or_left_to_it(
    line: bytes, has_host: bool, lines: list[tuple[bytes, bytes, bytes]]
) -> None:
    """
    What C takes Python would have taken, and made the same of.
    """
    host = [b"Host: shop\r\n"] if has_host else []
    head = b"".join([line, b"\r\n", *host, *(b"".join(each) + b"\r\n" for each in lines), b"\r\n"])
    found = native.request(head, tail_of(TERMS, "http"), "10.0.0.1", 5)
    if found is not None:
        method, target, headers, host_name, framing = HeadParser(5).parse(head)
        assert framing is None
        composed, is_lasting = request_head.compose(
            headers,
            Origin("10.0.0.1", scheme="http"),
            TERMS,
            method=method,
            version="1.1",
            authority=b"",
            is_chunked=False,
        )
        assert is_lasting
        assert found == (host_name, method.encode() + b" " + target + b" " + composed)


@in_c
def test_a_usual_request_is_not_left_to_python() -> None:
    """
    Or the test above would say nothing.
    """
    head = b"GET /a?b=1 HTTP/1.1|HOST: Shop:80|X-A:  b |x_c: d|Connection: Keep-Alive|Cookie: \xe4||".replace(
        b"|", b"\r\n"
    )
    assert native.request(head, tail_of(TERMS, "https"), "::1", 5) == (
        b"Shop:80",
        b"GET /a?b=1 HTTP/1.1\r\nx-a: b\r\ncookie: \xe4\r\nhost: Shop:80\r\nx-forwarded-for: ::1\r\n"
        b"x-forwarded-proto: https\r\nx-forwarded-host: Shop:80\r\nvia: 1.1 penstock\r\n\r\n",
    )


@in_c
@pytest.mark.parametrize(
    "terms",
    [
        TermsSpec(via=None),
        TermsSpec(via="edge", host="inner:80"),
        TermsSpec(forwarded="none"),
        TermsSpec(host="upstream", forwarded="none", via=None),
    ],
)
def test_other_terms_are_kept_as_well(terms: TermsSpec) -> None:
    """
    Whatever an upstream is told, and whatever Penstock is called there.
    """
    made = terms_for(terms, "10.0.0.1:9000")
    headers = [(b"host", b"shop"), (b"x-a", b"b")]
    composed, _ = request_head.compose(
        headers,
        Origin("10.0.0.9", scheme="http"),
        made,
        method="GET",
        version="1.1",
        authority=b"",
        is_chunked=False,
    )
    head = b"GET / HTTP/1.1\r\nHost: shop\r\nX-A: b\r\n\r\n"
    found = native.request(head, tail_of(made, "http"), "10.0.0.9", 5)
    assert found == (b"shop", b"GET / " + composed)
    hop = made.via("1.1")
    response = native.compose(HELLO.removesuffix(b"hello"), b"via: " + hop + b"\r\n" if hop else b"")
    assert response is not None
    assert (b"\r\nvia: " + hop in response[2]) == bool(hop)
    assert (b"via" in response[2]) == bool(hop)


async def test_heads_that_c_cannot_make_are_made_by_python(passing: Any) -> None:
    """
    Forwarded has rules of its own for addresses, and each server may be asked by its own name.
    """
    for terms, count in ((TermsSpec(forwarded="both"), 1), (TermsSpec(host="upstream"), 2)):
        backends = [Backend(hello) for _ in range(count)]
        async with passing(*backends, terms=terms) as gateway:
            assert gateway.site.only_route.errand is None
            await prepared(gateway)


@in_c
@given(st.binary(max_size=60))
def test_any_bytes_are_no_head(data: bytes) -> None:
    """
    Nor do they do any harm.
    """
    # Among any bytes are those of whole heads, of which others tell what becomes of them.
    is_whole = data.endswith(b"\r\n\r\n")
    assert native.compose(data, VIA_LINE) is None or is_whole
    assert native.request(data, (), "", 5) is None or is_whole
    assert native.compose(HELLO[:-9] + data, VIA_LINE) is None or is_whole


async def conversation(passing: Any) -> tuple[list[bytes], list[Any], list[int]]:
    """Ask for several things on two connections; give what the server and the clients got, and the cells."""
    backend = Backend(hello)
    async with passing(backend, idle_max=1) as gateway:
        clients = [await gateway.client(), await gateway.client()]
        answers = []
        for target in (b"/x?a=1", b"/x?a=1", b"/", b"/a/../b", b"/a/b.c", b"/%41", b"/x?a=1"):
            for method in (b"GET", b"DELETE", b"HEAD"):
                for client in clients:
                    await client.send(method + b" " + target + b" HTTP/1.1\r\nHost: shop\r\nX-A: b\r\n\r\n")
                    answers.append(await client.response(to_head=method == b"HEAD"))
        gateway.site.flush()
        cells = gateway.site._cells.tolist()
        counts = cells[8:12]  # by class
        assert gateway.site.received_bytes == gateway.site.sent_bytes == 0
        return backend.requests, answers, [*cells[:3], *counts]


@in_c
async def test_what_is_said_is_the_same_in_both(passing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Requests, responses and numbers; and most of them did go through C.
    """
    begun: list[bool] = []
    finished: list[bool] = []

    def begin(connection: Any, data: bytes) -> bool:
        begun.append(native.begin(connection, data))
        return begun[-1]

    def finish(link: Any, data: bytes) -> bool:
        finished.append(native.finish(link, data))
        return finished[-1]

    monkeypatch.setattr(relay, "begin", begin)
    monkeypatch.setattr(links, "finish", finish)
    natively = await conversation(passing)
    assert sum(begun) >= 12
    assert sum(finished) >= 12
    monkeypatch.setattr(relay, "begin", lambda *_: False)
    monkeypatch.setattr(links, "finish", lambda *_: False)
    assert await conversation(passing) == natively


async def prepared(gateway: Any) -> Any:
    """Give a client whose next request goes through C."""
    client = await gateway.client()
    for _ in range(3):
        await client.send(GET)
        assert (await client.response()).status == 200
    return client


async def stumbling(visit: Visit, *words: bytes) -> None:
    """Answer three requests, and the fourth of the first connection otherwise."""
    for _ in range(3):
        await visit.head()
        await visit.say(HELLO)
    await visit.head()
    if visit.number == 0:
        for word in words:
            await visit.say(word)
    else:
        await visit.say(HELLO)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((), 200),  # A stale connection: it is asked again on a new one.
        ((b"HTTP/1.1 200 O",), 502),
        ((b"rubbish",), 502),
        ((HELLO[:-2],), 0),
        ((HELLO[:20], HELLO[20:]), 200),
        ((b"HTTP/1.1 200 OK\r\n\r\nuntil the end",), 200),
        ((b"HTTP/1.1 204 No\r\nDate: x\r\n\r\n",), 204),
        ((HELLO.replace(b"Date: today\r\n", b""),), 200),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",), 200),
    ],
)
async def test_python_takes_over_when_the_response_is_not_usual(
    passing: Any, words: tuple[bytes, ...], status: int
) -> None:
    """
    At any point: what was left out to be quick is made up for.
    """

    async def script(visit: Visit) -> None:
        if visit.number == 0:
            await stumbling(visit, *words)
        else:
            await hello(visit)

    async with passing(Backend(script), retry_attempts=0) as gateway:
        client = await prepared(gateway)
        await client.send(GET)
        if status == 0:
            assert not (await client.rest()).endswith(b"hello")  # It is cut, and looks cut.
        else:
            assert (await client.response()).status == status


async def silent(visit: Visit) -> None:
    """Answer three requests on the first connection, and nothing any more."""
    for _ in range(0 if visit.number else 3):
        await visit.head()
        await visit.say(HELLO)
    await visit.reader.read()


async def test_a_client_that_goes_lets_go_of_the_server(passing: Any) -> None:
    """
    The scope is made when somebody asks what was going on.
    """
    described: list[str] = []

    async with passing(Backend(silent)) as gateway:
        client = await prepared(gateway)
        await client.send(GET)
        await gateway.until(gateway.site.exchanges)
        (exchange,) = gateway.site.exchanges()
        assert type(exchange) is (Passage if IS_PURE else Errand)
        described.append(exchange.describe())
        assert exchange.scope["path"] == "/x"
        assert exchange.scope["query_string"] == b"a=1"
        assert exchange.scope["headers"] == [(b"host", b"shop")]
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
        await gateway.until(lambda: not gateway.site.exchanges())
        await gateway.until(lambda: gateway.upstream.pools[0].open_count == 0)
    assert described[0].startswith("GET /x?a=1 (")


async def test_a_server_that_says_nothing_is_a_504(passing: Any) -> None:
    """
    The deadline of a link holds for what C has sent as well.
    """
    async with passing(Backend(silent), first_byte_timeout_s=5.0, retry_attempts=0) as gateway:
        client = await prepared(gateway)
        await client.send(GET)
        await gateway.until(gateway.site.exchanges)
        answer = asyncio.create_task(client.response())
        await gateway.until(lambda: answer.done() or gateway.pass_time(7.0))
        assert answer.result().status == 504


async def test_errands_are_forgotten(passing: Any) -> None:
    """
    C counts references by hand: none may be one too many.
    """
    async with passing(Backend(hello)) as gateway:
        client = await prepared(gateway)
        gc.collect()
        before = sum(type(each) is Errand for each in gc.get_objects())
        for _ in range(300):
            await client.send(GET)
            await client.response()
        gc.collect()
        assert sum(type(each) is Errand for each in gc.get_objects()) == before


def test_what_is_no_gateway_is_left_alone() -> None:
    """
    C looks at what it is given before it looks into it.
    """
    for nothing in (None, 1, object(), [], b"x"):
        assert not native.begin(nothing, GET)
        assert not native.finish(nothing, HELLO)
    with pytest.raises(UpstreamError):
        reference(b"x\r\n\r\n")


async def test_servers_have_their_turns_whether_they_have_a_connection_or_not(passing: Any) -> None:
    """
    A choice that C can do nothing with is not lost: of two in turn one would never get a connection.
    """
    servers = [Backend(hello), Backend(hello)]
    async with passing(*servers, balance="round_robin") as gateway:
        client = await gateway.client()
        for _ in range(8):
            await client.send(GET)
            assert (await client.response()).status == 200
    assert [len(server.requests) for server in servers] == [4, 4]


async def test_a_request_that_fails_goes_to_the_other_server(passing: Any) -> None:
    """
    Also if it was C that chose the first.
    """

    async def answers_once(visit: Visit) -> None:
        await visit.head()
        await visit.say(HELLO)
        await visit.head()
        await visit.say(b"HTTP/1.1 200")  # and that is all

    servers = [Backend(answers_once), Backend(hello)]
    async with passing(*servers, balance="round_robin") as gateway:
        client = await gateway.client()
        for _ in range(6):
            await client.send(GET)
            assert (await client.response()).status == 200
    assert len(servers[1].requests) > 3
