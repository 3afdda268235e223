"""Files that an app names: http.response.pathsend and http.response.zerocopysend."""

import asyncio
import logging
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from penstock.worker import disk
from penstock.worker.http.exchange import Exchange

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET /x HTTP/1.0\r\n\r\n"
SIZE = 3_000_001
HUGE_SIZE = 16 * 1024 * 1024


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Make a file that no socket takes in one go."""
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * (SIZE // 256) + b"!" * (SIZE % 256))
    return path


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """Make a file that the kernel has no room for on its way to a client that does not read."""
    path = tmp_path / "huge"
    path.write_bytes(os.urandom(1024) * (HUGE_SIZE // 1024))
    return path


def sending(path: Path | str, headers: Any = (), status: int = 200) -> Any:
    """Make an app that sends a file by its path."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["extensions"]["http.response.pathsend"] == {}
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.pathsend", "path": str(path)})

    return app


@pytest.mark.parametrize("is_warm", [True, False])
async def test_file_arrives_whole(serve: Any, large: Path, is_warm: bool) -> None:
    """
    More than a socket takes at once, from memory or from a disk, twice on one connection.
    """
    async with serve(sending(large)) as server:
        client = await server.client()
        for _ in range(2):
            if not is_warm:
                with large.open("rb") as stream:
                    os.fsync(stream.fileno())
                    os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            await client.send(GET)
            answer = await client.response()
            assert answer.headers["content-length"] == str(SIZE)
            assert answer.body == large.read_bytes()
        assert server.cells[8] == 2
        server.site.flush()
        assert server.cells[2] > 2 * SIZE


async def test_file_system_that_cannot_say(serve: Any, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where nobody knows what is in memory, a thread reads first, and for a while that is remembered.
    """
    flags = os.RWF_NOWAIT
    monkeypatch.setattr(os, "RWF_NOWAIT", 0x4000_0000)  # EOPNOTSUPP, as overlay has it
    fetched: list[int] = []
    real = disk._read_through

    def read(fd: int, offset: int, count: int) -> None:
        fetched.append(offset)
        real(fd, offset, count)

    monkeypatch.setattr(disk, "_read_through", read)
    async with serve(sending(large)) as server:
        client = await server.client()
        await client.send(GET)
        assert (await client.response()).body == large.read_bytes()
        count = len(fetched)
        assert count > 1
        await client.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.response()).body == large.read_bytes()
    assert flags != os.RWF_NOWAIT


async def test_file_over_tls(serve: Any, large: Path, certificate: tuple[Path, Path]) -> None:
    """
    What has to be encrypted cannot be left to the kernel.
    """
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(*certificate)
    client_side = ssl.create_default_context(cafile=str(certificate[0]))
    async with serve(sending(large), tls=server_side) as server:
        reader, writer = await asyncio.open_connection(
            *server.address, ssl=client_side, server_hostname="localhost"
        )
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % SIZE in head
        assert await reader.readexactly(SIZE) == large.read_bytes()
        writer.write(GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert (await reader.read()).endswith(b"!")
        writer.close()


async def test_head_has_the_length_and_no_bytes(serve: Any, large: Path) -> None:
    """
    HEAD is answered as GET would be, without a body.
    """
    async with serve(sending(large)) as server:
        client = await server.client()
        await client.send(HEAD + GET)
        assert (await client.response(to_head=True)).headers["content-length"] == str(SIZE)
        assert len((await client.response()).body) == SIZE


async def test_old_client_gets_the_length_and_the_end(serve: Any, large: Path) -> None:
    """
    HTTP/1.0: the length is known, and the connection ends.
    """
    async with serve(sending(large)) as server:
        (answer,) = await server.ask(OLD)
        assert answer.headers["content-length"] == str(SIZE)
        assert answer.headers["connection"] == "close"
        assert len(answer.body) == SIZE


async def test_pipelined_requests_are_answered_in_order(serve: Any, large: Path, tmp_path: Path) -> None:
    """
    Behind output that still waits, and before output of the next.
    """
    small = tmp_path / "small"
    small.write_bytes(b"small")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/body":
            await send({"type": "http.response.body", "body": b"b" * 2_000_000})
        else:
            path = small if scope["path"] == "/small" else large
            await send({"type": "http.response.pathsend", "path": str(path)})

    paths = ["/body", "/small", "/large", "/body", "/large", "/small"]
    sizes = {"/body": 2_000_000, "/small": 5, "/large": SIZE}
    async with serve(app) as server:
        client = await server.client()
        await client.send(b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode() for path in paths))
        for path in paths:
            assert len((await client.response()).body) == sizes[path]


@pytest.mark.parametrize("declared", [5, SIZE - 1, SIZE + 1])
async def test_wrong_length_is_the_apps_failure(
    serve: Any, large: Path, declared: int, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Found out before a byte has left, so the client gets a 500.
    """
    headers = [(b"content-length", b"%d" % declared)]
    with caplog.at_level(logging.ERROR):
        async with serve(sending(large, headers)) as server:
            (answer,) = await server.ask(GET)
    assert answer.status == 500
    assert "than its Content-Length" in caplog.text


@pytest.mark.parametrize("path", ["relative", "/nowhere/at/all", "/", "/dev/null"])
async def test_what_cannot_be_sent_is_the_apps_failure(
    serve: Any, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    No file, no regular file, or no absolute path: 500, and the log says why.
    """
    with caplog.at_level(logging.ERROR):
        async with serve(sending(path)) as server:
            (answer,) = await server.ask(GET)
    assert answer.status == 500


async def test_fifo_is_not_waited_for(serve: Any, tmp_path: Path) -> None:
    """
    Opening one would wait for whoever writes to it.
    """
    os.mkfifo(tmp_path / "fifo")
    async with serve(sending(tmp_path / "fifo")) as server:
        (answer,) = await server.ask(GET)
    assert answer.status == 500


async def test_order_is_kept(serve: Any, large: Path) -> None:
    """
    A path needs a start before it, and nothing may come after it or in between.
    """
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def refused(message: Any) -> None:
            with pytest.raises(RuntimeError) as caught:
                await send(message)
            errors.append(str(caught.value))

        path = {"type": "http.response.pathsend", "path": str(large)}
        await refused(path)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sending = asyncio.ensure_future(send(path))
        while len(errors) < 2:
            await asyncio.sleep(0)
            if scope["client"] and exchange_of(server).phase == 2:
                await refused({"type": "http.response.body", "body": b"in between", "more_body": True})
        await sending
        await refused(path)
        await refused({"type": "http.response.body", "body": b"after"})

    async with serve(app) as server:
        client = await server.client()
        await client.send(GET)
        assert (await client.response()).body == large.read_bytes()
        await server.until(lambda: len(errors) == 4)
    assert ["not started" in errors[0], "being sent" in errors[1]] == [True, True]
    assert ["complete" in error for error in errors[2:]] == [True, True]


def exchange_of(server: Any) -> Exchange:
    """Find the one that is under way."""
    (connection,) = server.site._connections
    assert connection.exchange is not None
    return connection.exchange  # type: ignore[no-any-return]


def is_waiting(server: Any) -> bool:
    """Tell whether a file waits for the client."""
    pour = next((each.pour for each in server.site._connections), None)
    return pour is not None and pour.left > 0


def descriptors() -> list[str]:
    """Say what this process has open of files and connections."""
    links = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if os.path.lexists(path)]  # noqa: PTH115
    return sorted(link for link in links if "huge" in link or link.startswith("socket:"))


async def test_slow_client_gets_all(serve: Any, huge: Path) -> None:
    """
    A deadline is about a client that takes nothing, not about one that takes its time.
    """
    async with serve(sending(huge), send_timeout_s=10.0) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(lambda: is_waiting(server))
        await client.until(b"\r\n\r\n")
        pieces = [client.received]
        while sum(map(len, pieces)) < HUGE_SIZE:
            client.received = b""
            await client._more()
            assert not client.is_eof
            pieces.append(client.received)
            if len(pieces) % 64 == 0:
                server.pass_time(4.0)
        assert b"".join(pieces) == huge.read_bytes()


async def test_client_that_takes_nothing_is_cut(serve: Any, huge: Path) -> None:
    """
    After the send timeout, and the app hears of it.
    """
    async with serve(sending(huge), send_timeout_s=10.0) as server:
        client = await server.client()
        await client.send(GET)
        await server.until(lambda: is_waiting(server))
        server.pass_time(25.0)
        await server.until(lambda: not server.site.connection_count)
        await server.until(lambda: not server.site.active_count)


async def test_client_that_leaves_ends_it(serve: Any, huge: Path) -> None:
    """
    The app gets an OSError, and no descriptor stays open.
    """
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await send({"type": "http.response.pathsend", "path": str(huge)})
        except OSError as error:
            raised.append(error)
            raise

    async with serve(app) as server:
        before = descriptors()
        for _ in range(5):
            client = await server.client()
            await client.send(GET)
            await client.until(b"\r\n\r\n")
            client.sock.close()
        await server.until(lambda: len(raised) == 5 and not server.site.connection_count)
        assert descriptors() == before


@pytest.mark.parametrize("way", ["abort", "cancel"])
async def test_end_from_our_side_is_clean(serve: Any, huge: Path, way: str) -> None:
    """
    Whoever aborts the connection or cancels the app in between, the descriptors close.
    """
    async with serve(sending(huge)) as server:
        before = descriptors()
        client = await server.client()
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        await server.until(lambda: is_waiting(server))
        if way == "abort":
            exchange_of(server).connection.abort()
        else:
            server.site.abort_all()
        await server.until(lambda: not server.site.connection_count and not server.site.active_count)
        assert len(await client.rest()) < HUGE_SIZE
        client.sock.close()
        assert descriptors() == before


async def test_file_that_shrinks_cuts_the_connection(
    serve: Any, huge: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The client must see that it has not got all of it.
    """
    with caplog.at_level(logging.ERROR):
        async with serve(sending(huge)) as server:
            client = await server.client()
            await client.send(GET)
            await client.until(b"\r\n\r\n")
            await server.until(lambda: is_waiting(server))
            os.truncate(huge, 1000)
            assert len(await client.rest()) < HUGE_SIZE
    assert "became shorter while it was sent" in caplog.text


def copying(large: Path, *messages: dict[str, Any], headers: Any = ()) -> Any:
    """Make an app that sends stretches of an open file."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with large.open("rb") as file:
            for message in messages:
                if message["type"] == "http.response.zerocopysend":
                    await send({**message, "file": file})
                else:
                    await send(message)

    return app


async def test_zero_copy_pieces_are_chunked(serve: Any, large: Path) -> None:
    """
    Without a length; with and without an offset, mixed with pieces of the usual kind.
    """
    kind = "http.response.zerocopysend"
    app = copying(
        large,
        {"type": kind, "count": 10, "more_body": True},
        {"type": kind, "count": 10, "more_body": True},
        {"type": "http.response.body", "body": b"<>", "more_body": True},
        {"type": kind, "offset": 100, "count": 1_000_000, "more_body": True},
        {"type": kind, "offset": SIZE, "more_body": True},
        {"type": kind},
    )
    async with serve(app) as server:
        client = await server.client()
        await client.send(GET + HEAD + GET)
        for to_head in (False, True, False):
            answer = await client.response(to_head=to_head)
            assert answer.headers["transfer-encoding" if not to_head else "date"]
            data = large.read_bytes()
            whole = data[:20] + b"<>" + data[100:1_000_100] + data[20:]
            assert answer.body == (b"" if to_head else whole)


async def test_zero_copy_fits_its_length(serve: Any, large: Path) -> None:
    """
    What would be longer never reaches the wire.
    """
    kind = "http.response.zerocopysend"
    messages = [{"type": kind, "count": 10, "more_body": True}, {"type": kind, "count": 11}]
    async with serve(copying(large, *messages, headers=[(b"content-length", b"20")])) as server:
        client = await server.client()
        await client.send(GET)
        data = await client.rest()
        assert data.endswith(b"\r\n\r\n" + large.read_bytes()[:10])
