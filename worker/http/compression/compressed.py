"""
Exchanges of the routes that compress: what lies between an app's messages and the plain `Exchange`.

The start of a response is kept until the first piece of its body, as ever; then it
is known what it is, and it is compressed in one go, piece by piece, or not at all.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from penstock.worker.asgi.types import ClientDisconnected, Message, Scope
from penstock.worker.http.compression import representation
from penstock.worker.http.compression.codings import Coding
from penstock.worker.http.compression.decision import decide, is_worth_it
from penstock.worker.http.compression.plan import STREAM_MEMORY, Plan, in_thread
from penstock.worker.http.compression.stream import Stream
from penstock.worker.http.compression.threaded import threaded
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.fields import as_bytes
from penstock.worker.http.phases import LOST, STARTED, STREAMING
from penstock.worker.limits import COMPRESSION_FLUSH_S
from penstock.worker.spec import CompressionSpec

if TYPE_CHECKING:
    from penstock.shm.counting import Meter
    from penstock.worker.http.connection import Connection
    from penstock.worker.http.route import Route


def compress(route: "Route", spec: CompressionSpec | None) -> "Route":
    """Have the responses of a route compressed, if it is configured so."""
    if spec is not None and route.bridge is not None:
        route.exchange = threaded(route.exchange, Plan(spec))
    # What answers in another way, such as by files, compresses in its own or not at all.
    elif spec is not None and route.exchange is Exchange:
        plan = Plan(spec)
        if route.app is not None:
            route.exchange = type("AppExchange", (CompressedExchange,), {"__slots__": (), "plan": plan})
        else:
            answers = _variants(plan, route)
            route.exchange = type(
                "FixedExchange",
                (FixedAnswerExchange,),
                {"__slots__": (), "plan": plan, "body": route.body, "answers": answers},
            )
    return route


class CompressedExchange(Exchange):
    """The exchange of an app whose responses are compressed."""

    __slots__ = ("_stream",)

    plan: ClassVar[Plan]

    def __init__(self, connection: "Connection", meter: "Meter", scope: Scope) -> None:
        super().__init__(connection, meter, scope)
        self._stream: Stream | None = None

    async def send(self, message: Message) -> None:
        """Take a message of the response, and compress what is in it."""
        phase = self.phase
        if phase == STARTED and message["type"] == "http.response.body":
            body = message.get("body", b"")
            more_body = message.get("more_body", False)
            if type(body) is not bytes:
                body = as_bytes(body)
            decision = decide(
                self.plan, self.scope, self.status, self._headers, size=None if more_body else len(body)
            )
            self._headers = decision.headers
            if decision.coding is not None:
                await self._begin_coded(decision.coding, decision.declared, body, more_body=more_body)
                return
        elif phase == STREAMING and self._stream is not None and message["type"] == "http.response.body":
            body = as_bytes(message.get("body", b""))
            await self._send_next(self._stream, body, more_body=message.get("more_body", False))
            return
        await super().send(message)

    async def _begin_coded(
        self, coding: Coding, declared: int | None, body: bytes, *, more_body: bool
    ) -> None:
        if self.scope["method"] == "HEAD":
            self._headers = representation.coded(self._headers, coding.token)
            await super().send({"type": "http.response.body", "body": b"", "more_body": more_body})
        elif more_body:
            await self._begin_stream(coding, declared, body)
        else:
            await self._send_whole(coding, body)

    # All in one.

    async def _send_whole(self, coding: Coding, body: bytes) -> None:
        if len(body) <= coding.inline_bytes_max:
            packed = coding.whole(body)
        else:
            packed = await in_thread(coding.whole_in_thread, body)
        if self.phase == STARTED and is_worth_it(self.plan, self.scope, packed, body):
            self._headers = representation.coded(self._headers, coding.token)
            body = packed
        await super().send({"type": "http.response.body", "body": body})

    # Piece by piece.

    async def _begin_stream(self, coding: Coding, declared: int | None, body: bytes) -> None:
        if not STREAM_MEMORY.take(coding.stream_bytes):
            await super().send({"type": "http.response.body", "body": body, "more_body": True})
            return
        self._stream = stream = Stream(coding, declared)
        self._headers = representation.coded(self._headers, coding.token)
        # The head goes first: what it says is true whatever becomes of the body.
        await super().send({"type": "http.response.body", "body": b"", "more_body": True})
        await self._send_next(stream, body, more_body=True)

    async def _send_next(self, stream: Stream, body: bytes, *, more_body: bool) -> None:
        stream.promised.frame(body, is_last=not more_body)
        work = stream.feed if more_body else stream.end
        if len(body) <= stream.coding.inline_bytes_max and not stream.turn.locked():
            packed = work(body)
        else:
            async with stream.turn:
                stream.is_in_thread = True
                try:
                    packed = await in_thread(work, body)
                except asyncio.CancelledError:
                    # The coder is still at it, and what it makes of this piece is lost.
                    self.cut()
                    raise
                stream.is_in_thread = False
        if more_body and body and not stream.flush_is_due:
            stream.flush_is_due = True
            self.connection.site.loop.call_later(COMPRESSION_FLUSH_S, self._flush, stream)
        if packed or not more_body:
            await super().send({"type": "http.response.body", "body": packed, "more_body": more_body})
        elif self.phase == LOST:
            raise ClientDisconnected("the client is gone")

    def _flush(self, stream: Stream) -> None:
        """
        Let the client have all that there is.

        Not after each piece: one of ten bytes would become eleven. What an app sends in a row is
        compressed as one, and whatever it waits for then, its client has all of it in a moment.
        """
        stream.flush_is_due = False
        if self.phase == STREAMING and self._stream is stream and not stream.is_in_thread:
            packed = stream.coder.flush()
            if packed:
                self.write(b"", self.framing.frame(packed), True)

    @property
    def is_endless(self) -> bool:
        """Tell whether there is no end in sight; the app may have declared one."""
        stream = self._stream
        return super().is_endless and (stream is None or stream.promised.left is None)

    def _count(self, sent_bytes: int) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            STREAM_MEMORY.give_back(stream.coding.stream_bytes)
        super()._count(sent_bytes)


class FixedAnswerExchange(Exchange):
    """The exchange of a fixed answer, which was compressed before anybody asked."""

    __slots__ = ()

    plan: ClassVar[Plan]
    body: ClassVar[bytes]
    answers: ClassVar[dict[str | None, tuple[representation.Headers, bytes]]]

    def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer with what the client likes best."""
        if body is self.body and self.answers:
            choice = self.plan.choice(self.scope["headers"])
            answer = self.answers.get(choice.coding)
            headers, body = self.answers[None] if answer is None else answer
        super().respond(status, headers, body)


def _variants(plan: Plan, route: "Route") -> dict[str | None, tuple[representation.Headers, bytes]]:
    """Make the answers of a route, by coding; none if there is but one."""
    headers, body = list(route.headers), route.body
    traits = representation.judge(route.status, headers)
    if traits is None or not plan.types.include(traits.content_type) or len(body) < plan.size_min:
        return {}
    headers = representation.varied(headers, has_vary=traits.has_vary)
    found: dict[str | None, tuple[representation.Headers, bytes]] = {None: (headers, body)}
    for name, coding in plan.codings.items():
        packed = coding.whole(body)
        if len(packed) < len(body):
            found[name] = (representation.coded(headers, coding.token), packed)
    return found
