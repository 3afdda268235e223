"""
The scripts of wrk and wrk2, run by our own generator.

A script sees the table `wrk` and is asked for requests as wrk asks. One thread
runs it, and its `done` is not called: the generator's result is JSON already.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools

from bench.failure import LoadFailed

# The dialect of wrk and wrk2 is that of LuaJIT; plain 5.1 is the same language, slower.
IMPLEMENTATIONS = ("lupa.luajit21", "lupa.luajit20", "lupa.lua51")
TABLE = Path(__file__).with_name("wrk_table.lua")
DELAY_S_MAX = 3600.0


def lua_module() -> Any:
    """Import the best Lua there is. Raises LoadFailed."""
    for name in IMPLEMENTATIONS:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise LoadFailed(
        "our own generator runs Lua scripts by lupa, which is not here: "
        "`make peers` or `pip install 'penstock[bench]'` installs it"
    )


class Script:
    """A script, loaded and ready to be asked for requests. Raises LoadFailed wherever the script fails."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self._error = lua_module().LuaError
        lua = lua_module().LuaRuntime(encoding=None, register_eval=False)
        self._globals = lua.globals()
        self._table_from = lua.table_from
        self._call(self._globals[b"dofile"], str(TABLE).encode())
        self._describe_target(url)
        self._call(self._globals[b"dofile"], str(path).encode())
        self._call(self._globals[b"start"], lua.table_from({0: url.encode()}))

        self._request = self._globals[b"request"]
        self._delay = self._globals[b"delay"]
        self._response = self._globals[b"response"]
        self._static = None if self._request else self._call(self._globals[b"wrk"][b"format"])
        # As wrk does: the first request tells how many answers each has.
        self.answer_count = self._count(self.next_request())

    @property
    def wants_response(self) -> bool:
        """Tell whether the script looks at answers, which then must be put together for it."""
        return self._response is not None

    def next_request(self) -> bytes:
        """Give the bytes of one write: a request, or several that are pipelined."""
        if self._static is not None:
            return bytes(self._static)
        found = self._call(self._request)
        if not isinstance(found, bytes):
            raise LoadFailed(f"{self.path}: request() gave no string, but {found!r}")
        return found

    def delay_s(self) -> float:
        """Ask how long to think before the next request; 0 for a script that does not think."""
        if self._delay is None:
            return 0.0
        found = self._call(self._delay)
        if not isinstance(found, int | float) or not 0 <= found <= DELAY_S_MAX * 1000:
            raise LoadFailed(f"{self.path}: delay() gave no number of milliseconds, but {found!r}")
        return found / 1000

    def response(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> None:
        """Show the script an answer."""
        self._call(self._response, status, self._table_from(headers), body)

    def _describe_target(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise LoadFailed(f"{url}: {error}") from error
        if not parts.scheme or not parts.hostname:
            raise LoadFailed(f"{url} is no URL: http://HOST:PORT/PATH")
        table = self._globals[b"wrk"]
        table[b"scheme"] = parts.scheme.encode()
        table[b"host"] = parts.hostname.encode()
        table[b"port"] = port and str(port).encode()
        table[b"path"] = ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode()

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._error as error:
            # Lua's message names the file and line; the traceback after it is for the author of Lua.
            message = str(error).partition("\nstack traceback:")[0]
            told = message if str(self.path) in message else f"{self.path}: {message}"
            raise LoadFailed(told) from error

    def _count(self, request: bytes) -> int:
        counter = _Counter()
        try:
            httptools.HttpRequestParser(counter).feed_data(request)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise LoadFailed(f"{self.path}: the request is not HTTP: {error}") from error
        if counter.count == 0 or counter.is_open:
            raise LoadFailed(f"{self.path}: the request is not complete: {request[:80]!r}")
        return counter.count


class _Counter:
    """Count whole requests."""

    def __init__(self) -> None:
        self.count = 0
        self.is_open = False

    def on_message_begin(self) -> None:
        self.is_open = True

    def on_message_complete(self) -> None:
        self.count += 1
        self.is_open = False
