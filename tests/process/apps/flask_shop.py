"""A Flask app: uploads and downloads of any size, and what else a server has to get right."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from prometheus_client import Counter, Histogram

app = Flask(__name__)
cups = Counter("cups", "Cups of tea.", ["kind"])
steeping = Histogram("steeping", "Time.", buckets=(1, 2))
MEBIBYTE = b"x" * (1 << 20)


@app.get("/")
def hello() -> str:
    return "Hello from Flask"


@app.get("/whoami")
def whoami() -> Response:
    return jsonify(
        pid=os.getpid(),
        thread=threading.current_thread().name,
        multithread=request.environ["wsgi.multithread"],
        url=request.url,
        client=request.remote_addr,
    )


@app.post("/upload")
def upload() -> Response:
    """Count what comes, a piece at a time."""
    size = 0
    while piece := request.stream.read(1 << 16):
        size += len(piece)
    return jsonify(size=size)


@app.post("/form")
def form() -> Response:
    """Read a form with a file in it."""
    file = request.files["file"]
    return jsonify(name=file.filename, size=len(file.read()), title=request.form["title"])


@app.get("/download/<int:mebibytes>")
def download(mebibytes: int) -> Response:
    """Give so much, a piece at a time."""
    return Response((MEBIBYTE for _ in range(mebibytes)), mimetype="application/octet-stream")


@app.get("/wait/<name>")
def wait(name: str) -> str:
    """Go on when there is a file of this name."""
    Path(f"{name}.began").touch()
    while not Path(name).exists():
        time.sleep(0.01)
    return "waited"


@app.get("/ticks")
def ticks() -> Response:
    """Tell until the client has gone, and then say so."""

    def generate() -> Iterator[str]:
        try:
            while True:
                yield "data: tick\n\n"
                time.sleep(0.01)
        finally:
            Path("ticks.closed").touch()

    return Response(generate(), mimetype="text/event-stream")


@app.get("/drink/<kind>")
def drink(kind: str) -> str:
    """Count from many threads at once."""
    for _ in range(100):
        cups.labels(kind).inc()
        steeping.observe(1.5)
    return "drunk"


@app.get("/fail")
def fail() -> Any:
    raise RuntimeError("as asked")
