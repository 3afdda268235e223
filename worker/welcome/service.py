"""
The welcome service's paths: which request gets which answer.

It speaks ASGI 3 and keeps no state. Bodies are streamed, never collected: what
one request can hold in memory is one chunk of it, whatever the client sends.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from penstock import __version__
from penstock.worker.identity import identity
from penstock.worker.welcome.page import PAGE_CONTENT_SECURITY_POLICY, render_page

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Header = tuple[bytes, bytes]

# Every answer describes one worker at one moment, so none may be kept, and none
# but the page may run anything: /echo gives back bytes that a stranger chose.
SAFE_HEADERS: tuple[Header, ...] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
INERT = (b"content-security-policy", b"default-src 'none'; sandbox; frame-ancestors 'none'")

NOT_FOUND = b"Nothing is here. This is Penstock's welcome service: / is a page, /whoami and /echo answer.\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one connection's scope, as ASGI 3 asks."""
    if scope["type"] == "http":
        await serve_request(scope, receive, send)
    elif scope["type"] == "lifespan":
        await live(receive, send)
    else:
        await refuse_websocket(receive, send)


async def serve_request(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request."""
    path = own_path(scope)
    handler = HANDLERS.get(path)
    if handler is None:
        await answer(scope, send, 404, NOT_FOUND, b"text/plain; charset=utf-8")
        return

    methods = BODY_METHODS if path == "/echo" else READ_METHODS
    if scope["method"] not in methods:
        allow = ", ".join(methods).encode()
        body = b"Allowed here: " + allow + b"\n"
        await answer(scope, send, 405, body, b"text/plain; charset=utf-8", (b"allow", allow))
        return

    await handler(scope, receive, send)


def own_path(scope: Scope) -> str:
    """Return the path below the mount point: ASGI's `path` begins with `root_path`."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :] or "/"
    return path


async def show_page(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the page that a newcomer sees first."""
    given = dict(scope["headers"])
    host = given.get(b"host", b"").decode("latin-1") or "127.0.0.1:8000"
    body = render_page(identity(), host=host, root_path=scope.get("root_path", ""))
    policy = (b"content-security-policy", PAGE_CONTENT_SECURITY_POLICY)
    await answer(scope, send, 200, body, b"text/html; charset=utf-8", policy)


async def tell_whoami(scope: Scope, receive: Receive, send: Send) -> None:
    """
    Say which worker answered.

    A browser keeps its connections, and a connection stays with its worker. So
    `?fresh` asks for this one to be closed after the answer: the next request
    comes on a new one, which may go to any worker.
    """
    who = identity()
    facts = {
        "pid": os.getpid(),
        "slot": who.slot,
        "core": who.core,
        "generation": who.generation,
        "version": __version__,
    }
    extra: tuple[Header, ...] = ()
    # HTTP/2 has no such header and forbids it (RFC 9113, 8.2.2).
    if scope["query_string"] == b"fresh" and scope.get("http_version", "1.1").startswith("1"):
        extra = ((b"connection", b"close"),)
    await answer(scope, send, 200, to_json(facts), b"application/json", *extra)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Give back the request: its description, or with POST and PUT its body."""
    if scope["method"] in ("POST", "PUT"):
        await echo_body(scope, receive, send)
        return
    facts = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode("latin-1"),
        "http_version": scope.get("http_version", "1.1"),
        # latin-1 maps every byte to one character: nothing is lost or refused.
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
    }
    await answer(scope, send, 200, to_json(facts), b"application/json")


async def echo_body(scope: Scope, receive: Receive, send: Send) -> None:
    """
    Stream the request's body back, chunk by chunk.

    The next chunk is asked for when the one before has been taken, so a client
    that does not read is soon not read from either; one that sends more than
    the buffers between hold has to read while it writes.
    """
    # The first chunk comes before the head: a client that expects
    # 100-continue must not be shown the final status instead.
    event = await receive()
    if event["type"] == "http.disconnect":
        return

    given = dict(reversed(scope["headers"]))  # reversed: the first of a name wins
    headers = [(b"content-type", given.get(b"content-type", b"application/octet-stream"))]
    if b"content-length" in given:
        headers.append((b"content-length", given[b"content-length"]))
    await send(
        {"type": "http.response.start", "status": 200, "headers": [*headers, *SAFE_HEADERS, INERT]},
    )

    more = True
    while more and event["type"] == "http.request":
        more = event.get("more_body", False)
        await send({"type": "http.response.body", "body": event.get("body", b""), "more_body": more})
        if more:
            event = await receive()


async def answer(
    scope: Scope, send: Send, status: int, body: bytes, content_type: bytes, *extra: Header
) -> None:
    """Send a whole response; with HEAD, its head alone."""
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *SAFE_HEADERS,
        *extra,
    ]
    if not any(name == INERT[0] for name, _ in extra):
        headers.append(INERT)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def to_json(facts: dict[str, Any]) -> bytes:
    """Encode for a program, with the line end that a terminal likes."""
    return msgspec.json.encode(facts) + b"\n"


async def live(receive: Receive, send: Send) -> None:
    """Take part in the lifespan protocol: there is nothing to open or close."""
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return


async def refuse_websocket(receive: Receive, send: Send) -> None:
    """Close before accepting, which a client sees as 403."""
    await receive()
    await send({"type": "websocket.close", "code": 1000})


READ_METHODS = ("GET", "HEAD")
BODY_METHODS = ("GET", "HEAD", "POST", "PUT")
HANDLERS = {"/": show_page, "/whoami": tell_whoami, "/echo": echo}
