"""How requests for WebSockets become exchanges of their own kind."""

import logging
import sys
from typing import Any

import pytest

from tests.worker.websocket.conftest import handshake


async def test_without_the_library_it_is_a_request_like_any_other(
    websocket: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Somebody has put another version of it there: that is said in a line, and the connection goes on.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 426})
        await send({"type": "http.response.body", "body": scope["type"].encode()})

    monkeypatch.delitem(sys.modules, "penstock.worker.websocket.exchange", raising=False)
    monkeypatch.setitem(sys.modules, "websockets.server", None)
    async with websocket(app) as server:
        with caplog.at_level(logging.ERROR):
            [response] = await server.ask(handshake())
    assert (response.status, response.body) == (426, b"http")
    assert "WebSockets cannot be served: import of websockets.server halted" in caplog.text
