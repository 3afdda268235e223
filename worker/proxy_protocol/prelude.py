"""
Connections of a listener that are to begin with a PROXY header, until it has been read.

A header ends where the first byte for TLS or HTTP stands, and must be read no
further: what is there is looked at first, and then taken up to its end. So this
works on the bare socket, and makes a connection of it only when it is known
between whom. Who is not trusted is never read from.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from penstock.shm.names import PROXY_REJECTIONS
from penstock.worker.http.connection import Connection
from penstock.worker.http.forwarded import Name, Trust
from penstock.worker.http.told import RefusedConnection
from penstock.worker.limits import PROXY_HEADER_BYTES_MAX, PROXY_WAITING_MAX
from penstock.worker.logs import LOG
from penstock.worker.proxy_protocol.header import Endpoints, HeaderError, NoHeader, read_header
from penstock.worker.spec import ProxyProtocolSpec
from penstock.worker.tls.complaints import Complaints

if TYPE_CHECKING:
    from penstock.worker.http.site import Site

# A request line, as far as it goes: whoever sends that can read an answer.
_HTTP: Final = re.compile(rb"[A-Z]{1,20}(?: |$)")

_STRANGER, _MISSING, _MALFORMED, _TIMEOUT = range(len(PROXY_REJECTIONS))
_WORDS: Final = (
    "it is no proxy that may send a PROXY header",
    "it began without a PROXY header, which proxies of 'proxy_protocol' have to send",
    "its PROXY header is malformed",
    "its PROXY header did not come in time",
)


class Prelude:
    """One connection that waits for its header, and what has come of that."""

    __slots__ = ("data", "deadline_s", "peer", "sock")

    def __init__(self, sock: socket.socket, peer: Name | None, deadline_s: float) -> None:
        self.sock = sock
        self.peer = peer
        self.deadline_s = deadline_s
        self.data = b""


class Preludes:
    """All of them on one site. Its methods belong to the loop's thread."""

    def __init__(
        self,
        spec: ProxyProtocolSpec,
        site: "Site",
        cells: memoryview,
        *,
        on_fewer: Callable[[], None],
        tls: ssl.SSLContext | None = None,
        handshake_timeout_s: float | None = None,
    ) -> None:
        """`on_fewer` is called when one has ended, unless it is a connection of the site now."""
        self._site = site
        self._loop = site.loop
        self._trust = Trust(spec.trusted)
        self._is_required = spec.required
        self._timeout_s = spec.timeout_s
        self._cells = cells
        self._rejected = spec.rejected
        self._on_fewer = on_fewer
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self._tls = {"ssl": tls, "ssl_handshake_timeout": handshake_timeout_s}
        self._complaints = Complaints()
        # The oldest first, so by their deadlines.
        self._waiting: dict[Prelude, None] = {}
        # Those whose header was read, and of which the site does not know yet.
        self._arriving: set[Prelude] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Count the connections that the site does not know of yet."""
        return len(self._waiting) + len(self._arriving)

    def take(self, sock: socket.socket, address: Any) -> None:
        """Take in a connection that was accepted. Takes the socket over."""
        peer = (address[0], address[1]) if isinstance(address, tuple) else None
        prelude = Prelude(sock, peer, time.monotonic() + self._timeout_s)
        if self._trust.trusts_peer(peer):
            if len(self._waiting) >= PROXY_WAITING_MAX:
                # Who means it sends the header at once, so the oldest does not.
                self._reject(next(iter(self._waiting)), _TIMEOUT, "too many wait for theirs")
            # Mostly it has come with the connection.
            self._read(prelude)
        elif self._is_required:
            self._reject(prelude, _STRANGER)
        else:
            self._arrive(prelude, self._site.connect)

    def tick(self, now_s: float) -> None:
        """Close those whose header has not come in time."""
        while self._waiting:
            prelude = next(iter(self._waiting))
            if prelude.deadline_s > now_s:
                return
            self._read(prelude)  # The loop may have been blocked, and it is there.
            if prelude in self._waiting:
                self._reject(prelude, _TIMEOUT)

    def hurry(self, deadline_s: float) -> None:
        """Give all of them less time."""
        for prelude in self._waiting:
            prelude.deadline_s = min(prelude.deadline_s, deadline_s)

    def close_all(self) -> None:
        """Close those that wait."""
        for prelude in list(self._waiting):
            self._close(prelude)

    # One of them.

    def _read(self, prelude: Prelude) -> None:
        """Take what has come, up to the end of the header, and go on with what it says."""
        sock, before = prelude.sock, prelude.data
        try:
            seen = sock.recv(PROXY_HEADER_BYTES_MAX - len(before), socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._wait(prelude)
            return
        except OSError:
            self._close(prelude)  # It was reset.
            return
        if not seen:
            self._ended(prelude)
            return
        try:
            header = read_header(before + seen)
            # What was seen is there, and nobody else reads it.
            taken = sock.recv(len(seen) if header is None else header.size - len(before))
        except NoHeader:
            if _HTTP.match(before + seen):
                self._refuse(prelude, before + seen)
            else:
                self._reject(prelude, _MISSING)
        except HeaderError as error:
            self._reject(prelude, _MALFORMED, str(error))
        except OSError:
            self._close(prelude)
        else:
            if header is None:
                prelude.data += taken
                self._wait(prelude)
            else:
                self._unwatch(prelude)
                self._arrive(prelude, self._connector(header.endpoints))

    def _connector(self, endpoints: Endpoints | None) -> Callable[[], Connection]:
        return self._site.connect if endpoints is None else partial(self._site.connect_told, endpoints)

    def _ended(self, prelude: Prelude) -> None:
        """Let go of one that sends no more. By a mere connect load balancers look whether we are there."""
        if prelude.data:
            self._reject(prelude, _MALFORMED, "the connection ended within it")
        else:
            self._close(prelude)

    def _reject(self, prelude: Prelude, reason: int, detail: str = "") -> None:
        """Close one, and say so once in a while."""
        self._count(prelude, reason, detail)
        self._close(prelude)

    def _refuse(self, prelude: Prelude, data: bytes) -> None:
        """Answer one that speaks HTTP at once, in clear text: it did not begin with TLS either."""
        self._count(prelude, _MISSING)
        self._unwatch(prelude)
        line = data.partition(b"\r\n")[0]
        self._arrive(prelude, partial(RefusedConnection, self._site, line), in_clear=True)

    def _count(self, prelude: Prelude, reason: int, detail: str = "") -> None:
        self._cells[self._rejected + reason] += 1
        told = self._complaints.judge(_WORDS[reason], time.monotonic())
        if told is not None:
            who = "a UNIX socket" if prelude.peer is None else prelude.peer[0]
            # Strangers are somebody's scan; what a proxy does wrong is to be mended.
            level = LOG.info if reason == _STRANGER else LOG.warning
            more = detail and f": {detail}"
            level("%s: closed a connection of %s: %s%s", self._site.name, who, told, more)

    def _wait(self, prelude: Prelude) -> None:
        if prelude not in self._waiting:
            self._waiting[prelude] = None
            self._loop.add_reader(prelude.sock.fileno(), self._read, prelude)

    def _unwatch(self, prelude: Prelude) -> None:
        if prelude in self._waiting:
            del self._waiting[prelude]
            self._loop.remove_reader(prelude.sock.fileno())

    def _close(self, prelude: Prelude) -> None:
        self._unwatch(prelude)
        prelude.sock.close()
        self._on_fewer()

    # Becoming a connection of the site.

    def _arrive(self, prelude: Prelude, connect: Callable[[], Connection], *, in_clear: bool = False) -> None:
        self._arriving.add(prelude)
        task = self._loop.create_task(self._connect(prelude, connect, {} if in_clear else self._tls))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(
        self, prelude: Prelude, connect: Callable[[], Connection], tls: dict[str, Any]
    ) -> None:
        def made() -> Connection:
            connection = connect()
            if tls:
                self._arriving.discard(prelude)  # From now on it is a handshake of the site's.
            return connection

        try:
            _, connection = await self._loop.connect_accepted_socket(made, prelude.sock, **tls)
        except OSError as error:
            # A handshake that failed has been told of.
            LOG.debug("%s: lost a connection: %s", self._site.name, error)
            prelude.sock.close()
        else:
            if self._site.is_draining:
                connection.begin_drain(self._site.idle_grace_s)
        finally:
            self._arriving.discard(prelude)
            self._on_fewer()
