"""What an app is told of a WebSocket, what it may say, and what its client sees of that."""

import asyncio
import contextlib
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest

from penstock.worker.asgi.types import ClientDisconnected
from penstock.worker.http.notes import Notes
from tests.worker.http.conftest import Serving
from tests.worker.websocket.conftest import (
    Told,
    close_frame,
    echo,
    eventually,
    frame,
    handshake,
    open_peer,
)

GONE = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
ACCEPT = {"type": "websocket.accept"}


def closed_with(code: int, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


# The handshake.


async def test_scope_says_what_was_asked(websocket: Any) -> None:
    app = Told()
    async with websocket(app, limits={"root_path": "/api", "lifespan": "off"}) as server:
        peer = await open_peer(server, "Sec-WebSocket-Protocol: chat, superchat", "X-Y: z")
        await peer.send(close_frame(1000))
        assert await peer.close() == (1000, "")
        [scope] = app.scopes
        assert scope["headers"][-1] == (b"x-y", b"z")
        del scope["headers"]
        assert scope == {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "scheme": "ws",
            "server": server.address,
            "client": peer.client.sock.getsockname(),
            "root_path": "/api",
            "path": "/api/chat",
            "raw_path": b"/api/chat",
            "query_string": b"room=1",
            "subprotocols": ["chat", "superchat"],
            "extensions": {"websocket.http.response": {}},
        }


async def test_state_of_the_lifespan_is_copied(websocket: Any) -> None:
    states: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["shared"] = []
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        states.append(scope["state"])
        scope["state"]["own"] = True
        await echo(scope, receive, send)

    async with websocket(app, limits={"lifespan": "on"}) as server:
        for _ in range(2):
            await open_peer(server)
        assert states[0] == states[1]
        assert states[0]["shared"] is states[1]["shared"]
        assert server.lifespan.state == {"shared": []}


@pytest.mark.parametrize("piece", [None, 1])
async def test_messages_in_the_packet_of_the_handshake_are_not_lost(
    websocket: Any, piece: int | None
) -> None:
    """
    A client that knows that it is welcome does not wait; and the app may take its time.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async with websocket(app) as server:
        client = await server.client()
        await client.send(handshake() + frame(0x81, b"early") + frame(0x82, b"bird")[:3], piece=piece)
        await client.send(frame(0x82, b"bird")[3:])
        go.set()
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert await client.until(b"bird") == b"\x81\x05early\x82\x04bird"


async def test_refused_handshakes_are_answered_and_counted(websocket: Any) -> None:
    async with websocket() as server:
        client = await server.client()
        await client.send(handshake().replace(b"Version: 13", b"Version: 8"))
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 426 ")
        for line in (b"sec-websocket-version: 13", b"upgrade: websocket", b"connection: upgrade"):
            assert line in head
        assert b"426 Upgrade Required: " in await client.rest()

        client = await server.client()
        await client.send(handshake("Sec-WebSocket-Key: x"))
        response = await client.response()
        assert (response.status, response.headers["connection"]) == (400, "close")
        for header in ("Content-Length: 1", "Transfer-Encoding: chunked"):
            client = await server.client()
            await client.send(handshake(header) + b"x")
            assert (await client.response()).status == 400
        await eventually(lambda: server.cells[10] == 4)  # 4xx
        assert server.cells[8] == 0


async def test_invalid_extensions_are_a_bad_request(websocket: Any) -> None:
    async with websocket() as server:
        client = await server.client()
        await client.send(handshake("Sec-WebSocket-Extensions: ;;"))
        assert (await client.response()).status == 400


@pytest.mark.parametrize(
    "head",
    [
        handshake().replace(b"GET", b"POST"),
        handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
        handshake().replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        handshake().replace(b"Connection: Upgrade", b"Connection: close"),
    ],
)
async def test_other_upgrades_are_plain_requests(websocket: Any, head: bytes) -> None:
    types = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        types.append(scope["type"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async with websocket(app) as server:
        client = await server.client()
        await client.send(head)
        assert (await client.response()).status == 200
    assert types == ["http"]


async def test_it_can_be_switched_off(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 404})
        await send({"type": "http.response.body"})

    async with serve(app) as server:
        client = await server.client()
        await client.send(handshake())
        assert (await client.response()).status == 404


async def test_app_chooses_subprotocol_and_headers(websocket: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({**ACCEPT, "subprotocol": scope["subprotocols"][1], "headers": [(b"X-Room", b"1")]})

    def opening(exchange: Any, _: Any) -> None:
        exchange.notes = Notes()
        exchange.notes.headers = ((b"x-request-id", b"7"),)

    async with websocket(app) as server:
        server.site.watch_requests(opening=opening)
        client = await server.client()
        await client.send(handshake("Sec-WebSocket-Protocol: a, b"))
        head = await client.until(b"\r\n\r\n")
        assert b"sec-websocket-protocol: b\r\nX-Room: 1\r\nx-request-id: 7\r\n" in head


# Instead of it.


async def test_close_before_accept_is_forbidden(websocket: Any) -> None:
    told = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 4000})
        told.append(await receive())
        told.append(await receive())
        with pytest.raises(RuntimeError, match="denied"):
            await send(ACCEPT)

    async with websocket(app) as server:
        client = await server.client()
        await client.send(handshake())
        response = await client.response()
        assert (response.status, response.headers["connection"]) == (403, "close")
        await eventually(lambda: not server.site.active_count)
        assert told == [{"type": "websocket.connect"}, GONE]
        assert server.cells[10] == 1


async def test_app_can_deny_with_a_response_of_its_own(websocket: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"no")]}
        await send(start)
        with pytest.raises(RuntimeError, match="out of order"):
            await send(start)
        with pytest.raises(RuntimeError, match="denied"):
            await send(ACCEPT)
        await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"you"})
        with pytest.raises(RuntimeError, match="out of order"):
            await send({"type": "websocket.http.response.body", "body": b"!"})

    async with websocket(app) as server:
        client = await server.client()
        await client.send(handshake())
        response = await client.response()
        assert (response.status, response.headers["x-why"], response.body) == (401, "no", b"not you")
        await eventually(lambda: not server.site.active_count)


@pytest.mark.parametrize("fails", [True, False])
async def test_app_that_never_answers_is_a_500(
    websocket: Any, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The traceback is for the log.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if fails:
            raise ZeroDivisionError("secret")

    async with websocket(app) as server:
        client = await server.client()
        await client.send(handshake())
        response = await client.response()
        assert response.status == 500
        assert b"secret" not in response.body
        assert ("secret" in caplog.text) is fails
        assert "GET /chat?room=1" in caplog.text


async def test_client_that_leaves_before_it_is_accepted_is_gone(websocket: Any) -> None:
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            told.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send(ACCEPT)
        told.append("done")

    async with websocket(app) as server:
        client = await server.client()
        await client.send(handshake())
        await eventually(lambda: told)
        client.finish()
        await eventually(lambda: told[-1] == "done")
        assert told == [{"type": "websocket.connect"}, GONE, GONE, "done"]


# While it is open.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1_000_000])
async def test_messages_come_back(websocket: Any, size: int) -> None:
    async with websocket() as server:
        peer = await open_peer(server)
        payload = b"x" * size
        for first in (0x81, 0x82):
            await peer.send(frame(first, payload))
            assert await peer.frame() == (first, payload)


async def test_a_byte_at_a_time(websocket: Any) -> None:
    app = Told()
    async with websocket(app) as server:
        peer = await open_peer(server)
        data = frame(0x81, b"hello") + frame(0x89, b"?") + frame(0x01, b"he") + frame(0x80, b"llo")
        await peer.send(data + close_frame(4321, "bye"), piece=1)
        frames = [await peer.frame() for _ in range(3)]
        assert frames == [(0x81, b"hello"), (0x8A, b"?"), (0x81, b"hello")]
        assert await peer.close() == (4321, "bye")
        assert app.messages[-1] == closed_with(4321, "bye")


async def test_wrong_order_is_the_apps_mistake(websocket: Any) -> None:
    done = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for kind in ("websocket.send", "websocket.http.response.body", "http.response.start", "nonsense"):
            with pytest.raises(RuntimeError, match="not accepted yet"):
                await send({"type": kind, "text": "x", "body": b"", "status": 200})
        await send(ACCEPT)
        for kind in ("websocket.accept", "websocket.http.response.start", "nonsense"):
            with pytest.raises(RuntimeError, match="is open"):
                await send({"type": kind, "status": 200})
        with pytest.raises(RuntimeError, match="neither"):
            await send({"type": "websocket.send", "text": None, "bytes": None})
        with pytest.raises(ValueError, match="1006"):
            await send({"type": "websocket.close", "code": 1006})
        await send({"type": "websocket.send", "text": None, "bytes": bytearray(b"fine")})
        await send({"type": "websocket.close", "code": 4000, "reason": None})
        for kind in ("websocket.send", "websocket.close", "websocket.accept"):
            with pytest.raises(RuntimeError, match="has been closed"):
                await send({"type": kind, "text": "x"})
        done.set()

    async with websocket(app) as server:
        peer = await open_peer(server)
        assert await peer.frame() == (0x82, b"fine")
        await peer.send(close_frame(4000))
        assert await peer.close() == (4000, "")
        assert done.is_set()


async def test_app_that_closes_is_told_of_it_at_once(websocket: Any) -> None:
    """
    And not when the client has answered, which it may never do.
    """
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
        told.extend([await receive(), await receive()])

    async with websocket(app) as server:
        peer = await open_peer(server)
        await eventually(lambda: len(told) == 2)
        assert told == [closed_with(4000, "enough")] * 2
        await peer.send(frame(0x81, b"crossed") + close_frame(4000))
        assert await peer.close() == (4000, "enough")
        await eventually(lambda: not server.site.connection_count)


async def test_disconnect_is_told_again_and_send_raises(websocket: Any) -> None:
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        told.extend([await receive(), await receive()])
        for message in ({"type": "websocket.send", "text": "x"}, {"type": "websocket.close"}):
            with pytest.raises(OSError, match="gone"):
                await send(message)
        told[0]["code"] = 0  # It is the app's own.
        told.append(await receive())

    async with websocket(app) as server:
        peer = await open_peer(server)
        await peer.send(close_frame(1001, "leaving"))
        assert await peer.close() == (1001, "leaving")
        await eventually(lambda: len(told) == 3)
        assert told[1:] == [closed_with(1001, "leaving")] * 2


@pytest.mark.parametrize("resets", [True, False])
async def test_client_that_just_leaves_is_1006(websocket: Any, resets: bool) -> None:
    app = Told()
    async with websocket(app) as server:
        peer = await open_peer(server)
        await peer.send(frame(0x81, b"last words"))
        assert await peer.frame() == (0x81, b"last words")
        if resets:
            peer.client.sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: a reset
            peer.client.sock.close()
        else:
            peer.client.finish()
        await eventually(lambda: not server.site.active_count)
        assert app.messages[1:] == [GONE]


async def test_broken_protocol_is_told_to_both(websocket: Any) -> None:
    app = Told()
    async with websocket(app) as server:
        peer = await open_peer(server)
        await peer.send(frame(0x81, b"\xff"))
        assert (await peer.close())[0] == 1007
        await eventually(lambda: app.messages)
        assert app.messages[0]["code"] == 1007


async def test_close_reaches_a_client_that_goes_on_sending(websocket: Any) -> None:
    """
    Bytes that nobody reads would be answered by a reset, which overtakes the close.
    """
    async with websocket(message_bytes=1000) as server:
        peer = await open_peer(server)
        await peer.send(frame(0x82, bytes(300_000)))
        assert (await peer.close())[0] == 1009


@pytest.mark.parametrize("fails", [True, False])
async def test_app_that_ends_closes(websocket: Any, fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        if fails:
            raise ZeroDivisionError("secret")

    async with websocket(app) as server:
        peer = await open_peer(server)
        await peer.send(frame(0x81, b"crossed") + close_frame(1000))
        assert await peer.close() == (1011 if fails else 1000, "")
        assert ("secret" in caplog.text) is fails


async def test_framework_that_passes_the_disconnect_on_is_no_failure(
    websocket: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Most apps let it through, and with many clients there would be many tracebacks.
    """

    class WebSocketDisconnect(Exception):
        """As Starlette and others have it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        if (await receive())["type"] == "websocket.disconnect":
            raise ExceptionGroup("group", [WebSocketDisconnect()])

    async with websocket(app) as server:
        caplog.set_level(logging.INFO)
        peer = await open_peer(server)
        await peer.send(close_frame(1000))
        assert await peer.close() == (1000, "")
        await eventually(lambda: not server.site.active_count)
        assert caplog.text == ""


async def test_two_tasks_can_wait_and_one_be_cancelled(websocket: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        first, second = asyncio.create_task(receive()), asyncio.create_task(receive())
        await asyncio.sleep(0)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        await send({**await second, "type": "websocket.send"})
        await receive()

    async with websocket(app) as server:
        peer = await open_peer(server)
        await peer.send(frame(0x81, b"for the second"))
        assert await peer.frame() == (0x81, b"for the second")


# Room.


async def test_app_that_does_not_read_makes_the_client_wait(websocket: Any) -> None:
    """
    Nothing grows here: what is too much stays in the kernel. All of it comes, in order, once the app reads.
    """
    go = asyncio.Event()
    count, found = 3000, []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            found.append(message["bytes"])
        found.append(message)

    async with websocket(app, queue_count=8) as server:
        peer = await open_peer(server)
        data = b"".join(frame(0x82, number.to_bytes(2, "big") * 1000) for number in range(count))
        sending = asyncio.create_task(peer.send(data + close_frame(1000, "all")))
        [connection] = server.site._connections
        await eventually(lambda: connection._is_reading_paused)
        [exchange] = server.site.exchanges()
        assert len(exchange._messages) == 8
        assert server.site.received_bytes < 1_000_000
        go.set()
        await sending
        assert await peer.close() == (1000, "all")
        assert found == [number.to_bytes(2, "big") * 1000 for number in range(count)] + [
            closed_with(1000, "all")
        ]


async def test_what_was_sent_before_the_connection_was_lost_is_received(websocket: Any) -> None:
    """
    The queue is full, the rest waits as bytes, and the client is long gone.
    """
    go = asyncio.Event()
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            found.append(message["text"])
        found.append(message["code"])

    async with websocket(app, queue_count=2) as server:
        peer = await open_peer(server)
        await peer.send(b"".join(frame(0x81, b"%d" % number) for number in range(9)) + close_frame(4000))
        await eventually(lambda: server.site.received_bytes > 200)
        peer.client.sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        peer.client.sock.close()
        [connection] = server.site._connections
        connection.transport.abort()  # Nobody reads, so nobody would notice.
        await eventually(lambda: not server.site.connection_count)
        go.set()
        await eventually(lambda: found and found[-1] == 4000)
        assert found[:-1] == [str(number) for number in range(9)]


async def test_send_waits_for_a_client_that_does_not_read(websocket: Any) -> None:
    sent = [0]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def one() -> None:
            while sent[0] < 1000:
                sent[0] += 1
                await send({"type": "websocket.send", "bytes": bytes(100_000)})

        await asyncio.gather(*(one() for _ in range(4)))

    async with websocket(app, deflate=False) as server:
        peer = await open_peer(server)
        [connection] = server.site._connections
        await eventually(lambda: connection.is_write_blocked and len(connection._writers or ()) == 4)
        assert sent[0] < 200
        assert connection.transport.get_write_buffer_size() < 1_000_000
        for _ in range(1000):
            first, payload = await peer.frame()
            assert (first, len(payload)) == (0x82, 100_000)
        await peer.send(close_frame(1000))
        assert await peer.close() == (1000, "")


async def test_pings_of_a_client_that_takes_no_pong_are_not_read(websocket: Any) -> None:
    """
    Else it could have as many pongs written as it likes, to memory of ours.
    """
    async with websocket() as server:
        peer = await open_peer(server)
        data = frame(0x89, bytes(125)) * 200_000
        sending = asyncio.create_task(peer.send(data))
        [connection] = server.site._connections
        await eventually(lambda: connection._is_choked)
        assert connection.transport.get_write_buffer_size() < 1_000_000
        assert not sending.done()
        for _ in range(200_000):
            await peer.frame()
        await sending


# Over other transports, and in the numbers.


async def test_over_tls(websocket: Any, certificate: tuple[Path, Path]) -> None:
    app = Told()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with websocket(app, tls=context) as server:
        host, port = server.address
        reader, writer = await asyncio.open_connection(host, port, ssl=trust, server_hostname="localhost")
        writer.write(handshake() + frame(0x81, b"early"))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(7) == b"\x81\x05early"
        writer.write(close_frame(1000))
        assert await reader.read() == b"\x88\x02\x03\xe8"
        writer.close()
        await eventually(lambda: app.messages[-1] == closed_with(1000))
        assert app.scopes[0]["scheme"] == "wss"


async def test_over_a_unix_socket(websocket: Any, tmp_path: Path) -> None:
    async with websocket(path=str(tmp_path / "s")) as server:
        peer = await open_peer(server)
        await peer.send(frame(0x81, b"hello"))
        assert await peer.frame() == (0x81, b"hello")


async def test_it_is_counted_when_accepted_and_shown_when_over(websocket: Any) -> None:
    """
    A success of the time that the handshake took, an active connection, a line of its whole duration.
    """
    seen: list[tuple[int, int]] = []
    async with websocket() as server:
        site = server.site
        site.watch_requests(observer=lambda exchange, _, size: seen.append((exchange.status, size)))
        peer = await open_peer(server)
        assert server.cells[8] == 1
        site.flush()
        assert (server.cells[0], server.cells[3], server.cells[4]) == (1, 1, 0)
        assert [exchange.describe().partition(" (")[0] for exchange in site.exchanges()] == [
            "GET /chat?room=1"
        ]
        await peer.send(frame(0x81, b"hello"))
        await peer.frame()
        assert not seen
        await peer.send(close_frame(1000))
        await peer.close()
        await eventually(lambda: not site.active_count)
        [(status, size)] = seen
        assert status == 101
        assert size > 100
        site.flush()
        assert (server.cells[0], server.cells[3], server.cells[4], server.cells[8]) == (1, 0, 0, 1)
        assert server.cells[2] == size


@pytest.mark.parametrize("how", ["client", "app", "failure", "drain", "cut"])
async def test_it_is_shown_once_and_before_its_app_is_done(websocket: Any, how: str) -> None:
    """
    A span that was ended by the end of its app would be ended a second time.
    """
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        if how == "failure":
            raise ZeroDivisionError
        if how in ("client", "cut"):
            await receive()

    def opening(exchange: Any, _: Any) -> None:
        exchange.notes = Notes()
        exchange.notes.on_end = lambda exchange: seen.append("end")

    def observer(exchange: Any, _: int, __: int) -> None:
        seen.append("failed" if exchange.notes.failure is not None else "shown")

    async with websocket(app) as server:
        server.site.watch_requests(opening=opening, observer=observer)
        peer = await open_peer(server)
        if how == "drain":
            for exchange in server.site.exchanges():
                exchange.call_off()
        elif how == "cut":
            server.site.abort_all()
        await peer.send(close_frame(1000))
        await eventually(lambda: "end" in seen)
        peer.client.sock.close()
        await eventually(lambda: not server.site.connection_count)
        assert seen[:2] == ["failed" if how in ("failure", "cut") else "shown", "end"]
        assert set(seen[2:]) <= {"end"}


async def test_connection_ends_after_a_denial(websocket: Any) -> None:
    """
    The client may have gone on in the other protocol.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})

    async with websocket(app) as server:
        client = await server.client()
        await client.send(handshake() + frame(0x81, b"GET / HTTP/1.1\r\n\r\n"))
        assert [each.status for each in await client.responses()] == [403]


# In time.


async def test_silent_client_is_pinged_and_then_let_go(websocket: Any) -> None:
    app = Told()
    async with websocket(app, ping_interval_s=20.0, ping_timeout_s=10.0) as server:
        peer = await open_peer(server)
        for _ in range(3):
            server.pass_time(21.0)
            assert await peer.frame() == (0x89, b"ping")
            await peer.send(frame(0x8A, b"ping"))
            await _heard(server)
        server.pass_time(21.0)
        server.pass_time(11.0)
        assert await peer.frame() == (0x89, b"ping")
        assert await peer.close() == (1011, "keepalive ping timeout")
        await eventually(lambda: app.messages)
        assert app.messages == [closed_with(1011, "keepalive ping timeout")]


async def _heard(server: Serving) -> None:
    [connection] = server.site._connections
    await eventually(lambda: connection._is_heard)  # type: ignore[attr-defined]


async def test_any_byte_is_a_sign_of_life(websocket: Any) -> None:
    """
    A pong waits until a long message has been sent.
    """
    async with websocket(ping_interval_s=20.0, ping_timeout_s=10.0) as server:
        peer = await open_peer(server)
        message = frame(0x81, b"x" * 100)
        server.pass_time(21.0)
        assert await peer.frame() == (0x89, b"ping")
        await peer.send(message[:10])
        await _heard(server)
        server.pass_time(11.0)
        await peer.send(message[10:])
        assert await peer.frame() == (0x81, b"x" * 100)


async def test_client_is_not_blamed_for_a_slow_app(websocket: Any) -> None:
    """
    Its pong waits behind messages that are not read.
    """
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await go.wait()
        for _ in range(4):
            await send({**await receive(), "type": "websocket.send"})

    async with websocket(app, queue_count=1, ping_interval_s=20.0, ping_timeout_s=10.0) as server:
        peer = await open_peer(server)
        await peer.send(frame(0x81, b"x") * 4)
        await eventually(lambda: server.site.received_bytes == len(handshake()) + 4 * 7)
        server.pass_time(100.0)
        assert await peer.frame() == (0x89, b"ping")
        go.set()
        found: list[Any] = []
        while found.count((0x81, b"x")) < 4:
            found.append(await peer.frame())
            assert found[-1] in ((0x81, b"x"), (0x89, b"ping"))


@pytest.mark.parametrize("spec", [{"ping_interval_s": None}, {"ping_timeout_s": None}])
async def test_pings_and_their_timeout_can_be_switched_off(websocket: Any, spec: dict[str, Any]) -> None:
    async with websocket(**spec) as server:
        peer = await open_peer(server)
        server.pass_time(300.0)
        await peer.send(frame(0x81, b"still here"))
        found = [await peer.frame()]
        while found[-1][0] == 0x89:
            found.append(await peer.frame())
        assert found[-1] == (0x81, b"still here")
        assert (len(found) > 10) is ("ping_timeout_s" in spec)


async def test_client_that_does_not_answer_a_close_is_cut(websocket: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

    async with websocket(app) as server:
        peer = await open_peer(server)
        assert await peer.frame() == (0x88, b"\x03\xe8")
        await eventually(lambda: not server.site.exchanges())
        server.pass_time(6.0)
        assert await peer.client.rest() == b""


async def test_client_that_takes_nothing_is_cut(websocket: Any) -> None:
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except OSError:
            told.append(await receive())

    async with websocket(app, deflate=False, limits={"send_timeout_s": 30.0}) as server:
        await open_peer(server)
        [connection] = server.site._connections
        await eventually(lambda: connection.is_write_blocked)
        server.pass_time(31.0)
        await eventually(lambda: told)
        assert told == [GONE]


# In a drain.


async def test_drain_closes_with_1012_and_then_tells_the_app(websocket: Any) -> None:
    """
    What the client has sent before it knew still comes.
    """
    app = Told()
    async with websocket(app) as server:
        peer = await open_peer(server)
        server.site.begin_drain(1.0)
        [exchange] = server.site.exchanges()
        assert exchange.is_endless
        exchange.call_off()
        assert not exchange.is_endless
        assert await peer.frame() == (0x88, b"\x03\xf4")
        assert not app.messages
        await peer.send(close_frame(1012))
        peer.client.finish()
        assert await peer.client.rest() == b""
        await asyncio.wait_for(server.site.wait_empty(), 10.0)
        assert app.messages == [closed_with(1012)]


async def test_drain_cuts_those_that_do_not_answer(websocket: Any) -> None:
    app = Told()
    async with websocket(app) as server:
        await open_peer(server)
        server.site.begin_drain(1.0)
        [exchange] = server.site.exchanges()
        exchange.call_off()
        server.pass_time(6.0)
        await asyncio.wait_for(server.site.wait_empty(), 10.0)
        assert app.messages == [closed_with(1012)]


async def test_drain_waits_for_an_app_that_says_goodbye(websocket: Any) -> None:
    """
    Its client is gone, but what it does at the end is done.
    """
    done: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "bye"})
        for _ in range(10):
            await asyncio.sleep(0)
        done.append(True)

    async with websocket(app) as server:
        peer = await open_peer(server)
        server.site.begin_drain(1.0)
        [exchange] = server.site.exchanges()
        exchange.call_off()
        await peer.frame()
        await peer.send(close_frame(1012))
        peer.client.finish()
        await asyncio.wait_for(server.site.wait_empty(), 10.0)
        assert done


async def test_drain_deadline_cancels(websocket: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.Event().wait()

    async with websocket(app) as server:
        peer = await open_peer(server)
        server.site.begin_drain(1.0)
        server.site.abort_all()
        assert await peer.client.rest() in (b"", b"<reset>")
        await asyncio.wait_for(server.site.wait_empty(), 10.0)
