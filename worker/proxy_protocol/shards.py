"""
Lent shards on which connections begin with a PROXY header: they are accepted here, and not by the loop.
"""

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from penstock.worker.limits import PROXY_ACCEPT_AGAIN_S, PROXY_ACCEPTS_PER_TURN_MAX
from penstock.worker.logs import LOG
from penstock.worker.shards import Acceptor, LentShards
from penstock.worker.tls.complaints import Complaints

# Nothing is wrong with the connection, and there is no room for it just now.
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Take = Callable[[socket.socket, Any], None]


class HeraldedShards(LentShards):
    """Accepts on the shards of one listener, and passes sockets on as they are, with the peer's address."""

    def __init__(self, take: Take, *, backlog: int) -> None:
        super().__init__(_nobody, backlog=backlog, tls=None)
        self._take = take
        self._backlog = backlog
        self._complaints = Complaints()

    async def _serve(self, sock: socket.socket) -> Acceptor:
        return RawAcceptor(sock, self._take, self._complaints, self._backlog)


class RawAcceptor:
    """Accepts on one socket."""

    def __init__(self, sock: socket.socket, take: Take, complaints: Complaints, backlog: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._take = take
        self._complaints = complaints
        self._pause: asyncio.TimerHandle | None = None
        self._is_tcp = sock.family != socket.AF_UNIX
        sock.setblocking(False)
        sock.listen(backlog)
        self._resume()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The socket that it accepts on."""
        return (self._sock,)

    def close(self) -> None:
        """Stop accepting. The master's socket goes on, so the loop's poll has to be told."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(PROXY_ACCEPTS_PER_TURN_MAX):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._wait(error)
                    return
                continue  # Whoever it was has gone while it was queued (ECONNABORTED and its like).
            sock.setblocking(False)
            if self._is_tcp:
                with suppress(OSError):  # It may have gone by now, which whoever reads it will notice.
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._take(sock, address)

    def _wait(self, error: OSError) -> None:
        told = self._complaints.judge(f"cannot accept connections: {error.strerror}", time.monotonic())
        if told is not None:
            LOG.error("%s", told)
        self._loop.remove_reader(self._sock.fileno())
        self._pause = self._loop.call_later(PROXY_ACCEPT_AGAIN_S, self._resume)


def _nobody() -> asyncio.Protocol:
    raise AssertionError("the loop accepts nobody here")
