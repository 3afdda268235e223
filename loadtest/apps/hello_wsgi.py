"""The smallest WSGI application."""

from typing import Any

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "13")]


def app(environ: Any, start_response: Any) -> list[bytes]:
    """Say hello to every request."""
    start_response("200 OK", HEADERS)
    return [b"Hello, world!"]
