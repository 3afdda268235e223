"""
A site that is fed from memory: no sockets, so that millions of inputs can be tried.

What sockets add is tried with the corpus, see `tests/worker/http/test_corpus.py`.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from penstock.shm.histogram import WORD_COUNT
from penstock.worker.asgi.lifespan import Lifespan
from penstock.worker.http.blocks import Blocks
from penstock.worker.http.route import HostedApp
from penstock.worker.http.site import Site
from penstock.worker.spec import (
    AppAction,
    LimitsSpec,
    ListenerCells,
    ListenerSpec,
    MatchSpec,
    RouteCells,
    RouteSpec,
)
from tests.fuzz.strict_reading import Request

ACTION = AppAction(target="fuzz:app")
# More turns of the loop than the handling of a few kilobytes takes, however it is cut.
TURNS_MAX = 5000


class Trouble(AssertionError):
    """Something that no input may bring about."""


class MemoryTransport(asyncio.Transport):
    """The server's end of a connection whose client reads everything at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.protocol: Any = None
        self.sent = b""
        self.is_paused = self.has_ended = self.is_lost = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 80)}.get(name, default)

    def write(self, data: Any) -> None:
        if self.has_ended:
            raise Trouble(f"written after the end: {bytes(data)!r}")
        self.sent += data

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_lost

    def close(self) -> None:
        if not self.is_lost:
            self.is_lost = self.has_ended = True
            self._loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class _Keeping(logging.Handler):
    """Takes for trouble what is logged as an error."""

    def __init__(self, troubles: list[Any]) -> None:
        super().__init__(logging.ERROR)
        self._troubles = troubles

    def emit(self, record: logging.LogRecord) -> None:
        self._troubles.append(record)


class MemorySite:
    """Feeds one input after the other to one site, and looks at what becomes of it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._calls: list[Request] = []
        self._troubles: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self._troubles.append(context))
        self._handler = _Keeping(self._troubles)
        logging.getLogger("penstock").addHandler(self._handler)
        spec = ListenerSpec(
            name="fuzz",
            address="fuzz",
            limits=LimitsSpec(),
            routes=(
                RouteSpec(
                    name="all", match=MatchSpec(), action=ACTION, cells=RouteCells(requests=8, duration=16)
                ),
            ),
            unmatched=RouteCells(requests=12, duration=16 + WORD_COUNT),
            cells=ListenerCells(
                connections_total=0, received_bytes=1, sent_bytes=2, connections_active=3, connections_idle=4
            ),
        )
        cells = memoryview(bytearray(8 * (16 + 2 * WORD_COUNT))).cast("Q")
        lifespan = Lifespan(self._app, "off", logging.getLogger("penstock"))
        self.site = Site(spec, apps={ACTION: HostedApp(self._app, lifespan)}, cells=cells, loop=self.loop)

    def close(self) -> None:
        """Leave nothing behind."""
        logging.getLogger("penstock").removeHandler(self._handler)
        self.loop.close()

    def remember(self, *, blocks: bool) -> None:
        """Begin with no header block known, and learn them or not."""
        known = Blocks()
        if not blocks:
            known.bytes_max = 0
        self.site.head_parser.blocks = known

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more_body = True
        while more_body:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more_body = message["more_body"]
        path = scope["raw_path"]
        self._calls.append((scope["method"], path, scope["query_string"], list(scope["headers"]), body))
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"-"})

    def feed(self, pieces: Sequence[bytes]) -> tuple[list[Request], list[int]]:
        """Send pieces and FIN; return what the app saw whole, and the statuses of the answers."""
        self._calls.clear()
        sent = self.loop.run_until_complete(self._feed(pieces))
        if self._troubles:
            raise Trouble(self._troubles.pop())
        if self.site.connection_count or self.site.active_count:
            raise Trouble("something is left")
        return self._calls.copy(), _statuses(sent, [method == "HEAD" for method, *_ in self._calls])

    async def _feed(self, pieces: Sequence[bytes]) -> bytes:
        transport = MemoryTransport(self.loop)
        transport.protocol = connection = self.site.connect()
        connection.connection_made(transport)
        turns = 0
        for piece in pieces:
            while transport.is_paused and not transport.is_lost:
                turns += 1
                await self._turn(turns)
            if transport.is_lost:
                break
            if piece:
                connection.data_received(piece)
            if len(pieces) > 1:
                await asyncio.sleep(0)
        # A FIN is noticed only by who reads.
        while transport.is_paused and not transport.is_lost:
            turns += 1
            await self._turn(turns)
        if not transport.is_lost and not connection.eof_received():
            transport.close()
        while self.site.connection_count or self.site.active_count:
            turns += 1
            await self._turn(turns)
        return transport.sent

    async def _turn(self, turns: int) -> None:
        if turns > TURNS_MAX:
            raise Trouble("it hangs")
        await asyncio.sleep(0)


def _statuses(sent: bytes, to_head: list[bool]) -> list[int]:
    """Take apart what was sent: whole answers, one after the other, and nothing else."""
    found: list[int] = []
    while sent:
        head, end, rest = sent.partition(b"\r\n\r\n")
        if not end or not head.startswith(b"HTTP/1.1 "):
            raise Trouble(f"not an answer: {sent!r}")
        status = int(head[9:12])
        sent = rest
        if status == 100:
            continue
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(fields[b"content-length"])
        if len(found) < len(to_head):
            size = 0 if to_head[len(found)] else size
        elif not rest.startswith(b"%d " % status):
            size = 0  # A refused HEAD.
        sent = rest[size:]
        found.append(status)
        if status != 200:
            if fields.get(b"connection") != b"close":
                raise Trouble(f"a refusal that does not say that it is the last: {head!r}")
            if sent:
                raise Trouble(f"after the last answer: {sent!r}")
    return found
