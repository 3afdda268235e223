"""
Our own load generator: a constant rate, with latency counted from the intended send time.

Each of C connections has a schedule of rate / C, and the schedules are spread
evenly, as wrk2's are. A request that is due while its connection waits for an
answer is sent when the connection is free, and its latency counts from when it
was due: a client that came at that moment would have waited that long. Without
a rate the loop is closed, and each connection asks again when it is answered.

No request that was due is left out: what is unanswered when the grace ends is
an error, and is recorded with the latency it has reached.
"""

import dataclasses
import heapq
import math
import select
import socket
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from bench.connection import Connection, ShowingConnection
from bench.failure import LoadFailed
from bench.histogram import Histogram
from bench.lua import Script

ERROR_KINDS = ("connect", "read", "write", "timeout", "status")
CONNECT_S = 5.0
EVENTS_MAX = 1024

# A sleep ends some 50 µs late, and more when the core has dozed off. The last stretch
# before a request is due is spent asking the kernel, so that latency is not ours.
SPIN_S = 0.0005

# Of a backlog that nobody could answer, so many are recorded one by one; of a larger
# one each stands for its neighbours too, with the highest of their latencies.
BACKLOG_RECORDS_MAX = 100_000

# 0.4 s at 50/s are 20 batches, but not in binary fractions.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What to send, and for how long."""

    connections: int
    duration_s: float
    rate: float | None = None  # Requests/s; None for a closed loop.
    timeout_s: float = 2.0  # The grace after the run, for answers that are late.
    spins: bool = True  # False where the server has the same core.


class Generator:
    """One run. It owns the connections, the schedule and the counts."""

    def __init__(self, script: Script, url: str, plan: Plan) -> None:
        self.plan = plan
        self.script = script
        self.family, self.address = resolve(url)
        self.answer_count = script.answer_count
        self.latency = Histogram()
        self.late = Histogram()  # How late we were ourselves, though the connection was free.
        self.errors = dict.fromkeys(ERROR_KINDS, 0)
        self.requests = 0
        self.busy_s = 0.0
        self._interval_s = plan.connections * self.answer_count / plan.rate if plan.rate else 0.0
        self._epoll = select.epoll()
        self._by_fd: dict[int, Connection] = {}
        self._wakes: list[tuple[float, int]] = []  # (when, connection): a heap.
        made = ShowingConnection if script.wants_response else Connection
        self._connections = [made(self, index) for index in range(plan.connections)]

    def run(self) -> None:
        """Connect, load, and wait for what is late. The counts are the outcome. Raises LoadFailed."""
        try:
            self._connect()
            self._start_s = self._answered_s = perf_counter()
            self._end_s = self._start_s + self.plan.duration_s
            self._unfinished = len(self._connections)
            for connection in self._connections:
                self._plan_next(connection, self._start_s, may_begin=False)
            self._loop(self._end_s + self.plan.timeout_s)
            self._give_up(perf_counter())
        except OSError as error:
            raise LoadFailed(f"the load generator failed: {error}") from error
        finally:
            for connection in self._connections:
                connection.close()
            self._epoll.close()

    def outcome(self) -> dict[str, Any]:
        """Give the counts as plain values."""
        duration_s = max(self._answered_s, self._end_s) - self._start_s
        return {
            "requests": self.requests,
            "duration_s": duration_s,
            "errors": self.errors,
            "curve": self.latency.curve(),
            "busy": min(1.0, self.busy_s / (self._stopped_s - self._start_s)),
            "late_us": self.late.percentiles_us([99.0])[0],
        }

    def _connect(self) -> None:
        """Open all connections, so that opening them is not in the first latencies."""
        with socket.socket(self.family, socket.SOCK_STREAM) as probe:
            probe.settimeout(CONNECT_S)
            try:
                probe.connect(self.address)
            except OSError as error:
                raise LoadFailed(f"cannot connect to {self.address[0]}:{self.address[1]}: {error}") from error
        deadline_s = perf_counter() + CONNECT_S
        for connection in self._connections:
            connection.open()
        while not all(connection.is_connected for connection in self._connections):
            events = self._epoll.poll(0.05, EVENTS_MAX)
            for fd, flags in events:
                self._by_fd[fd].ready(flags)
            if perf_counter() > deadline_s or not self._by_fd:
                break  # Those that are missing try again when their first request is due.

    def _loop(self, cutoff_s: float) -> None:
        poll, by_fd, wakes, connections = self._epoll.poll, self._by_fd, self._wakes, self._connections
        spin_s = SPIN_S if self.plan.spins else 0.0
        now_s = perf_counter()
        while self._unfinished and now_s < cutoff_s:
            # What has arrived comes first: a connection that the server closed is not written to.
            events = poll(0, EVENTS_MAX)
            for fd, flags in events:
                by_fd[fd].ready(flags)
            is_idle = not events
            if wakes and wakes[0][0] <= (woken_s := perf_counter()):
                is_idle = False
                while wakes and wakes[0][0] <= woken_s:
                    self._step(connections[heapq.heappop(wakes)[1]])
            if is_idle:
                until_s = min(wakes[0][0] - spin_s, cutoff_s) if wakes else cutoff_s
                wait_s = until_s - perf_counter()
                if wait_s > 0:
                    # Finer than epoll's own timeout, which is in whole milliseconds.
                    select.select([self._epoll], (), (), wait_s)
                now_s = perf_counter()
            else:
                before_s, now_s = now_s, perf_counter()
                self.busy_s += now_s - before_s
        self._stopped_s = now_s

    def _step(self, connection: Connection) -> None:
        """Do what a connection was woken for: another try to connect, or its next request."""
        if connection.is_busy:
            connection.open()
            return
        now_s = perf_counter()
        due_s = self._due_s(connection, now_s)
        if not connection.failures:
            self.late.record(int((now_s - due_s) * 1e6))
        self._begin(connection, due_s)

    def _begin(self, connection: Connection, due_s: float) -> None:
        connection.batch += 1
        connection.begin(due_s, self.script.next_request())

    def _due_s(self, connection: Connection, now_s: float) -> float:
        """When the connection's next batch is due; in a closed loop, whenever it can be sent."""
        if not self._interval_s:
            return now_s
        place = connection.batch + connection.index / len(self._connections)
        return self._start_s + place * self._interval_s

    def _plan_next(self, connection: Connection, now_s: float, *, may_begin: bool) -> None:
        """Send the next batch if it is due, else wait for that; a connection with none left is finished."""
        if self._interval_s:
            wake_s = due_s = self._due_s(connection, now_s)
            is_finished = not self._batches_left(connection)
        else:
            wake_s = due_s = now_s + self.script.delay_s()
            is_finished = due_s >= self._end_s
        if is_finished:
            self._unfinished -= 1
            return
        if connection.failures:
            wake_s = max(due_s, now_s + connection.backoff_s())
        if may_begin and wake_s <= now_s:
            self._begin(connection, due_s)
        else:
            self.wake(connection, wake_s)

    def _give_up(self, now_s: float) -> None:
        """Count what was due in the run and has no answer, sent or not."""
        backlog = 0
        for connection in self._connections:
            if connection.is_busy:
                self.lost(connection, "timeout", now_s)
            backlog += self._batches_left(connection)
        stride = max(1, math.ceil(backlog / BACKLOG_RECORDS_MAX))
        for connection in self._connections:
            left = self._batches_left(connection)
            while left > 0:
                count = min(stride, left) * self.answer_count
                self.errors["timeout"] += count
                self.latency.record(int((now_s - self._due_s(connection, now_s)) * 1e6), count)
                connection.batch += stride
                left -= stride

    def _batches_left(self, connection: Connection) -> int:
        """Count what is still due in the run, as whole batches: the last one begins before the end."""
        if not self._interval_s:
            return 0
        place = connection.index / len(self._connections)
        count = math.ceil(self.plan.duration_s / self._interval_s - place - ROUNDING)
        return max(0, count - connection.batch)

    # What connections tell us; see `connection.Owner`.

    def watch(self, connection: Connection, *, is_writing: bool) -> None:
        events = select.EPOLLIN | select.EPOLLOUT if is_writing else select.EPOLLIN
        if connection.fd in self._by_fd:
            self._epoll.modify(connection.fd, events)
        else:
            self._by_fd[connection.fd] = connection
            self._epoll.register(connection.fd, events)

    def unwatch(self, connection: Connection) -> None:
        if self._by_fd.pop(connection.fd, None) is not None:
            self._epoll.unregister(connection.fd)

    def answered(self, connection: Connection, now_s: float, status: int) -> None:
        self.requests += 1
        self._answered_s = now_s
        self.latency.record(int((now_s - connection.due_s) * 1e6))
        if status > 399:
            self.errors["status"] += 1

    def lost(self, connection: Connection, kind: str, now_s: float) -> None:
        self.errors[kind] += connection.awaited
        self.latency.record(int((now_s - connection.due_s) * 1e6), connection.awaited)

    def erred(self, kind: str) -> None:
        self.errors[kind] += 1

    def over(self, connection: Connection) -> None:
        self._plan_next(connection, perf_counter(), may_begin=True)

    def wake(self, connection: Connection, at_s: float) -> None:
        heapq.heappush(self._wakes, (at_s, connection.index))

    def show(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.script.response(status, headers, body)


def resolve(url: str) -> tuple[int, Any]:
    """Find the address of a URL. Raises LoadFailed."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80  # Raises, if it is no port.
    except ValueError as error:
        raise LoadFailed(f"{url}: {error}") from error
    if parts.scheme != "http" or not parts.hostname:
        raise LoadFailed(f"{url}: our own generator speaks plain HTTP only: http://HOST:PORT/PATH")
    try:
        family, _, _, _, address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise LoadFailed(f"{url}: {error}") from error
    return family, address
