"""The smallest ASGI app that echoes WebSocket messages; to HTTP it only says that it is there."""

from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Send back what comes."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
