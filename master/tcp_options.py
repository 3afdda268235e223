"""
What the kernel is told of a listener's TCP connections, on each of its sockets.

Connections inherit these from the socket that they were accepted on, so they
cost no call for each of them. All can be set again while clients wait.
"""

import socket
from pathlib import Path

from penstock.master.config.listener import Tcp

# Of net.ipv4.tcp_fastopen: servers take data in a SYN. A kernel as it comes has only that of clients.
FASTOPEN_FOR_SERVERS = 2

_FASTOPEN_SETTING = Path("/proc/sys/net/ipv4/tcp_fastopen")
_TCP = socket.IPPROTO_TCP


def is_tcp(sock: socket.socket) -> bool:
    """Whether a stream socket has such options; one that was inherited may be of any family."""
    return sock.family in (socket.AF_INET, socket.AF_INET6)


def set_tcp_options(sock: socket.socket, tcp: Tcp) -> None:
    """Set all of them on a socket that listens, or is about to. Raises OSError."""
    # A response leaves in one write, or a piece when the app has it: waiting for more helps nobody.
    sock.setsockopt(_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(_TCP, socket.TCP_DEFER_ACCEPT, round(tcp.defer_accept_s or 0))
    sock.setsockopt(_TCP, socket.TCP_FASTOPEN, tcp.fastopen or 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, tcp.keepalive is not None)
    if tcp.keepalive is not None:
        sock.setsockopt(_TCP, socket.TCP_KEEPIDLE, round(tcp.keepalive.idle_s))
        sock.setsockopt(_TCP, socket.TCP_KEEPINTVL, round(tcp.keepalive.interval_s))
        sock.setsockopt(_TCP, socket.TCP_KEEPCNT, tcp.keepalive.count)


def does_kernel_fastopen() -> bool:
    """Whether the kernel lets servers have data in a SYN; without it the option has no effect."""
    try:
        return bool(int(_FASTOPEN_SETTING.read_text()) & FASTOPEN_FOR_SERVERS)
    except (OSError, ValueError):
        return False
