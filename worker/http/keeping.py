"""
For how long a connection is kept: after an answer, at a deadline, in a drain.
"""

from http import HTTPStatus
from typing import TYPE_CHECKING

from penstock.worker.http.head import RequestError
from penstock.worker.http.intake import Intake
from penstock.worker.http.partial import END_OF_HEAD
from penstock.worker.http.phases import BODY, CLOSING, HEAD, HELD, IDLE

if TYPE_CHECKING:
    from penstock.worker.http.site import Site


class Keeping(Intake):
    """
    What `Connection` builds upon: it adds how a request begins.
    """

    __slots__ = ("_server",)

    def __init__(self, site: "Site") -> None:
        super().__init__(site)
        # Its own address as a scope has it. Looked up with the first request: it tells whether there was one.
        self._server: tuple[str, int | None] | None = None

    # For the site.

    @property
    def is_active(self) -> bool:
        """Tell whether a request is being read or answered."""
        return self.intake != IDLE or self.exchange is not None

    def is_idle_since(self, answered_s: float, opened_s: float) -> bool:
        """Tell whether nothing has happened since its last answer, or since it was opened, at these times."""
        if self.intake != IDLE or self.exchange is not None:
            return False
        limits = self.site.limits
        if self._server is not None:
            return self.deadline_s <= answered_s + limits.keep_alive_s
        return self.deadline_s <= opened_s + limits.header_timeout_s

    def begin_drain(self, closes_after_s: float) -> None:
        """Go elsewhere, or wait less for a next request; for a first one maybe as long as before."""
        if self.exchange is not None:
            self.exchange.is_plain = False
        if self.intake == IDLE:
            site = self.site
            if site.gives and not self._is_eof:
                site.leaving(self)
            elif self._server is not None:
                site.watch(self, closes_after_s)
            elif site.first_grace_s is not None:
                site.watch(self, site.first_grace_s)

    def wait_for_last(self) -> None:
        """Wait a little for one more request, while the site drains."""
        site = self.site
        site.watch(self, max(site.idle_grace_s, self.leaves_s - site.now_s))

    def _leaves_after(self, rest: bytes) -> bool:
        """After a response in a drain, when `rest` has come since: go elsewhere, or wait a little."""
        site = self.site
        if site.gives and not rest and not self._is_eof:
            self.deadline_s = site.idle_deadline_s
            site.leaving(self)
            return True
        self.wait_for_last()
        return False

    def stand_by(self) -> None:
        """Read no byte of a next request: this connection is about to leave."""
        self._pause_reading()

    def stay(self) -> None:
        """Read on after all: it cannot leave."""
        if self.intake == IDLE:
            self.wait_for_last()
            self._resume_reading()

    # After an answer.

    def responded(self) -> None:
        """Go on after the last byte of a response was written."""
        site = self.site
        if not self.keep_alive:
            if self._is_eof or (self._is_last_request and self.intake == HELD and not self._buffer):
                self.close()
            else:
                self.linger()
        elif self.intake == BODY:
            self._discard_body()
        elif self._buffer:
            # By way of the loop: a pipeline of thousands must not starve the others.
            site.loop.call_soon(self._next)
        elif self.is_write_blocked or self._is_eof or site.is_draining:
            self._next()
        else:
            self.intake = IDLE
            # Later than the one before, so the wheel need not be told.
            self.deadline_s = site.idle_deadline_s

    def must_close(self, *, is_last: bool) -> bool:
        """
        Tell whether the connection has to end after the response that begins.

        `is_last`: all of the response is there, so the app will not read on.
        """
        site = self.site
        if (
            site.is_draining
            and END_OF_HEAD not in self._buffer
            # What has begun to come cannot move. Else it is given away, or ends in its own time.
            and (self._buffer or not site.gives)
            and site.now_s >= self.leaves_s
        ):
            return True
        if self.intake != BODY:
            return False
        # A client that was not told to go on may send the body or not (RFC 9110, 10.1.1).
        return self._expects_continue() or (is_last and self._is_body_long())

    # At a deadline.

    def expire(self, now_s: float) -> None:
        """Act on the deadline of whatever the connection is waiting for."""
        if self._watch_output():
            return
        site = self.site
        intake = self.intake
        if intake == HEAD:
            self._refuse(RequestError(HTTPStatus.REQUEST_TIMEOUT, "request not complete in time"))
        elif intake == HELD:
            # The app is at work. When it is done, its deadline will not be earlier.
            site.watch(self, site.limits.keep_alive_s)
        elif intake == BODY and not self._is_answered():
            assert self._body is not None
            if self._is_reading_paused or self._expects_continue():
                site.watch(self, site.limits.body_timeout_s)  # It is the app that is slow.
                return
            due_s = self._body.due_s(site.limits.body_timeout_s, site.limits.body_rate)
            if due_s > now_s:
                site.watch(self, due_s - now_s)
            else:
                self._refuse(RequestError(HTTPStatus.REQUEST_TIMEOUT, "body not complete in time"))
        elif intake == BODY:
            self.linger()
        elif intake == CLOSING:
            self.abort()
        else:
            self.close()
