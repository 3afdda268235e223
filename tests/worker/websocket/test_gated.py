"""The limit of requests at a time counts a WebSocket for as long as it is open."""

from typing import Any

from tests.worker.websocket.conftest import close_frame, handshake, open_peer


async def test_an_open_socket_takes_a_place(websocket: Any) -> None:
    """
    The next one is told to come later, before any handshake, and is let in when the first has closed.
    """
    async with websocket(limits={"concurrency": 1}) as server:
        first = await open_peer(server)
        second = await server.client()
        await second.send(handshake())
        refused = await second.response()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        await first.send(close_frame(1000))
        assert await first.close() == (1000, "")
        await server.until(lambda: server.site.gate.inside_count == 0)
        await open_peer(server)
