"""Litestar: typed handlers, a file, a stream, events and a WebSocket."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from litestar import Litestar, get, post, websocket_listener
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import ServerSentEvent, Stream


@dataclass
class Item:
    """Something for sale."""

    name: str
    price: float


@get("/hello")
async def hello() -> dict[str, str]:
    """Answer as JSON."""
    return {"hello": "world"}


@get("/sync", sync_to_thread=True)
def sync() -> str:
    """Answer from a thread."""
    return "from a thread"


@post("/items")
async def create(data: Item) -> Item:
    """Take and give JSON, checked."""
    return Item(data.name, data.price * 2)


@post("/upload")
async def upload(
    data: Annotated[UploadFile, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, str]:
    """Take a file."""
    return {"filename": data.filename, "sha256": hashlib.sha256(await data.read()).hexdigest()}


@get("/stream")
async def stream() -> Stream:
    """Answer piece by piece."""

    async def lines() -> AsyncIterator[str]:
        for number in range(20):
            yield f"line {number}\n"
            await asyncio.sleep(0.005)

    return Stream(lines())


@get("/events")
async def events() -> ServerSentEvent:
    """Tell of three things."""

    async def three() -> AsyncIterator[dict[str, str]]:
        for number in range(3):
            yield {"data": f"event {number}", "event": "count"}

    return ServerSentEvent(three())


@get("/fails")
async def fails() -> None:
    """Break."""
    raise RuntimeError("a secret of the house")


@websocket_listener("/echo")
async def echo(data: str) -> str:
    """Send back what comes."""
    return f"litestar: {data}"


app = Litestar([hello, sync, create, upload, stream, events, fails, echo])
