"""
The access log of one worker: takes note of requests, and has their lines written ten times a second.

Of its work only `AccessWatch.observe` is on the path of a request. Lines are
made in the loop, a few in a turn: a thread that made them would compete with
the loop for the interpreter, milliseconds at a time.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from penstock.worker.access import entry as at
from penstock.worker.access.atoms import Line, compile_format, shows_response_headers, shows_trail
from penstock.worker.access.combined import combined_line
from penstock.worker.access.entry import Entry, Fields
from penstock.worker.access.json_lines import json_line
from penstock.worker.access.redaction import Redaction
from penstock.worker.access.writer import Writer
from penstock.worker.colors import colored_line, wants_colors
from penstock.worker.gateway.trail import NOWHERE, Trail
from penstock.worker.http.matching import path_matcher
from penstock.worker.limits import (
    ACCESS_BLOCK_BYTES,
    ACCESS_CLOSE_S,
    ACCESS_ENTRIES_MAX,
    ACCESS_LINES_PER_TURN,
    ACCESS_PERIOD_S,
)
from penstock.worker.logs import LOG
from penstock.worker.spec import AccessSpec, WorkerSpec

if TYPE_CHECKING:
    from penstock.worker.http.exchange import Exchange
    from penstock.worker.http.site import Site

STANDARD_STREAMS: Final = {"stdout": 1, "stderr": 2}
# A password in an address is refused, and would be in the line about that.
_USERINFO = re.compile(rb"//[^/?#]*@")
_LOOK_S = 0.01
_NO_HEADERS: Fields = []


def line_of(spec: AccessSpec, slot: int) -> Line:
    """Make the function that writes lines as the spec wants them."""
    redaction = Redaction(spec.redact)
    if spec.format == "json":
        return json_line(redaction, pid=os.getpid(), slot=slot)
    if spec.format == "text":
        return combined_line(redaction, pid=os.getpid(), slot=slot)
    return compile_format(spec.format, redaction, pid=os.getpid(), slot=slot)


def open_access(spec: WorkerSpec, file_fd: int | None, cells: memoryview, slot: int) -> "AccessLog | None":
    """Make the access log of a worker, if there is to be one. `file_fd` is taken over."""
    access = spec.access
    if access is None:
        return None
    try:
        fd = os.dup(STANDARD_STREAMS[access.path]) if file_fd is None else file_fd
    except OSError as error:
        LOG.error("access log: %s: %s; there is none", access.path, error.strerror)
        return None
    is_colored = file_fd is None and wants_colors(
        spec.log.colors, is_terminal=os.isatty(fd), environ=os.environ
    )
    return AccessLog(
        access,
        fd,
        cells,
        slot=slot,
        root_path=spec.root_path,
        loop=asyncio.get_running_loop(),
        is_colored=is_colored,
    )


class AccessLog:
    """Takes note of the requests of all sites of a worker."""

    def __init__(
        self,
        spec: AccessSpec,
        fd: int,
        cells: memoryview,
        *,
        slot: int,
        root_path: str = "",
        loop: asyncio.AbstractEventLoop,
        is_colored: bool = False,
    ) -> None:
        """Write to `fd`, which is taken over."""
        self._line = line_of(spec, slot)
        if is_colored and spec.format != "json":
            self._line = colored_line(self._line)
        self.keeps_response_headers = shows_response_headers(spec.format)
        self.keeps_trails = spec.format == "json" or shows_trail(spec.format)
        self._is_excluded = [path_matcher(each) for each in spec.exclude]
        self._root_path = root_path.rstrip("/")
        self._cells = cells
        self._dropped_cell = spec.dropped
        self._writer = Writer(fd)
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._lines: list[str] = []
        self._line_bytes = 0
        self._dropped = 0  # since ever
        self._told = 0  # of them, in the cell
        self._has_failed = False
        # For those who watch. When there are as many entries as `mark`, `notice` is to be called.
        self.entries: list[Entry] = []
        self.mark = 0

    def watch(self, site: "Site") -> None:
        """Take note of a site's requests from now on."""
        watch = AccessWatch(self, site.name, keeps_trails=self.keeps_trails and site.is_gateway)
        observe = watch.observe_more if watch.keeps_more else watch.observe
        site.watch_requests(observer=observe, refusal=watch.refused)

    def notice(self) -> bool:
        """Look after entries that have become so many; tell whether there is no room for another."""
        count = len(self.entries)
        if count >= ACCESS_ENTRIES_MAX:
            self._dropped += 1
            return True
        if self._timer is None:
            self._timer = self._loop.call_later(ACCESS_PERIOD_S, self._deliver)
        self.mark = ACCESS_LINES_PER_TURN
        if count >= ACCESS_LINES_PER_TURN:
            self._make_soon()
        return False

    def tick(self) -> None:
        """Write down how many lines were dropped."""
        dropped = self._dropped + self._writer.lost_lines
        self._cells[self._dropped_cell] += dropped - self._told
        self._told = dropped

    def reopen(self, fd: int) -> None:
        """Write to another descriptor from now on, which is taken over."""
        self._writer.swap(fd)

    async def close(self) -> None:
        """Write all that is there, as far as it is taken; count what is not."""
        until_s = time.monotonic() + ACCESS_CLOSE_S
        while (self.entries or self._lines or self._writer.unwritten_lines) and time.monotonic() < until_s:
            if self.entries and self._writer.has_room:
                self._make()
                await asyncio.sleep(0)
            else:
                self._hand_over()
                await asyncio.sleep(_LOOK_S)
        if self._timer is not None:
            self._timer.cancel()
        self._dropped += len(self.entries) + len(self._lines) + self._writer.unwritten_lines
        self.entries.clear()
        self._lines.clear()
        self.tick()

    # Batches.

    def _make_soon(self) -> None:
        """Make lines in a turn of their own. Until then there is nothing to notice."""
        self._loop.call_soon(self._make)
        self.mark = ACCESS_ENTRIES_MAX

    def _make(self) -> None:
        """Make some lines."""
        # Without a timer the next entry has to start one.
        self.mark = 0 if self._timer is None else ACCESS_LINES_PER_TURN
        if not self._writer.has_room:
            self.mark = ACCESS_ENTRIES_MAX  # `_deliver` looks again.
            return
        entries = self.entries[:ACCESS_LINES_PER_TURN]
        del self.entries[:ACCESS_LINES_PER_TURN]
        for entry in entries:
            try:
                if self._is_excluded and self._excludes(entry[at.PATH]):
                    continue
                line = self._line(entry)
            except Exception:
                # An app may put anything into its scope.
                self._cannot_write()
            else:
                self._lines.append(line)
                self._line_bytes += len(line) + 1
        if self._line_bytes >= ACCESS_BLOCK_BYTES:
            self._hand_over()
        if len(self.entries) >= ACCESS_LINES_PER_TURN:
            self._make_soon()

    def _deliver(self) -> None:
        """Hand over what there is, and come again if that was not all."""
        self._timer = None
        self._make()
        self._hand_over()
        if self.entries:
            self._timer = self._loop.call_later(ACCESS_PERIOD_S, self._deliver)
        else:
            self.mark = 0

    def _hand_over(self) -> None:
        if self._lines:
            self._lines.append("")
            self._writer.write("\n".join(self._lines).encode("ascii"), len(self._lines) - 1)
            self._lines = []
            self._line_bytes = 0

    def _excludes(self, raw_path: bytes) -> bool:
        path = raw_path.decode("latin-1")
        if "%" in path:
            path = unquote(path)
        if self._root_path:
            path = path.removeprefix(self._root_path)
        return any(matches(path) for matches in self._is_excluded)

    def _cannot_write(self) -> None:
        self._dropped += 1
        if not self._has_failed:
            self._has_failed = True
            LOG.exception("access log: cannot write a line")


class AccessWatch:
    """Takes note of the requests of one site."""

    __slots__ = ("_listener", "_log", "_now_s", "_nowhere", "keeps_more")

    def __init__(
        self,
        log: AccessLog,
        listener: str,
        now_s: Callable[[], float] = time.time,
        *,
        keeps_trails: bool = False,
    ) -> None:
        self._log = log
        # The trail of those that are not passed on; None: nobody's is kept.
        self._nowhere = NOWHERE if keeps_trails else None
        self.keeps_more = keeps_trails or log.keeps_response_headers
        self._listener = listener
        self._now_s = now_s

    def observe(
        self,
        exchange: "Exchange",
        elapsed_us: int,
        sent_bytes: int,
        response: Fields | None = None,
        trail: Trail | None = None,
    ) -> None:
        """Take note of a response."""
        log = self._log
        entries = log.entries
        if len(entries) >= log.mark and log.notice():
            return
        scope = exchange.scope
        notes = exchange.notes
        if notes is not None and notes.asked is not None:
            raw_path, query, headers = notes.asked
            scope = {**scope, "raw_path": raw_path, "query_string": query, "headers": headers}
        entries.append(
            (
                self._now_s(),
                scope["client"],
                scope["method"],
                scope["raw_path"],
                scope["query_string"],
                scope["http_version"],
                scope["headers"],
                exchange.status,
                sent_bytes,
                elapsed_us,
                exchange.meter.route,
                self._listener,
                None if notes is None else notes.request_id,
                response,
                trail,
            )
        )

    def observe_more(self, exchange: "Exchange", elapsed_us: int, sent_bytes: int) -> None:
        """Take note of a response, and of its headers or its way, if lines show them."""
        headers = exchange.response_headers if self._log.keeps_response_headers else None
        trail = None if self._nowhere is None else exchange.trail() or self._nowhere
        self.observe(exchange, elapsed_us, sent_bytes, headers, trail)

    def refused(self, client: tuple[str, int] | None, head: bytes, status: int, sent_bytes: int) -> None:
        """Take note of what was no request, or not one that could be answered."""
        log = self._log
        if len(log.entries) >= log.mark and log.notice():
            return
        method, path, query, version = request_line(head)
        log.entries.append(
            (
                self._now_s(),
                client,
                method,
                path,
                query,
                version,
                _NO_HEADERS,
                status,
                sent_bytes,
                0,
                "-",
                self._listener,
                None,
                None,
                self._nowhere,
            )
        )


def request_line(head: bytes) -> tuple[str, bytes, bytes, str]:
    """Read what there is of a request line: method, path, query and version; "" where it says nothing."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    method = words[0].decode("latin-1")
    if len(words) < 2 or not method.isascii() or not method.isalpha() or len(method) > 32:
        return "", b"", b"", ""
    target = words[1] if words[1].startswith(b"/") else _USERINFO.sub(b"//***@", words[1])
    path, _, query = target.partition(b"?")
    version = words[2].removeprefix(b"HTTP/").decode("latin-1") if len(words) > 2 else ""
    return method, path, query, version
