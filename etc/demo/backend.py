"""
A server behind the gateway of etc/gateway.yaml, on the ports 9001 to 9003 (see run.py).

Says who it is, counts aloud on a WebSocket, and can be made ill (/ill) and well (/well).
"""

import asyncio
import json
import os
from typing import Any

NAME = os.environ.get("DEMO_NAME", "backend")
VERSION = os.environ.get("DEMO_VERSION", "1")

health = {"is_ill": False}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer one request, or one WebSocket."""
    if scope["type"] == "websocket":
        await count_aloud(receive, send)
    elif scope["type"] == "http":
        status = answer(scope["path"])
        told = {"server": NAME, "version": VERSION, "ill": health["is_ill"]}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(told).encode() + b"\n"})


def answer(path: str) -> int:
    """Do what a path says, and give the status."""
    if path in {"/ill", "/well"}:
        health["is_ill"] = path == "/ill"
        return 200
    if not health["is_ill"]:
        return 200
    return 503 if path == "/healthz" else 500


async def count_aloud(receive: Any, send: Any) -> None:
    """Say the name and a number once a second until the client goes."""
    await receive()
    await send({"type": "websocket.accept"})
    gone = asyncio.ensure_future(receive())
    number = 0
    while not gone.done():
        number += 1
        await send({"type": "websocket.send", "text": f"{NAME}: {number}"})
        await asyncio.wait({gone}, timeout=1.0)
