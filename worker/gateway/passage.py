"""
One request on its way through: to a server of an upstream, and the answer back.

Direct calls, no task: the client's connection and the link to the server call
it as things come, and it writes to the one what came from the other. Neither is
read any faster than the other takes.
"""

from time import perf_counter_ns
from typing import ClassVar, Final

from penstock.shm import names
from penstock.shm.board import ANSWERED, ASKED, with_server
from penstock.shm.board import STREAMING as STREAMED
from penstock.shm.counting import BoardWriter
from penstock.worker.gateway.balancing import NOBODY
from penstock.worker.gateway.inbound import Inbound
from penstock.worker.gateway.last_hop import answer_here
from penstock.worker.gateway.link import Link
from penstock.worker.gateway.numbers import CLOSED, CONNECT, CONNECT_TIMEOUT, TIMEOUT
from penstock.worker.gateway.outflow import Outflow
from penstock.worker.gateway.pool import Pool
from penstock.worker.gateway.request_head import TERMINABLE, Looping, forwards_left
from penstock.worker.gateway.rules import CAUSE_OF
from penstock.worker.gateway.trail import Trail
from penstock.worker.gateway.upstream import Upstream
from penstock.worker.http.blocks import Memo
from penstock.worker.http.fields import is_event_stream
from penstock.worker.http.head import METHODS
from penstock.worker.http.phases import DONE, STREAMING, WAITING
from penstock.worker.http.responses import TEXT_HEADERS, error_text

METHOD_STARTS: Final = {name: token + b" " for token, name in METHODS.items()}


class Passage(Inbound):
    """Answers a request with what a server of an upstream says."""

    __slots__ = ()

    passes_on = True
    is_running = False  # its connection's end is its own
    needs_fresh: ClassVar[bool] = False  # a link that no request was sent on

    def forward(self, upstream: Upstream, target: bytes, memo: Memo | None) -> None:
        """
        Begin. The head of the request is there, and maybe some of its body.

        In `memo` is kept what becomes of a block of headers that comes again.
        """
        self._upstream = upstream
        upstream.request_count += 1
        self._target = target
        self._memo = memo
        if self.inbox is not None:
            self._is_chunked = any(name == b"transfer-encoding" for name, _ in self.scope["headers"])
        if not memo and self.scope["method"] in TERMINABLE and forwards_left(self.scope["headers"]) == 0:
            self.is_plain = False
            self.respond(*answer_here(self.scope, target))
            return
        self._try()

    # What a pool says.

    def have(self, link: Link) -> None:
        """Send the request: as much of it as there is."""
        self._is_waiting = False
        self.link = self._used = link
        method = self.scope["method"]
        link.reader.expect(method)
        self._sent_ns = perf_counter_ns()
        try:
            head = METHOD_STARTS[method] + self._target + (self._remembered(link) or self._composed(link))
        except Looping:
            self.link = None
            link.reader.keep_alive = True  # It was not asked anything.
            link.pool.give_back(link)
            self._refuse(508, "the request goes in circles")
            return
        inbox = self.inbox
        if inbox is None:
            self._is_sent = True
            link.transport.write(head)
        else:
            if inbox.expects_continue:
                inbox.expects_continue = False
                self.connection.send_continue()
            assert isinstance(inbox, Outflow)
            self._is_sent = inbox.is_complete
            body = inbox.begin(is_repeatable=method in self._upstream.guard.repeatable)
            link.transport.write(head + self._frame(body, is_last=inbox.is_complete))
            self.connection.body_taken()
        link.watch(self._upstream.first_byte_deadline_s)

    def have_not(self, pool: Pool, reason: str, *, is_overload: bool) -> None:
        """Try elsewhere, or say that there is no server."""
        self._is_waiting = False
        self._failure = failure = pool.numbers.last_failure
        if not is_overload:
            self._upstream.guard.failed(pool, self)
        if self.is_gone:
            return
        pool.complain(reason)
        if not is_overload:
            if not self._asks_again(CAUSE_OF[CONNECT]):
                told = "the upstream server cannot be reached"
                self._refuse(504 if failure == CONNECT_TIMEOUT else 502, told)
        elif self._has_attempts and self._upstream.has_other(self._tried):
            self._try()  # It has done nothing wrong, but another may have room.
        else:
            self._refuse(503, "the upstream server has too much to do")

    # What the link says.

    def link_failed(self, link: Link, reason: str) -> None:
        """Ask again, where that is safe; else say that the server failed, or cut what had begun."""
        self.link = None
        if self.is_gone:
            return
        self._failure = failure = link.failure
        pool = link.pool
        if self.phase == STREAMING:
            pool.numbers.failed(failure)
            self._upstream.guard.failed(pool, self)
            pool.complain(f"{reason}, in the middle of a response")
            self.cut()
            return
        if failure == CLOSED and link.request_count > 1 and not link.reader.has_begun and self.is_repeatable:
            # It was idle, and the server closed it just then: no failure, so no attempt.
            self._failure = None
            self._is_waiting = True
            pool.want(self, fresh=True)
            return
        pool.numbers.failed(failure)
        is_trial = self._upstream.guard.failed(pool, self)
        pool.complain(reason)
        if not self._asks_again(CAUSE_OF[failure], is_trial=is_trial):
            self._refuse(504 if failure == TIMEOUT else 502, "the upstream server failed")

    def link_writable(self, link: Link) -> None:
        """Read on from the client."""
        link.unsent_bytes = 0
        if self._is_sent and self.phase == WAITING:
            link.watch(self._upstream.first_byte_deadline_s)
        self.connection.body_taken()

    def link_late(self, link: Link, now_s: float) -> None:
        """Judge whose fault it is that nothing happens."""
        upstream = self._upstream
        if self.phase == STREAMING:
            pour = self.connection.pour
            if self.connection.is_write_blocked or (pour is not None and pour.left):
                # The client's, whose own deadline is set.
                link.watch(now_s + upstream.idle_s)
            else:
                link.fail("it went silent", TIMEOUT)
            return
        unsent_bytes = link.transport.get_write_buffer_size()
        if unsent_bytes:
            if unsent_bytes == link.unsent_bytes:
                link.fail("it took nothing of the request in time", TIMEOUT)
            else:
                self._watch_sending(link, unsent_bytes)
        elif self._is_sent and not link.unsent_bytes:
            link.fail("it did not answer in time", TIMEOUT)
        else:
            # The client's, again; or it has just taken the last of the request.
            link.unsent_bytes = 0
            link.watch(upstream.first_byte_deadline_s)

    # What the connection says.

    def send_piece(self, piece: bytes, *, is_last: bool) -> int:
        """Send a piece of the body on; return how much waits."""
        link = self.link
        assert link is not None
        link.transport.write(self._frame(piece, is_last=is_last))
        if is_last:
            self._is_sent = True
            if self.phase == WAITING and not link.is_write_blocked:
                link.watch(self._upstream.first_byte_deadline_s)
        if not link.is_write_blocked:
            return 0
        unsent_bytes = link.transport.get_write_buffer_size()
        if self.phase == WAITING:
            self._watch_sending(link, unsent_bytes)
        return unsent_bytes

    def disconnected(self) -> None:
        """Let go of the server: nobody waits for its answer."""
        self._drop()
        super().disconnected()
        self._leave_board()

    def refused(self, status: int, sent_bytes: int) -> None:
        """Let go of the server: what the client sent was no request, and it has been told so."""
        self._drop()
        super().refused(status, sent_bytes)
        self._leave_board()

    def cancel(self) -> None:
        """Let go of the server."""
        self._drop()

    def half_closed(self) -> None:
        """Go on: the client may still read. But its connection ends with the answer."""
        self.is_plain = False

    def call_off(self) -> None:
        """End a stream of events, which may end anywhere; its client comes back for more."""
        if self.phase == STREAMING and is_event_stream(self._headers):
            self._drop()
            self.write(b"", self.framing.frame(b"", is_last=True), False)

    # What those ask who watch.

    def trail(self) -> Trail | None:
        """Tell where the request went."""
        if not self._tried:
            return None
        upstream, link, pool = self._upstream, getattr(self, "_used", None), self._pool
        pools, last = upstream.pools, pool.server.address
        failure = getattr(self, "_failure", None)
        first_byte_ns = getattr(self, "_first_byte_ns", None)
        trail = Trail(
            upstream.spec.name,
            # Servers may have changed since; the last one is known.
            (*(pools[index].server.address for index in self._tried[:-1] if index < len(pools)), last),
            failure=None if failure is None else names.UPSTREAM_FAILURE_REASONS[failure],
            word=pool.numbers.word,
        )
        if link is None or link.pool is not pool:
            return trail  # The last one that was tried never had it.
        sent_us = (self._sent_ns - self.started_ns) // 1000
        is_whole = first_byte_ns is None and failure is None and self.phase == DONE
        return trail._replace(
            status=self.status if is_whole or first_byte_ns is not None else None,
            connect_us=link.connect_us if link.made_ns > self.started_ns else 0,
            sent_us=sent_us,
            head_us=None if first_byte_ns is None else (first_byte_ns - self._sent_ns) // 1000,
        )

    def describe(self) -> str:
        """Return the request line and its age, and who has it."""
        pool = getattr(self, "_pool", None)
        return super().describe() + ("" if pool is None else f" at {pool.server.address}")

    def post_progress(self, board: BoardWriter) -> None:
        """Say on the board how far it is, and which server has it."""
        if self.entry is not None:
            phase = self.phase
            state = ASKED if phase < STREAMING else STREAMED if phase == STREAMING else ANSWERED
            sent_bytes = self._sent_bytes if phase == STREAMING else 0
            board.go_on(self.entry, state, with_server(sent_bytes, self._pool.numbers.word))

    # Within.

    def _try(self) -> None:
        if self._attempts:
            self._failure = None
        upstream = self._upstream
        index = upstream.choose(self._tried, self)
        if upstream.trials and not self._tried:
            pool = upstream.guard.trial_for(self)
            if pool is not None:
                index = upstream.pools.index(pool)
        if index == NOBODY:
            self._refuse(503, "no upstream server is up")
            return
        self._tried.append(index)
        self._attempts += 1
        self._pool = pool = upstream.pools[index]
        self._is_waiting = True
        pool.want(self, fresh=self.needs_fresh or (self._is_once() and pool.may_be_stale))

    @property
    def _has_attempts(self) -> bool:
        return self._attempts <= self._upstream.spec.retry_attempts

    @property
    def is_repeatable(self) -> bool:
        """Tell whether it may be sent a second time, and all of it that was sent is there."""
        inbox = self.inbox
        return self.scope["method"] in self._upstream.guard.repeatable and (
            inbox is None or (isinstance(inbox, Outflow) and inbox.kept is not None)
        )

    def _is_once(self) -> bool:
        """Tell whether it may be impossible to send it again: more may come of its body than is kept."""
        inbox = self.inbox
        is_coming = inbox is not None and not inbox.is_complete
        return is_coming or self.scope["method"] not in self._upstream.guard.repeatable

    def _asks_again(self, cause: str, *, is_trial: bool = False) -> bool:
        """Send the request to another server, if that is safe and allowed."""
        # What has not reached the server cannot happen twice.
        if not self._has_attempts or not (cause == CAUSE_OF[CONNECT] or self.is_repeatable):
            return False
        if not (is_trial or self._upstream.guard.allows_retry(cause, self._tried)):
            return False
        self._upstream.guard.note_retry(self._pool)
        self._try()
        return True

    def _is_judged(self, link: Link) -> bool:
        """Judge the server by the status; return True if another one is asked instead."""
        guard, pool, status = self._upstream.guard, link.pool, link.reader.status
        if status < 500:
            guard.worked(pool, self)
            return False
        guard.failed(pool, self)
        if (
            status not in guard.statuses
            or not self._has_attempts
            or not self.is_repeatable
            or not guard.allows_another(self._tried)
        ):
            return False
        pool.complain(f"its status is {status}; another server is asked")
        guard.note_retry(pool)
        self.status = status  # of this answer; there will be another
        if link.reader.is_complete:
            link.reader.take()
            self._release(link)
        else:
            self._count_answer(link)
            self.link = link.borrower = None
            link.abort()
        self._try()
        return True

    # For who watches over the servers.

    def link_to(self, pool: Pool) -> Link | None:
        """Return its link to this server, if it has one."""
        link = self.link
        return link if link is not None and link.pool is pool else None

    def waits_for(self, pool: Pool) -> bool:
        """Tell whether it waits for a link to this server."""
        return self._is_waiting and self._pool is pool

    @property
    def awaits_answer(self) -> bool:
        """Tell whether the server has the whole request, and has said nothing."""
        return self._is_sent and self.phase == WAITING

    def _watch_sending(self, link: Link, unsent_bytes: int) -> None:
        """Have it told if the server takes nothing more for a while."""
        link.unsent_bytes = unsent_bytes
        link.watch(self._upstream.now_s + self._upstream.send_s)

    def _drop(self) -> None:
        self.is_gone = True
        link, self.link = self.link, None
        if link is not None:
            if self.phase == STREAMING:
                self._count_answer(link)
            link.borrower = None
            link.abort()
        elif self._is_waiting:
            self._pool.forget(self)

    def refuse_for(self, retry_after_s: int) -> None:
        """Say that there is too much to do, and when it is worth while to ask again."""
        self._refuse(503, "the upstream has too much to do", retry_after_s=retry_after_s)

    def _refuse(self, status: int, reason: str, *, retry_after_s: int = 1) -> None:
        headers = [*TEXT_HEADERS]
        if status == 503:
            headers.append((b"retry-after", b"%d" % retry_after_s))
        self.is_plain = False
        self.respond(status, headers, error_text(status, reason))

    def _finish(self) -> None:
        self._leave_board()
        connection = self.connection
        connection.exchange = None
        if self.notes is not None and self.notes.on_end is not None:
            self.notes.on_end(self)
        connection.responded()

    def _leave_board(self) -> None:
        if self.entry is not None:
            self.connection.site.board.end(self.entry)
            self.entry = None
