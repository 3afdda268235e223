"""Starlette with mounts, static files, middleware, a WebSocket and background work. It serves $SITE_FILES."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

FOLDER = os.environ["SITE_FILES"]
ran: list[str] = []


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
    """Give every request a state."""
    yield {"name": "starlette", "seen": []}


async def tag(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Pass every response through a middleware, as many apps do."""
    response = await call_next(request)
    response.headers["x-tag"] = "seen"
    return response


async def where(request: Request) -> JSONResponse:
    """Tell where the app thinks that it is."""
    return JSONResponse(
        {
            "path": request.url.path,
            "root_path": request.scope["root_path"],
            "raw_path": request.scope["raw_path"].decode(),
            "url_for": str(request.url_for("inner:where")),
            "state": request.state.name,
        }
    )


async def upper(request: Request) -> Response:
    """Send the body back as it comes."""
    pieces = [piece.upper() async for piece in request.stream()]
    return Response(b"".join(pieces), media_type="text/plain")


async def later(request: Request) -> Response:
    """Answer, and go on."""
    return JSONResponse({"before": len(ran)}, background=BackgroundTask(ran.append, "done"))


async def download(request: Request) -> Response:
    """Send a file."""
    return FileResponse(os.path.join(FOLDER, "big.bin"), filename="big.bin")  # noqa: PTH118


async def echo(websocket: WebSocket) -> None:
    """Send back what comes."""
    await websocket.accept(subprotocol=next(iter(websocket["subprotocols"]), None))
    async for text in websocket.iter_text():
        await websocket.send_text(f"{websocket.state.name}: {text}")


app = Starlette(
    lifespan=lifespan,
    middleware=[Middleware(BaseHTTPMiddleware, dispatch=tag)],
    routes=[
        Route("/upper", upper, methods=["POST"]),
        Route("/later", later),
        Route("/download", download),
        WebSocketRoute("/echo", echo),
        Mount("/files", StaticFiles(directory=FOLDER, html=True)),
        Mount(
            "/inner",
            routes=[Route("/where/{rest:path}", where), Route("/where", where, name="where")],
            name="inner",
        ),
    ],
)
