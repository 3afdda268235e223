"""
The listening sockets that this process is lent.

Each is a duplicate of one the master keeps, so closing it here loses nothing:
the accept queue stays, and whoever is lent the shard next goes on serving it.
"""

import asyncio
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from penstock.worker.logs import LOG
from penstock.worker.offspring import is_closed, keep_from_offspring

_TCP_INFO_UNACKED_OFFSET = 24  # struct tcp_info: 8 bytes, then rto, ato, snd_mss, rcv_mss, then unacked


def queued_connections(sock: socket.socket) -> int:
    """Count the connections that wait to be accepted; 0 where the kernel does not tell (UNIX sockets)."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_UNACKED_OFFSET + 4)
    except OSError:
        return 0
    return int(struct.unpack_from("=I", info, _TCP_INFO_UNACKED_OFFSET)[0])


# From Python 3.13 on, closing a UNIX server removes its file, which here belongs to the master.
_KEEP_SOCKET_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


class Acceptor(Protocol):
    """Whoever accepts on a socket."""

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """The sockets."""

    def close(self) -> None:
        """Stop accepting."""


class LentShards:
    """Accepts on the shards of one listener. All methods belong to the loop's thread."""

    def __init__(
        self,
        connect: Callable[[], asyncio.Protocol],
        *,
        backlog: int,
        tls: ssl.SSLContext | None,
        handshake_timeout_s: float | None = None,
    ) -> None:
        self._connect = connect
        self._options: dict[str, Any] = {"backlog": backlog, "ssl": tls}
        if tls is not None:
            self._options["ssl_handshake_timeout"] = handshake_timeout_s
        self._servers: dict[int, Acceptor] = {}
        self._expected: set[int] = set()
        self._adoptions: set[asyncio.Task[None]] = set()

    def take(self, shards: Sequence[int], fds: Sequence[int]) -> None:
        """Accept on these shards as soon as the loop comes round to it. Takes the descriptors over."""
        if len(fds) < len(shards):
            LOG.error("out of descriptors: can accept on %d of %d shards", len(fds), len(shards))
        self.expect(shards)
        loop = asyncio.get_running_loop()
        task = loop.create_task(self.adopt(dict(zip(shards, fds, strict=False))))
        self._adoptions.add(task)
        task.add_done_callback(self._adopted)

    def _adopted(self, task: asyncio.Task[None]) -> None:
        self._adoptions.discard(task)
        if not task.cancelled() and task.exception() is not None:
            LOG.error("could not accept on a shard: %s", task.exception())

    def expect(self, shards: Iterable[int]) -> None:
        """Note that these shards are coming; a release may overtake their adoption."""
        self._expected.update(shards)

    async def adopt(self, fds: Mapping[int, int]) -> None:
        """Accept on these expected shards from now on. Takes the descriptors over."""
        for shard, fd in fds.items():
            sock = socket.socket(fileno=fd)
            keep_from_offspring(fd)
            if shard in self._servers or shard not in self._expected:
                is_closed(fd)
                sock.close()
                continue
            server = await self._serve(sock)
            if shard in self._expected:
                self._servers[shard] = server
            else:
                server.close()  # It was released meanwhile.

    async def _serve(self, sock: socket.socket) -> Acceptor:
        # Both calls listen() again, which rewrites the backlog: it must be given.
        loop = asyncio.get_running_loop()
        if sock.family != socket.AF_UNIX:
            return await loop.create_server(self._connect, sock=sock, **self._options)
        return await loop.create_unix_server(self._connect, sock=sock, **self._options, **_KEEP_SOCKET_FILE)

    def release(self, shard: int) -> None:
        """Stop accepting on this shard; connections that were accepted stay."""
        self._expected.discard(shard)
        server = self._servers.pop(shard, None)
        if server is not None:
            server.close()

    def release_all(self) -> None:
        """Stop accepting."""
        for shard in list(self._expected):
            self.release(shard)

    def queued(self) -> int:
        """Count the connections that wait in the accept queues of these shards."""
        return sum(queued_connections(sock) for server in self._servers.values() for sock in server.sockets)


async def told_of_accepted() -> None:
    """
    Wait until whoever was accepted before shards were released is known to its protocol.

    The loop accepts a connection in one turn and tells its protocol in the
    next. To drain in between would be to see nobody there, and to leave
    without the answer.
    """
    for _ in range(2):
        await asyncio.sleep(0)
