"""The head of a request on its way to a server, and that nobody behind reads it differently."""

# ruff: noqa: E501 (a message is one line, however long: it is read against its neighbours)

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.gateway.origin import Origin
from penstock.worker.gateway.request_head import Looping, compose
from penstock.worker.gateway.terms import Forwarded, TermsSpec, terms_for
from penstock.worker.http.head import HeadParser, RequestError
from penstock.worker.limits import VIA_TURNS_MAX
from tests.fuzz.strict_reading import read

TERMS = terms_for(TermsSpec(), "10.0.0.1:9000")
PEER = Origin("192.0.2.7", scheme="http")
PROXY = Origin("10.0.0.9", "192.0.2.7", scheme="https", own_scheme="http", family="x-forwarded")
OTHER_PROXY = Origin("10.0.0.9", "2001:db8::7", scheme="https", own_scheme="http", family="forwarded")
SOCKET = Origin(None, scheme="http")
BEHIND_SOCKET = Origin(None, "192.0.2.7", scheme="https", own_scheme="http", family="x-forwarded")

# What a hop keeps for itself.
HOP_BY_HOP = {
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authorization",
    b"proxy-authenticate",
    b"trailer",
    b"http2-settings",
    b"expect",
}


def fields(
    *headers: tuple[bytes, bytes],
    origin: Origin = PEER,
    terms: Any = TERMS,
    method: str = "GET",
    version: str = "1.1",
    is_chunked: bool = False,
    offers: tuple[bytes, ...] = (),
) -> list[bytes]:
    """Compose, and return the lines without the request line."""
    head, _ = compose(
        [(b"host", b"shop"), *headers],
        origin,
        terms,
        method=method,
        version=version,
        authority=b"10.0.0.1:9000",
        is_chunked=is_chunked,
        offers=offers,
    )
    assert head.startswith(b"HTTP/1.1\r\n")
    assert head.endswith(b"\r\n\r\n")
    return head.split(b"\r\n")[1:-2]


def by(**changes: Any) -> Any:
    return terms_for(TermsSpec(**changes), "10.0.0.1:9000")


USUAL = [b"host: shop", b"x-forwarded-for: 192.0.2.7", b"x-forwarded-proto: http", b"x-forwarded-host: shop"]
OURS = [*USUAL, b"via: 1.1 penstock"]


@pytest.mark.parametrize(
    ("headers", "passed"),
    [
        # One hop's business.
        ([(b"connection", b"close, x-a"), (b"x-a", b"1"), (b"x-b", b"2")], [b"x-b: 2"]),
        ([(b"connection", b"X-A"), (b"connection", b"x-b,"), (b"x-a", b"1"), (b"x-b", b"2")], []),
        ([(b"keep-alive", b"timeout=5"), (b"proxy-connection", b"close")], []),
        ([(b"proxy-authorization", b"Basic x"), (b"authorization", b"Basic y")], [b"authorization: Basic y"]),
        ([(b"upgrade", b"h2c"), (b"connection", b"upgrade, http2-settings"), (b"http2-settings", b"A")], []),
        ([(b"trailer", b"x"), (b"expect", b"100-continue")], []),
        # Ours cannot be taken off, nor a body's length.
        ([(b"connection", b"host, via, x-forwarded-for, x-forwarded-proto, forwarded")], []),
        ([(b"connection", b"content-length"), (b"content-length", b"5")], [b"content-length: 5"]),
        # What only looks like ours.
        ([(b"x_forwarded_for", b"6.6.6.6"), (b"x_real_ip", b"6.6.6.6"), (b"content_length", b"1")], []),
        ([(b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", b"for=6.6.6.6")], []),
        ([(b"x-forwarded-host", b"evil"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-port", b"1")], []),
        ([(b"x-forwarded-prefix", b"/a"), (b"x-real-ip", b"6.6.6.6"), (b"true-client-ip", b"6.6.6.6")], []),
        # Lengths.
        ([(b"content-length", b"0")], [b"content-length: 0"]),
    ],
)
def test_what_is_passed_on_and_what_is_not(headers: list[tuple[bytes, bytes]], passed: list[bytes]) -> None:
    """
    Only what concerns the server, and nothing that it would take for our word.
    """
    assert fields(*headers) == [*passed, *OURS]


@pytest.mark.parametrize(
    ("origin", "headers", "forwarded", "expected"),
    [
        (PEER, [], "x-forwarded", USUAL[1:]),
        (PEER, [], "none", []),
        (PEER, [], "forwarded", [b"forwarded: for=192.0.2.7;host=shop;proto=http"]),
        (PEER, [(b"forwarded", b"for=6.6.6.6")], "both", [*USUAL[1:], b"forwarded: for=192.0.2.7;host=shop;proto=http"]),
        (
            PROXY,
            [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-host", b"a:80")],
            "x-forwarded",
            [b"x-forwarded-for: 6.6.6.6, 192.0.2.7, 10.0.0.9", b"x-forwarded-proto: https", b"x-forwarded-host: a:80"],
        ),
        (
            PROXY,
            [(b"x-forwarded-for", b"192.0.2.7"), (b"forwarded", b"for=6.6.6.6")],  # It speaks the other.
            "forwarded",
            [b"forwarded: for=192.0.2.7;proto=https, for=10.0.0.9;host=shop;proto=http"],
        ),
        (
            OTHER_PROXY,
            [(b"forwarded", b'for="[2001:db8::7]:5"'), (b"x-forwarded-for", b"6.6.6.6")],
            "both",
            [
                b"x-forwarded-for: 2001:db8::7, 10.0.0.9",
                b"x-forwarded-proto: https",
                b"x-forwarded-host: shop",
                b'forwarded: for="[2001:db8::7]:5", for=10.0.0.9;host=shop;proto=http',
            ],
        ),
        (Origin("2001:db8::1", scheme="http"), [], "forwarded", [b'forwarded: for="[2001:db8::1]";host=shop;proto=http']),
        (SOCKET, [], "both", [b"x-forwarded-proto: http", b"x-forwarded-host: shop", b"forwarded: for=unknown;host=shop;proto=http"]),
        (
            BEHIND_SOCKET,
            [(b"x-forwarded-for", b"192.0.2.7")],
            "x-forwarded",
            [b"x-forwarded-for: 192.0.2.7", b"x-forwarded-proto: https", b"x-forwarded-host: shop"],
        ),
    ],
)  # fmt: skip
def test_who_asks(
    origin: Origin, headers: list[tuple[bytes, bytes]], forwarded: Forwarded, expected: list[bytes]
) -> None:
    """
    A trusted proxy's word is passed on with the proxy behind it; anybody else's is not.
    """
    terms = by(forwarded=forwarded, via=None)
    assert fields(*headers, origin=origin, terms=terms) == [b"host: shop", *expected]


def test_other_claims_are_believed_from_a_trusted_proxy() -> None:
    """
    It is the one who knows.
    """
    headers = ((b"x-real-ip", b"192.0.2.7"), (b"x-forwarded-port", b"443"))
    lines = fields(*headers, origin=PROXY)
    assert lines[:2] == [b"x-real-ip: 192.0.2.7", b"x-forwarded-port: 443"]


def test_which_host_is_asked_for() -> None:
    """
    The client's, the server's or another; what the client asked for is told beside it.
    """
    for host, expected in (("client", b"shop"), ("upstream", b"10.0.0.1:9000"), ("inner", b"inner")):
        lines = fields(terms=by(host=host))
        assert lines[0] == b"host: " + expected
        assert b"x-forwarded-host: shop" in lines
    assert terms_for(TermsSpec(host="upstream"), "unix:/run/x.sock").host == b"localhost"
    # The same object where the head is the same, for heads are remembered by it.
    assert terms_for(TermsSpec(), "a:1") is terms_for(TermsSpec(), "b:1")
    assert terms_for(TermsSpec(host="upstream"), "a:1") is not terms_for(TermsSpec(host="upstream"), "b:1")


def test_via() -> None:
    """
    Each hop adds itself, with the version that it was asked in.
    """
    assert fields((b"via", b"1.0 a"), (b"via", b"1.1 b"))[-1] == b"via: 1.0 a, 1.1 b, 1.1 penstock"
    assert fields(version="1.0", terms=by(via="edge"))[-1] == b"via: 1.0 edge"
    assert fields((b"via", b"1.0 a"), terms=by(via=None))[-1] == b"via: 1.0 a"
    assert fields((b"via", b"1.0 a"), (b"connection", b"via"))[-1] == b"via: 1.1 penstock"


def test_circles_are_found_out() -> None:
    """
    Ten servers of one name in a row are none that anybody has built.
    """
    via = b", ".join([b"1.1 other, 1.1 Penstock (x)"] * (VIA_TURNS_MAX - 1))
    assert fields((b"via", via))
    with pytest.raises(Looping):
        fields((b"via", via), (b"via", b"1.1 penstock"))
    assert fields((b"via", via + b", 1.1 penstock"), terms=by(via="edge"))


def test_forwards_are_counted_for_those_methods_alone() -> None:
    """
    And what was counted is not remembered for another method.
    """
    for method, value, passed in (
        ("TRACE", b"5", b"4"),
        ("OPTIONS", b"1", b"0"),
        ("OPTIONS", b"x", b"x"),
        ("GET", b"5", b"5"),
    ):
        assert b"max-forwards: " + passed in fields((b"max-forwards", value), method=method)
    headers = [(b"host", b"a"), (b"max-forwards", b"5")]
    arguments: dict[str, Any] = {"method": "GET", "version": "1.1", "authority": b"b", "is_chunked": False}
    assert not compose(headers, PEER, TERMS, **arguments)[1]
    assert compose(headers[:1], PEER, TERMS, **arguments)[1]
    head, is_lasting = compose([], PEER, TERMS, **arguments)
    assert b"\r\nhost: b\r\n" in head
    assert not is_lasting  # Another server has another name.


def test_options_of_our_own_connection() -> None:
    """
    What is said to the next hop is named in Connection, as everybody has to.
    """
    assert fields((b"te", b"gzip, Trailers;q=0.5"))[-2:] == [b"te: trailers", b"connection: te"]
    assert fields((b"te", b"gzip")) == OURS
    assert fields((b"te", b"trailers"), version="1.0")[-1] == b"via: 1.0 penstock"
    assert fields((b"te", b"trailers"), offers=(b"websocket",))[-1] == b"connection: te, upgrade"
    assert fields((b"content-length", b"5"), is_chunked=True)[-1] == b"transfer-encoding: chunked"
    assert not any(b"content-length" in line for line in fields((b"content-length", b"5"), is_chunked=True))


names = st.one_of(
    st.sampled_from(
        [
            *(name.decode() for name in HOP_BY_HOP),
            *("Connection", "TE", "Upgrade", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host"),
            *("Content-Length", "Transfer-Encoding", "Max-Forwards", "X-A", "X_A", "Cookie", "X-Real-IP"),
        ]
    ),
    st.text(string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-", min_size=1, max_size=6),
)
values = st.one_of(
    st.sampled_from(["x-a", "X-A, close", "upgrade", "websocket, h2c", "trailers", "0", "5", "chunked", "host"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, blacklist_characters="\x7f"), max_size=12),
)  # fmt: skip


@given(
    headers=st.lists(st.tuples(names, values), max_size=8),
    version=st.sampled_from(["1.0", "1.1"]),
    method=st.sampled_from(["GET", "OPTIONS", "TRACE", "POST"]),
    terms=st.builds(
        TermsSpec,
        forwarded=st.sampled_from(["x-forwarded", "forwarded", "both", "none"]),
        host=st.sampled_from(["client", "upstream", "inner:80"]),
        via=st.sampled_from([None, "penstock"]),
    ),
    origin=st.sampled_from([PEER, PROXY, OTHER_PROXY, SOCKET, BEHIND_SOCKET]),
    has_host=st.booleans(),
)
def test_no_head_of_ours_is_read_differently_behind(  # noqa: PLR0917
    headers: list[tuple[str, str]],
    version: str,
    method: str,
    terms: TermsSpec,
    origin: Origin,
    has_host: bool,
) -> None:
    """
    Whatever a client sends that is let through, the strictest reader finds the same request behind.
    """
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    if has_host:
        lines.insert(0, "Host: shop\r\n")
    came = f"{method} /a HTTP/{version}\r\n{''.join(lines)}\r\n".encode("latin-1")
    try:
        _, target, judged, _, framing = HeadParser(100).parse(came)
    except RequestError:
        return
    is_chunked = framing is not None and framing.content_length is None
    size = 0 if framing is None else framing.content_length or 0
    try:
        head, _ = compose(
            judged,
            origin,
            terms_for(terms, "10.0.0.1:9000"),
            method=method,
            version=version,
            authority=b"10.0.0.1:9000",
            is_chunked=is_chunked,
        )
    except Looping:
        return
    whole = method.encode() + b" " + target + b" " + head
    body = b"2\r\nhi\r\n0\r\n\r\n" if is_chunked else b"x" * min(size, 1000)
    if size <= 1000:
        reading = read(whole + body + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n", header_bytes_max=10**6)
        assert not reading.is_refused, whole
        assert [request[1] for request in reading.requests] == [b"/a", b"/next"], whole
        assert len(reading.requests[0][4]) == (2 if is_chunked else size)
    _, _, passed, _, again = HeadParser(200).parse(whole)
    assert (again is not None and again.content_length is None) == is_chunked
    sent = dict(passed)
    assert not HOP_BY_HOP & set(sent)
    assert not any(b"_" in name for name in sent)
    assert sent.get(b"te") in (None, b"trailers")
    assert b"upgrade" not in sent
    assert sent.get(b"connection") in (None, b"te")
    nominated = {
        part.strip().lower() for name, value in judged if name == b"connection" for part in value.split(b",")
    }
    ours = {b"host", b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
    ours |= {b"content-length", b"transfer-encoding", b"te", b"connection"}
    assert not (nominated - ours) & set(sent)
    assert sum(name == b"host" for name, _ in passed) == 1
    # Nobody but a trusted proxy says who asks.
    if not origin.is_trusted:
        assert sent.get(b"x-forwarded-for") in (None, b"192.0.2.7")
        assert b"x-real-ip" not in sent
