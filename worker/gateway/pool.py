"""
The connections of one worker to one upstream server.

Who wants one calls `want` and is told, at once or later, exactly once: it gets
a link that is its own, or hears why there is none. It ends that by `give_back`
or by aborting the link. The link itself says whose it is, so nobody can give
back what is not theirs.
"""

import asyncio
import time
from collections import deque
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

from penstock.worker.gateway.link import Borrower, KnownHead, Link
from penstock.worker.gateway.numbers import CLOSED, CONNECT, CONNECT_TIMEOUT, OVERLOAD, ServerNumbers
from penstock.worker.gateway.spec import ServerSpec, UpstreamSpec
from penstock.worker.gateway.standing import Standing
from penstock.worker.gateway.terms import terms_for
from penstock.worker.limits import UNREPEATABLE_IDLE_S, UPSTREAM_KNOWN_BYTES_MAX, UPSTREAM_KNOWN_COUNT_MAX
from penstock.worker.logs import LOG
from penstock.worker.tls.complaints import Complaints

if TYPE_CHECKING:
    from penstock.worker.gateway.ewma import Latency
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
        "_complaints",
        "_connecting",
        "_has_undated",
        "_links",
        "_making",
        "_spec",
        "_upstream",
        "_waiting",
        "count",
        "idle",
        "idle_max",
        "is_wary",
        "known",
        "latency",
        "link_type",
        "numbers",
        "server",
        "standing",
        "terms",
        "via_line",
    )

    def __init__(self, upstream: "Upstream", spec: UpstreamSpec, server: ServerSpec) -> None:
        self.server = server
        self.numbers = ServerNumbers(server, upstream.cells)
        self.count = self.numbers.count
        # How long answers take, and links that look at that: where servers are chosen by it.
        self.latency: Latency | None = None
        self.link_type: type[Link] = Link
        self.standing = Standing(upstream.standings_changed)
        self._spec = spec
        self._upstream = upstream
        self._complaints = Complaints()
        self._links: set[Link] = set()
        self.idle_max = spec.idle_max
        self.idle: list[Link] = []  # the one that was used last at the end
        self._making = 0
        self._connecting: set[asyncio.Task[None]] = set()
        self.known: dict[bytes, KnownHead] = {}  # by the head as it came
        # The server has failed: until it has worked, every response is looked at, and none is known.
        self.is_wary = False
        self._has_undated = False
        self.terms = terms_for(spec.terms, server.address)
        # What responses of the usual version get.
        via = self.terms.via("1.1")
        self.via_line = b"via: " + via + b"\r\n" if via else b""
        self._waiting: deque[tuple[Wanting, float]] = deque()  # with the time by which

    @property
    def busy_count(self) -> int:
        """Count the requests that are with this server, or on the way to it."""
        return len(self._links) - len(self.idle) + self._making + len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is with this server, or on the way to it."""
        return not self._links and not self._making and not self._waiting

    @property
    def idle_count(self) -> int:
        """Count the links that nobody uses."""
        return len(self.idle)

    @property
    def open_count(self) -> int:
        """Count all links."""
        return len(self._links)

    @property
    def may_be_stale(self) -> bool:
        """Tell whether its server may just be closing even the link that was used last."""
        return bool(self.idle) and self.idle[-1].idle_since_s < time.monotonic() - UNREPEATABLE_IDLE_S

    def want(self, wanting: Wanting, *, fresh: bool = False) -> None:
        """Have a link given to a request, at once if one is idle; `fresh`: a new one."""
        if not fresh and self.idle:
            self._lend(self.idle.pop(), wanting)
        elif self._has_room():
            self._connect(wanting)
        elif len(self._waiting) < self._spec.queue_max:
            if fresh:
                # Those that are idle are likely as stale, and take the room that a new one needs.
                self.drop_idle()
            self._waiting.append((wanting, self._upstream.now_s + self._spec.queue_timeout_s))
        else:
            self._refuse(wanting, NO_ROOM, OVERLOAD)

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
        self._room_changed()
        self._serve_waiting()

    def watch(self, link: Link, deadline_s: float) -> None:
        """Have a link's `expire` called at a time."""
        self._upstream.wheel.watch(link, deadline_s)

    def saw(self, head: bytes, known: KnownHead) -> None:
        """Remember the head of a response."""
        if len(head) <= UPSTREAM_KNOWN_BYTES_MAX and not self.is_wary:
            if len(self.known) >= UPSTREAM_KNOWN_COUNT_MAX:
                self.known.clear()
            self.known[head] = known
            if b"\ndate:" not in head.lower():
                self._has_undated = True  # The date in it is ours, and it goes on.

    def be_wary(self) -> None:
        """Have every response looked at."""
        self.is_wary = True
        self.known.clear()

    def be_easy(self) -> None:
        """Pass on what is known without a look, again."""
        self.is_wary = False

    def drop_idle(self) -> None:
        """Close what is idle: its server is gone or out of service, or the connections are what is bad."""
        while self.idle:
            self.idle.pop().abort()

    def tick(self, now_s: float) -> None:
        """Close what was idle for too long, and answer who has waited for too long."""
        if self._has_undated:
            self._has_undated = False
            self.known.clear()
        since_s = now_s - self._spec.idle_timeout_s
        while self.idle and self.idle[0].idle_since_s <= since_s:
            self.idle.pop(0).abort()
        while self._waiting and self._waiting[0][1] <= now_s:
            self._refuse(self._waiting.popleft()[0], NOT_IN_TIME, OVERLOAD)
        if self.latency is not None:
            self.latency.rest(now_s * 1e9)
        idle = self.idle_count
        self.numbers.show(
            active=self.open_count - idle,
            idle=idle,
            queued=len(self._waiting),
            is_up=self.standing.is_up,
        )

    def retire(self) -> None:
        """Keep nothing idle from now on; what is under way, and who waits, is served to the end."""
        self.idle_max = 0
        self.drop_idle()

    def close(self) -> None:
        """End all, when the worker ends."""
        for task in self._connecting:
            task.cancel()
        for link in list(self._links):
            link.abort()
        self.idle.clear()
        self.numbers.show(active=0, idle=0, queued=0, is_up=self.standing.is_up)

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
        reason, failure = "", CONNECT
        link: Link | None = None
        began_ns = perf_counter_ns()
        try:
            async with asyncio.timeout(self._spec.connect_timeout_s):
                link = await self._open()
        except TimeoutError:
            reason, failure = f"no connection within {self._spec.connect_timeout_s:g} s", CONNECT_TIMEOUT
        except OSError as error:
            reason = f"cannot connect: {error.strerror or error}"
        finally:
            self._making -= 1
        if link is None:
            self._room_changed()
            self._refuse(wanting, reason, failure)
            self._serve_waiting()
            return
        link.made_ns = perf_counter_ns()
        link.connect_us = (link.made_ns - began_ns) // 1000
        self.numbers.connected(link.connect_us)
        self._links.add(link)
        if link.is_closed:
            self.ended(link)
            self._refuse(wanting, "it closed the connection at once", CLOSED)
        elif wanting.is_gone:
            self._keep(link)
        else:
            self._lend(link, wanting)

    async def _open(self) -> Link:
        loop = self._upstream.loop
        address = self.server.address
        if address.startswith("unix:"):
            _, link = await loop.create_unix_connection(
                lambda: self.link_type(self), address.removeprefix("unix:")
            )
            return link
        if address.startswith("srv:"):
            raise OSError("it is not known yet which servers the name stands for")
        host, _, port = address.rpartition(":")
        _, link = await loop.create_connection(lambda: self.link_type(self), host.strip("[]"), int(port))
        return link

    def _has_room(self) -> bool:
        """Tell whether one more connection may be made, which then is."""
        return len(self._links) + self._making < self._spec.connections_max

    def _room_changed(self) -> None:
        """Take note that a connection has ended, or was not made."""

    def _keep(self, link: Link) -> None:
        """Make use of a link that nobody wants any more."""
        if self._waiting:
            self._lend(link, self._waiting.popleft()[0])
        elif len(self.idle) >= self.idle_max:
            link.abort()
        else:
            link.request_count = 1  # It may go stale.
            link.idle_since_s = self._upstream.now_s
            self.idle.append(link)

    def _serve_waiting(self) -> None:
        """Give whoever waits what has become free, or may be made."""
        while self._waiting:
            if self.idle:
                self._lend(self.idle.pop(), self._waiting.popleft()[0])
            elif self._has_room():
                self._connect(self._waiting.popleft()[0])
            else:
                return

    def _refuse(self, wanting: Wanting, reason: str, failure: int) -> None:
        self.numbers.failed(failure)
        wanting.have_not(self, reason, is_overload=failure == OVERLOAD)

    def note_retry(self) -> None:
        """Count a request that is sent another time after it has failed here."""
        self.numbers.note_retry()

    def note_ejection(self) -> None:
        """Count that the server is left out for a while, because of its failures."""
        self.numbers.note_ejection()

    def complain(self, reason: str) -> None:
        """Log what is wrong with the server: once, though every request may meet it."""
        told = self._complaints.judge(reason, time.monotonic())
        if told is not None:
            LOG.warning("upstream %s, %s: %s", self._spec.name, self.server.address, told)
