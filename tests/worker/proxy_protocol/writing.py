"""
What proxies write before a connection, beside what Penstock writes itself.
"""

import struct
from socket import AF_INET, AF_INET6, inet_ntop

from penstock.worker.proxy_protocol.header import V2_START, Endpoints, packed_addresses


def write_v1(endpoints: Endpoints | None) -> bytes:
    """Write a header of version 1. It has no words for UNIX sockets: those are unknown."""
    packed = packed_addresses(endpoints)
    if packed is None:
        return b"PROXY UNKNOWN\r\n"
    client, client_port, server, server_port = packed
    family, word = (AF_INET, "TCP4") if len(client) == 4 else (AF_INET6, "TCP6")
    addresses = f"{inet_ntop(family, client)} {inet_ntop(family, server)}"
    return f"PROXY {word} {addresses} {client_port} {server_port}\r\n".encode()


def write_local() -> bytes:
    """Write the header of a connection that a proxy makes for itself, such as a health check (version 2)."""
    return struct.pack("!12sBBH", V2_START, 0x20, 0, 0)
