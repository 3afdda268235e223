"""A real app on a real server: forms, uploads, streams and background tasks, and a restart amid them."""

import hashlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.process.harness import Server, wait_for, write_app

Start = Callable[..., Server]

SHOP = """
import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import BackgroundTasks, FastAPI, File, Form, Request, UploadFile
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
