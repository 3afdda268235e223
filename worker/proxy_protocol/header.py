"""
The header of the PROXY protocol, versions 1 and 2: read and written.

It is what a proxy sends before the first byte of a connection, to say between
which addresses that was made. Pure: bytes in, addresses out, and the other way
round. The receiver must know that a header comes: nothing here tells one from
what a client may have written.
"""

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final, Literal, NamedTuple

from penstock.worker.limits import PROXY_HEADER_BYTES_MAX
from penstock.worker.proxy_protocol.checksum import crc32c

Version = Literal["v1", "v2"]

# An address and a port; a path for a UNIX socket, "" for one that is not bound.
Address = tuple[str, int] | str


class Endpoints(NamedTuple):
    """Between which addresses a connection was made: who connected, and to what."""

    client: Address
    server: Address


@dataclass(frozen=True, slots=True)
class Header:
    """A header that is whole: its size, and what it tells; None: nothing, so the connection's own hold."""

    size: int
    endpoints: Endpoints | None


class HeaderError(Exception):
    """These bytes are no header. Says why."""


class NoHeader(HeaderError):
    """They do not even begin like one."""


# Version 1 is a line of text.
V1_START: Final = b"PROXY "
V1_BYTES_MAX: Final = 107  # by the specification, with its CR LF
_V1_UNKNOWN: Final = re.compile(rb"UNKNOWN(?: [^\r\n]*)?")
_V1_FIELDS: Final = re.compile(
    rb"TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
)
_PORT_MAX: Final = 65535

# Version 2 is binary. No line of a text protocol begins like it.
V2_START: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD: Final = struct.Struct(
    "!12sBBH"
)  # start, version and command, family and protocol, size of the rest
_V2: Final = 0x20
_LOCAL, _PROXY = 0x0, 0x1
_UNSPEC, _INET, _INET6, _UNIX = 0x0, 0x1, 0x2, 0x3
_PROTOCOL_MAX: Final = 0x2  # unspecified, stream, datagram
_STREAM: Final = 0x1
_V2_INET: Final = struct.Struct("!4s4sHH")
_V2_INET6: Final = struct.Struct("!16s16sHH")
_V2_UNIX: Final = struct.Struct("!108s108s")
_ADDRESSES: Final = {_INET: _V2_INET, _INET6: _V2_INET6, _UNIX: _V2_UNIX}

# What may follow the addresses: a type, a size of two bytes, a value.
_TLV: Final = struct.Struct("!BH")
_CRC32C: Final = 0x03
_CRC32C_BYTES: Final = 4


# Reading.


def read_header(data: bytes) -> Header | None:
    """
    Read what has come so far; None: all is well, but there is more to come.

    Raises NoHeader, HeaderError. As soon as no further byte could mend it.
    """
    if data[:12] == V2_START:
        return _read_v2(data)
    if data[:6] == V1_START:
        return _read_v1(data)
    if V2_START.startswith(data[:12]) or V1_START.startswith(data[:6]):
        return None
    raise NoHeader("no PROXY header")


def _read_v1(data: bytes) -> Header | None:
    end = data.find(b"\n", 0, V1_BYTES_MAX)
    if end < 0:
        if len(data) >= V1_BYTES_MAX:
            raise HeaderError(f"a line of more than {V1_BYTES_MAX} bytes")
        return None
    if data[end - 1 : end] != b"\r":
        raise HeaderError("a line without CR at its end")
    line = data[len(V1_START) : end - 1]
    found = _V1_FIELDS.fullmatch(line)
    if found is None:
        if _V1_UNKNOWN.fullmatch(line) is None:
            raise HeaderError("a line that is none of version 1")
        return Header(end + 1, None)
    family = AF_INET if found[1] == b"4" else AF_INET6
    try:
        client, server = (inet_ntop(family, inet_pton(family, found[each].decode())) for each in (2, 3))
    except OSError:
        raise HeaderError(f"an address that is none of TCP{found[1].decode()}") from None
    client_port, server_port = int(found[4]), int(found[5])
    if max(client_port, server_port) > _PORT_MAX:
        raise HeaderError("a port above 65535")
    return Header(end + 1, Endpoints((client, client_port), (server, server_port)))


def _read_v2(data: bytes) -> Header | None:
    # What is wrong already is told before all is there.
    if len(data) > 12 and data[12] & 0xF0 != _V2:
        raise HeaderError(f"version {data[12] >> 4}")
    if len(data) > 12 and data[12] & 0x0F > _PROXY:
        raise HeaderError(f"command {data[12] & 0x0F}")
    if len(data) > 13 and (data[13] >> 4 > _UNIX or data[13] & 0x0F > _PROTOCOL_MAX):
        raise HeaderError(f"address family and protocol {data[13]:#04x}")
    if len(data) < _V2_HEAD.size:
        return None
    _, command, family, rest_size = _V2_HEAD.unpack_from(data)
    size = _V2_HEAD.size + rest_size
    if size > PROXY_HEADER_BYTES_MAX:
        raise HeaderError(f"a header of {size} bytes")
    addresses = _ADDRESSES.get(family >> 4)
    # Of a connection of the proxy's own, and of an unknown family, nothing that follows means anything.
    is_told = command & 0x0F == _PROXY and addresses is not None
    if is_told and addresses is not None and rest_size < addresses.size:
        raise HeaderError(f"{rest_size} bytes for addresses that take {addresses.size}")
    if len(data) < size:
        return None
    if not is_told:
        return Header(size, None)
    assert addresses is not None
    _judge_tlvs(data[:size], _V2_HEAD.size + addresses.size)
    return Header(size, _endpoints(family >> 4, addresses.unpack_from(data, _V2_HEAD.size)))


def _endpoints(family: int, fields: tuple[bytes, bytes, int, int] | tuple[bytes, bytes]) -> Endpoints:
    if family == _UNIX:
        return Endpoints(_path(fields[0]), _path(fields[1]))
    assert len(fields) == 4
    kind = AF_INET if family == _INET else AF_INET6
    return Endpoints((inet_ntop(kind, fields[0]), fields[2]), (inet_ntop(kind, fields[1]), fields[3]))


def _path(field: bytes) -> str:
    """Read a path, which ends with its first zero; one that begins with a zero is in no file system."""
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _judge_tlvs(data: bytes, at: int) -> None:
    """Walk over what follows the addresses, and check the checksum if there is one."""
    while at < len(data):
        if at + _TLV.size > len(data):
            raise HeaderError("half a type-length-value")
        kind, size = _TLV.unpack_from(data, at)
        at += _TLV.size
        if at + size > len(data):
            raise HeaderError("a value longer than the header")
        if kind == _CRC32C:
            if size != _CRC32C_BYTES:
                raise HeaderError(f"a checksum of {size} bytes")
            told = int.from_bytes(data[at : at + size], "big")
            if told != crc32c(data[:at] + bytes(size) + data[at + size :]):
                raise HeaderError("a wrong checksum")
        at += size


# Writing.


def write_v2(endpoints: Endpoints | None, *, with_checksum: bool = False) -> bytes:
    """Write a header of version 2, in its shortest form."""
    family, body = _UNSPEC, b""
    if endpoints is not None and isinstance(endpoints.client, str) and isinstance(endpoints.server, str):
        family, body = _UNIX, _V2_UNIX.pack(_name(endpoints.client), _name(endpoints.server))
    elif (packed := packed_addresses(endpoints)) is not None:
        client, client_port, server, server_port = packed
        family, layout = (_INET, _V2_INET) if len(client) == 4 else (_INET6, _V2_INET6)
        body = layout.pack(client, server, client_port, server_port)
    transport = _STREAM if family else 0
    size = len(body) + (_TLV.size + _CRC32C_BYTES if with_checksum else 0)
    head = _V2_HEAD.pack(V2_START, _V2 | _PROXY, family << 4 | transport, size)
    if not with_checksum:
        return head + body
    whole = head + body + _TLV.pack(_CRC32C, _CRC32C_BYTES)
    return whole + crc32c(whole + bytes(_CRC32C_BYTES)).to_bytes(4, "big")


def packed_addresses(endpoints: Endpoints | None) -> tuple[bytes, int, bytes, int] | None:
    """Give addresses and ports, both addresses of one family; None for what are none."""
    if endpoints is None or isinstance(endpoints.client, str) or isinstance(endpoints.server, str):
        return None
    client, server = _address(endpoints.client[0]), _address(endpoints.server[0])
    if client is None or server is None:
        return None
    if client.version != server.version:
        client, server = _as_v6(client), _as_v6(server)
    return client.packed, endpoints.client[1], server.packed, endpoints.server[1]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.partition("%")[0]  # without the zone of a link-local address
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        return None


def _as_v6(address: IPv4Address | IPv6Address) -> IPv6Address:
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed) if address.version == 4 else address


def _name(path: str) -> bytes:
    return path.encode("utf-8", "replace")[:108]
