"""Whom proxies say that a request is for: what is believed, and what is not."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.worker.http.forwarded import (
    NOTHING,
    Element,
    Hop,
    Trust,
    elements,
    hop_of,
    read_forwarded,
    read_x_forwarded,
)
from penstock.worker.limits import FORWARDED_CHARS_MAX, FORWARDED_HOPS_MAX

TRUST = Trust(("10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48", "::1"))
CLIENT = ("203.0.113.9", 0)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("203.0.113.9", "203.0.113.9", 0),
        (" 203.0.113.9\t", "203.0.113.9", 0),
        ("203.0.113.9:4711", "203.0.113.9", 4711),
        ("203.0.113.9:0", "203.0.113.9", 0),
        ("203.0.113.9:65535", "203.0.113.9", 65535),
        ("203.0.113.9:_hidden", "203.0.113.9", 0),
        ("2001:db8::9", "2001:db8::9", 0),
        ("[2001:db8::9]", "2001:db8::9", 0),
        ("[2001:DB8::9]:4711", "2001:DB8::9", 4711),
        ("::ffff:203.0.113.9", "::ffff:203.0.113.9", 0),
        ("203.0.113.9:", "203.0.113.9", 0),
    ],
)
def test_address_is_read_with_its_port(text: str, host: str, port: int) -> None:
    """
    Proxies write them in all these ways.
    """
    hop = hop_of(text)

    assert hop is not None
    assert (hop.host, hop.port) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "unknown",
            "_hidden",
            "_",
            "localhost",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "01.2.3.4",
            "0x7f.1",
        ),
        *(
            "1.2.3.4:x",
            "1.2.3.4:65536",
            "1.2.3.4:-1",
            "1.2.3.4:123456",
            "1.2.3.4:_",
            "1.2.3.4 5",
            "1.2.3.4/8",
        ),
        *(
            "[1.2.3.4]",
            "[::1",
            "::1]",
            "[::1]80",
            "[]",
            "[",
            "fe80::1%eth0",
            ":::",
            ":",
            "1.2.3.4\0",
            "1.2.3.4:²",
        ),
        *('"1.2.3.4"', "é.1.1.1", "1.2.3.4;5"),
    ],
)
def test_what_is_no_address_is_none(text: str) -> None:
    """
    It would come to stand in logs, and in the app's tests of who asks.
    """
    assert hop_of(text) is None


@pytest.mark.parametrize(
    ("peer", "is_trusted"),
    [
        (("10.1.2.3", 5), True),
        (("127.0.0.1", 5), True),
        (("::ffff:127.0.0.1", 5), True),  # on a listener for both families
        (("::ffff:10.9.9.9", 5), True),
        (("2001:db8:1:7::1", 5), True),
        (("::1", 5), True),
        (("127.0.0.2", 5), False),
        (("11.0.0.1", 5), False),
        (("2001:db8:2::1", 5), False),
        (("::a00:1", 5), False),  # ends like 10.0.0.1
        (None, False),
    ],
)
def test_peer_is_trusted_by_its_address(peer: tuple[str, int] | None, is_trusted: bool) -> None:
    assert TRUST.trusts_peer(peer) is is_trusted


def test_unix_sockets_are_trusted_by_name() -> None:
    """
    Their peers have no address.
    """
    assert Trust(("unix:",)).trusts_peer(None)
    assert Trust(("*",)).trusts_peer(None)
    assert not Trust(()).trusts_peer(None)
    assert not Trust(("unix:",)).trusts_peer(("127.0.0.1", 1))
    assert Trust(("fe80::/10",)).trusts_peer(("fe80::1%eth0", 1))


@pytest.mark.parametrize(
    ("addresses", "proto", "client", "scheme"),
    [
        (b"203.0.113.9", None, CLIENT, None),
        (b"203.0.113.9", b"https", CLIENT, "https"),
        (b"203.0.113.9", b" HTTPS ", CLIENT, "https"),
        (b"203.0.113.9", b"http", CLIENT, "http"),
        (b"203.0.113.9", b"wss", CLIENT, "https"),
        (b"203.0.113.9", b"gopher", CLIENT, None),
        (b"203.0.113.9", b"", CLIENT, None),
        (None, b"https", None, "https"),
        (b"", b"https", None, "https"),
        (b"203.0.113.9, 10.0.0.1", None, CLIENT, None),
        (b"203.0.113.9,10.0.0.1,10.0.0.2", None, CLIENT, None),
        (b"6.6.6.6, 203.0.113.9, 10.0.0.1", None, CLIENT, None),
        (b"6.6.6.6, 203.0.113.9", None, CLIENT, None),
        (b"10.0.0.7, 203.0.113.9", None, CLIENT, None),
        (b"10.0.0.3, 10.0.0.1", None, ("10.0.0.3", 0), None),  # all are ours: somebody within
        (b"203.0.113.9:81, 10.0.0.1:82", None, ("203.0.113.9", 81), None),
        (b"::ffff:203.0.113.9, ::ffff:10.0.0.1", None, ("::ffff:203.0.113.9", 0), None),
        (b"6.6.6.6, unknown, 10.0.0.1", None, ("10.0.0.1", 0), None),
        (b"6.6.6.6, unknown", None, None, None),
        (b"unknown", None, None, None),
        (b"203.0.113.9, , 10.0.0.1,", None, CLIENT, None),
        (b"203.0.113.9 10.0.0.1", None, None, None),
        (b"203.0.113.9, 10.0.0.1", b"https, http", CLIENT, "https"),
        (b"6.6.6.6, 203.0.113.9, 10.0.0.1", b"ftp, https, http", CLIENT, "https"),
        (b"203.0.113.9, 10.0.0.1", b"https", CLIENT, "https"),
        (b"203.0.113.9", b"https, http", CLIENT, "http"),  # only the last is surely our proxy's
        (b"\xff\xfe, 10.0.0.1", b"\xff", ("10.0.0.1", 0), None),
    ],
)
def test_x_forwarded(
    addresses: bytes | None, proto: bytes | None, client: tuple[str, int] | None, scheme: str | None
) -> None:
    """
    From the right: over our own proxies, to the first who is not one.
    """
    assert read_x_forwarded(addresses, proto, TRUST) == (client, scheme)


def test_who_trusts_everybody_gets_the_first() -> None:
    """
    As uvicorn has it: nobody could have invented one but a client that nobody stands in front of.
    """
    assert read_x_forwarded(b"1.1.1.1, 2.2.2.2", None, Trust(("*",)))[0] == ("1.1.1.1", 0)


@pytest.mark.parametrize(
    ("value", "client", "scheme"),
    [
        (b"for=203.0.113.9", CLIENT, None),
        (b"for=203.0.113.9;proto=https", CLIENT, "https"),
        (b"For=203.0.113.9; PROTO=HTTPS;by=10.0.0.1; host=a.example", CLIENT, "https"),
        (b'for="203.0.113.9:4711"', ("203.0.113.9", 4711), None),
        (b"for=203.0.113.9:4711", ("203.0.113.9", 4711), None),
        (b'for="[2001:db8::9]:4711"', ("2001:db8::9", 4711), None),
        (b'for="[2001:db8::9]:_port"', ("2001:db8::9", 0), None),
        (b'for="20\\3.0.113.9"', CLIENT, None),
        (b"for=203.0.113.9, for=10.0.0.1", CLIENT, None),
        (b"for=203.0.113.9;proto=https, for=10.0.0.1;proto=http", CLIENT, "https"),
        (b"for=6.6.6.6, for=203.0.113.9;proto=https, for=10.0.0.1;proto=http", CLIENT, "https"),
        (b'for=6.6.6.6;by="a,b", for=203.0.113.9, for=10.0.0.1', CLIENT, None),
        (b'for="6.6.6.6, for=203.0.113.9', CLIENT, None),  # the client has opened a quote
        (b'for="6.6.6.6, for=203.0.113.9, for="[2001:db8:1::1]"', CLIENT, None),
        (b'for="\\", for=203.0.113.9, for=10.0.0.1;by="x\\"y"', CLIENT, None),
        (b"for=unknown", None, None),
        (b"for=unknown;proto=https", None, "https"),
        (b"for=_hidden, for=10.0.0.1;proto=https", ("10.0.0.1", 0), "https"),
        (b"proto=https", None, "https"),
        (b"for=6.6.6.6;proto=https, proto=http", None, "http"),
        (b"for=1.1.1.1;for=2.2.2.2", None, None),
        (b"for=203.0.113.9;;", CLIENT, None),
        (b"for=203.0.113.9, ,", CLIENT, None),
        (b"for", None, None),
        (b"for=", None, None),
        (b"=203.0.113.9", None, None),
        (b"", None, None),
        (b'"', None, None),
        (b"\xff", None, None),
    ],
)
def test_forwarded(value: bytes, client: tuple[str, int] | None, scheme: str | None) -> None:
    """
    RFC 7239, as it is written and as people write it.
    """
    assert read_forwarded(value, TRUST) == (client, scheme)


def test_all_parts_of_an_element_are_read() -> None:
    [element] = elements(b'for=1.2.3.4;proto=http;host="a:80";by="[::1]"')

    assert element == Element(Hop("1.2.3.4", 0, b"\1\2\3\4"), "http", "a:80", "[::1]")


def test_only_so_many_are_looked_at() -> None:
    """
    A header of ours is short; a long one is an attack on our time.
    """
    own = ["10.0.0.1"] * FORWARDED_HOPS_MAX
    assert read_x_forwarded(", ".join(["6.6.6.6", *own]).encode(), None, TRUST)[0] == ("10.0.0.1", 0)
    assert read_x_forwarded(", ".join(["203.0.113.9", *own[1:]]).encode(), None, TRUST)[0] == CLIENT
    named = [f"for={each}" for each in own]
    assert read_forwarded(", ".join(["for=6.6.6.6", *named]).encode(), TRUST)[0] == ("10.0.0.1", 0)
    assert len(list(elements(b'for="' + b"x" * FORWARDED_CHARS_MAX * 4))) == 0


ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.sampled_from(["10.0.0.1", "10.255.0.9", "127.0.0.1", "::1", "2001:db8:1::7"]),
)
ITEMS = st.one_of(ADDRESSES, st.sampled_from(["unknown", "_x", "", "for=", '"', "\\"]), st.text(max_size=8))
ANYTHING = st.one_of(
    st.binary(max_size=80),
    st.lists(ITEMS, max_size=6).map(lambda each: ", ".join(each).encode("utf-8", "replace")),
    st.lists(ITEMS, max_size=6).map(
        lambda each: ", ".join(f'for="{i}"' for i in each).encode("utf-8", "replace")
    ),
)


@given(ANYTHING, ANYTHING)
@example(b"1.1.1.1," * 9000, b"https," * 9000)
@example(b'for="' * 3000, b"")
@example(b'"\\' * 8000, b"")
def test_whatever_comes_is_read_or_not_and_never_raises(value: bytes, other: bytes) -> None:
    """
    The other end may be a proxy that passes on what a client has written.
    """
    for seen in (read_x_forwarded(value, other, TRUST), read_forwarded(value, TRUST)):
        assert seen[1] in {None, "http", "https"}
        if seen[0] is not None:
            host, port = seen[0]
            assert hop_of(host) is not None
            assert 0 <= port <= 65535
    assert read_x_forwarded(None, None, TRUST) == NOTHING


@given(
    ANYTHING, st.ip_addresses(v=4).map(str), st.lists(st.sampled_from(["10.0.0.1", "127.0.0.1"]), max_size=5)
)
def test_nobody_left_of_an_untrusted_address_is_believed(left: bytes, client: str, own: list[str]) -> None:
    """
    Whatever a client puts in front, our proxies write behind it who it is.
    """
    hop = hop_of(client)
    assert hop is not None
    if TRUST.trusts(hop.packed):
        return
    behind = [client, *own]
    plain = left + b", " + ", ".join(behind).encode()
    named = left + b", " + ", ".join(f"for={each};proto=https" for each in behind).encode()

    assert read_x_forwarded(plain, None, TRUST)[0] == (client, 0)
    assert read_forwarded(named, TRUST) == ((client, 0), "https")
