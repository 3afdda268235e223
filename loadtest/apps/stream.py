"""An ASGI application that streams 1 MiB in pieces, without saying how much it will be."""

from typing import Any

PIECE = b"x" * (64 * 1024)
PIECES = 16
HEADERS = [(b"content-type", b"application/octet-stream")]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Send the pieces; take no part in the lifespan."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    for _ in range(PIECES):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
