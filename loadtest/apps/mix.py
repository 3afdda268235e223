"""An ASGI application with paths of different cost, for scripts/mix.lua."""

import asyncio
import time
from typing import Any

SLOW_AWAIT_S = 0.05
SLOW_CPU_S = 0.002

BODIES = {"/": b"Hello, world!", "/items": b"[" + b'"item",' * 300 + b'"last"]'}
HERE = b'{"name": "turbine"}'


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer by path; take no part in the lifespan."""
    assert scope["type"] == "http"
    if scope["path"] == "/slow":
        await asyncio.sleep(SLOW_AWAIT_S)
        until_s = time.thread_time() + SLOW_CPU_S
        while time.thread_time() < until_s:
            pass
    body = BODIES.get(scope["path"], HERE)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
