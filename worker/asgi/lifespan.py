"""
The lifespan of one application: started once, before the first request, and
shut down once, after the last.
"""

import asyncio
import contextvars
import logging
from typing import Any, Literal

from penstock.worker.asgi.types import ASGIApp, Message, Receive, Scope, Send
from penstock.worker.tracebacks import exc_info

LIFESPAN_SPEC_VERSION = "2.0"


class LifespanFailed(Exception):
    """The app refused to start. Carries what it said."""


def no_lifespan(log: logging.Logger) -> "Lifespan":
    """Give the lifespan of an app that knows of none."""

    async def none(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it is off")

    return Lifespan(none, "off", log)


class Lifespan:
    """
    Runs an app's lifespan protocol in one task.

    `state` is what the app put there at startup; requests get a shallow copy.
    `context` is the one the lifespan task runs in: request contexts are copied
    from it, so a context variable set at startup is seen by every request.
    """

    def __init__(self, app: ASGIApp, mode: Literal["auto", "on", "off"], log: logging.Logger) -> None:
        self.state: dict[str, Any] = {}
        self.context = contextvars.copy_context()
        self._app = app
        self._mode = mode
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        # Each is resolved by the app's message, or by its task ending without.
        self._started: asyncio.Future[None] | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._supported = False
        self._has_asked = False  # for a message, as apps without a lifespan do not

    async def startup(self) -> None:
        """
        Start the app. Raises LifespanFailed if it says so, or in mode `on` if
        it does not take part; in mode `auto` that means "not supported".
        """
        if self._mode == "off":
            return
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        self._stopped = loop.create_future()
        self._inbox.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run(), name="lifespan", context=self.context)
        try:
            await asyncio.shield(self._started)
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    def reset_context(self) -> None:
        """Have requests start from an empty context from now on, and not from the lifespan's."""
        self.context = contextvars.Context()

    async def shutdown(self) -> None:
        """
        Tell the app that no request will come any more and wait until it is done.

        A failure is logged, not raised: the process ends either way. Bound the
        wait outside; when cancelled, the app's task is cancelled too.
        """
        task = self._task
        if task is None or task.done() or self._stopped is None:
            return
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        try:
            await asyncio.shield(self._stopped)
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        except LifespanFailed as error:
            self._log.error("The app's shutdown failed: %s", error)
            await asyncio.wait([task])

    async def _run(self) -> None:
        assert self._started is not None
        assert self._stopped is not None
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": LIFESPAN_SPEC_VERSION},
            "state": self.state,
        }
        failure: BaseException | None = None
        try:
            await self._app(scope, self._receive, self._send)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            failure = error
        finally:
            # Also when cancelled: whoever waits must not wait for ever.
            self._ended(failure)

    def _ended(self, failure: BaseException | None) -> None:
        assert self._started is not None
        assert self._stopped is not None
        if not self._started.done():
            self._startup_unanswered(failure)
        elif failure is not None and self._supported:
            self._log.error("The app's lifespan raised %r", failure, exc_info=exc_info(failure))
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _startup_unanswered(self, failure: BaseException | None) -> None:
        assert self._started is not None
        # Whoever exits wants no server, whatever the mode.
        if self._mode == "on" or isinstance(failure, (SystemExit, KeyboardInterrupt)):
            what = "ended without an answer" if failure is None else f"raised {failure!r}"
            error = LifespanFailed(f"the app's lifespan {what}")
            error.__cause__ = failure
            self._started.set_exception(error)
            return
        if failure is None:
            self._log.info("The app does not take part in the lifespan protocol")
        elif self._has_asked:
            # It knows the protocol: this is its startup that went wrong.
            self._log.warning("The app's lifespan raised before startup was complete", exc_info=failure)
        else:
            # Most apps without one raise something, so the details are for who asks.
            self._log.info("The app does not support the lifespan protocol (%s)", type(failure).__name__)
            self._log.debug("The app's lifespan raised", exc_info=failure)
        self._started.set_result(None)

    async def _receive(self) -> Message:
        self._has_asked = True
        return await self._inbox.get()

    async def _send(self, message: Message) -> None:
        assert self._started is not None
        assert self._stopped is not None
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._started.done():
            self._supported = True
            self._started.set_result(None)
        elif kind == "lifespan.startup.failed" and not self._started.done():
            self._started.set_exception(LifespanFailed(message.get("message") or "the app gave no reason"))
        elif kind == "lifespan.shutdown.complete" and self._started.done() and not self._stopped.done():
            self._stopped.set_result(None)
        elif kind == "lifespan.shutdown.failed" and self._started.done() and not self._stopped.done():
            self._stopped.set_exception(LifespanFailed(message.get("message") or "the app gave no reason"))
        else:
            raise RuntimeError(f"unexpected lifespan message {kind!r}")
