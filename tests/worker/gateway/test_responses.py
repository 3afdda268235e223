"""Responses of servers: what is read, what is refused, and what goes on to the client."""

# ruff: noqa: E501 (a message is one line, however long: it is read against its neighbours)

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.gateway import response_head
from penstock.worker.gateway.response_reader import ResponseReader, UpstreamError
from penstock.worker.limits import UPSTREAM_HEAD_BYTES_MAX
from tests.worker.gateway.strict_responses import framing_of, read_head

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HI = b"Content-Length: 2\r\n\r\nhi"
DATE = b"date: today\r\n"


def fed(data: bytes, *, method: str = "GET", piece: int | None = None, protocols: Any = ()) -> ResponseReader:
    """Read bytes, whole or in pieces."""
    reader = ResponseReader()
    reader.protocols = protocols
    reader.expect(method)
    for at in range(0, len(data), piece or len(data)):
        reader.feed(data[at : at + (piece or len(data))])
        if reader.has_switched:
            reader.surplus += data[at + (piece or len(data)) :]
            break
    return reader


READ = [
    # Status lines of all kinds.
    (b"HTTP/1.1 200\r\n" + HI, 200, b"hi"),
    (b"HTTP/1.1 200 \r\n" + HI, 200, b"hi"),
    (b"HTTP/1.1 299 \xff whatever\r\n" + HI, 299, b"hi"),
    (b"HTTP/1.0 200 OK\r\n" + HI, 200, b"hi"),
    (b"HTTP/1.1 599 ?\r\n" + HI, 599, b"hi"),
    (b"\r\n\r\n" + OK + HI, 200, b"hi"),
    # Bodies.
    (OK + b"Content-Length: 2 \r\n\r\nhi", 200, b"hi"),
    (OK + b"Transfer-Encoding: Chunked\r\n\r\n1;a=b\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 200, b"hi"),
    (b"HTTP/1.1 204 N\r\nContent-Length: 2\r\n\r\n", 204, b""),
    (b"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n", 204, b""),
    (b"HTTP/1.1 304 N\r\nContent-Length: 2\r\n\r\n", 304, b""),
    # Others before it.
    (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: a\r\n\r\n" + OK + HI, 200, b"hi"),
    (OK + b"Upgrade: h2\r\nConnection: Upgrade\r\n" + HI, 200, b"hi"),
]


@pytest.mark.parametrize(("data", "status", "body"), READ, ids=[repr(each[0][:60]) for each in READ])
@pytest.mark.parametrize("piece", [None, 1])
def test_what_is_a_response(data: bytes, status: int, body: bytes, piece: int | None) -> None:
    """
    In whatever pieces it comes.
    """
    reader = fed(data, piece=piece)
    assert (reader.status, reader.take(), reader.is_complete) == (status, body, True)
    assert not reader.is_spoilt


REFUSED = [
    b"HTTP/1.1  200 OK\r\n" + HI,
    b"HTTP/1.1 20 OK\r\n" + HI,
    b"HTTP/1.1 2000 OK\r\n" + HI,
    b"HTTP/1.1 099 OK\r\n" + HI,
    b"HTTP/1.1 600 OK\r\n" + HI,
    b"HTTP/0.9 200 OK\r\n" + HI,
    b"HTTP/2.0 200 OK\r\n" + HI,
    b"ICY 200 OK\r\n\r\n",
    b"http/1.1 200 OK\r\n" + HI,
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    b"HTTP/1.1 200 O\rK\r\n" + HI,
    OK + b"A: b\r\n c\r\n" + HI,  # folded
    OK + b"A: b\0c\r\n" + HI,
    OK + b"A: b\x01c\r\n" + HI,
    OK + b"A: b\rc\r\n" + HI,
    OK + b"A: b\nB: c\r\n" + HI,
    OK + b"A : b\r\n" + HI,
    OK + b": b\r\n" + HI,
    OK + b"A\r\n" + HI,
    OK + b"Content-Length: +2\r\n\r\nhi",
    OK + b"Content-Length: 2, 2\r\n\r\nhi",
    OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    OK + b"Content-Length:\r\n\r\nhi",
    OK + b"Content-Length: 0x2\r\n\r\nhi",
    OK + b"Content-Length: 99999999999999999999999\r\n\r\nhi",
    OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nhi",
    OK + b"Transfer-Encoding: gzip\r\n\r\nhi",
    OK + b"Transfer-Encoding: identity\r\n\r\nhi",
    OK + b"Transfer-Encoding: xchunked\r\n\r\nhi",
    OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    CHUNKED + b"2\nhi\n0\n\n",
    CHUNKED + b"2 \r\nhi\r\n0\r\n\r\n",
    CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n",
    CHUNKED + b"2\r\nhi0\r\n\r\n",
    CHUNKED + b"2\r\nhi!\r\n0\r\n\r\n",
    CHUNKED + b"0\r\nA : b\r\n\r\n",
    b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 101 S\r\n\r\n",
    b"HTTP/1.1 100 C\r\nContent-Length: 2\r\n\r\nhi" + OK + HI,
    b"HTTP/1.1 103 C\r\nTransfer-Encoding: chunked\r\n\r\n" + OK + HI,
    b"HTTP/1.1 103 E\r\n\r\n" * 17 + OK + HI,
    OK + b"X: " + b"x" * UPSTREAM_HEAD_BYTES_MAX + b"\r\n" + HI,
    OK + b"X: y\r\n" * (UPSTREAM_HEAD_BYTES_MAX // 5) + HI,
    CHUNKED + b"0\r\nX: " + b"x" * UPSTREAM_HEAD_BYTES_MAX,
]


@pytest.mark.parametrize("data", REFUSED, ids=[repr(each[:70]) for each in REFUSED])
@pytest.mark.parametrize("piece", [None, 1, 7])
def test_what_is_none(data: bytes, piece: int | None) -> None:
    """
    The syntax is checked by llhttp, and the rest here; nothing of it is passed off as a response.
    """
    if piece == 1 and len(data) > 10_000:
        piece = 1000
    with pytest.raises(UpstreamError):
        fed(data, piece=piece)


@pytest.mark.parametrize(
    "surplus", [b"!", b"garbage\r\n\r\n", OK + HI, b"HTTP/1.1 100 C\r\n\r\n", b"\0", b"\r\nx"]
)
@pytest.mark.parametrize("end", [b"", b"Connection: close\r\n"])
def test_what_comes_behind_a_response_is_thrown_away_with_its_connection(surplus: bytes, end: bytes) -> None:
    """
    It takes nothing from the response, and is nobody's.
    """
    reader = fed(OK + end + HI + surplus)
    assert (reader.is_complete, reader.take()) == (True, b"hi")
    assert reader.is_spoilt or not reader.keep_alive


@pytest.mark.parametrize("piece", [None, 1])
def test_a_switch_that_was_asked_for(piece: int | None) -> None:
    """
    What comes with it is in the other protocol.
    """
    head = b"HTTP/1.1 101 S\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\n"
    reader = fed(b"HTTP/1.1 103 E\r\n\r\n" + head + b"HTTP", piece=piece, protocols={b"websocket"})
    assert reader.has_switched
    assert reader.surplus == b"HTTP"
    assert len(reader.interims) == 1


def test_small_chunks_without_end_are_no_offence() -> None:
    """
    Only what is no body is counted, and anew with each piece of one.
    """
    reader = fed(CHUNKED)
    for _ in range(UPSTREAM_HEAD_BYTES_MAX // 2):
        for piece in (b"1\r", b"\n", b"x", b"\r\n"):
            reader.feed(piece)
        assert reader.take() == b"x"


def composed(headers: list[tuple[bytes, bytes]], status: int = 200, **others: Any) -> bytes:
    arguments: dict[str, Any] = {
        "method": "GET",
        "is_http10": False,
        "content_length": 2,
        "must_close": False,
        "date": DATE,
    }
    passed = response_head.passed_headers(headers, b"1.1 penstock", status)
    return response_head.compose(status, passed, **{**arguments, **others})[0]


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        ([(b"Server", b"a"), (b"Date", b"b")], [b"Server: a", b"Date: b", b"via: 1.1 penstock"]),
        ([(b"Connection", b"close, X-A"), (b"X-A", b"1"), (b"Keep-Alive", b"1")], [b"via: 1.1 penstock", b"date: today"]),
        ([(b"Connection", b"Date, Content-Length, Via"), (b"Date", b"b")], [b"Date: b", b"via: 1.1 penstock"]),
        ([(b"Via", b"1.0 a"), (b"VIA", b"1.1 b")], [b"via: 1.0 a, 1.1 b, 1.1 penstock", b"date: today"]),
        ([(b"Upgrade", b"h2"), (b"Trailer", b"X"), (b"Proxy-Authenticate", b"x")], [b"via: 1.1 penstock", b"date: today"]),
        ([(b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")], [b"Set-Cookie: a", b"Set-Cookie: b", b"via: 1.1 penstock", b"date: today"]),
    ],
)  # fmt: skip
def test_what_a_client_sees(headers: list[tuple[bytes, bytes]], lines: list[bytes]) -> None:
    """
    Everything but what concerns a hop.
    """
    assert composed(headers).split(b"\r\n")[1:-3] == lines


def test_an_upgrade_that_is_required_is_told() -> None:
    """
    A 426 without it tells nothing.
    """
    head = composed([(b"Upgrade", b"TLS/1.0"), (b"Connection", b"upgrade")], 426)
    assert b"\r\nupgrade: TLS/1.0\r\nconnection: upgrade\r\n" in head


def test_trailers_are_those_that_may_come_late() -> None:
    """
    None that would have changed what the body is, and not too many.
    """
    trailers = [(b"Grpc-Status", b"0"), (b"Content-Length", b"1"), (b"Set-Cookie", b"a"), (b"Via", b"x")]
    assert response_head.compose_trailers(trailers) == b"0\r\nGrpc-Status: 0\r\n\r\n"
    assert response_head.compose_trailers([(b"x", b"x" * 9000)]) == b"0\r\n\r\n"


response_names = st.one_of(
    st.sampled_from(
        [
            *(
                b"Connection",
                b"Content-Length",
                b"Transfer-Encoding",
                b"Trailer",
                b"Via",
                b"Date",
                b"Upgrade",
            ),
            *(b"Keep-Alive", b"X-A", b"Content-Type", b"Proxy-Connection", b"TE", b"x_a"),
        ]
    ),
    st.from_regex(rb"\A[!#$%&'*+.^_`|~0-9A-Za-z-]{1,6}\Z"),
)
response_values = st.one_of(
    st.sampled_from([b"close", b"x-a", b"0", b"2", b"chunked", b"gzip", b"date, content-length", b"h2"]),
    st.from_regex(rb"\A[\t\x20-\x7e\x80-\xff]{0,10}\Z"),
    st.binary(max_size=6),
)


@given(
    headers=st.lists(st.tuples(response_names, response_values), max_size=6),
    status=st.sampled_from([b"200", b"204", b"304", b"404", b"426", b"500", b"103", b"099", b"600"]),
    version=st.sampled_from([b"1.0", b"1.1"]),
    method=st.sampled_from(["GET", "HEAD"]),
    is_http10=st.booleans(),
    body=st.sampled_from([b"", b"hi", b"2\r\nhi\r\n0\r\n\r\n", b"2\r\nhi\r\n0\r\nX: y\r\n\r\n", b"zz"]),
)
def test_no_head_of_ours_is_read_differently_by_a_client(  # noqa: PLR0917
    headers: list[tuple[bytes, bytes]],
    status: bytes,
    version: bytes,
    method: str,
    is_http10: bool,
    body: bytes,
) -> None:
    """
    Whatever a server sends that is taken for a response, its client reads one head, and the same body.
    """
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    reader = ResponseReader()
    reader.expect(method)
    try:
        reader.feed(b"HTTP/%b %b OK\r\n%b\r\n%b" % (version, status, lines, body))
    except UpstreamError:
        return
    for number, interim in reader.interims:
        for name, _ in response_head.passed_headers(interim, b"1.1 penstock"):
            assert name.lower() not in {b"content-length", b"transfer-encoding", b"connection", b"upgrade"}
        assert 100 <= number < 200
    if not reader.is_head_complete:
        return
    piece = reader.take()
    length = len(piece) if reader.is_complete else reader.content_length
    head, framing, must_close = response_head.compose(
        reader.status,
        response_head.passed_headers(reader.headers, b"1.1 penstock", reader.status),
        method=method,
        is_http10=is_http10,
        content_length=length,
        must_close=False,
        date=DATE,
    )
    found, fields = read_head(head)
    assert found == reader.status
    kind = framing_of(method, found, fields)
    if framing.is_silent:
        assert kind == "none"
    elif framing.is_chunked:
        assert kind == "chunked"
        assert not is_http10
    elif framing.left is not None:
        assert kind == framing.left == length
    else:
        assert kind == "close"
        assert must_close
    said = [value for name, value in fields if name == b"connection"]
    allowed = {b"close", b"keep-alive"} | ({b"upgrade"} if found == 426 else set())
    assert set(said) <= allowed
    sent = {name for name, _ in fields}
    assert not sent & {b"keep-alive", b"trailer", b"te", b"proxy-connection"}
    assert sum(name == b"via" for name, _ in fields) == 1
