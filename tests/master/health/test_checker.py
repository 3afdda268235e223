"""Who is checked, what is written down of it, and that nothing goes on for those who are gone."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import uvloop

from penstock.master.health.checker import Checker
from penstock.master.watched import HealthSettings, WatchedServer, WatchedUpstream
from penstock.shm.verdict import Verdict, read_verdict
from penstock.worker.gateway.spec import HealthCells

SETTINGS = HealthSettings(every_s=0.01, timeout_s=5.0, unhealthy_after=2)


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def new_cells() -> memoryview:
    return memoryview(bytearray(8 * 32)).cast("Q")


def nobody(_word: int, _address: str) -> Verdict:
    return Verdict.UNKNOWN


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def upstream(*servers: WatchedServer, settings: HealthSettings | None = SETTINGS) -> WatchedUpstream:
    return WatchedUpstream(name="u", servers=servers, health=settings)


def test_what_is_found_is_written_where_workers_look() -> None:
    """
    The verdict with the server's mark; and each check is counted by its result.
    """

    async def main() -> None:
        status = b"200 OK"

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        server = WatchedServer(address=address, health=HealthCells(verdict=0, checks=8))
        cells = new_cells()
        checker = Checker(cells, nobody)
        checker.follow([upstream(server)])
        await until(lambda: read_verdict(cells[0], address) is Verdict.HEALTHY)
        assert cells[8] >= 1
        status = b"500 no"
        await until(lambda: read_verdict(cells[0], address) is Verdict.UNHEALTHY)
        assert cells[8 + 3] >= 2
        patient = checker.of("u", address)
        assert patient is not None
        assert patient.last is not None
        assert patient.last.reason == "it answered with 500"

        # Its word is elsewhere now, and it is so at once; then it is nobody's business any more.
        checker.follow([upstream(WatchedServer(address=address, health=HealthCells(verdict=1, checks=8)))])
        assert read_verdict(cells[1], address) is Verdict.UNHEALTHY
        task = patient.task
        assert task is not None
        checker.follow([])
        await until(task.done)
        assert checker.of("u", address) is None
        listening.close()

    run(main())


def test_a_verdict_that_was_found_before_is_taken_over() -> None:
    """
    The successor of an admin process does not call a server well before it has asked.
    """

    async def main() -> None:
        cells = new_cells()
        checker = Checker(cells, lambda _word, _address: Verdict.UNHEALTHY)
        checker.follow(
            [upstream(WatchedServer(address="127.0.0.1:1", health=HealthCells(verdict=0, checks=8)))]
        )
        assert read_verdict(cells[0], "127.0.0.1:1") is Verdict.UNHEALTHY
        checker.close()

    run(main())


def test_only_those_are_asked_who_are_to_be() -> None:
    """
    Not where there are no checks, nor a service whose records are not known.
    """

    async def main() -> None:
        checker = Checker(new_cells(), nobody)
        health = HealthCells(verdict=0, checks=8)
        checker.follow(
            [
                upstream(WatchedServer(address="127.0.0.1:1", health=health), settings=None),
                upstream(WatchedServer(address="127.0.0.1:2"), WatchedServer(address="srv:x", health=health)),
            ]
        )
        for address in ("127.0.0.1:1", "127.0.0.1:2", "srv:x"):
            assert checker.of("u", address) is None

    run(main())


def test_new_settings_hold_at_once() -> None:
    """
    Nobody waits an hour for what a reload has made quick.
    """

    async def main() -> None:
        cells = new_cells()
        checker = Checker(cells, lambda _word, _address: Verdict.HEALTHY)
        server = WatchedServer(address="127.0.0.1:1", health=HealthCells(verdict=0, checks=8))
        checker.follow([upstream(server, settings=HealthSettings(every_s=3600.0))])
        await until(lambda: cells[8 + 1] == 1)
        checker.follow([upstream(server)])
        await until(lambda: read_verdict(cells[0], "127.0.0.1:1") is Verdict.UNHEALTHY)
        checker.close()

    run(main())


def test_a_checker_that_was_late_itself_blames_nobody() -> None:
    """
    Else a machine that stood still for a moment would find all its servers down.
    """

    async def main() -> None:
        asked = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            if not asked.is_set():
                asked.set()
                time.sleep(0.5)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        cells = new_cells()
        checker = Checker(cells, nobody)
        settings = HealthSettings(every_s=0.01, timeout_s=0.2, unhealthy_after=1)
        checker.follow(
            [
                upstream(
                    WatchedServer(address=address, health=HealthCells(verdict=0, checks=8)), settings=settings
                )
            ]
        )
        await until(lambda: cells[8] >= 2)
        assert cells[8 + 2] == 0
        checker.close()
        listening.close()

    run(main())
