"""The websockets library's own client on the other end: both see the same messages, fragments and ends."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect, WebSocketException
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from tests.worker.http.conftest import Serving
from tests.worker.websocket.conftest import Told, eventually, library

CODES = (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999)
DEFLATES: dict[str, Any] = {
    "none": None,
    "usual": [ClientPerMessageDeflateFactory()],
    "no context": [ClientPerMessageDeflateFactory(True, True)],
    "small windows": [ClientPerMessageDeflateFactory(False, False, 9, 9)],
    "window not told": [ClientPerMessageDeflateFactory(client_max_window_bits=None)],
    "largest": [ClientPerMessageDeflateFactory(False, True, 15, 15)],
}


@pytest.mark.parametrize("code", CODES)
async def test_client_closes_with_any_code(websocket: Any, code: int) -> None:
    app = Told()
    async with websocket(app) as server:
        async with library(server) as client:
            await client.close(code, "why not")
            assert (client.close_code, client.close_reason) == (code, "why not")
        await eventually(lambda: app.messages)
        assert app.messages == [{"type": "websocket.disconnect", "code": code, "reason": "why not"}]


@pytest.mark.parametrize("code", CODES)
async def test_app_closes_with_any_code(websocket: Any, code: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": code, "reason": "why not"})

    async with websocket(app) as server, library(server) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (code, "why not")
        await client.wait_closed()
        assert client.protocol.close_rcvd_then_sent


@pytest.mark.parametrize("deflate", DEFLATES)
async def test_messages_and_fragments_of_every_size(websocket: Any, deflate: str) -> None:
    """
    Sizes around each form of length, text and bytes, whole and in pieces that split characters or are empty.
    """
    sizes = (0, 1, 2, 124, 125, 126, 127, 255, 256, 257, 65535, 65536, 200_000)
    choose = random.Random(1)
    async with (
        websocket() as server,
        library(server, compression=None, extensions=DEFLATES[deflate], max_size=None) as client,
    ):
        assert len(client.protocol.extensions) == (deflate != "none")
        for size in sizes:
            text = "".join(choose.choices("abcäöü€😀 ", k=size))
            data = choose.randbytes(size // 2) + bytes(size - size // 2)
            pieces = [text[at : at + 1000] for at in range(0, size, 1000)]
            for message in (text, data):
                await client.send(message)
                assert await client.recv() == message
            await client.send(["", *pieces, ""])
            assert await client.recv() == text
            await client.send([data[:1], b"", data[1:7], data[7:]])
            assert await client.recv() == data


@pytest.mark.parametrize("deflate", ["none", "usual"])
async def test_pings_come_between_fragments(websocket: Any, deflate: str) -> None:
    async with (
        websocket() as server,
        library(server, compression=None, extensions=DEFLATES[deflate]) as client,
    ):

        async def pieces() -> AsyncIterator[str]:
            for piece in ("one ", "two ", "three"):
                yield piece
                await asyncio.wait_for(await client.ping(), 10.0)

        await client.send(pieces())
        assert await client.recv() == "one two three"


async def test_many_messages_at_once_come_back_in_order(websocket: Any) -> None:
    """
    More than the queue holds, both ways at the same time.
    """
    async with websocket() as server, library(server, max_queue=None) as client:
        wanted = [f"{number} {'x' * (number % 700)}" for number in range(3000)]

        async def send() -> None:
            for each in wanted:
                await client.send(each)

        sending = asyncio.create_task(send())
        assert [await client.recv() for _ in wanted] == wanted
        await sending


async def test_library_pings_us_and_we_it(websocket: Any) -> None:
    async with websocket() as server, library(server, ping_interval=None) as client:
        assert await asyncio.wait_for(await client.ping(b"are you there"), 10.0) < 10.0
        server.pass_time(21.0)
        [connection] = server.site._connections
        await eventually(lambda: connection._is_heard)


async def test_too_big_a_message(websocket: Any) -> None:
    app = Told()
    async with websocket(app, message_bytes=1000) as server:
        for message in ("x" * 1001, "x" * 2_000_000, ["x" * 600] * 2):
            async with library(server) as client:
                with contextlib.suppress(ConnectionClosed):
                    await client.send(message)
                with pytest.raises(ConnectionClosed):
                    await client.recv()
                assert client.close_code == 1009
        await eventually(lambda: len(app.messages) == 3)
        assert {each["code"] for each in app.messages} == {1009}


async def test_subprotocol_is_agreed_upon(websocket: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][-1]})
        await receive()

    async with websocket(app) as server, library(server, subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"


# FastAPI.


def application() -> FastAPI:
    app = FastAPI()

    async def guard(websocket: WebSocket) -> str:
        if "token" not in websocket.query_params:
            raise WebSocketException(code=1008, reason="no token")
        return websocket.query_params["token"]

    @app.websocket("/echo/{room}")
    async def echo(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text(f"{room}: {await websocket.receive_text()}")

    @app.websocket("/guarded")
    async def guarded(websocket: WebSocket, token: str = Depends(guard)) -> None:
        await websocket.accept()
        await websocket.send_json({"token": token})
        await websocket.close(4001, "enough")

    @app.websocket("/caught")
    async def caught(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            async for message in websocket.iter_bytes():
                await websocket.send_bytes(message)
            app.state.ended = True
        except WebSocketDisconnect:
            raise AssertionError("iter_bytes ends by itself") from None

    @app.websocket("/broken")
    async def broken(websocket: WebSocket) -> None:
        await websocket.accept()
        raise ZeroDivisionError("secret")

    return app


@contextlib.asynccontextmanager
async def talking(server: Serving, path: str) -> AsyncIterator[Any]:
    async with connect(f"ws://127.0.0.1:{server.address[1]}{path}", proxy=None) as client:
        yield client


async def test_fastapi(websocket: Any, caplog: pytest.LogCaptureFixture) -> None:
    """
    As people use it: path parameters, dependencies that refuse, disconnects that nobody catches.
    """
    app = application()
    async with websocket(app) as server:
        async with talking(server, "/echo/hall") as client:
            await client.send("hello")
            assert await client.recv() == "hall: hello"
        async with talking(server, "/guarded?token=x") as client:
            assert await client.recv(decode=False) in (b'{"token":"x"}', b'{"token": "x"}')
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (4001, "enough")
        with pytest.raises(InvalidStatus) as caught:
            await talking(server, "/guarded").__aenter__()
        assert caught.value.response.status_code == 403
        with pytest.raises(InvalidStatus) as caught:
            await talking(server, "/nowhere").__aenter__()
        assert caught.value.response.status_code == 403
        async with talking(server, "/caught") as client:
            await client.send(b"bytes")
            assert await client.recv() == b"bytes"
        await eventually(lambda: getattr(app.state, "ended", False))
        await eventually(lambda: not server.site.active_count)
        assert "Traceback" not in caplog.text
        async with talking(server, "/broken") as client:
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (1011, "")
        assert "secret" in caplog.text
