"""
The connections of one worker to one upstream server.

Who wants one calls `want` and is told, at once or later, exactly once: it gets
a link that is its own, or hears why there is none. It ends that by `give_back`
or by aborting the link. The link itself says whose it is, so nobody can give
back what is not theirs.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from penstock.worker.gateway.link import Borrower, KnownHead, Link
from penstock.worker.gateway.spec import ServerSpec, UpstreamSpec
from penstock.worker.gateway.standing import Standing
from penstock.worker.limits import UPSTREAM_KNOWN_BYTES_MAX, UPSTREAM_KNOWN_COUNT_MAX
from penstock.worker.logs import LOG

if TYPE_CHECKING:
    from penstock.worker.gateway.upstream import Upstream

NO_ROOM = "too many requests wait for a connection"
NOT_IN_TIME = "no connection became free in time"


class Wanting(Borrower, Protocol):
    """A request that wants a link."""

    @property
    def is_gone(self) -> bool:
        """Tell whether it does not want one any more."""

    def have(self, link: Link) -> None:
        """Here it is."""

    def have_not(self, pool: "Pool", reason: str, *, is_overload: bool) -> None:
        """There is none: the server cannot be reached, or has too much to do."""


class Pool:
    """Links to one server: lent, idle, or being made; and who waits for one."""

    __slots__ = (
        "_connecting",
        "_links",
        "_making",
        "_spec",
        "_upstream",
        "_waiting",
        "idle",
        "idle_max",
        "known",
        "server",
        "standing",
    )

    def __init__(self, upstream: "Upstream", spec: UpstreamSpec, server: ServerSpec) -> None:
        self.server = server
        self.standing = Standing(upstream.standings_changed)
        self._spec = spec
        self._upstream = upstream
        self._links: set[Link] = set()
        self.idle_max = spec.idle_max
        self.idle: list[Link] = []  # the one that was used last at the end
        self._making = 0
        self._connecting: set[asyncio.Task[None]] = set()
        self.known: dict[bytes, KnownHead] = {}  # by the head as it came
        self._waiting: deque[tuple[Wanting, float]] = deque()  # with the time by which

    @property
    def busy_count(self) -> int:
        """Count the requests that are with this server, or on the way to it."""
        return len(self._links) - len(self.idle) + self._making + len(self._waiting)

    @property
    def idle_count(self) -> int:
        """Count the links that nobody uses."""
        return len(self.idle)

    @property
    def open_count(self) -> int:
        """Count all links."""
        return len(self._links)

    def want(self, wanting: Wanting, *, fresh: bool = False) -> None:
        """Have a link given to a request, at once if one is idle; `fresh`: a new one."""
        if not fresh and self.idle:
            self._lend(self.idle.pop(), wanting)
        elif len(self._links) + self._making < self._spec.connections_max:
            self._connect(wanting)
        elif len(self._waiting) < self._spec.queue_max:
            self._waiting.append((wanting, self._upstream.now_s + self._spec.queue_timeout_s))
        else:
            wanting.have_not(self, NO_ROOM, is_overload=True)

    def forget(self, wanting: Wanting) -> None:
        """Take a request out of the queue: its client is gone."""
        self._waiting = deque(each for each in self._waiting if each[0] is not wanting)

    def give_back(self, link: Link) -> None:
        """Take a link back whose response is complete."""
        assert link.pool is self
        assert link.borrower is not None
        link.borrower = None
        reader = link.reader
        if link.is_closed:
            return
        if not reader.keep_alive or reader.is_spoilt or link.is_write_blocked:
            link.abort()
            return
        link.resume_reading()
        if self._waiting:
            self._lend(link, self._waiting.popleft()[0])
        elif len(self.idle) >= self.idle_max:
            link.abort()
        else:
            link.idle_since_s = self._upstream.now_s
            self.idle.append(link)

    def ended(self, link: Link) -> None:
        """Forget a link whose connection is gone."""
        self._links.discard(link)
        if link.borrower is None and link in self.idle:
            self.idle.remove(link)
        self._upstream.wheel.forget(link)
        self._serve_waiting()

    def watch(self, link: Link, deadline_s: float) -> None:
        """Have a link's `expire` called at a time."""
        self._upstream.wheel.watch(link, deadline_s)

    def saw(self, head: bytes, known: KnownHead) -> None:
        """Remember the head of a response."""
        if len(head) <= UPSTREAM_KNOWN_BYTES_MAX:
            if len(self.known) >= UPSTREAM_KNOWN_COUNT_MAX:
                self.known.clear()
            self.known[head] = known

    def tick(self, now_s: float) -> None:
        """Close what was idle for too long, and answer who has waited for too long."""
        since_s = now_s - self._spec.idle_timeout_s
        while self.idle and self.idle[0].idle_since_s <= since_s:
            self.idle.pop(0).abort()
        while self._waiting and self._waiting[0][1] <= now_s:
            self._waiting.popleft()[0].have_not(self, NOT_IN_TIME, is_overload=True)

    def close(self) -> None:
        """End all, when the worker ends."""
        for task in self._connecting:
            task.cancel()
        for link in list(self._links):
            link.abort()
        self.idle.clear()

    def _lend(self, link: Link, wanting: Wanting) -> None:
        assert link.borrower is None
        link.borrower = wanting
        link.request_count += 1
        wanting.have(link)

    def _connect(self, wanting: Wanting) -> None:
        self._making += 1
        # In a bare context: the connection outlives the request, whose context it must not keep.
        task = self._upstream.loop.create_task(self._make(wanting), context=self._upstream.context)
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _make(self, wanting: Wanting) -> None:
        reason = ""
        link: Link | None = None
        try:
            async with asyncio.timeout(self._spec.connect_timeout_s):
                link = await self._open()
        except TimeoutError:
            reason = f"no connection within {self._spec.connect_timeout_s:g} s"
        except OSError as error:
            reason = f"cannot connect: {error.strerror or error}"
        finally:
            self._making -= 1
        if link is None:
            wanting.have_not(self, reason, is_overload=False)
            self._serve_waiting()
            return
        self._links.add(link)
        if link.is_closed:
            self.ended(link)
            wanting.have_not(self, "it closed the connection at once", is_overload=False)
        elif wanting.is_gone:
            link.request_count = 1
            link.idle_since_s = self._upstream.now_s
            self.idle.append(link)
            self._serve_waiting()
        else:
            self._lend(link, wanting)

    async def _open(self) -> Link:
        loop = self._upstream.loop
        address = self.server.address
        if address.startswith("unix:"):
            _, link = await loop.create_unix_connection(lambda: Link(self), address.removeprefix("unix:"))
            return link
        host, _, port = address.rpartition(":")
        _, link = await loop.create_connection(lambda: Link(self), host.strip("[]"), int(port))
        return link

    def _serve_waiting(self) -> None:
        """Give whoever waits what has become free, or may be made."""
        while self._waiting:
            if self.idle:
                self._lend(self.idle.pop(), self._waiting.popleft()[0])
            elif len(self._links) + self._making < self._spec.connections_max:
                self._connect(self._waiting.popleft()[0])
            else:
                return

    def complain(self, reason: str) -> None:
        """Log what is wrong with the server."""
        LOG.warning("upstream %s, %s: %s", self._spec.name, self.server.address, reason)
