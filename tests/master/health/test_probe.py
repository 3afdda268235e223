"""One check, of real servers that say whatever a test lets them say."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from penstock.master.health.probe import Finding, probe, request_of
from penstock.master.watched import HealthSettings, WatchedServer

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
T = TypeVar("T")

SETTINGS = HealthSettings(timeout_s=5.0)
SHORT = HealthSettings(timeout_s=0.1)


def run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def says(*pieces: bytes, then_waits: bool = False) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_waits:
            await reader.read()

    return script


async def check(script: Script, settings: HealthSettings = SETTINGS, path: Path | None = None) -> Finding:
    """Check a server that acts a script, and see that it is left alone afterwards."""
    visits = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(asyncio.current_task())
        try:
            await script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    if path is not None:
        server = await asyncio.start_unix_server(visited, path)
        address = f"unix:{path}"
    else:
        server = await asyncio.start_server(visited, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finding = await probe(WatchedServer(address=address), settings)
    server.close()
    async with asyncio.timeout(10):
        while any(visit is not None and not visit.done() for visit in visits):
            await asyncio.sleep(0.005)
    return finding


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

CASES: list[tuple[str, Script, Finding]] = [
    ("well", says(OK), Finding("passed")),
    ("a byte at a time", says(*(OK[at : at + 1] for at in range(len(OK)))), Finding("passed")),
    ("early hints first", says(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK), Finding("passed")),
    ("a body without end", says(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000), Finding("passed")),
    ("cut off in the body", says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), Finding("passed")),
    ("another status", says(b"HTTP/1.1 301 x\r\n\r\n"), Finding("status", "it answered with 301")),
    ("nothing", says(), Finding("protocol", "it closed the connection")),
    ("half a head", says(b"HTTP/1.1 200 OK\r\nServ"), Finding("protocol", "it closed the connection")),
    ("another protocol", says(b"SSH-2.0-OpenSSH_9.7\r\n"), Finding("protocol", "")),
    ("an endless head", says(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000), Finding("protocol", "")),
    (
        "a switch",
        says(b"HTTP/1.1 101 x\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\n"),
        Finding("protocol", ""),
    ),
]


@pytest.mark.parametrize(
    ("script", "expected"), [each[1:] for each in CASES], ids=[each[0] for each in CASES]
)
def test_what_a_server_says_is_judged(script: Script, expected: Finding) -> None:
    """
    By its first answer alone, and never with a traceback.
    """
    finding = run(check(script))
    assert finding.result == expected.result
    assert not expected.reason or finding.reason == expected.reason


def test_a_silent_server_is_given_up() -> None:
    """
    At the deadline, whether it has said nothing or only half.
    """
    assert run(check(says(then_waits=True), SHORT)) == Finding("timeout", "no answer within 0.1 s")
    half = says(b"HTTP/1.1 200 OK\r\n", then_waits=True)
    assert run(check(half, SHORT)) == Finding("timeout", "no answer within 0.1 s")


def test_an_answer_counts_though_its_body_takes_long() -> None:
    """
    The head says how the server is.
    """
    assert run(
        check(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", then_waits=True), SHORT)
    ).has_passed


def test_a_connection_is_enough_where_nothing_is_asked() -> None:
    """
    For what speaks something else.
    """

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""

    assert run(check(silent, HealthSettings(type="tcp"))) == Finding("passed")


def test_nobody_there_is_told(tmp_path: Path) -> None:
    """
    On TCP and on a UNIX socket; and another port may be asked.
    """
    closed = run(probe(WatchedServer(address="127.0.0.1:1"), SETTINGS))
    assert closed == Finding("connect", "cannot connect: Connection refused")
    assert run(probe(WatchedServer(address="127.0.0.1:9"), HealthSettings(port=1))).result == "connect"
    missing = run(probe(WatchedServer(address=f"unix:{tmp_path}/x"), SETTINGS))
    assert missing == Finding("connect", "cannot connect: No such file or directory")
    assert run(check(says(OK), path=tmp_path / "s")).has_passed


def test_the_request_says_what_is_configured() -> None:
    """
    A Host as requests have it, and the words that let an operator find us in a log.
    """
    server = WatchedServer(address="10.0.0.1:9000", name="shop.test:9000")
    lines = request_of(server, HealthSettings(path="/up?x=1")).decode().split("\r\n")
    assert lines[0] == "GET /up?x=1 HTTP/1.1"
    assert "host: shop.test:9000" in lines
    assert any(line.startswith("user-agent: penstock/") for line in lines)
    assert lines[-3:] == ["connection: close", "", ""]

    settings = HealthSettings(method="HEAD", host="a.test", headers=(("User-Agent", "me"), ("X-A", "b")))
    lines = request_of(server, settings).decode().split("\r\n")
    assert lines[0] == "HEAD / HTTP/1.1"
    assert {"host: a.test", "User-Agent: me", "X-A: b"} <= set(lines)
    assert not any(line.startswith("user-agent") for line in lines)
    assert b"host: 10.0.0.1:9000\r\n" in request_of(
        WatchedServer(address="10.0.0.1:9000", name="srv:_http._tcp.shop.test"), SETTINGS
    )
