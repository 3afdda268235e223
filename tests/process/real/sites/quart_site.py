"""Quart: Flask's manners on ASGI, with a stream, a form, a WebSocket and work that goes on."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

from quart import Quart, ResponseReturnValue, request, websocket

app = Quart(__name__)
done: list[str] = []


@app.get("/hello/<name>")
async def hello(name: str) -> ResponseReturnValue:
    """Answer as JSON."""
    return {"hello": name, "client": request.remote_addr, "query": request.args.to_dict()}


@app.post("/upload")
async def upload() -> ResponseReturnValue:
    """Take a form with a file."""
    form = await request.form
    files = await request.files
    return {"note": form["note"], "sha256": hashlib.sha256(files["file"].read()).hexdigest()}


@app.post("/count")
async def count() -> ResponseReturnValue:
    """Read a body as it comes."""
    size = 0
    async for piece in request.body:
        size += len(piece)
    return {"size": size}


@app.get("/stream")
async def stream() -> ResponseReturnValue:
    """Answer piece by piece."""

    async def lines() -> AsyncIterator[bytes]:
        for number in range(20):
            yield b"line %d\n" % number
            await asyncio.sleep(0.005)

    return lines(), 200, {"Content-Type": "text/plain"}  # type: ignore[return-value]  # its own annotations leave this one out


@app.get("/later")
async def later() -> ResponseReturnValue:
    """Answer, and go on."""

    async def finish() -> None:
        done.append("done")

    app.add_background_task(finish)
    return {"before": len(done)}


@app.get("/fails")
async def fails() -> ResponseReturnValue:
    """Break."""
    raise RuntimeError("a secret of the house")


@app.websocket("/echo")
async def echo() -> None:
    """Send back what comes."""
    while True:
        await websocket.send("quart: " + str(await websocket.receive()))
