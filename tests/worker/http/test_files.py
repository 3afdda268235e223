"""Folders that a site serves."""

import asyncio
import gc
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from penstock.worker import opening
from penstock.worker.spec import FilesAction, MatchSpec

LARGE = 2_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder with one file of each kind."""
    root = tmp_path / "public"
    (root / "sub").mkdir(parents=True)
    (root / "bare").mkdir()
    (root / ".well-known").mkdir()
    (root / "index.html").write_text("home")
    (root / "a.txt").write_text("0123456789" * 10)
    (root / "empty").write_text("")
    (root / "large").write_bytes(os.urandom(1000) * (LARGE // 1000))
    (root / "sub" / "index.html").write_text("sub")
    (root / ".secret").write_text("secret")
    (root / ".well-known" / "x.txt").write_text("known")
    (root / "inside").symlink_to("a.txt")
    (root / "outside").symlink_to("../outside.txt")
    (root / "absolute").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "outside.txt").write_text("outside")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(root / "socket"))
    return root


def routes(root: Path, path: str | None = "/static/", **options: Any) -> dict[str, Any]:
    """Make the routes of a site that serves a folder."""
    return {"routes": [(MatchSpec(path=path), FilesAction(root=str(root), **options))]}


def request(path: str, *headers: str, method: str = "GET") -> bytes:
    """Make a request."""
    lines = "".join(f"{each}\r\n" for each in headers)
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode("latin-1")


FOUND = {
    "/static/": "home",
    "/static/a.txt": "0123456789" * 10,
    "/static/%61.txt": "0123456789" * 10,
    "/static/empty": "",
    "/static/sub/": "sub",
    "/static/inside": "0123456789" * 10,
    "/static/.well-known/x.txt": "known",
}
MISSING = [
    *("/static/nothing", "/static/a.txt/", "/static/a.txt/x", "/static/bare", "/static/bare/"),
    *("/static/.secret", "/static/%2esecret", "/static/outside", "/static/absolute", "/static/loop"),
    *("/static/fifo", "/static/socket", "/static/../outside.txt", "/static/%2e%2e/outside.txt"),
    *("/static/..%2foutside.txt", "/static//a.txt", "/static/sub/../a.txt", "/static/a.txt%00"),
    *("/static/" + "x" * 300, "/static/" + "x/" * 2500 + "x", "/static/\\a.txt"),
]


@pytest.mark.parametrize("can", ["openat2", "walk"])
async def test_what_is_found_and_what_is_not(
    serve: Any, root: Path, can: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The same by one system call and, without symlinks, by a walk.
    """
    if can == "walk":
        monkeypatch.setattr(opening, "HAS_CACHED", False)
        monkeypatch.setattr(opening, "HAS_BENEATH", False)
    async with serve(**routes(root)) as server:
        client = await server.client()
        for path, body in FOUND.items():
            if can == "walk" and path == "/static/inside":
                continue
            await client.send(request(path))
            answer = await client.response()
            assert (answer.status, answer.body.decode()) == (200, body), path
        for path in MISSING:
            await client.send(request(path))
            assert (await client.response()).status == 404, path
        assert server.cells[8:11].tolist() == [len(FOUND) - (can == "walk"), 0, len(MISSING)]


@pytest.mark.parametrize("is_slow", [False, True])
async def test_headers_of_a_file(
    serve: Any, root: Path, is_slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Type, validators, and that ranges can be had; twice the same, from the disk and kept.
    """
    if is_slow:
        monkeypatch.setattr(opening, "HAS_CACHED", False)
    os.utime(root / "a.txt", (1_000_000_000, 1_000_000_000))
    async with serve(**routes(root, cache_control="max-age=60")) as server:
        client = await server.client()
        for _ in range(2):
            await client.send(request("/static/a.txt"))
            answer = await client.response()
            del answer.headers["date"], answer.headers["server"]
            assert answer.headers == {
                "content-type": "text/plain; charset=utf-8",
                "etag": '"%x-64"' % (1_000_000_000 * 10**9),
                "last-modified": "Sun, 09 Sep 2001 01:46:40 GMT",
                "cache-control": "max-age=60",
                "accept-ranges": "bytes",
                "content-length": "100",
            }


async def test_head_and_other_methods(serve: Any, root: Path) -> None:
    """
    HEAD is GET without the body; nothing else is done with a file.
    """
    async with serve(**routes(root)) as server:
        client = await server.client()
        for path, size in (("a.txt", 100), ("large", LARGE), ("empty", 0)):
            await client.send(request(f"/static/{path}", "Range: bytes=0-1", method="HEAD"))
            answer = await client.response(to_head=True)
            assert (answer.status, answer.headers["content-length"]) == (200, str(size))
        await client.send(request("/static/none", method="HEAD"))
        assert (await client.response(to_head=True)).status == 404
        for method in ("POST", "PUT", "DELETE"):
            await client.send(request("/static/a.txt", "Content-Length: 3", method=method) + b"abc")
            answer = await client.response()
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        await client.send(request("/static/a.txt", method="OPTIONS"))
        answer = await client.response()
        assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


async def test_folder_without_its_slash(serve: Any, root: Path) -> None:
    """
    Is redirected, with its query; relative links would be wrong otherwise.
    """
    async with serve(**routes(root)) as server:
        client = await server.client()
        await client.send(request("/static/sub?a=%2F"))
        answer = await client.response()
        assert (answer.status, answer.headers["location"]) == (308, "/static/sub/?a=%2F")


async def test_large_file_and_ranges_of_it(serve: Any, root: Path) -> None:
    """
    Whole, by parts, and pipelined.
    """
    data = (root / "large").read_bytes()
    async with serve(**routes(root)) as server:
        client = await server.client()
        ranges = ["", "bytes=0-0", "bytes=5-1999999", "bytes=-1500000", "bytes=100-70000"]
        await client.send(
            b"".join(request("/static/large", *([f"Range: {each}"] if each else [])) for each in ranges)
        )
        expected = [data, data[:1], data[5:], data[-1500000:], data[100:70001]]
        statuses = []
        for body in expected:
            answer = await client.response()
            assert answer.body == body
            statuses.append(answer.status)
        assert statuses == [200, 206, 206, 206, 206]
        assert answer.headers["content-range"] == f"bytes 100-70000/{LARGE}"


async def test_several_ranges(serve: Any, root: Path) -> None:
    """
    Come as parts, with a length that is right.
    """
    data = (root / "large").read_bytes()
    async with serve(**routes(root)) as server:
        client = await server.client()
        await client.send(request("/static/large", "Range: bytes=0-4,1000-999999,-3"))
        answer = await client.response()
        assert answer.status == 206
        media, _, boundary = answer.headers["content-type"].partition("; boundary=")
        assert media == "multipart/byteranges"
        first, *parts, last = answer.body.split(f"\r\n--{boundary}".encode())
        assert (first, last) == (b"", b"--\r\n")
        bodies = [part.partition(b"\r\n\r\n")[2] for part in parts]
        assert bodies == [data[:5], data[1000:1000000], data[-3:]]
        assert b"content-range: bytes 1000-999999/%d" % LARGE in parts[1]
        # The connection goes on.
        await client.send(request("/static/a.txt", "Range: bytes=200-"))
        answer = await client.response()
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */100")


async def test_conditions(serve: Any, root: Path) -> None:
    """
    304 and 412, and ranges of a file that has not changed.
    """
    async with serve(**routes(root)) as server:
        client = await server.client()

        async def ask(*headers: str) -> Any:
            await client.send(request("/static/a.txt", *headers))
            return await client.response()

        etag = (await ask()).headers["etag"]
        unchanged = await ask(f"If-None-Match: {etag}")
        assert (unchanged.status, unchanged.headers["etag"]) == (304, etag)
        assert "content-type" not in unchanged.headers
        assert (await ask('If-Match: "x"')).status == 412
        assert (await ask("Range: bytes=0-1", f"If-Range: {etag}")).body == b"01"
        assert (await ask("Range: bytes=0-1", 'If-Range: "x"')).status == 200
        assert (await ask('If-None-Match: "x"', f"If-None-Match: {etag}")).status == 304
        assert (await ask(f"If-None-Match: {etag}", 'If-None-Match: "x"')).status == 304


async def test_variants(serve: Any, root: Path) -> None:
    """
    By what the client takes, each with a tag of its own; an old one is left alone.
    """
    for suffix, content in (("br", "brotli"), ("gz", "gzipped"), ("zst", "zstandard")):
        (root / f"a.txt.{suffix}").write_text(content)
    os.utime(root / "a.txt.zst", (0, 0))
    async with serve(**routes(root)) as server:
        client = await server.client()

        async def ask(accept: str) -> Any:
            await client.send(request("/static/a.txt", f"Accept-Encoding: {accept}"))
            answer = await client.response()
            assert answer.headers["vary"] == "accept-encoding"
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            return answer

        answers = [await ask(each) for each in ("gzip", "gzip, br", "zstd", "identity")]
        assert [each.headers.get("content-encoding") for each in answers] == ["gzip", "br", None, None]
        assert [each.body for each in answers[:2]] == [b"gzipped", b"brotli"]
        assert len({each.headers["etag"] for each in answers}) == 3
        await client.send(request("/static/large", "Accept-Encoding: gzip"))
        assert "vary" not in (await client.response()).headers


async def test_options_of_a_folder(serve: Any, root: Path) -> None:
    """
    Symlinks, dotfiles, no index, types, a page for what is not there.
    """
    options: dict[str, Any] = {
        "follow_symlinks": True,
        "dotfiles": True,
        "index": None,
        "precompressed": False,
        "fallback": "sub/index.html",
        "types": ((".txt", "text/x-own"),),
    }
    (root / "a.txt.gz").write_text("never")
    async with serve(**routes(root, **options)) as server:
        client = await server.client()
        for path, body in (
            ("outside", b"outside"),
            ("absolute", b"outside"),
            (".secret", b"secret"),
            ("", b"sub"),
            ("sub/", b"sub"),
            ("any/deep/link", b"sub"),
        ):
            await client.send(request(f"/static/{path}"))
            answer = await client.response()
            assert (answer.status, answer.body) == (200, body), path
        await client.send(request("/static/a.txt", "Accept-Encoding: gzip"))
        answer = await client.response()
        assert (answer.headers["content-type"], len(answer.body)) == ("text/x-own; charset=utf-8", 100)
        await client.send(request("/static/../outside.txt"))
        assert (await client.response()).status == 404


async def test_below_a_root_path(serve: Any, root: Path) -> None:
    """
    What a proxy took off is not in the name, and is in what a client is told.
    """
    async with serve(**routes(root), root_path="/app") as server:
        client = await server.client()
        await client.send(request("/static/a.txt") + request("/static/sub"))
        assert (await client.response()).status == 200
        assert (await client.response()).headers["location"] == "/app/static/sub/"


async def test_change_is_seen_at_the_next_tick(serve: Any, root: Path) -> None:
    """
    And not before: within it, nobody looks at the disk.
    """
    async with serve(**routes(root)) as server:
        client = await server.client()

        async def ask() -> bytes:
            await client.send(request("/static/a.txt"))
            answer = await client.response()
            return answer.body if answer.status == 200 else b"%d" % answer.status

        assert await ask() == b"0123456789" * 10
        (root / "new").write_text("new")
        (root / "new").replace(root / "a.txt")
        assert await ask() == b"0123456789" * 10
        server.pass_time(0.5)
        assert await ask() == b"new"
        (root / "a.txt").unlink()
        server.pass_time(0.5)
        assert await ask() == b"404"
        root.rename(root.with_name("old"))
        server.pass_time(0.5)
        assert await ask() == b"404"
        root.mkdir()
        (root / "a.txt").write_text("again")
        server.pass_time(0.5)
        assert await ask() == b"again"


async def test_replaced_file_is_sent_as_it_was_opened(serve: Any, root: Path) -> None:
    """
    Old and new bytes never mix.
    """
    huge, other = root / "huge", root / "other"
    huge.write_bytes(b"a" * 16_000_000)
    other.write_bytes(b"b" * 16_000_000)
    async with serve(**routes(root)) as server:
        client = await server.client()
        await client.send(request("/static/huge"))
        await client.until(b"\r\n\r\n")
        other.replace(huge)
        server.pass_time(1.0)
        second = await server.client()
        await second.send(request("/static/huge", "Range: bytes=0-9"))
        assert (await second.response()).body == b"b" * 10
        size = 0
        while size < 16_000_000:
            if not client.received:
                await client._more()
            assert client.received.strip(b"a") == b""
            size += len(client.received)
            client.received = b""


async def test_file_is_closed_when_its_clients_are_gone(serve: Any, root: Path) -> None:
    """
    At once, and not when garbage is collected some day.
    """
    (root / "huge").write_bytes(b"a" * 16_000_000)

    def count() -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum("huge" in os.readlink(link) for link in links if os.path.lexists(link))  # noqa: PTH115

    gc.collect()
    gc.disable()
    try:
        async with serve(**routes(root)) as server:
            for path in ("huge", "large", "huge"):
                client = await server.client()
                await client.send(request(f"/static/{path}"))
                await client.until(b"\r\n\r\n")
                client.sock.close()
                await server.until(lambda: not server.site.connection_count)
                await server.until(lambda: not server.site.active_count)
                server.pass_time(1.0)  # The next one opens it anew.
            assert count() <= 1
    finally:
        gc.enable()


async def test_file_written_in_place_is_looked_at_again(serve: Any, root: Path) -> None:
    """
    An editor that truncates and writes costs nobody a connection.
    """
    async with serve(**routes(root)) as server:
        client = await server.client()
        for text in ("0123456789" * 10, "short"):
            (root / "a.txt").write_text(text)
            await client.send(request("/static/a.txt"))
            assert (await client.response()).body == text.encode()


async def test_file_that_shrinks_cuts_the_connection(
    serve: Any, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The client must see that it has not got all of it, and the log says so.
    """
    huge = root / "huge"
    huge.write_bytes(b"a" * 16_000_000)
    async with serve(**routes(root)) as server:
        client = await server.client()
        await client.send(request("/static/huge"))
        await client.until(b"\r\n\r\n")
        os.truncate(huge, 10)
        assert len(await client.rest()) < 16_000_000
        await server.until(lambda: not server.site.connection_count)
    assert "became shorter while it was sent" in caplog.text


async def test_unreadable_is_forbidden(
    serve: Any, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    What the machine refuses is 403; what is wrong with it is 500, and logged.
    """
    errors = iter([PermissionError(13, "Permission denied"), OSError(24, "Too many open files")])

    def refuse(*_: Any, **__: Any) -> int:
        raise next(errors)

    monkeypatch.setattr("penstock.worker.files.folder.open_beneath", refuse)
    with caplog.at_level(logging.ERROR):
        async with serve(**routes(root)) as server:
            client = await server.client()
            await client.send(request("/static/a.txt"))
            assert (await client.response()).status == 403
            await client.send(request("/static/a.txt"))
            assert (await client.response()).status == 500
    assert "Too many open files" in caplog.text


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_file_of_which_only_the_beginning_is_in_memory_is_sent_whole(
    serve: Any, root: Path, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A kernel that is short of memory throws out pages, not files, and then reads less than it was asked for.
    """
    parts: list[int] = []

    def read(fd: int, offset: int, count: int) -> bytearray:
        parts.append(count // 2)
        return bytearray(os.pread(fd, count // 2, offset))

    async with serve(**routes(root)) as server:
        if is_kept:
            await server.ask(request("/static/a.txt"))
        monkeypatch.setattr("penstock.worker.files.exchange.read_cached", read)
        client = await server.client()
        for _ in range(2):
            await client.send(request("/static/a.txt"))
            response = await client.response()
            assert response.status == 200
            assert response.body == b"0123456789" * 10
    assert parts == [50, 50]


async def test_what_is_kept_open_is_bounded(serve: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By number, and by time: a deleted file takes up a disk while it is open.
    """
    monkeypatch.setattr("penstock.worker.files.folder.FILES_OPEN_MAX", 8)
    monkeypatch.setattr("penstock.worker.files.folder.FILES_IDLE_S", 0.05)

    def count() -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum(str(root) in os.readlink(link) for link in links if os.path.lexists(link))  # noqa: PTH115

    for number in range(40):
        (root / f"{number}.txt").write_text("x")
    async with serve(**routes(root)) as server:
        client = await server.client()
        for number in range(40):
            await client.send(request(f"/static/{number}.txt"))
            assert (await client.response()).status == 200
            assert count() <= 8 + 2
        server.pass_time(1.0)
        await server.until(lambda: count() <= 1)
        assert asyncio.get_running_loop().is_running()
