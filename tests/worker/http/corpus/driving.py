"""
Sends bytes to a site over a real pair of sockets, and reads what becomes of them.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.worker.http.site import Site
from tests.worker.http.corpus.case import End, get

DEADLINE_S = 30.0
PROBE = get(b"/probe")
# As many turns of the loop as any answer takes that is given at once: bytes are noticed, read, an app
# is called, its answer written, noticed and read.
TURNS = 8


@dataclass
class Outcome:
    """What became of an input."""

    answers: list[int] = field(default_factory=list)
    saw: list[dict[str, Any]] = field(default_factory=list)
    end: End = "closed"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was seen of a request that came whole. Some paths ask for something else."""
    path = scope["path"]
    seen = {
        "method": scope["method"],
        "version": scope["http_version"],
        "path": path,
        "raw_path": scope["raw_path"].decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
    }
    headers = []
    if path not in {"/early", "/close"}:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        seen["body"] = body.decode("latin-1") if len(body) < 1000 else len(body)
    if path == "/fail":
        raise RuntimeError("as it is asked to")
    if path == "/close":
        headers.append((b"connection", b"close"))
    if path in {"/204", "/304"}:
        await send({"type": "http.response.start", "status": int(path[1:])})
        await send({"type": "http.response.body"})
        return
    if path == "/stream":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})
        return
    headers.append((b"seen", json.dumps(seen).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"done"})


async def feed(site: Site, pieces: Sequence[bytes], end: End, heads: frozenset[int], answers: int) -> Outcome:
    """
    Send the pieces one after the other, and find out whether the connection is as it should be.

    An open one answers a probe. One that waits stays as it is until we end it.
    """
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_S):
            await loop.connect_accepted_socket(site.connect, theirs)
            client = _Client(ours)
            reading = asyncio.create_task(client.read())
            await client.send(pieces)
            if end == "open":
                await client.send([PROBE])
                client.finish()
            elif end == "waiting":
                while len(read_answers(client.received, heads).answers) < answers:
                    await asyncio.sleep(0)
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                assert not reading.done(), f"ended: {client.received!r}"
                before = read_answers(client.received, heads)
                client.finish()
                await reading
                after = read_answers(client.received, heads)
                assert after.answers[len(before.answers) :] in ([], [400])
                before.end = "waiting"
                return before
            await reading
    outcome = read_answers(client.received, heads)
    if end == "open" and outcome.saw and outcome.saw[-1]["path"] == "/probe":
        outcome.answers.pop()
        outcome.saw.pop()
        outcome.end = "open"
    return outcome


async def feed_and_finish(site: Site, data: bytes, heads: frozenset[int]) -> Outcome:
    """Send bytes, then FIN, and read until the server closes."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        theirs.setblocking(False)
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.get_running_loop().connect_accepted_socket(site.connect, theirs)
            client = _Client(ours)
            await client.send([data])
            client.finish()
            await client.read()
    return read_answers(client.received, heads)


def read_answers(data: bytes, heads: Iterable[int] = ()) -> Outcome:
    """Take apart what a server sent. Of answers that are not complete nothing is told."""
    outcome = Outcome()
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        assert line.startswith("HTTP/1.1 "), line
        status = int(line.split(" ")[1])
        fields = dict(each.split(": ", 1) for each in lines)
        assert status == 100 or "date" in fields
        # What is cut short cannot always be known for a HEAD.
        to_head = len(outcome.answers) in heads and not rest.startswith(b"400 ")
        if status == 100 or status in (204, 304) or to_head:
            size = 0
        elif fields.get("transfer-encoding") == "chunked":
            at = rest.find(b"0\r\n\r\n")
            if at < 0:
                break
            size = at + 5
        elif "content-length" in fields:
            size = int(fields["content-length"])
        else:
            size = len(rest)
        if len(rest) < size:
            break
        if status >= 400:
            assert fields["connection"] == "close"
        data = rest[size:]
        outcome.answers.append(status)
        if "seen" in fields:
            outcome.saw.append(json.loads(fields["seen"]))
    else:
        assert not data, f"not an answer: {data!r}"
    return outcome


class _Client:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.received = b""

    async def send(self, pieces: Sequence[bytes]) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):  # The server has had enough.
            for piece in pieces:
                await loop.sock_sendall(self._sock, piece)
                if len(pieces) > 1:
                    # A turn to notice the bytes, a turn to read them.
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)

    async def read(self) -> None:
        while True:
            data = await asyncio.get_running_loop().sock_recv(self._sock, 1 << 20)
            if not data:
                return
            self.received += data

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
