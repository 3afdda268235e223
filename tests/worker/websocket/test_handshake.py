"""The two heads of a handshake, judged and written."""

import pytest

from penstock.worker.http.head import HeadParser
from penstock.worker.websocket.handshake import HandshakeError, accept_of, accepting_head, judge_handshake

KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"sec-websocket-version", b"13")


def refusal(*headers: tuple[bytes, bytes], has_body: bool = False) -> HandshakeError:
    with pytest.raises(HandshakeError) as caught:
        judge_handshake(headers, has_body=has_body)
    return caught.value


def test_the_example_of_the_rfc_is_accepted() -> None:
    """
    RFC 6455, section 1.3, has a key and what it is answered with.
    """
    found = judge_handshake([KEY, VERSION], has_body=False)

    assert found.accept == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert found.subprotocols == () == found.extensions


@pytest.mark.parametrize(
    "headers",
    [
        [VERSION],
        [KEY, KEY, VERSION],
        [(b"sec-websocket-key", b""), VERSION],
        [(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ"), VERSION],
        [(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==="), VERSION],
        [(b"sec-websocket-key", b"c2hvcnQ="), VERSION],
        [(b"sec-websocket-key", b"\xff" * 24), VERSION],
        [KEY, VERSION, (b"sec-websocket-protocol", b"chat, ,super")],
        [KEY, VERSION, (b"sec-websocket-protocol", b"a b")],
    ],
)
def test_a_handshake_that_is_none_is_a_bad_request(headers: list[tuple[bytes, bytes]]) -> None:
    assert refusal(*headers).status == 400


def test_a_body_is_refused() -> None:
    """
    Whether its bytes are frames would be anybody's guess.
    """
    assert refusal(KEY, VERSION, has_body=True).status == 400


@pytest.mark.parametrize("versions", [[], [b"8"], [b"13", b"13"], [b"13, 8"], [b"013"]])
def test_another_version_is_told_ours(versions: list[bytes]) -> None:
    """
    RFC 6455, section 4.4: so that the client can try again with that.
    """
    error = refusal(KEY, *((b"sec-websocket-version", each) for each in versions))

    assert error.status == 426
    assert set(error.headers) == {(b"sec-websocket-version", b"13"), (b"upgrade", b"websocket")}


def test_subprotocols_of_several_headers_are_one_list() -> None:
    offered = [(b"sec-websocket-protocol", b"chat, superchat"), (b"sec-websocket-protocol", b"mqtt")]

    assert judge_handshake([KEY, VERSION, *offered], has_body=False).subprotocols == (
        "chat",
        "superchat",
        "mqtt",
    )


def test_head_says_what_was_chosen() -> None:
    head = accepting_head(accept_of(KEY[1]), "chat", "permessage-deflate", [(b"X-Room", b"1")])

    assert head.split(b"\r\n") == [
        b"HTTP/1.1 101 Switching Protocols",
        b"upgrade: websocket",
        b"connection: upgrade",
        b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        b"sec-websocket-protocol: chat",
        b"sec-websocket-extensions: permessage-deflate",
        b"X-Room: 1",
        b"",
        b"",
    ]


def test_what_belongs_to_the_handshake_is_not_the_apps() -> None:
    """
    A second accept, or a length of a body that is none, would make the head say two things.
    """
    theirs = [
        (b"Sec-WebSocket-Accept", b"mine"),
        (b"sec-websocket-extensions", b"mine"),
        (b"Connection", b"close"),
        (b"upgrade", b"h2c"),
        (b"content-length", b"5"),
        (b"transfer-encoding", b"chunked"),
    ]

    assert accepting_head(b"A", None, None, theirs) == accepting_head(b"A", None, None, [])


def test_subprotocol_may_also_come_as_a_header() -> None:
    """
    Some apps know no other way; the proper one wins.
    """
    header = [(b"sec-websocket-protocol", b"mqtt")]

    assert b"sec-websocket-protocol: mqtt\r\n" in accepting_head(b"A", None, None, header)
    assert accepting_head(b"A", "chat", None, header).count(b"sec-websocket-protocol") == 1
    assert b"mqtt" not in accepting_head(b"A", "chat", None, header)


@pytest.mark.parametrize(
    ("subprotocol", "headers"),
    [
        ("a\r\nb: c", []),
        (None, [(b"a b", b"")]),
        (None, [(b"a", b"b\r\nc: d")]),
        (None, [(b"a\n", b"b")]),
        ("ключ", []),
    ],
)
def test_nothing_of_the_app_can_begin_another_header(
    subprotocol: str | None, headers: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(ValueError, match=r"invalid|newline"):
        accepting_head(b"A", subprotocol, None, headers)


@pytest.mark.parametrize(
    ("lines", "is_one"),
    [
        (b"Upgrade: websocket\r\nConnection: Upgrade\r\n", True),
        (b"Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n", True),
        (b"Upgrade: h2c, websocket\r\nConnection: upgrade\r\n", True),
        (b"Upgrade: h2c\r\nConnection: upgrade\r\n", False),
        (b"Upgrade: websockets\r\nConnection: upgrade\r\n", False),
        (b"Upgrade: websocket\r\n", False),
        (b"Upgrade: websocket\r\nConnection: keep-alive\r\n", False),
        (b"Connection: upgrade\r\n", False),
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_both_headers_must_ask_for_it(lines: bytes, is_one: bool, version: bytes) -> None:
    """
    An Upgrade of HTTP/1.0, or one that Connection does not name, is to be ignored (RFC 9110, 7.8).
    """
    head = b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, lines)
    framing = HeadParser(100).parse(head)[4]

    assert (framing is not None and b"websocket" in framing.protocols) is (is_one and version == b"1.1")
