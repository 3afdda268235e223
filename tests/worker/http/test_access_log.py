"""Each request of a site gets its line, whatever became of it, and none waits for it."""

import asyncio
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from penstock.worker.access.log import AccessLog, request_line
from penstock.worker.limits import ACCESS_ENTRIES_MAX, ACCESS_UNWRITTEN_BYTES_MAX
from penstock.worker.spec import AccessSpec, MatchSpec, RespondAction

GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\n\r\n"


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b"x")]})
    if scope["path"] == "/cut":
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise ValueError("enough")
    await send({"type": "http.response.body", "body": b"hello"})


class Log:
    """An access log to a file, and what is in it."""

    def __init__(self, path: Path, serving: Any, fd: int | None = None, **spec: Any) -> None:
        self.path = path
        self.cells = memoryview(bytearray(8)).cast("Q")
        if fd is None:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        access = AccessSpec(**{"format": "json", "redact": ("query",), **spec})
        self.log = AccessLog(access, fd, self.cells, slot=3, loop=asyncio.get_running_loop())
        self.log.watch(serving.site)

    async def lines(self) -> list[dict[str, Any]]:
        await self.log.close()
        return [json.loads(line) for line in self.path.read_text().splitlines()]


async def test_every_response_has_a_line(serve: Any, tmp_path: Path) -> None:
    """
    With what it was, whom for, and how it went.
    """
    async with serve(_hello) as serving:
        log = Log(tmp_path / "log", serving)
        client = await serving.client()
        for _ in range(3):
            before = serving.site.sent_bytes
            await client.send(GET)
            await client.response()
            size = serving.site.sent_bytes - before
        lines = await log.lines()
    assert len(lines) == 3
    line = lines[-1]
    assert (line["method"], line["path"], line["query"]) == ("GET", "/a", "b=***")
    assert (line["status"], line["bytes"], line["user_agent"]) == (200, size, "test")
    assert (line["client"], line["route"], line["listener"], line["worker"]) == (
        "127.0.0.1",
        "route",
        "test",
        3,
    )
    assert 0 <= line["duration"] < 10
    assert log.cells[0] == 0


async def test_what_was_refused_has_a_line(serve: Any, tmp_path: Path) -> None:
    """
    A head that is wrong, too large, too slow or cut off, and a body that is too large.
    """
    large = b"GET /large HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 5000 + b"\r\n\r\n"
    async with serve(_hello, header_bytes=4096, body_bytes=10) as serving:
        log = Log(tmp_path / "log", serving)
        await serving.ask(b"\x16\x03\x01 not http\r\n\r\n")
        await serving.ask(b"GET /bad?x=1 HTTP/1.1\r\nHost: a b\r\n\r\n")
        await serving.ask(large)
        await serving.ask(b"GET /incompl")
        slow = await serving.client()
        await slow.send(b"GET /slow?x=1 HTTP/1.1\r\nHost")
        await serving.until(lambda: serving.site.active_count == 1)
        serving.pass_time(60.0)
        await slow.rest()
        await serving.ask(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
        lines = await log.lines()
    assert [(line["status"], line["method"], line["path"], line["query"]) for line in lines] == [
        (400, None, None, ""),
        (400, "GET", "/bad", "x=***"),
        (431, "GET", "/large", ""),
        (400, "GET", "/incompl", ""),
        (408, "GET", "/slow", "x=***"),
        (413, "POST", "/body", ""),
    ]
    assert all(line["bytes"] > 100 and line["client"] == "127.0.0.1" for line in lines)
    assert [line["route"] for line in lines] == ["-"] * 5 + ["route"]


async def test_client_that_left_has_a_line(serve: Any, tmp_path: Path) -> None:
    """
    499 as nginx has it, once, and it is not counted as a response.
    """
    async with serve(_hello) as serving:
        log = Log(tmp_path / "log", serving)
        client = await serving.client()
        await client.send(GET.replace(b"/a", b"/wait"))
        await serving.until(lambda: serving.site.active_count == 1)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
        serving.clients.clear()
        await serving.until(lambda: serving.site.active_count == 0)
        counted = sum(serving.cells[8:12])
        lines = await log.lines()
    assert [(line["status"], line["path"], line["bytes"]) for line in lines] == [(499, "/wait", 0)]
    assert counted == 0


async def test_response_that_was_cut_has_the_status_that_it_began_with(serve: Any, tmp_path: Path) -> None:
    async with serve(_hello) as serving:
        log = Log(tmp_path / "log", serving)
        client = await serving.client()
        await client.send(GET.replace(b"/a", b"/cut"))
        await client.rest()
        lines = await log.lines()
    assert [line["status"] for line in lines] == [200]


async def test_request_without_answer_at_the_end_of_a_drain_has_a_line(serve: Any, tmp_path: Path) -> None:
    """
    Its client saw the connection cut: that was the server, not the client.
    """
    async with serve(_hello) as serving:
        log = Log(tmp_path / "log", serving)
        client = await serving.client()
        await client.send(GET.replace(b"/a", b"/wait"))
        await serving.until(lambda: serving.site.active_count == 1)
        serving.site.abort_all()
        await serving.until(lambda: serving.site.active_count == 0)
        lines = await log.lines()
    assert [(line["status"], line["bytes"]) for line in lines] == [(500, 0)]


async def test_excluded_paths_have_no_line(serve: Any, tmp_path: Path) -> None:
    """
    Exact, by prefix and by expression, as they are decoded.
    """
    excluded = ("/healthz", "/static/", "~[.]map$")
    async with serve(_hello) as serving:
        log = Log(tmp_path / "log", serving, exclude=excluded)
        paths = ("/healthz", "/healthz/x", "/static/a", "/%73tatic/b", "/a.map", "/static")
        for path in paths:
            await serving.ask(GET.replace(b"/a?b=c", path.encode()))
        lines = await log.lines()
    assert [line["path"] for line in lines] == ["/healthz/x", "/static"]
    assert log.cells[0] == 0


async def test_fixed_answers_and_response_headers(serve: Any, tmp_path: Path) -> None:
    """
    Also those that no app gives, and none at all to who left.
    """
    action = RespondAction(headers=(("X-Kind", "fixed"),), body=b"hello")
    async with serve(_hello, routes=((MatchSpec(), action),)) as serving:
        log = Log(tmp_path / "log", serving, format="%(r)s %(s)s %({x-kind}o)s")
        await serving.ask(GET)
        await log.log.close()
    assert log.path.read_text() == "GET /a?b=*** HTTP/1.1 200 fixed\n"


async def test_nobody_waits_for_a_reader_that_does_not_read(serve: Any, tmp_path: Path) -> None:
    """
    Requests are answered, memory stays bounded, and every line that is missing is counted.
    """
    reader, fd = os.pipe()
    async with serve(_hello) as serving:
        log = Log(tmp_path / "log", serving, fd)
        # So much that the writer has no room, with what is a tenth of a second's work in between.
        lines = 0
        line = "x" * 4000
        while log.log._writer.has_room:
            log.log._writer.write(f"{line}\n".encode() * 16, 16)
            lines += 16
        # The pipe takes some of it yet.
        log.log._writer.write(f"{line}\n".encode() * 100, 100)
        lines += 100
        client = await serving.client()
        count = ACCESS_ENTRIES_MAX + 500
        for _ in range(count // 100 + 1):
            await client.send(GET * 100)
            for _ in range(100):
                await client.response()
        count = (count // 100 + 1) * 100
        assert len(log.log.entries) == ACCESS_ENTRIES_MAX
        log.log.tick()
        assert log.cells[0] == count - ACCESS_ENTRIES_MAX

        closing = asyncio.create_task(log.log.close())
        received = await asyncio.to_thread(_read_until_quiet, reader, closing)
    assert lines * 4001 < 2 * ACCESS_UNWRITTEN_BYTES_MAX
    written = received.count(b"\n")
    assert received.endswith(b"\n")
    assert written + log.cells[0] == lines + count
    os.close(reader)


def _read_until_quiet(reader: int, closing: "asyncio.Task[None]") -> bytes:
    os.set_blocking(reader, False)
    received = b""
    while True:
        is_last = closing.done()
        try:
            received += os.read(reader, 1 << 20)
        except BlockingIOError:
            if is_last:
                return received


async def test_app_that_scribbles_over_its_scope_costs_its_line_alone(
    serve: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    It is told once, and counted.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["query_string"] != b"fine":
            scope["query_string"] = 7
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    async with serve(app) as serving:
        log = Log(tmp_path / "log", serving)
        for query in (b"b=c", b"b=c", b"fine"):
            await serving.ask(GET.replace(b"b=c", query))
        lines = await log.lines()
    assert [line["query"] for line in lines] == ["***"]
    assert log.cells[0] == 2
    assert caplog.text.count("access log: cannot write a line") == 1


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"GET /a?b HTTP/1.1\r\nHost: x\r\n", ("GET", b"/a", b"b", "1.1")),
        (b"GET /a", ("GET", b"/a", b"", "")),
        (b"GET ", ("GET", b"", b"", "")),
        (b"GET", ("", b"", b"", "")),
        (b"", ("", b"", b"", "")),
        (b"\x16\x03\x01 x", ("", b"", b"", "")),
        (b"X" * 40 + b" /", ("", b"", b"", "")),
        (b"GET http://bob:pw@x@y/a@b?c HTTP/1.1", ("GET", b"http://***@y/a@b", b"c", "1.1")),
        (b"GET //a@b HTTP/1.1", ("GET", b"//a@b", b"", "1.1")),
    ],
)
def test_what_there_is_of_a_request_line_is_shown(head: bytes, found: tuple[str, bytes, bytes, str]) -> None:
    assert request_line(head) == found
