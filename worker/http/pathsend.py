"""
`http.response.pathsend` and `http.response.zerocopysend`: an app names a file, and
the server sends it.

A response of a path has the size of the file as its Content-Length if the app gave
none; one that it gave must be right.
"""

import os
import stat
from typing import TYPE_CHECKING

from penstock.worker.asgi.types import ClientDisconnected, Message
from penstock.worker.http.phases import DONE, LOST, STARTED, STREAMING
from penstock.worker.http.pour import FileShrunk
from penstock.worker.http.stretches import Stretch, send_stretches
from penstock.worker.opening import open_path

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange


async def send_path(exchange: "Exchange", message: Message) -> None:
    """Send a file as the body of a response; it is all of it."""
    path = message["path"]
    # It ought to be absolute, but Starlette passes on what its app gave it.
    if not isinstance(path, str):
        raise TypeError(f"http.response.pathsend takes a path as a str, not {path!r}")
    _judge_phase(exchange, message["type"], STARTED)
    found, size = await open_path(path)
    try:
        # Another task of the app may have sent something meanwhile.
        _judge_phase(exchange, message["type"], STARTED)
        await send_stretches(exchange, [Stretch(b"", found.fd, 0, size)])
    except FileShrunk:
        raise RuntimeError(f"{path} became shorter while it was sent") from None
    finally:
        found.close()


async def send_zero_copy(exchange: "Exchange", message: Message) -> None:
    """Send a stretch of a file that the app has open, as a piece of the body."""
    _judge_phase(exchange, message["type"], STREAMING)
    file = message["file"]
    fd = file if isinstance(file, int) else file.fileno()
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("http.response.zerocopysend takes a regular file")
    offset, count = message.get("offset"), message.get("count")
    start = os.lseek(fd, 0, os.SEEK_CUR) if offset is None else offset
    if start < 0 or (count is not None and count < 0):
        raise ValueError("http.response.zerocopysend takes no negative offset or count")
    rest = max(0, about.st_size - start)
    size = rest if count is None else min(count, rest)
    try:
        await send_stretches(
            exchange, [Stretch(b"", fd, start, size)], more_body=message.get("more_body", False)
        )
    except FileShrunk:
        raise RuntimeError("the file became shorter while it was sent") from None
    if offset is None:
        os.lseek(fd, start + size, os.SEEK_SET)


def _judge_phase(exchange: "Exchange", kind: str, latest: int) -> None:
    phase = exchange.phase
    if phase == LOST:
        raise ClientDisconnected("the client is gone")
    if not STARTED <= phase <= latest:
        told = "complete" if phase == DONE else "under way" if phase == STREAMING else "not started"
        raise RuntimeError(f"{kind!r} out of order: the response is {told}")
