"""Flask: a page with a form, sessions, uploads that are not kept and downloads that are not there."""

import hashlib
from collections.abc import Iterator

from flask import Flask, Response, redirect, request, session
from flask.typing import ResponseReturnValue

app = Flask(__name__)
app.secret_key = "only for tests"


@app.get("/")
def hello() -> str:
    """Answer at once."""
    return "hello, world"


@app.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    """Remember a name."""
    if request.method == "POST":
        session["name"] = request.form["name"]
        return redirect("/who")
    return '<form method="post"><input name="name"><button>in</button></form>'


@app.get("/who")
def who() -> ResponseReturnValue:
    """Say who it is."""
    return {"name": session.get("name"), "client": request.remote_addr, "url": request.url}


@app.post("/digest")
def digest() -> ResponseReturnValue:
    """Read a body of any size, a piece at a time."""
    seen, size = hashlib.sha256(), 0
    while piece := request.stream.read(65536):
        seen.update(piece)
        size += len(piece)
    return {"sha256": seen.hexdigest(), "size": size}


@app.get("/zeros/<int:size>")
def zeros(size: int) -> Response:
    """Give a body of any size, a piece at a time."""

    def pieces() -> Iterator[bytes]:
        left, block = size, bytes(65536)
        while left:
            piece = block[: min(left, len(block))]
            left -= len(piece)
            yield piece

    return Response(pieces(), mimetype="application/octet-stream")


@app.get("/fails")
def fails() -> ResponseReturnValue:
    """Break."""
    raise RuntimeError("a secret of the house")
