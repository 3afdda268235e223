"""The app beside the proxy: below /shop/ on port 8000, in the workers of the gateway (etc/gateway.yaml)."""

import json
import os
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say who asks, and in which worker that was answered."""
    if scope["type"] != "http":
        return
    told = {"app": "shop", "worker": os.getpid(), "client": scope["client"][0], "path": scope["path"]}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode() + b"\n"})
