"""Connections that are put away while they are idle, and what brings them back."""

import asyncio
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from penstock.worker.limits import PARKED_CLOSES_PER_TURN_MAX, PARKS_PER_TURN_MAX

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
TOTAL, ACTIVE, IDLE = 0, 3, 4


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Say who asks."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": repr(scope["client"]).encode()})


async def parked(server: Any, count: int = 1) -> list[Any]:
    """Give clients that have asked once and whose connections are parked."""
    clients = [await server.client() for _ in range(count)]
    for client in clients:
        await client.send(GET)
        assert (await client.response()).status == 200
    server.pass_time(2.0)
    await server.until(lambda: server.site.parked_count == count)
    return clients


def object_count(server: Any) -> int:
    """Count the connections that are objects."""
    return int(server.site.connection_count - server.site.parked_count)


@pytest.mark.parametrize("path", [None, "socket"])
async def test_parked_connection_wakes_with_its_next_request(
    serve: Any, tmp_path: Path, path: str | None
) -> None:
    """
    Over and over, on the same connection, and it counts as one.
    """
    async with serve(hello, parks=True, path=None if path is None else str(tmp_path / path)) as server:
        (client,) = await parked(server)
        for _ in range(5):
            assert object_count(server) == 0
            await client.send(GET)
            name = client.sock.getsockname()
            assert (await client.response()).body == repr(name if path is None else None).encode()
            assert (server.site.parked_count, object_count(server)) == (0, 1)
            server.pass_time(2.0)
            await server.until(lambda: server.site.parked_count == 1 and object_count(server) == 0)
        server.site.flush()
        assert server.cells[TOTAL] == 1
        assert (server.cells[ACTIVE], server.cells[IDLE]) == (0, 1)


async def test_connection_is_not_parked_before_a_second(serve: Any) -> None:
    """
    One that speaks all the time pays nothing.
    """
    async with serve(hello, parks=True) as server:
        client = await server.client()
        await client.send(GET)
        await client.response()
        server.pass_time(0.9)
        await asyncio.sleep(0)
        assert server.site.parked_count == 0


async def test_connection_that_never_asked_is_parked_and_keeps_its_deadline(serve: Any) -> None:
    """
    Browsers open connections ahead of need; each has as long as any head, parked or not.
    """
    async with serve(hello, parks=True, header_timeout_s=5.0) as server:
        silent, late = await server.client(), await server.client()
        await server.until(lambda: server.site.connection_count == 2)
        server.pass_time(2.0)
        await server.until(lambda: server.site.parked_count == 2)
        await late.send(GET)
        assert (await late.response()).status == 200
        server.pass_time(4.0)
        assert await silent.rest() == b""
        assert server.site.connection_count == 1


async def test_request_in_two_pieces_wakes_with_the_first(serve: Any) -> None:
    async with serve(hello, parks=True) as server:
        (client,) = await parked(server)
        await client.send(GET[:1])
        await server.until(lambda: object_count(server) == 1)
        await client.send(GET[1:])
        assert (await client.response()).status == 200


async def test_bytes_that_race_the_parking_are_not_lost(serve: Any) -> None:
    """
    They lie unread in the kernel when the connection is put away, and wake it.
    """
    async with serve(hello, parks=True) as server:
        clients = await parked(server, 20)
        for _ in range(10):
            for client in clients:
                client.sock.send(GET)  # The server's loop does not turn before it parks.
            await asyncio.sleep(0)
            server.pass_time(2.0)
            for client in clients:
                assert (await client.response()).status == 200
            for client in clients[::2]:
                client.sock.send(GET)
            server.pass_time(2.0)
            for client in clients[::2]:
                assert (await client.response()).status == 200
            server.pass_time(2.0)
        server.site.flush()
        assert server.cells[TOTAL] == 20


async def test_busy_connections_are_not_parked(serve: Any) -> None:
    """
    Not while an app is at work, also after its response, nor in the middle of a head.
    """
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        await gate.wait()

    async with serve(app, parks=True, header_timeout_s=60.0) as server:
        background, half = await server.client(), await server.client()
        await background.send(GET)
        await background.response()
        await half.send(GET[:9])
        await server.until(lambda: server.site.connection_count == 2)
        await asyncio.sleep(0.01)
        server.pass_time(5.0)
        assert server.site.parked_count == 0
        gate.set()
        await server.until(lambda: not server.site.in_flight())
        server.pass_time(2.0)
        assert server.site.parked_count == 1


async def test_client_that_closes_is_forgotten_without_being_woken(serve: Any) -> None:
    async with serve(hello, parks=True) as server:
        ended, reset, half = await parked(server, 3)
        ended.sock.close()
        reset.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.sock.close()
        half.finish()
        await server.until(lambda: server.site.connection_count == 0)
        assert await half.rest() == b""


async def test_request_before_the_end_is_answered(serve: Any) -> None:
    """
    A client may send its last request and half-close at once.
    """
    async with serve(hello, parks=True) as server:
        (client,) = await parked(server)
        client.sock.send(GET)
        client.finish()
        assert [response.status for response in await client.responses()] == [200]
        await server.until(lambda: server.site.connection_count == 0)


async def test_keep_alive_ends_where_it_would_have(serve: Any) -> None:
    async with serve(hello, parks=True, keep_alive_s=6.0) as server:
        early, late = await parked(server, 2)
        server.pass_time(2.0)
        await late.send(GET)
        await late.response()
        server.pass_time(2.9)
        assert await early.rest() == b""
        await server.until(lambda: server.site.connection_count == 1)
        server.pass_time(4.0)
        assert await late.rest() == b""
        await server.until(lambda: server.site.connection_count == 0)


async def test_request_that_came_in_time_beats_the_deadline(serve: Any) -> None:
    """
    The loop may have been blocked, so that deadline and bytes are seen together.
    """
    async with serve(hello, parks=True, keep_alive_s=6.0) as server:
        (client,) = await parked(server)
        client.sock.send(GET)
        server.pass_time(30.0)
        assert (await client.response()).status == 200


async def test_many_are_parked_and_closed_over_several_turns(serve: Any) -> None:
    """
    The others are not made to wait for all of them.
    """
    count = max(PARKS_PER_TURN_MAX, PARKED_CLOSES_PER_TURN_MAX) + 50
    async with serve(hello, parks=True, keep_alive_s=6.0) as server:
        clients = [await server.client() for _ in range(count)]
        for client in clients:
            await client.send(GET)
            await client.response()
        server.pass_time(2.0)
        assert server.site.parked_count == PARKS_PER_TURN_MAX
        await server.until(lambda: server.site.parked_count == count)
        server.pass_time(6.0)
        assert server.site.parked_count == count - PARKED_CLOSES_PER_TURN_MAX
        await server.until(lambda: server.site.connection_count == 0)


async def test_last_drain_closes_parked_connections_at_once_but_answers_requests(serve: Any) -> None:
    async with serve(hello, parks=True) as server:
        silent, asking = await parked(server, 2)
        asking.sock.send(GET)
        server.site.begin_drain(0.0)
        assert await silent.rest() == b""
        assert (await asking.responses())[0].headers["connection"] == "close"
        asking.sock.close()
        await asyncio.wait_for(server.site.wait_empty(), 5.0)


async def test_drain_with_a_grace_lets_a_parked_connection_ask_once_more(serve: Any) -> None:
    async with serve(hello, parks=True) as server:
        silent, asking = await parked(server, 2)
        server.site.begin_drain(1.0)
        await asking.send(GET)
        assert (await asking.responses())[0].headers["connection"] == "close"
        asking.sock.close()
        await server.until(lambda: server.site.connection_count == 1)
        server.pass_time(2.0)
        assert await silent.rest() == b""
        await asyncio.wait_for(server.site.wait_empty(), 5.0)


async def test_parking_leaves_no_descriptor_behind(serve: Any) -> None:
    async with serve(hello, parks=True) as server:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        (client,) = await parked(server)
        for _ in range(20):
            await client.send(GET)
            await client.response()
            server.pass_time(2.0)
        client.sock.close()
        await server.until(lambda: server.site.connection_count == 0)
        server.clients.clear()
        await server.until(lambda: len(os.listdir("/proc/self/fd")) == before)  # noqa: PTH208
