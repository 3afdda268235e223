"""A real app on a real server: forms, uploads, streams and background tasks, and a restart amid them."""

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.process.harness import DEADLINE_S, Server, wait_for, write_app

Start = Callable[..., Server]

SHOP = """
import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import (
    BackgroundTasks, Depends, FastAPI, File, Form, HTTPException, Request, UploadFile, WebSocket,
    WebSocketDisconnect,
)
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


@asynccontextmanager
async def lifespan(app):
    yield {"greeting": "bonjour"}
    Path(f"stopped-{os.getpid()}").write_text("lifespan shutdown ran")


app = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float


@app.post("/items", status_code=201)
async def create(item: Item):
    return {"name": item.name, "double": item.price * 2}


@app.post("/upload")
async def upload(note: str = Form(), file: UploadFile = File()):
    digest = hashlib.sha256()
    while chunk := await file.read(65536):
        digest.update(chunk)
    return {"note": note, "sha256": digest.hexdigest(), "filename": file.filename}


@app.get("/stream")
async def stream(count: int = 10):
    async def lines():
        for number in range(count):
            yield f"line {number}\\n"
            await asyncio.sleep(0.01)
    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/greeting")
async def greeting(request: Request):
    return {"greeting": request.state.greeting, "client": request.client.host, "url": str(request.url)}


@app.get("/later")
async def later(tasks: BackgroundTasks):
    async def write():
        await asyncio.sleep(0.3)
        Path("background").write_text("done")
    tasks.add_task(write)
    return {"accepted": True}


@app.get("/fails")
async def fails():
    raise RuntimeError("a secret of the house")


closed = []


async def session(broken: bool = False):
    try:
        yield "session"
    finally:
        closed.append("session")
        if broken:
            raise RuntimeError("cannot commit, a secret")


async def allowed(token: str = ""):
    if token != "tea":
        raise HTTPException(403, "no tea, no entry")


@app.get("/guarded", dependencies=[Depends(allowed)])
async def guarded(session: str = Depends(session)):
    return {"session": session, "closed": len(closed)}


@app.get("/events")
async def events(request: Request):
    async def three():
        for number in range(3):
            yield f"id: {number}\\ndata: event {number}\\n\\n"
            await asyncio.sleep(0.01)
    return StreamingResponse(three(), media_type="text/event-stream")


@app.websocket("/chat/{room}")
async def chat(websocket: WebSocket, room: str):
    if room == "private":
        raise HTTPException(403, "not for you")
    await websocket.accept()
    try:
        while True:
            message = await websocket.receive_json()
            await websocket.send_json({"room": room, **message, "greeting": websocket.state.greeting})
    except WebSocketDisconnect as gone:
        Path("left").write_text(str(gone.code))
"""


@pytest.fixture
def shop(start: Start, tmp_path: Path) -> Server:
    """Serve the shop on two workers."""
    write_app(tmp_path, SHOP)
    return start("main:app", "--port", "0", "--workers", "2").wait_serving()


@pytest.fixture
def client(shop: Server) -> Iterator[httpx.Client]:
    """Give a client that keeps its connections."""
    with httpx.Client(base_url=f"http://127.0.0.1:{shop.port}", timeout=30.0) as client:
        yield client


def test_json_forms_uploads_and_state(client: httpx.Client) -> None:
    """
    What every FastAPI app does on its first day.
    """
    assert client.post("/items", json={"name": "tea", "price": 2.5}).json() == {"name": "tea", "double": 5.0}
    assert client.post("/items", json={"name": "tea"}).status_code == 422
    blob = bytes(range(256)) * 12_000
    answer = client.post("/upload", data={"note": "für dich"}, files={"file": ("blob.bin", blob)})
    assert answer.json() == {
        "note": "für dich",
        "sha256": hashlib.sha256(blob).hexdigest(),
        "filename": "blob.bin",
    }
    greeting = client.get("/greeting").json()
    assert greeting["greeting"] == "bonjour"
    assert greeting["client"] == "127.0.0.1"
    assert greeting["url"] == f"{client.base_url}/greeting"


def test_stream_arrives_piece_by_piece(client: httpx.Client) -> None:
    """
    Streamed, not collected: the first line is there before the last is made.
    """
    with client.stream("GET", "/stream", params={"count": 20}) as response:
        assert response.headers["transfer-encoding"] == "chunked"
        lines = list(response.iter_lines())
    assert lines == [f"line {number}" for number in range(20)]


def test_failing_handler_is_a_500_that_tells_nothing(client: httpx.Client, shop: Server) -> None:
    """
    The traceback is for the log, never for the client; and the next request is served.
    """
    answer = client.get("/fails")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    wait_for(lambda: "a secret of the house" in shop.output(), "the traceback in the log")
    assert client.get("/greeting").status_code == 200


def test_dependencies_that_raise(client: httpx.Client, shop: Server) -> None:
    """
    Before the handler, which the client is told, and after it, which it is not: what was opened is closed.
    """
    assert client.get("/guarded").json() == {"detail": "no tea, no entry"}
    assert client.get("/guarded", params={"token": "tea"}).json()["session"] == "session"

    broken = client.get("/guarded", params={"token": "tea", "broken": "true"})
    assert broken.status_code in (200, 500)  # by the release of FastAPI: it may have been sent before
    assert "secret" not in broken.text
    wait_for(lambda: "cannot commit, a secret" in shop.output(), "the traceback in the log")
    assert client.get("/guarded", params={"token": "tea"}).status_code == 200


def test_events(client: httpx.Client) -> None:
    """
    Server-sent events, as they are made.
    """
    with client.stream("GET", "/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert [line for line in response.iter_lines() if line.startswith("data")] == [
            f"data: event {number}" for number in range(3)
        ]


def test_websocket(shop: Server, tmp_path: Path) -> None:
    """
    JSON both ways, a room that is closed to us, and a code that arrives when we leave.
    """
    url = f"ws://127.0.0.1:{shop.port}/chat"
    with connect(f"{url}/tea", open_timeout=DEADLINE_S) as websocket:
        websocket.send('{"text": "hello"}')
        answer = json.loads(websocket.recv(DEADLINE_S))
        assert answer == {"room": "tea", "text": "hello", "greeting": "bonjour"}
        websocket.close(4001, "bye")
    wait_for(lambda: (tmp_path / "left").exists() and (tmp_path / "left").read_text() == "4001", "the code")
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{url}/private", open_timeout=DEADLINE_S)
    assert refused.value.response.status_code == 403


def test_drain_waits_for_streams_and_background_tasks_and_runs_shutdown(
    shop: Server, client: httpx.Client, tmp_path: Path
) -> None:
    """
    A restart cuts nobody short: not the stream in flight, not the task behind an answered request.
    """
    workers = {worker["pid"] for worker in shop.status()["workers"]}
    with client.stream("GET", "/stream", params={"count": 100}) as response:
        lines = response.iter_lines()
        next(lines)
        assert httpx.get(f"http://127.0.0.1:{shop.port}/later").json() == {"accepted": True}

        shop.signal(signal.SIGUSR2)

        assert len(list(lines)) == 99
    shop.wait_generation(2, workers=2)
    assert (tmp_path / "background").read_text() == "done"
    assert workers == {int(path.name.removeprefix("stopped-")) for path in tmp_path.glob("stopped-*")}
