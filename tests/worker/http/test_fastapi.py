"""A framework that people use: uploads, streams, background tasks, middleware."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
from fastapi import BackgroundTasks, FastAPI, Form, Request, UploadFile
from fastapi.responses import StreamingResponse

SIZE = 3_000_000


def make_app(done: list[str]) -> FastAPI:
    """Make an app that uses much of the framework."""
    app = FastAPI()

    @app.middleware("http")
    async def name_it(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-middleware"] = "yes"
        return response

    @app.get("/items/{item}")
    async def item(item: int, q: str = "") -> dict[str, Any]:
        return {"item": item, "q": q}

    @app.post("/upload")
    async def upload(file: UploadFile, title: Annotated[str, Form()]) -> dict[str, Any]:
        data = await file.read()
        return {"title": title, "name": file.filename, "sha256": hashlib.sha256(data).hexdigest()}

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(100):
                yield b"%d\n" % number
                await asyncio.sleep(0)

        return StreamingResponse(pieces(), media_type="text/plain")

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> dict[str, Any]:
        tasks.add_task(done.append, "background")
        return {}

    @app.get("/raise")
    async def raises() -> None:
        raise RuntimeError("boom")

    return app


async def test_fastapi_app(serve: Any) -> None:
    """
    One connection pool, every kind of request.
    """
    done: list[str] = []
    async with serve(make_app(done), lifespan="on") as server:
        base = "http://{}:{}".format(*server.address)
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            answer = await client.get("/items/7", params={"q": "a b&c"})
            assert answer.json() == {"item": 7, "q": "a b&c"}
            assert answer.headers["x-middleware"] == "yes"

            data = bytes(range(256)) * (SIZE // 256)
            files = {"file": ("a.bin", data)}
            answer = await client.post("/upload", files=files, data={"title": "ä"})
            assert answer.json() == {
                "title": "ä",
                "name": "a.bin",
                "sha256": hashlib.sha256(data).hexdigest(),
            }

            async with client.stream("GET", "/stream") as streamed:
                assert streamed.headers["transfer-encoding"] == "chunked"
                lines = [line async for line in streamed.aiter_lines()]
            assert lines == [str(number) for number in range(100)]

            await client.get("/background")
            await server.until(lambda: done)

            answer = await client.get("/raise")
            assert answer.status_code == 500
            assert (await client.get("/items/8")).json() == {"item": 8, "q": ""}
            assert (await client.get("/items/x")).status_code == 422
            assert (await client.head("/nowhere")).status_code == 404


async def test_client_that_leaves_a_stream(serve: Any, caplog: Any) -> None:
    """
    The generator ends, and no error is logged.
    """
    ended = asyncio.Event()

    async def forever() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0)
        finally:
            ended.set()

    app = FastAPI()

    @app.get("/")
    async def events() -> StreamingResponse:
        return StreamingResponse(forever(), media_type="text/event-stream")

    async with serve(app) as server:
        client = await server.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(b"tick")
        client.sock.close()
        async with asyncio.timeout(10.0):
            await ended.wait()
        await server.until(lambda: server.site.active_count == 0)
    assert not caplog.text
