"""What the admin process answers, and how it is sent."""

from typing import Any

import msgspec

from penstock.worker.asgi.types import Scope, Send


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One whole answer."""

    status: int = 200
    content_type: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_reply(value: Any, status: int = 200) -> Reply:
    """Answer with a value."""
    return Reply(status=status, content_type="application/json", body=msgspec.json.encode(value) + b"\n")


def text_reply(status: int, text: str, *headers: tuple[bytes, bytes]) -> Reply:
    """Answer with a sentence."""
    return Reply(status=status, content_type="text/plain; charset=utf-8", body=text.encode(), headers=headers)


async def send_reply(reply: Reply, scope: Scope, send: Send) -> None:
    """Send it. Nothing of it may be kept: it was true for a moment."""
    headers = [
        (b"content-type", reply.content_type.encode("ascii")),
        (b"content-length", str(len(reply.body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else reply.body
    await send({"type": "http.response.body", "body": body})
