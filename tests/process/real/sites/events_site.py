"""sse-starlette: events without end, which note when they are over."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

PAGE = """<!doctype html><title>events</title><ol></ol><script>
const list = document.querySelector("ol"), source = new EventSource("/ticks");
let opened = 0;
source.onopen = () => { opened += 1; };
source.addEventListener("tick", (event) => {
  list.append(Object.assign(document.createElement("li"), { textContent: event.data }));
});
</script>"""


async def ticks(request: Request) -> EventSourceResponse:
    """Count for as long as somebody listens, and write down when nobody does."""

    async def count() -> AsyncIterator[dict[str, str]]:
        number = 0
        try:
            while True:
                yield {"event": "tick", "id": str(number), "data": f"{os.getpid()} {number}"}
                number += 1
                await asyncio.sleep(0.02)
        finally:
            with Path("ended").open("a") as file:
                file.write(f"{os.getpid()}\n")

    return EventSourceResponse(count(), ping=15)


async def page(request: Request) -> HTMLResponse:
    """Listen in a browser."""
    return HTMLResponse(PAGE)


app = Starlette(routes=[Route("/ticks", ticks), Route("/", page)])
