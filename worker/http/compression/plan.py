"""
How the responses of a route are compressed: made once, when the worker starts.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import TypeVar

from penstock.worker.http.compression.codings import Coding, make_coding
from penstock.worker.http.compression.media_types import MediaTypes
from penstock.worker.http.compression.negotiation import Choice, choose
from penstock.worker.limits import COMPRESSION_STREAM_BYTES_MAX, COMPRESSION_THREADS, NEGOTIATIONS_MAX
from penstock.worker.spec import CompressionSpec

T = TypeVar("T")


class Memory:
    """What the streams that are being compressed take, all together."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_left = bytes_max
        self._lock = Lock()  # threads of apps take some, too

    def take(self, size: int) -> bool:
        """Take some, if there is so much left."""
        with self._lock:
            if size > self._bytes_left:
                return False
            self._bytes_left -= size
            return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._bytes_left += size


# Of this worker, whatever its routes and listeners are.
STREAM_MEMORY = Memory(COMPRESSION_STREAM_BYTES_MAX)


class Plan:
    """Codings, types and sizes of one route, and what clients have asked for so far."""

    def __init__(self, spec: CompressionSpec) -> None:
        """Prepare. Raises ImportError for a coding whose library has gone since it was configured."""
        self.codings: dict[str, Coding] = {name: make_coding(name, level) for name, level in spec.codings}
        self.types = MediaTypes(spec.types)
        self.size_min = spec.size_min
        self._offered = tuple(self.codings)
        self._choices: dict[bytes | None, Choice] = {}

    def choice(self, request_headers: Iterable[tuple[bytes, bytes]]) -> Choice:
        """Choose by the Accept-Encoding of a request."""
        accepted: bytes | None = None
        for name, value in request_headers:
            if name == b"accept-encoding":
                accepted = value if accepted is None else accepted + b"," + value
        known = self._choices.get(accepted)
        if known is None:
            known = choose(accepted, self._offered)
            if len(self._choices) < NEGOTIATIONS_MAX:
                self._choices[accepted] = known
        return known


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(COMPRESSION_THREADS, thread_name_prefix="compression")


async def in_thread(work: Callable[[bytes], T], data: bytes) -> T:
    """Do it beside the loop, which goes on serving the others."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), work, data)
