"""PROXY headers: what is one, what is none, and that what is written is read the same."""

import ipaddress
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.worker.limits import PROXY_HEADER_BYTES_MAX
from penstock.worker.proxy_protocol.checksum import crc32c
from penstock.worker.proxy_protocol.header import (
    V1_BYTES_MAX,
    V2_START,
    Endpoints,
    Header,
    HeaderError,
    NoHeader,
    read_header,
    write_v2,
)
from tests.worker.proxy_protocol.writing import write_local, write_v1

Write = Callable[[Endpoints | None], bytes]

PORTS = st.integers(0, 65535)
PATHS = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=108)


def _pairs(
    addresses: st.SearchStrategy[ipaddress.IPv4Address | ipaddress.IPv6Address],
) -> st.SearchStrategy[Endpoints]:
    ends = st.tuples(addresses.map(str), PORTS)
    return st.builds(Endpoints, ends, ends)


INET = st.one_of(_pairs(st.ip_addresses(v=4)), _pairs(st.ip_addresses(v=6)))
UNIX = st.builds(Endpoints, PATHS, PATHS)
TLVS = st.lists(
    st.tuples(st.integers(0, 255).filter(lambda kind: kind != 3), st.binary(max_size=200)), max_size=4
)

FOUR = Endpoints(("203.0.113.9", 4711), ("10.0.0.1", 443))
SIX = Endpoints(("2001:db8::9", 4711), ("2001:db8::1", 443))
V1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n"


def packed(endpoints: Endpoints) -> Endpoints:
    """Write addresses the one way in which equal ones are equal."""
    ends = [
        each if isinstance(each, str) else (_text(each[0]), each[1])
        for each in (endpoints.client, endpoints.server)
    ]
    return Endpoints(*ends)


def _text(address: str) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, address))


def v2(command: int = 0x21, family: int = 0x11, rest: bytes = b"", size: int | None = None) -> bytes:
    return V2_START + struct.pack("!BBH", command, family, len(rest) if size is None else size) + rest


REST_UNIX = b"/run/x".ljust(108, b"\0") + b"/run/y".ljust(108, b"\0")
ODD_UNIX = b"\0abstract".ljust(108, b"x") + b"/run/\xff".ljust(108, b"\0")
NOOP_MOST = struct.pack("!BH", 4, 4096 - 16 - 12 - 3) + bytes(4096 - 16 - 12 - 3)
REST_4 = bytes([203, 0, 113, 9, 10, 0, 0, 1]) + struct.pack("!HH", 4711, 443)


# What is written is read.


@given(INET, st.binary(max_size=40))
def test_version_1_is_read_as_it_was_written(endpoints: Endpoints, after: bytes) -> None:
    """
    And not a byte further.
    """
    written = write_v1(endpoints)

    assert len(written) <= V1_BYTES_MAX
    assert read_header(written + after) == Header(len(written), packed(endpoints))


@given(st.one_of(INET, UNIX), st.binary(max_size=40), st.booleans())
def test_version_2_is_read_as_it_was_written(endpoints: Endpoints, after: bytes, with_checksum: bool) -> None:
    written = write_v2(endpoints, with_checksum=with_checksum)

    assert read_header(written + after) == Header(len(written), packed(endpoints))


@given(st.one_of(INET, UNIX, st.none()), st.sampled_from([write_v1, write_v2]))
def test_a_header_is_read_at_its_last_byte_and_not_before(endpoints: Endpoints | None, write: Write) -> None:
    """
    However it is cut.
    """
    written = write(endpoints)

    for at in range(len(written)):
        assert read_header(written[:at]) is None
    header = read_header(written)
    assert header is not None
    assert header.size == len(written)


@given(INET, TLVS)
def test_what_follows_the_addresses_is_passed_over(
    endpoints: Endpoints, tlvs: list[tuple[int, bytes]]
) -> None:
    """
    TLVs of any kind, and without a checksum.
    """
    plain = write_v2(endpoints)
    more = b"".join(struct.pack("!BH", kind, len(value)) + value for kind, value in tlvs)
    size = len(plain) - 16 + len(more)
    written = plain[:14] + struct.pack("!H", size) + plain[16:] + more

    assert read_header(written) == Header(len(written), packed(endpoints))
    for at in range(12, len(written), 7):
        assert read_header(written[:at]) is None


@given(INET, st.integers(16, 200), st.integers(0, 7))
def test_a_bit_that_was_turned_is_found_by_the_checksum(endpoints: Endpoints, at: int, bit: int) -> None:
    """
    Wherever in the addresses or behind them it is.
    """
    written = bytearray(write_v2(endpoints, with_checksum=True))
    at = 16 + (at - 16) % (len(written) - 16)
    written[at] ^= 1 << bit

    try:
        header = read_header(bytes(written))
    except HeaderError:
        return
    # The turned bit made the checksum a TLV of another kind, which is passed over.
    assert header is not None
    assert at == len(written) - 7


def test_the_checksum_is_the_known_one() -> None:
    """
    The vectors of RFC 3720.
    """
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("write", [write_v1, write_v2])
def test_addresses_of_two_families_are_written_as_ipv6(write: Write) -> None:
    """
    Version 1 and 2 have one family for both; a zone is of this machine alone.
    """
    header = read_header(write(Endpoints(("10.0.0.9", 1), ("fe80::1%eth0", 2))))

    assert header is not None
    assert header.endpoints == Endpoints(("::ffff:10.0.0.9", 1), ("fe80::1", 2))


@pytest.mark.parametrize(
    ("endpoints", "first", "second"),
    [
        (None, b"PROXY UNKNOWN\r\n", v2(0x21, 0x00)),
        (Endpoints("/run/x", "/run/y"), b"PROXY UNKNOWN\r\n", v2(0x21, 0x31, REST_UNIX)),
        (Endpoints(("localhost", 1), ("10.0.0.1", 2)), b"PROXY UNKNOWN\r\n", v2(0x21, 0x00)),
        (FOUR, V1, v2(0x21, 0x11, REST_4)),
    ],
)  # fmt: skip
def test_what_is_written(endpoints: Endpoints | None, first: bytes, second: bytes) -> None:
    assert write_v1(endpoints) == first
    assert write_v2(endpoints) == second


# What others write.


@pytest.mark.parametrize(
    ("data", "endpoints"),
    [
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
        (V1, FOUR),
        (b"PROXY TCP6 2001:DB8::9 2001:db8:0::1 4711 443\r\n", SIX),
        (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
         Endpoints(("0.0.0.0", 0), ("255.255.255.255", 65535))),
        (b"PROXY TCP6 " + b"f" * 4 + b":ffff" * 7 + b" ffff" + b":ffff" * 7 + b" 65535 65535\r\n",
         Endpoints((":".join(["ffff"] * 8), 65535), (":".join(["ffff"] * 8), 65535))),
        (write_local(), None),
        (v2(0x20, 0x11, REST_4), None),
        (v2(0x20, 0x00, b"anything"), None),
        (v2(0x21, 0x00, b"anything"), None),
        (v2(0x21, 0x01), None),
        (v2(0x21, 0x10, REST_4), FOUR),
        (v2(0x21, 0x12, REST_4), FOUR),
        (v2(0x21, 0x31, ODD_UNIX), Endpoints("", "/run/\ufffd")),
        (v2(0x21, 0x11, REST_4 + b"\x04\0\0"), FOUR),
        (v2(0x21, 0x11, REST_4 + NOOP_MOST), FOUR),
    ],
)  # fmt: skip
def test_what_is_a_header(data: bytes, endpoints: Endpoints | None) -> None:
    assert read_header(data) == Header(len(data), endpoints)
    assert read_header(data + b"GET / HTTP/1.1\r\n\r\n") == Header(len(data), endpoints)
    for at in range(len(data)):
        assert read_header(data[:at]) is None


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\n", "without CR"),
        (b"PROXY \n", "without CR"),
        (b"PROXY \r\n", "none of version 1"),
        (b"PROXY  TCP4 203.0.113.9 10.0.0.1 4711 443\r\n", "none of version 1"),
        (b"PROXY TCP4  203.0.113.9 10.0.0.1 4711 443\r\n", "none of version 1"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443 \r\n", "none of version 1"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711\r\n", "none of version 1"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 04711 443\r\n", "none of version 1"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 +4711 443\r\n", "none of version 1"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 471100 443\r\n", "none of version 1"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 \xd9\xa1 443\r\n", "none of version 1"),
        (b"PROXY UDP4 203.0.113.9 10.0.0.1 4711 443\r\n", "none of version 1"),
        (b"PROXY tcp4 203.0.113.9 10.0.0.1 4711 443\r\n", "none of version 1"),
        (b"PROXY TCP4 203.0.113.9\t10.0.0.1 4711 443\r\n", "none of version 1"),
        (b"PROXY UNKNOWNX\r\n", "none of version 1"),
        (b"PROXY UNKNOWN a\rb\r\n", "none of version 1"),
        (b"PROXY TCP4 203.0.113.9\0 10.0.0.1 4711 443\r\n", "none of version 1"),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 65536 443\r\n", "a port above"),
        (b"PROXY TCP4 203.0.113 10.0.0.1 4711 443\r\n", "none of TCP4"),
        (b"PROXY TCP4 203.0.113.256 10.0.0.1 4711 443\r\n", "none of TCP4"),
        (b"PROXY TCP4 2001:db8::9 10.0.0.1 4711 443\r\n", "none of TCP4"),
        (b"PROXY TCP6 203.0.113.9 10.0.0.1 4711 443\r\n", "none of TCP6"),
        (b"PROXY TCP6 2001:db8::9 2001:db8:::1 4711 443\r\n", "none of TCP6"),
        (b"PROXY UNKNOWN " + b"x" * (107 - 14), "more than 107"),
        (b"PROXY UNKNOWN " + b"x" * (107 - 15) + b"\r\n", "more than 107"),
        (v2(0x11)[:13], "version 1"),
        (v2(0x31)[:13], "version 3"),
        (v2(0x22)[:13], "command 2"),
        (v2(0x2F)[:13], "command 15"),
        (v2(0x21, 0x41)[:14], "0x41"),
        (v2(0x21, 0x13)[:14], "0x13"),
        (v2(0x21, 0x11, size=4096 - 16 + 1), "4097 bytes"),
        (v2(0x20, 0x00, size=0xFFFF), "65551 bytes"),
        (v2(0x21, 0x11, size=11), "11 bytes for addresses"),
        (v2(0x21, 0x21, size=35), "35 bytes for addresses"),
        (v2(0x21, 0x31, size=215), "215 bytes for addresses"),
        (v2(0x21, 0x11, REST_4 + b"\x04"), "half a"),
        (v2(0x21, 0x11, REST_4 + b"\x04\0"), "half a"),
        (v2(0x21, 0x11, REST_4 + b"\x04\0\1"), "longer than"),
        (v2(0x21, 0x11, REST_4 + b"\x03\0\4abcd"), "wrong checksum"),
        (v2(0x21, 0x11, REST_4 + b"\x03\0\3abc"), "checksum of 3"),
    ],
)
def test_what_is_a_bad_header(data: bytes, told: str) -> None:
    """
    At the byte that makes it one, and whatever comes after it.
    """
    for more in (b"", b"\r\n", b"x" * 5000):
        with pytest.raises(HeaderError, match=told) as raised:
            read_header(data + more)
        assert not isinstance(raised.value, NoHeader)


@pytest.mark.parametrize(
    "data",
    [
        b"G", b"GET / HTTP/1.1\r\n\r\n", b"PUT /", b"PROXX", b"PROXY\r\n", b"proxy ", b"\x16\x03\x01\x02\x00",
        b"\r\n\r\nGET / HTTP/1.1\r\n", b"\r\n\r\n\0\r\nQUIT\r", b"\0", b" PROXY ",
    ],
)  # fmt: skip
def test_what_is_no_header(data: bytes) -> None:
    """
    Said at the first byte that no header has there.
    """
    with pytest.raises(NoHeader):
        read_header(data)
    with pytest.raises(NoHeader):
        read_header(data + b"x" * 5000)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(V2_START.__add__),
        st.binary(max_size=120).map(b"PROXY ".__add__),
    )
)
@example(b"")
def test_any_bytes_are_a_header_or_not_and_more_never_change_that(data: bytes) -> None:  # fmt: skip
    """
    So it makes no difference how they arrive, and the reader is never asked for more than there can be.
    """

    def judged(at: int) -> Header | str | None:
        try:
            return read_header(data[:at])
        except HeaderError as error:
            return str(error)

    settled = None
    for at in range(len(data) + 1):
        now = judged(at)
        if settled is not None:
            assert now == settled
        settled = now
        if isinstance(now, Header):
            assert now.size <= min(at, PROXY_HEADER_BYTES_MAX)
