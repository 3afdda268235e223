"""The shared head parser: no message leaves anything behind for the next."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.http.head import HeadParser, RequestError
from penstock.worker.http.partial import judge_partial

PLAIN = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"

PARTS = (
    b"GET / HTTP/1.1\r\n",
    b"POST /x HTTP/1.0\r\n",
    b"Host: a\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Proxy-Connection: close\r\n",
    b"Proxy-Connection: upgrade\r\n",
    b"Connection: upgrade\r\nUpgrade: x\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b":",
    b"5\r\nhello\r\n0\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x00",
    b"\xff",
)


def warmed_up() -> HeadParser:
    """Make a parser that knows the usual Host."""
    parser = HeadParser(100)
    parser.parse(PLAIN)
    return parser


@given(st.lists(st.sampled_from(PARTS), max_size=8))
def test_whatever_was_parsed_before_the_next_head_is_read_as_if_alone(parts: list[bytes]) -> None:
    """
    One parser serves all clients: what one sends must never become a part of
    what another is taken to have sent.
    """
    parser = warmed_up()
    data = b"".join(parts) + b"\r\n\r\n"
    # The scan is for what says HTTP/1.1.
    for read, before in ((parser.scan, b"GET / HTTP/1.1\r\n"), (parser.parse, b"")):
        whole = before + data
        for head in (whole[: whole.index(b"\r\n\r\n") + 4], whole):
            with contextlib.suppress(RequestError):
                read(head)
            assert parser.scan(PLAIN) == [(b"host", b"a"), (b"x", b"y")]
            assert parser.host == b"a"
            with contextlib.suppress(RequestError):
                read(head)
            method, target, headers, host, framing = parser.parse(PLAIN)
            assert (method, target, host, framing) == ("GET", b"/", b"a", None)
            assert headers == [(b"host", b"a"), (b"x", b"y")]


@given(st.lists(st.sampled_from(PARTS), max_size=8))
def test_what_the_scan_takes_the_parser_takes_alike(parts: list[bytes]) -> None:
    """
    The quick way may refuse to judge, but never judges differently.
    """
    parser = warmed_up()
    data = b"GET / HTTP/1.1\r\n" + b"".join(parts) + b"\r\n"
    headers = parser.scan(data)
    if headers is not None:
        assert data.index(b"\r\n\r\n") + 4 == len(data.rstrip(b"\r\n")) + 4
        assert parser.parse(data[: data.index(b"\r\n\r\n") + 4])[2:] == (headers, b"a", None)


@pytest.mark.parametrize(
    "head",
    [
        PLAIN + PLAIN,
        b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
    ],
)
def test_scan_leaves_all_but_the_plain_case_to_the_parser(head: bytes) -> None:
    """
    None means "look closely".
    """
    parser = warmed_up()
    assert parser.scan(head) is None
    assert parser.scan(PLAIN) is not None


@pytest.mark.parametrize("connection", [b"keep-alive", b"Keep-Alive"])
def test_keep_alive_is_plain(connection: bytes) -> None:
    """
    Half the clients of the world say it.
    """
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: %b\r\n\r\n" % connection
    assert warmed_up().scan(head) == [(b"host", b"a"), (b"connection", connection)]


@given(
    st.sampled_from([b"GET / HTTP/1.1\r\nHost: a\r\n", b"PROPFIND /a?b HTTP/1.0\r\nX: y\r\n"]),
    st.integers(1, 40),
)
def test_beginning_of_a_good_head_is_never_hopeless(head: bytes, size: int) -> None:
    """
    Wherever it is cut.
    """
    judge_partial(head[:size])


@pytest.mark.parametrize("value", [b"close", b"upgrade", b"keep-alive, close", b"Close"])
def test_proxy_connection_of_one_client_does_not_end_the_next_ones(value: bytes) -> None:
    """
    Llhttp takes it for Connection, and one that has read "close" refuses whatever comes next.
    """
    parser = warmed_up()
    head = b"GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: %b\r\n\r\n" % value
    assert parser.scan(head) is None
    assert parser.parse(PLAIN)[0] == "GET"
    assert parser.parse(head)[4] is None
    assert parser.parse(PLAIN)[0] == "GET"


@pytest.mark.parametrize("more", [b"\n\r\n\r\n", b"\r\r\n\r\n", b"\r\n\n\r\n\r\n", b"\r\n\r\n"])
def test_scan_leaves_newlines_after_a_head_to_others(more: bytes) -> None:
    """
    Llhttp skips them in silence, whatever they are.
    """
    assert warmed_up().scan(PLAIN + more) is None
