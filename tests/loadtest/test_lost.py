"""Lost requests are counted as lost, and nothing else is."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
from bench import idle, lost
from bench.answers import is_whole

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int, last: bytes = OK
) -> None:
    """Answer so many requests, the last one with `last`."""
    for number in range(count):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(last if number == count - 1 else OK)


async def ask(kind: str, handler: Handler, count: int) -> lost.Tally:
    """Let one client make so many requests of a server of the test's."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    tally = lost.Tally()
    client = lost.Client(kind, server.sockets[0].getsockname()[1], tally, seed=0)
    ended = asyncio.Event()

    async def watch() -> None:
        while tally.requests < count:
            await asyncio.sleep(0.005)
        ended.set()

    async with server:
        await asyncio.wait_for(asyncio.gather(client.live(ended), watch()), 20)
    return tally


def losses(tally: lost.Tally, kind: str) -> dict[str, int]:
    """Give what was lost, without the zeros."""
    return {how: count for how, count in tally.lost[kind].items() if count}


def test_a_blind_client_loses_a_request_on_each_connection_closed_under_it() -> None:
    """
    The race that every deploy runs: the server closes while the client thinks.
    """
    tally = asyncio.run(ask("blind", lambda r, w: answer(r, w, 2), 12))

    found = losses(tally, "blind")
    # Two answers, then one into the closed connection: the third of each three is lost.
    assert sum(found.values()) == tally.requests // 3
    assert set(found) <= {lost.EMPTY, lost.RESET}


def test_a_client_that_looks_sees_the_fin_and_loses_nothing() -> None:
    """
    It connects again instead, as good libraries do.
    """
    tally = asyncio.run(ask("looking", lambda r, w: answer(r, w, 2), 12))

    assert losses(tally, "looking") == {}


@pytest.mark.parametrize("kind", lost.KINDS)
def test_a_client_that_was_told_of_the_close_loses_nothing(kind: str) -> None:
    """
    `Connection: close` is a fair announcement.
    """
    told = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    tally = asyncio.run(ask(kind, lambda r, w: answer(r, w, 2 if kind != "oneshot" else 1, told), 9))

    assert losses(tally, kind) == {}


@pytest.mark.parametrize(
    ("last", "how"),
    [
        (OK[:-1], lost.CUT),
        (b"", lost.EMPTY),
        (OK.replace(b"200 OK", b"503 No"), lost.STATUS),
    ],
)
def test_half_an_answer_none_or_an_error_is_lost(last: bytes, how: str) -> None:
    """
    Each by its own name, because each has a cause of its own.
    """
    tally = asyncio.run(ask("oneshot", lambda r, w: answer(r, w, 1, last), 5))

    assert losses(tally, "oneshot") == {how: tally.requests}


def test_a_refused_connection_is_a_lost_request() -> None:
    """
    A service without a listener is down, if only for a moment.
    """
    tally = lost.Tally()

    async def ask_nobody() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        ended = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, ended.set)
        await lost.Client("blind", port, tally, seed=0).live(ended)

    asyncio.run(ask_nobody())

    assert losses(tally, "blind") == {lost.REFUSED: tally.requests}


def test_an_answer_is_whole_when_its_framing_says_so() -> None:
    """
    Or a slow answer would count as a lost one.
    """
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    assert is_whole(OK)
    assert is_whole(chunked)
    assert not any(is_whole(OK[:cut]) for cut in range(len(OK)))
    assert not any(is_whole(chunked[:cut]) for cut in range(len(chunked)))


@contextlib.contextmanager
def threaded_server() -> Iterator[int]:
    """Serve from a thread, for clients that block."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    port = 0

    async def serve() -> None:
        nonlocal port

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answer(reader, writer, 1)
            await reader.read()  # Until the client goes.
            writer.close()

        server = await asyncio.start_server(served, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            await stopped.wait()

    stopped = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        yield port
    finally:  # Nobody could end a process in which it goes on.
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        loop.close()


class Grower:
    """Stands where a server does: its memory is what the test says."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sizes = [1_000_000, 1_020_000]

    def pss_bytes(self) -> int:
        """Give the next size."""
        return self.sizes.pop(0)


def test_memory_per_connection_is_growth_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    And connections that the server closed meanwhile are told: they cost nothing any more.
    """
    monkeypatch.setattr(idle, "SETTLE_S", 0.0)
    with threaded_server() as port:
        held = idle.hold(Grower(port), 10)  # type: ignore[arg-type]

    assert held.bytes_each == pytest.approx(2000)
    assert held.closed == 0
